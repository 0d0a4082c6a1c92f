import importlib.util
import json
from pathlib import Path

import pytest

from deployments.command.edge import guarded
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store

SERVING = Path(__file__).parents[1] / "serving" / "conftest.py"


@pytest.fixture(scope="module")
def tiny():
    """The tiny models of the serving tests."""
    spec = importlib.util.spec_from_file_location("tiny_models", SERVING)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def store(tmp_path, monkeypatch):
    address = (tmp_path / "store").as_uri()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INGOT_BUCKET", address)
    return Store.from_environment(address)


def publish(tiny, store, version, made, **changes):
    manifest = tiny.manifest_of("numbers", made, **changes)
    store.put_bytes(made[1])
    journal = Journal(store, "numbers")
    _, digest = journal.put_manifest(manifest)
    facts = {"version": version, "manifest": digest, "run_key": manifest.run_key, "actor": "test", "reason": "test"}
    journal.append(action="publish", **facts)
    journal.append(action="promote", **facts)
    return digest


def ingot(capsys, *arguments):
    code = guarded(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_version_is_pulled_and_proven_without_a_server(tiny, store, capsys, monkeypatch):
    first = publish(tiny, store, "1", tiny.numbers(1.0))
    champion = publish(tiny, store, "2", tiny.numbers(2.0))
    code, out, _ = ingot(capsys, "pull", "numbers", "-o", "champion", "--json")
    assert code == 0
    assert (json.loads(out)["version"], json.loads(out)["manifest_sha256"]) == ("2", champion)
    assert ingot(capsys, "pull", "numbers@1", "-o", "first")[0] == 0
    monkeypatch.delenv("INGOT_BUCKET")
    code, out, _ = ingot(capsys, "verify", "first", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["ok"] and told["manifest_sha256"] == first and told["golden_rows"] == 2
    assert told["operators"]["ai.onnx::MatMul"] == 1
    code, out, _ = ingot(capsys, "verify", "champion")
    assert code == 0
    assert "2 rows answered as recorded" in out and champion in out


def test_a_folder_that_does_not_answer_as_recorded_fails_in_one_line(tiny, store, capsys):
    golden = tiny.GoldenBatch(inputs={"features": [[1.0, 2.0]]}, outputs={"value": [9.0]})
    publish(tiny, store, "1", tiny.numbers(), golden=golden)
    assert ingot(capsys, "pull", "numbers@champion", "-o", "out")[0] == 0
    code, out, err = ingot(capsys, "verify", "out")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "golden value is off by" in err


def test_a_changed_file_fails_in_one_line(tiny, store, capsys):
    publish(tiny, store, "1", tiny.numbers())
    ingot(capsys, "pull", "numbers", "-o", "out")
    with Path("out/model.onnx").open("ab") as file:
        file.write(b"\0")
    code, _, err = ingot(capsys, "verify", "out", "--json")
    assert (code, err) == (
        1,
        "error: out/model.onnx is not what its digest says, but must be: pull the version again\n",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pull", "numbers@7", "-o", "out"], "'7' does not exist: .*known: 1"),
        (["pull", "numbers@", "-o", "out"], "must be NAME, NAME@champion or NAME@VERSION"),
        (["pull", "../x", "-o", "out"], "model is '../x', but must match"),
        (["pull", "nobody", "-o", "out"], "has no champion"),
        (["pull", "numbers", "-o", "."], "exists, but must not"),
        (["pull", "numbers"], "out"),
        (["verify", "nowhere"], "folder is nowhere, but must be one that `ingot pull` wrote"),
    ],
)
def test_a_wrong_argument_is_said_in_one_line(tiny, store, capsys, arguments, words):
    publish(tiny, store, "1", tiny.numbers())
    code, _, err = ingot(capsys, *arguments)
    assert code == 2
    with pytest.raises(ValueError, match=words):
        raise ValueError(err)
    assert err.count("\n") == 1
    assert not Path("out").exists()
