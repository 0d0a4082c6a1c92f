from pathlib import Path

import pytest

from deployments.serving.settings import Settings, model_names
from tasks.contracts.errors import ConfigError


def test_defaults_hold_where_nothing_is_set():
    assert Settings.from_environment({"INGOT_POLL_SECONDS": ""}) == Settings(16 * 2**20, 1.0, "127.0.0.1", 8080)


def test_variables_win():
    environment = {
        "INGOT_MAX_BODY_BYTES": "2048",
        "INGOT_POLL_SECONDS": "0.5",
        "INGOT_SERVING_HOST": "0.0.0.0",
        "INGOT_SERVING_PORT": "0",
    }
    assert Settings.from_environment(environment) == Settings(2048, 0.5, "0.0.0.0", 0)


def test_the_books_lie_in_the_home_unless_told_otherwise():
    assert Settings.from_environment({"INGOT_HOME": "/h"}).state == Path("/h/serving")
    assert Settings.from_environment({"INGOT_HOME": "/h", "INGOT_SERVING_STATE": "/s"}).state == Path("/s")


def test_switches_are_0_or_1():
    given = {"INGOT_SERVING_ANONYMOUS": "1", "INGOT_AUDIT": "0", "INGOT_TLS_CERT": "a", "INGOT_TLS_KEY": "b"}
    found = Settings.from_environment(given)
    assert (found.anonymous, found.audit, found.tls_cert, found.tls_key) == (True, False, "a", "b")
    found = Settings.from_environment({"INGOT_SERVING_ANONYMOUS": "0", "INGOT_AUDIT": "1"})
    assert (found.anonymous, found.audit, found.tls_cert) == (False, True, "")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("INGOT_MAX_BODY_BYTES", "16MiB", "'16MiB', but must be a whole number from 1024"),
        ("INGOT_MAX_BODY_BYTES", "0", "'0', but must be a whole number"),
        ("INGOT_POLL_SECONDS", "nan", "'nan', but must be a number from 0.01"),
        ("INGOT_POLL_SECONDS", "-1", "'-1', but must be a number"),
        ("INGOT_SERVING_PORT", "80800", "'80800', but must be a whole number from 0 to 65535: unset it for 8080"),
        ("INGOT_SERVING_PORT", "1.5", "'1.5', but must be a whole number"),
        ("INGOT_SERVING_WORKERS", "0", "'0', but must be a whole number from 1 to 256"),
        ("INGOT_QUEUE_ROWS", "0", "'0', but must be a whole number"),
        ("INGOT_SAMPLE_SHARE", "2", "'2', but must be a number from 0 to 1"),
        ("INGOT_SERVING_ANONYMOUS", "yes", "'yes', but must be 0 or 1: unset it for 0"),
        ("INGOT_AUDIT", "off", "'off', but must be 0 or 1: unset it for 1"),
    ],
)
def test_refuses_a_value_by_its_name(name, value, words):
    with pytest.raises(ConfigError, match=name) as refused:
        Settings.from_environment({name: value})
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Digits", "model name is 'Digits'"),
        ("", "model name is ''"),
        ("../x", "model name is '../x'"),
        ("digits@challenger", "alias is 'challenger', but must be champion"),
    ],
)
def test_refuses_a_model_that_cannot_be(name, words):
    with pytest.raises(ConfigError) as refused:
        model_names(["fine", name])
    assert words in str(refused.value)
