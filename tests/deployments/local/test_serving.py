import ssl
import subprocess

import pytest

from deployments.local import serving
from tasks.contracts.errors import ConfigError


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    monkeypatch.delenv("INGOT_TLS_CERT", raising=False)
    monkeypatch.delenv("INGOT_API_KEY", raising=False)


def test_without_certificate_and_key_it_is_asked_plainly():
    assert (serving.scheme(), serving.trust(), serving.headers(), serving.curl_options()) == ("http", True, {}, "")


def test_a_token_is_sent_and_never_shown(monkeypatch):
    monkeypatch.setenv("INGOT_API_KEY", "secret")
    assert serving.headers() == {"Authorization": "Bearer secret"}
    assert serving.curl_options() == ' -H "Authorization: Bearer $INGOT_API_KEY"'


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_that_cannot_be_read_is_named(monkeypatch, tmp_path, content):
    path = tmp_path / "c.pem"
    if content:
        path.write_text(content)
    monkeypatch.setenv("INGOT_TLS_CERT", str(path))
    with pytest.raises(ConfigError, match="c.pem, but must be a PEM file we can read"):
        serving.trust()


def test_its_own_certificate_is_what_is_trusted(monkeypatch, tmp_path):
    path = tmp_path / "a b.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=a", "-keyout", str(tmp_path / "key"), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    monkeypatch.setenv("INGOT_TLS_CERT", str(path))
    trusted = serving.trust()
    assert (serving.scheme(), serving.curl_options()) == ("https", f" --cacert '{path}'")
    assert trusted.verify_mode is ssl.CERT_REQUIRED
    assert len(trusted.get_ca_certs()) == 1
