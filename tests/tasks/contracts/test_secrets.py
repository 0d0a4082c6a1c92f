import re

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.config import IngestConfig, RetrainConfig, TrainConfig
from tasks.contracts.errors import IngotError
from tasks.contracts.explain import explain
from tasks.contracts.secrets import masked, open_address, without_secrets

HIDDEN = "xk7Q-hidden"
CLOSED = [
    f"https://ann:{HIDDEN}@host/d.csv",
    f"https://{HIDDEN}@host/d.csv",
    f"HTTPS://ann:{HIDDEN}@host",
    f" https://ann:{HIDDEN}@host",
    f"s3://key:{HIDDEN}@bucket/rows.csv",
    f"ann:{HIDDEN}@host/d.csv",
    f"https://ann:p/{HIDDEN}@host/d.csv",
    f"https://host/a.csv?year=1&token={HIDDEN}",
    f"https://host/a.csv?X-Amz-Signature={HIDDEN}",
    f"https://host/a.csv?sv=1&sig={HIDDEN}",
    f"https://host/a.csv?Access-Token={HIDDEN}",
    f"https://host/a.csv?api_key={HIDDEN}",
    f"https://host/a.csv?AWSAccessKeyId={HIDDEN}",
    f"https://host/a.csv#access_token={HIDDEN}",
    "env://AWS_SECRET_ACCESS_KEY",
    "env://INGOT_SIGNING_KEY",
]
FREE = [
    "data/digits.parquet",
    "C:\\data\\rows.csv",
    "a b/ä@2.csv",
    "s3://bucket/a@2/key=1/rows.csv",
    "https://host:8443/a@2/x:3.csv?tokenizer=b&keyword=x&author=1&design=2",
    "http://[::1]:80/rows.csv",
    "env://INGOT_SOURCE_SALES",
]


@pytest.mark.parametrize("address", CLOSED)
@pytest.mark.parametrize(("form", "more"), [(IngestConfig, {}), (TrainConfig, {"family": "pretrained"})])
def test_no_form_takes_an_address_with_a_secret_and_no_error_repeats_it(address, form, more):
    with pytest.raises(ValueError) as caught:
        form(source=address, **more)
    assert HIDDEN not in explain(caught.value) + str(caught.value)
    assert "write env://INGOT_SOURCE_SALES" in explain(caught.value)


@pytest.mark.parametrize("address", CLOSED[:-2])
def test_the_schema_in_prefect_refuses_what_the_form_refuses(address):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"ingest": {"source": address}}, RetrainConfig.model_json_schema())


@pytest.mark.parametrize("address", FREE)
def test_an_address_that_all_may_read_is_taken(address):
    jsonschema.validate({"ingest": {"source": address}}, RetrainConfig.model_json_schema())
    assert IngestConfig(source=address).source == address


@given(st.from_regex(r"[A-Za-z0-9._~!$&'()*+,;=:%@/-]{0,30}", fullmatch=True))
def test_whatever_a_password_is_made_of_it_is_not_taken(password):
    for address in (f"https://ann:x{password}@host/a.csv", f"https://host/a.csv?b=1&token={password}"):
        with pytest.raises(ValueError, match="source holds a password or a token"):
            open_address(address)


def test_a_value_of_a_wrong_type_is_not_repeated_either():
    with pytest.raises(ValueError) as caught:
        RetrainConfig.model_validate({"ingest": {"source": [CLOSED[0]]}})
    assert HIDDEN not in explain(caught.value) + str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "secret"),
    [
        ("AWS_SECRET_ACCESS_KEY", HIDDEN, HIDDEN),
        ("AWS_SESSION_TOKEN", f"{HIDDEN}/+=", f"{HIDDEN}%2F%2B%3D"),
        ("PREFECT_API_AUTH_STRING", f"ann:{HIDDEN}", HIDDEN),
        ("INGOT_SIGNING_KEY", f"-----BEGIN PRIVATE KEY-----\n{HIDDEN}+/\n-----END PRIVATE KEY-----", f"{HIDDEN}+/"),
        ("INGOT_SOURCE_SALES", f"https://host/a?code={HIDDEN}", f"https://host/a?code={HIDDEN}"),
        ("INGOT_SOURCE_SALES", f"https://ann:{HIDDEN}@host/a", HIDDEN),
        ("INGOT_SOURCE_SALES", f"https://host/a?token={HIDDEN}&b=1", HIDDEN),
        ("INGOT_SOURCE_SALES", f"https://{HIDDEN}@host/a", HIDDEN),
        ("INGOT_SOURCE_SALES", f"https://ann:p[{HIDDEN}@host/a", f"p[{HIDDEN}"),
        ("INGOT_SOURCE_SALES", f"https://ann:p/@{HIDDEN}@ho]st/a", f"p/@{HIDDEN}"),
    ],
)
def test_an_error_never_quotes_a_secret_of_the_environment(monkeypatch, variable, value, secret):
    monkeypatch.setenv(variable, value)
    assert str(IngotError(f"it said <{secret}>, twice: {secret}")) == "it said <***>, twice: ***"


def test_the_path_of_a_key_and_short_values_are_shown(monkeypatch):
    monkeypatch.setenv("INGOT_SIGNING_KEY", "/home/ann/signing.pem")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a")
    assert masked("a key at /home/ann/signing.pem") == "a key at /home/ann/signing.pem"


@given(st.text())
def test_a_text_without_addresses_stays_as_it_is(text):
    if not re.search(r"://|[?&#;]", text):
        assert masked(text) == text


def test_programs_that_talk_to_nobody_are_told_nothing():
    told = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "INGOT_SOURCE_A": "x", "INGOT_SIGNING_KEY": "x"}
    assert without_secrets(told) == {"PATH": "/bin"}
