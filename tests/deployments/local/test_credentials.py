import stat

import pytest

from deployments.local.credentials import load_or_create
from deployments.local.home import Home
from tasks.contracts.errors import ConfigError


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    made.prepare()
    return made


def test_keys_are_made_once_and_private(home):
    first = load_or_create(home)
    assert stat.S_IMODE(home.credentials.stat().st_mode) == 0o600
    assert load_or_create(home) == first
    assert len(first.secret_access_key) == 40 and first.access_key_id.startswith("ingot")


def test_two_homes_have_different_keys(home, tmp_path_factory):
    other = Home(tmp_path_factory.mktemp("other"))
    assert load_or_create(home) != load_or_create(other)


def test_the_secret_is_not_in_the_repr(home):
    keys = load_or_create(home)
    assert keys.secret_access_key not in repr(keys)


@pytest.mark.parametrize("content", ["", "[]", '{"access_key_id": "a"}'])
def test_a_damaged_file_is_named_without_its_content(home, content):
    home.credentials.write_text(content)
    with pytest.raises(ConfigError, match="is damaged, but must hold the S3 keys: delete it, the next `ingot up`"):
        load_or_create(home)
