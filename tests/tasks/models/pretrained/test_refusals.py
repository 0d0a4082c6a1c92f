"""Files that are hostile, broken, or do not fit the data: one line each, and nothing runs."""

import io
import json
import os
import pickle
import zipfile

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tasks.compressors.channels import prune_channels
from tasks.compressors.magnitude import prune_weights
from tasks.contracts.errors import ModelError
from tasks.models.pretrained import pt2_file
from tasks.models.pretrained.formats import format_of

FREE = {0: torch.export.Dim("batch")}


class Payload:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


@pytest.fixture
def mark(tmp_path):
    """A file that must never appear."""
    yield tmp_path / "it-ran"
    assert not (tmp_path / "it-ran").exists()


def refused(bring, path, rows, *more):
    with pytest.raises(ModelError) as caught:
        bring(path, rows, *more)
    assert "\n" not in str(caught.value) and "train.source" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["onnx", "safetensors", "keras", "pt", "ts", "pt2"])
def test_a_pickle_is_refused_under_any_name(suffix, bring, table, tmp_path, mark):
    for protocol in (0, 2, 5):
        (tmp_path / f"model.{suffix}").write_bytes(pickle.dumps(Payload(mark), protocol))
        message = refused(bring, tmp_path / f"model.{suffix}", table)
        assert "is a pickle, which runs code when it is read: export it to ONNX or TorchScript" in message


@pytest.mark.parametrize("suffix", ["onnx", "safetensors", "keras", "pt", "pt2"])
def test_what_torch_save_wrote_is_refused_under_any_name(suffix, bring, table, tmp_path, mark):
    for zipped in (True, False):
        torch.save(Payload(mark), tmp_path / f"model.{suffix}", _use_new_zipfile_serialization=zipped)
        assert "is a pickle" in refused(bring, tmp_path / f"model.{suffix}", table)


@pytest.mark.parametrize("suffix", ["pkl", "pickle", "joblib", "bin", "ckpt"])
def test_names_of_pickles_are_refused_unread(suffix):
    with pytest.raises(ModelError, match=rf"\.{suffix} files are pickles, which run code when they are read"):
        format_of(f"model.{suffix}")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ModelError, match=r"is model\.h5, but must end in one of \.onnx, \.safetensors, \.keras"):
        format_of("model.h5")


@pytest.mark.parametrize("suffix", ["onnx", "safetensors", "keras", "pt", "pt2"])
@pytest.mark.parametrize("content", [b"", b"hello, I am no model\n" * 9, b"PK\x03\x04"])
def test_what_is_no_model_is_refused_in_one_line(suffix, content, bring, table, tmp_path):
    (tmp_path / f"model.{suffix}").write_bytes(content)
    more = {"import_path": "m:f"} if suffix == "safetensors" else {}
    with pytest.raises(ModelError) as caught:
        bring(tmp_path / f"model.{suffix}", table, **more)
    words = "is no whole" if content else "is empty, but must be a model: copy it again"
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture
def files(network, table, tmp_path):
    """A sound file of each format."""
    rows = torch.from_numpy(table[:3])
    torch.onnx.export(
        network, (rows,), str(tmp_path / "whole.onnx"), dynamo=True, dynamic_shapes=(FREE,),
        external_data=False, verbose=False,
    )  # fmt: skip
    torch.jit.save(torch.jit.script(network), tmp_path / "whole.pt")
    with (tmp_path / "whole.pt2").open("wb") as file:  # by its path, it would name its entries after the file
        torch.export.save(torch.export.export(network, (rows,), dynamic_shapes=(FREE,)), file)
    return tmp_path


@pytest.mark.parametrize("suffix", ["onnx", "pt", "pt2"])
def test_a_file_that_was_cut_is_refused(suffix, files, bring, table):
    whole = (files / f"whole.{suffix}").read_bytes()
    (files / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
    assert "copy it again, or save it anew" in refused(bring, files / f"cut.{suffix}", table)


def test_frozen_files_are_not_cut_and_the_mend_is_named(files, bring, table):
    module, _ = bring(files / "whole.onnx", table)
    words = r"a pretrained onnx model cannot be cut or trained further: set prune\.ratios to \[\], or bring its weights"
    with pytest.raises(ModelError, match=words):
        prune_channels(module, table[:2], 0.5)
    with pytest.raises(ModelError, match=words):
        prune_weights(module, 0.5)


# What only torch.export's archives can hide.


def rewritten(path, change):
    """The same archive with entries changed by `change(entries)`."""
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    change(found)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in found.items():
            archive.writestr(name, content)
    return path


def in_graph(change):
    def changed(found):
        graph = json.loads(found["archive/models/model.json"])
        change(graph)
        found["archive/models/model.json"] = json.dumps(graph).encode()

    return changed


def test_an_operator_outside_torch_ops_is_refused(files, bring, table, mark):
    def call(graph):
        graph["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"

    message = refused(bring, rewritten(files / "whole.pt2", in_graph(call)), table)
    assert "calls 'torch.os.system', but may call torch's own operators alone" in message


@pytest.mark.parametrize(
    "size", ["__import__('os').system('touch it-ran')", "Mul('exit()', 2)", "eval(chr(49))", "(lambda: 1)()"]
)
def test_a_size_that_is_more_than_arithmetic_is_refused(size, files, bring, table, mark):
    def expression(graph):
        values = graph["graph_module"]["graph"]["tensor_values"]
        values["input"]["sizes"][0]["as_expr"]["expr_str"] = size

    assert "but sizes must be arithmetic" in refused(bring, rewritten(files / "whole.pt2", in_graph(expression)), table)


def test_guards_are_left_out_unread(files, bring, table, mark):
    def guard(graph):
        graph["guards_code"] = [f"__import__('os').system('touch {mark}')"]

    bring(rewritten(files / "whole.pt2", in_graph(guard)), table)


def test_pickled_sample_inputs_are_left_out_unread(files, bring, table, mark):
    def inputs(found):
        buffer = io.BytesIO()
        torch.save(Payload(mark), buffer)
        found["archive/data/sample_inputs/model.pt"] = buffer.getvalue()

    bring(rewritten(files / "whole.pt2", inputs), table)


def test_pickled_weights_are_refused(files, bring, table, mark):
    def weights(found):
        config = json.loads(found["archive/data/weights/model_weights_config.json"])
        config["config"]["0.weight"]["use_pickle"] = True
        found["archive/data/weights/model_weights_config.json"] = json.dumps(config).encode()
        found["archive/data/weights/weight_0"] = pickle.dumps(Payload(mark))

    message = refused(bring, rewritten(files / "whole.pt2", weights), table)
    assert "holds '0.weight' as a pickle, which runs code when it is read" in message


def test_compiled_libraries_and_extra_files_are_not_copied(files):
    rewritten(files / "whole.pt2", lambda found: found.update({"archive/data/aotinductor/model/evil.so": b"\x7fELF"}))
    clean = pt2_file.checked((files / "whole.pt2").read_bytes(), "whole.pt2")
    assert not any("aotinductor" in name for name in zipfile.ZipFile(io.BytesIO(clean)).namelist())


def test_an_entry_that_is_there_twice_is_refused(files, bring, table):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(files / "whole.pt2", "a") as archive:
        archive.writestr("archive/models/model.json", b"{}")
    assert "holds an entry twice" in refused(bring, files / "whole.pt2", table)


def test_a_program_with_a_pinned_batch_is_refused_with_the_mend(network, bring, table, tmp_path):
    torch.export.save(torch.export.export(network, (torch.from_numpy(table[:3]),)), tmp_path / "model.pt2")
    assert "its batch axis is pinned to 3, but must be free" in refused(bring, tmp_path / "model.pt2", table)


# What only TorchScript can hide.


class Saves(nn.Module):
    """Writes a file whenever it is asked."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def forward(self, x):
        torch.save(x, self.path)
        return x[:, :3]


def test_torchscript_that_writes_files_is_refused(bring, table, tmp_path, mark):
    torch.jit.save(torch.jit.script(Saves(str(mark))), tmp_path / "model.pt")
    assert "calls torch.save, which touches files" in refused(bring, tmp_path / "model.pt", table)


def test_a_program_that_is_named_like_torchscript_is_told_its_name(files, bring, table):
    (files / "whole.pt2").rename(files / "named.pt")
    assert "rename it to .pt2" in refused(bring, files / "named.pt", table)


# What only ONNX can hide.


def save_graph(path, operator="MatMul", domain="", *, takes=TensorProto.FLOAT, shape=("n", 4), opsets=((("", 17)),)):
    made = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"], domain=domain)],
        "theirs",
        [helper.make_tensor_value_info("x", takes, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], 3])],
        [numpy_helper.from_array(np.ones((shape[1], 3), np.float32), "w")],
    )
    opset_imports = [helper.make_opsetid(*each) for each in opsets]
    onnx.save(helper.make_model(made, opset_imports=opset_imports, ir_version=8), path)
    return path


def test_weights_outside_the_file_are_refused_unread(bring, table, tmp_path):
    model = onnx.load(save_graph(tmp_path / "model.onnx"))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    message = refused(bring, tmp_path / "model.onnx", table)
    assert "keeps 'w' in another file, but must hold all of its weights" in message


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"operator": "Magic", "domain": "my.ops", "opsets": (("", 17), ("my.ops", 1))},
            "uses my.ops.Magic, but must use",
        ),
        ({"opsets": (("", 5),)}, "is of opset 5, but must be of 7 to"),
        ({"opsets": (("", 99),)}, "is of opset 99, but must be of 7 to"),
        ({"takes": TensorProto.STRING}, "takes STRING, but must take numbers"),
        ({"shape": ("n", 9)}, "takes rows of shape (9), but the data have (4,)"),
        ({"operator": "NoSuchOperator"}, "cannot be loaded by ONNX Runtime"),
    ],
)
def test_graphs_that_cannot_be_run_here_are_refused(more, words, bring, table, tmp_path):
    assert words in refused(bring, save_graph(tmp_path / "model.onnx", **more), table)


def test_a_graph_with_its_batch_written_in_is_refused_with_the_mend(bring, table, tmp_path):
    made = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])],
        "theirs",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [
            numpy_helper.from_array(np.array([1, 4]), "shape"),
            numpy_helper.from_array(np.ones((4, 3), np.float32), "w"),
        ],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    assert "but must on any number: export it anew with a free batch axis" in refused(bring, tmp_path / "m.onnx", table)


# What does not fit the data.


def test_another_number_of_classes_is_refused(files, bring, table):
    message = refused(bring, files / "whole.onnx", table, 5)
    assert "answers 3 columns a row, but the data ask for 5" in message


def test_fractions_for_a_model_of_whole_numbers_are_refused(bring, table, tmp_path):
    made = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        "theirs",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    message = refused(bring, tmp_path / "m.onnx", table, 4)
    assert "takes whole numbers, but the encoded rows hold fractions: set ingest.scaling to none" in message


def test_text_is_refused_for_want_of_a_shared_vocabulary(bring, tmp_path):
    with pytest.raises(ModelError, match="whose words a model numbers in its own way: take cnn, rnn or transformer"):
        bring(tmp_path / "model.onnx", np.zeros((4, 6), np.int64), vocabulary_size=9)
