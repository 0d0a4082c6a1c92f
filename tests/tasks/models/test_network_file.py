"""Network files: whole or not there, the same bytes for the same weights, refused when foreign."""

import hashlib
import json
import pickle
import resource
import subprocess
import sys

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import nn

from tasks.compressors.channels import prune_channels
from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ModelError, TrainingError
from tasks.models import network_file, zoo
from tasks.models.rows import example

torch.set_num_threads(1)

CNN = Architecture(family="cnn", input_shape=(1, 8, 8), output_size=3, hidden_sizes=(4, 8))


def trained(architecture=CNN, seed=1):
    module = zoo.build(architecture, seed=seed)
    module(example(architecture, rows=4))  # moves the batch norm's buffers
    return module.eval()


@pytest.mark.parametrize("family", ["linear", "mlp", "cnn", "resnet", "rnn", "transformer"])
def test_a_loaded_network_answers_to_the_bit(family, tmp_path):
    architecture = CNN.model_copy(update={"family": family, "hidden_sizes": (16, 8)})
    module = trained(architecture)
    network_file.save(module, architecture, [], tmp_path / "net.safetensors")
    loaded = network_file.load(tmp_path / "net.safetensors").eval()
    assert torch.equal(loaded(example(architecture, 5)), module(example(architecture, 5)))


def test_the_same_weights_are_the_same_bytes_even_from_another_process(tmp_path):
    program = (
        "import sys; from tasks.models import network_file, zoo; from tasks.contracts.artifacts import Architecture;"
        "from pathlib import Path; a = Architecture.model_validate_json(sys.argv[1]);"
        "network_file.save(zoo.build(a, seed=3), a, [['x', True, [1]]], Path(sys.argv[2]))"
    )
    architecture = Architecture(family="mlp", input_shape=(3,), output_size=2, hidden_sizes=(4,))
    there = tmp_path / "there"
    subprocess.run([sys.executable, "-c", program, architecture.model_dump_json(), there], check=True, timeout=60)
    here = tmp_path / "here"
    network_file.save(zoo.build(architecture, seed=3), architecture, [["x", True, [1]]], here)
    assert here.read_bytes() == there.read_bytes()


def test_the_header_has_one_key_of_canonical_json(tmp_path):
    path = tmp_path / "net.safetensors"
    network_file.save(trained(), CNN, [["stages.0.0", True, [0, 2]]], path)
    with safe_open(path, framework="pt") as file:
        assert list(file.metadata()) == ["ingot"]
        header = json.loads(file.metadata()["ingot"])
    assert header["pruning_history"] == [["stages.0.0", True, [0, 2]]]
    assert Architecture.model_validate(header["architecture"]) == CNN


def test_tied_weights_are_kept(tmp_path, monkeypatch):
    (tmp_path / "tied_weights.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))\n"
        "    module[1].weight = module[0].weight\n"
        "    return module\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    architecture = Architecture(
        family="custom", import_path="tied_weights:make", input_shape=(4,), output_size=4, hidden_sizes=()
    )
    module = zoo.build(architecture, seed=9)
    network_file.save(module, architecture, [], tmp_path / "net")
    loaded = network_file.load(tmp_path / "net")
    assert loaded[0].weight is loaded[1].weight
    assert torch.equal(loaded[1].weight, module[1].weight)


def refused(path):
    with pytest.raises(ModelError) as caught:
        network_file.load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refuses_a_missing_file(tmp_path):
    assert refused(tmp_path / "none") == f"network file {tmp_path}/none does not exist: give the path of one"


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 a zip", pickle.dumps({"weights": [1.0]}), b"\xff" * 64],
    ids=["empty", "zip", "pickle", "ff"],
)
def test_refuses_bytes_that_are_no_safetensors(content, tmp_path):
    (tmp_path / "net").write_bytes(content)
    assert "it is not a whole safetensors file, but must be one that Ingot wrote" in refused(tmp_path / "net")


def test_refuses_a_cut_file_wherever_it_is_cut(tmp_path):
    network_file.save(trained(), CNN, [], tmp_path / "net")
    whole = (tmp_path / "net").read_bytes()
    for length in range(0, len(whole), len(whole) // 40):
        (tmp_path / "cut").write_bytes(whole[:length])
        assert "network file" in refused(tmp_path / "cut")


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        (None, "its header has no key 'ingot'"),
        ({"ingot": "{"}, "its key 'ingot' holds no JSON"),
        ({"ingot": "[]"}, "its header names no architecture"),
        ({"ingot": '{"architecture": {"family": "mlp"}, "pruning_history": []}'}, "its header names no architecture"),
    ],
)
def test_refuses_a_foreign_safetensors_file(metadata, why, tmp_path):
    safetensors.torch.save_file({"weight": torch.ones(2)}, tmp_path / "net", metadata=metadata)
    assert why in refused(tmp_path / "net")


def test_refuses_weights_that_do_not_fit(tmp_path):
    network_file.save(nn.Linear(3, 2), CNN, [], tmp_path / "net")
    assert "its weights do not fit its architecture" in refused(tmp_path / "net")


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match=r"cannot be written \((Not a directory|File exists)\): free"):
        network_file.save(trained(), CNN, [], tmp_path / "file" / "net")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "net"
    network_file.save(trained(seed=1), CNN, [], path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(TrainingError, match=r"net cannot be written \(File too large\): free [\d,]+ bytes"):
            network_file.save(trained(seed=2), CNN, [], path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("family", ["mlp", "cnn", "resnet", "transformer"])
def test_a_pruned_network_is_rebuilt_from_its_history(family, tmp_path):
    architecture = CNN.model_copy(update={"family": family, "hidden_sizes": (16, 8)})
    pruned, history = prune_channels(trained(architecture), example(architecture, rows=2), 0.5)
    network_file.save(pruned, architecture, history, tmp_path / "net")
    loaded = network_file.load(tmp_path / "net").eval()
    assert torch.equal(loaded(example(architecture, 5)), pruned.eval()(example(architecture, 5)))
    assert sum(p.numel() for p in loaded.parameters()) < sum(p.numel() for p in trained(architecture).parameters())


@pytest.mark.parametrize("history", [{"a": 1}, [1], [{"module": "stages.9"}], [["stages.0.0", True, [0]]]])
def test_refuses_a_history_of_another_network(history, tmp_path):
    network_file.save(trained(), CNN, history, tmp_path / "net")
    assert "its pruning history does not fit its architecture" in refused(tmp_path / "net")
