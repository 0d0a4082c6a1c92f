import re
import shutil

import pytest

from tasks.contracts.config import RetrainConfig
from tasks.stores import provenance


def config(**forms) -> RetrainConfig:
    return RetrainConfig.model_validate(forms)


@pytest.mark.parametrize("forms", [{"train": {"epochs": 3}}, {"prune": {"ratios": []}}, {"evaluate": {"max_drop": 3}}])
def test_the_forms_that_shape_the_result_change_the_digest(forms):
    assert provenance.config_digest(config(**forms)) != provenance.config_digest(config())


@pytest.mark.parametrize("forms", [{"ingest": {"source": "x"}}, {"promote": {"policy": "never"}}, {"seed": 3}])
def test_the_others_do_not(forms):
    assert provenance.config_digest(config(**forms)) == provenance.config_digest(config())


def test_the_code_digest_follows_names_and_content(tmp_path, monkeypatch):
    def digest() -> str:
        return provenance.code_digest.__wrapped__()

    shutil.copytree(provenance.PACKAGE / "contracts", tmp_path / "contracts")
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    before = digest()
    assert digest() == before
    (tmp_path / "contracts/errors.py").rename(tmp_path / "contracts/faults.py")
    renamed = digest()
    (tmp_path / "contracts/faults.py").write_text("# changed\n")
    assert len({before, renamed, digest()}) == 3


def test_the_commit_is_named_in_a_checkout_and_empty_outside(tmp_path, monkeypatch):
    assert re.fullmatch(r"[0-9a-f]{40}|", provenance.git_sha())
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    assert provenance.git_sha() == ""
