import re
import shutil
import sys

import pytest

from tasks.contracts.config import RetrainConfig, TrainConfig
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


@pytest.fixture
def digest_of(store, tmp_path, monkeypatch):
    """The digest of a custom model's module in the current folder, which no import has seen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(tmp_path))])

    def digest(module: str) -> str:
        train = TrainConfig.model_validate({"family": "custom", "import_path": f"{module}:make"})
        return provenance.foreign_digest(train, store)

    return digest


def test_a_custom_model_is_told_by_all_that_its_module_imports_from_beside_it(tmp_path, digest_of):
    package = tmp_path / "my_nets"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text("from .blocks import Block\n\n\ndef make():\n    import my_helpers\n")
    (package / "blocks.py").write_text("class Block: ...\n")
    (package / "unused.py").write_text("")
    (tmp_path / "my_helpers.py").write_text("")
    seen = [digest_of("my_nets.net")]
    for changed in (package / "net.py", package / "blocks.py", package / "__init__.py", tmp_path / "my_helpers.py"):
        changed.write_text(changed.read_text() + "# changed\n")
        seen.append(digest_of("my_nets.net"))
    assert len(set(seen)) == 5
    (package / "unused.py").write_text("# changed\n")
    assert digest_of("my_nets.net") == seen[-1]


def test_a_custom_model_may_be_one_file_or_one_that_is_not_python(tmp_path, digest_of):
    (tmp_path / "one_net.py").write_text("import torch\n")
    assert digest_of("one_net")
    (tmp_path / "one_net.py").write_text("def make(:\n")
    assert digest_of("one_net")


@pytest.mark.parametrize("module", ["no_such_package.net", "", "..", "sys", "a b", "\0"])
def test_a_custom_model_that_is_not_there_has_no_digest(module, digest_of):
    assert digest_of(module) == ""
