"""Every format answers like the original, as a module, after a trip through a network file, and as a graph."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tasks.contracts.schema import NumberEncoding
from tasks.exporters import parity
from tasks.exporters.onnx_graph import export_network
from tasks.models import network_file, pretrained

FREE = {0: torch.export.Dim("batch")}


def write_onnx(module, path, example, **more):
    torch.onnx.export(
        module, (example,), str(path), dynamo=True, dynamic_shapes=(FREE,), external_data=False, verbose=False, **more
    )


def write_torchscript(module, path, example):
    torch.jit.save(torch.jit.script(module), path)


def write_pt2(module, path, example):
    torch.export.save(torch.export.export(module, (example,), dynamic_shapes=(FREE,)), path)


WRITERS = {"onnx": write_onnx, "pt": write_torchscript, "pt2": write_pt2}


def held_through_the_chain(module, architecture, rows, tmp_path):
    """The logits, once the module was stored, rebuilt, exported and swept."""
    network_file.save(module, architecture, [], tmp_path / "network.safetensors")
    rebuilt = network_file.load(tmp_path / "network.safetensors").eval()
    graph = export_network(rebuilt, rows[:2], 20)
    parity.sweep(graph, rebuilt, rows)
    logits = parity.logits_of(rebuilt, rows)
    np.testing.assert_array_equal(logits, parity.logits_of(module, rows))
    return logits, graph


def softmax(logits):
    return torch.as_tensor(logits).double().softmax(1).numpy()


@pytest.mark.parametrize("suffix", WRITERS)
def test_logits_are_the_models_own(suffix, bring, network, table, tmp_path):
    WRITERS[suffix](network, tmp_path / f"model.{suffix}", torch.from_numpy(table[:3]))
    module, architecture = bring(tmp_path / f"model.{suffix}", table)
    logits, _ = held_through_the_chain(module, architecture, table, tmp_path)
    np.testing.assert_allclose(logits, network(torch.from_numpy(table)).detach(), atol=1e-5)
    assert pretrained.parameter_count(module) == sum(int(p.count_nonzero()) for p in network.parameters())


@pytest.mark.parametrize("suffix", WRITERS)
def test_probabilities_become_logits_of_the_same_probabilities(suffix, bring, network, table, tmp_path):
    whole = nn.Sequential(network, nn.Softmax(1)).eval()
    WRITERS[suffix](whole, tmp_path / f"model.{suffix}", torch.from_numpy(table[:3]))
    logits, graph = held_through_the_chain(*bring(tmp_path / f"model.{suffix}", table), table, tmp_path)
    np.testing.assert_allclose(softmax(logits), whole(torch.from_numpy(table)).detach(), atol=1e-6)
    if suffix == "onnx":  # a softmax at the end is cut off, and nothing put in its place
        assert [node.op_type for node in graph.graph.node] == ["Gemm", "Relu", "Gemm"]


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("asked", [(2, "cross_entropy"), (1, "bce")])
def test_one_probability_stands_for_two_classes(suffix, asked, bring, table, tmp_path):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()).eval()
    WRITERS[suffix](model, tmp_path / f"model.{suffix}", torch.from_numpy(table[:3]))
    module, architecture = bring(tmp_path / f"model.{suffix}", table, *asked)
    logits, _ = held_through_the_chain(module, architecture, table, tmp_path)
    both = np.concatenate([np.zeros_like(logits), logits], axis=1) if asked[0] == 1 else logits
    np.testing.assert_allclose(softmax(both)[:, 1:], model(torch.from_numpy(table)).detach(), atol=1e-6)


@pytest.mark.parametrize("suffix", WRITERS)
def test_two_logits_become_one_for_bce(suffix, bring, table, tmp_path):
    model = nn.Linear(4, 2).eval()
    WRITERS[suffix](model, tmp_path / f"model.{suffix}", torch.from_numpy(table[:3]))
    logits, _ = held_through_the_chain(*bring(tmp_path / f"model.{suffix}", table, 1, "bce"), table, tmp_path)
    own = torch.from_numpy(softmax(model(torch.from_numpy(table)).detach())[:, 1:])
    np.testing.assert_allclose(torch.as_tensor(logits).double().sigmoid(), own, atol=1e-6)


@pytest.mark.parametrize("suffix", WRITERS)
def test_values_keep_the_unit_of_the_target(suffix, bring, table, tmp_path):
    model = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)).eval()  # (N,): without an axis for the columns
    WRITERS[suffix](model, tmp_path / f"model.{suffix}", torch.from_numpy(table[:3]))
    target = NumberEncoding(mean=20.0, scale=4.0)
    logits, _ = held_through_the_chain(
        *bring(tmp_path / f"model.{suffix}", table, 1, "mse", target=target), table, tmp_path
    )
    np.testing.assert_allclose(logits[:, 0] * 4 + 20, model(torch.from_numpy(table)).detach(), atol=1e-5)


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_image_is_flattened_for_a_model_of_flat_rows(suffix, bring, images, tmp_path):
    model = nn.Linear(90, 3).eval()
    flat = torch.from_numpy(images).flatten(1)
    WRITERS[suffix](model, tmp_path / f"model.{suffix}", flat[:3])
    logits, _ = held_through_the_chain(*bring(tmp_path / f"model.{suffix}", images), images, tmp_path)
    np.testing.assert_allclose(logits, model(flat).detach(), atol=1e-5)


class ChannelsLast(nn.Module):
    """Images (N, H, W, C)."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        return self.head(self.first(images.permute(0, 3, 1, 2)).relu().mean((2, 3)))


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_image_is_transposed_for_a_model_with_channels_last(suffix, bring, images, tmp_path):
    model, rows = ChannelsLast().eval(), torch.from_numpy(images.transpose(0, 2, 3, 1).copy())
    WRITERS[suffix](model, tmp_path / f"model.{suffix}", rows[:3])
    logits, _ = held_through_the_chain(*bring(tmp_path / f"model.{suffix}", images), images, tmp_path)
    np.testing.assert_allclose(logits, model(rows).detach(), atol=1e-5)


def test_columns_become_the_image_that_a_graph_takes(bring, table, tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Flatten()).eval()
    write_onnx(model, tmp_path / "model.onnx", torch.zeros(3, 1, 2, 2))
    logits, _ = held_through_the_chain(*bring(tmp_path / "model.onnx", table), table, tmp_path)
    np.testing.assert_allclose(logits, model(torch.from_numpy(table).reshape(-1, 1, 2, 2)).detach(), atol=1e-5)


def graph_of(nodes, constants, *, takes=TensorProto.FLOAT, gives=TensorProto.FLOAT, batch="n", opset=13, columns=3):
    """A graph of ours, as other exporters write them."""
    made = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("encoded", takes, [batch, 4])],
        [helper.make_tensor_value_info("y", gives, [batch, columns])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) / 12


@pytest.mark.parametrize("opset", [9, 13, 17, 21, 23])
def test_older_and_newer_opsets_answer_alike(opset, bring, table, tmp_path):
    onnx.save(
        graph_of([helper.make_node("MatMul", ["encoded", "w"], ["y"])], {"w": WEIGHTS}, opset=opset),
        tmp_path / "m.onnx",
    )
    logits, graph = held_through_the_chain(*bring(tmp_path / "m.onnx", table), table, tmp_path)
    np.testing.assert_allclose(logits, table @ WEIGHTS, atol=1e-5)
    assert graph.opset_import[0].version == max(20, opset)


@pytest.mark.parametrize("kind", [np.float64, np.float16])
def test_other_floats_are_cast_at_both_ends(kind, bring, table, tmp_path):
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    nodes = [helper.make_node("MatMul", ["encoded", "w"], ["y"])]
    onnx.save(graph_of(nodes, {"w": WEIGHTS.astype(kind)}, takes=element, gives=element), tmp_path / "m.onnx")
    logits, _ = held_through_the_chain(*bring(tmp_path / "m.onnx", table), table, tmp_path)
    np.testing.assert_allclose(logits, table @ WEIGHTS, atol=1e-2)


def test_a_batch_axis_that_was_pinned_for_no_reason_is_freed(bring, table, tmp_path):
    onnx.save(
        graph_of([helper.make_node("MatMul", ["encoded", "w"], ["y"])], {"w": WEIGHTS}, batch=1), tmp_path / "m.onnx"
    )
    logits, _ = held_through_the_chain(*bring(tmp_path / "m.onnx", table), table, tmp_path)
    np.testing.assert_allclose(logits, table @ WEIGHTS, atol=1e-5)


def test_labels_beside_the_probabilities_are_left_out(bring, table, tmp_path):
    model = graph_of(
        [
            helper.make_node("MatMul", ["encoded", "w"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["y"], axis=1),
            helper.make_node("ArgMax", ["y"], ["label"], axis=1, keepdims=0),
        ],
        {"w": WEIGHTS},
    )
    model.graph.output.insert(0, helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]))
    onnx.save(model, tmp_path / "m.onnx")
    logits, _ = held_through_the_chain(*bring(tmp_path / "m.onnx", table), table, tmp_path)
    np.testing.assert_allclose(softmax(logits), softmax(table @ WEIGHTS), atol=1e-6)


def test_whole_numbers_reach_a_graph_of_whole_numbers(bring, tmp_path):
    rows = np.random.default_rng(0).integers(0, 9, (40, 4)).astype(np.float32)
    nodes = [helper.make_node("Cast", ["encoded"], ["x"], to=1), helper.make_node("MatMul", ["x", "w"], ["y"])]
    onnx.save(graph_of(nodes, {"w": WEIGHTS}, takes=TensorProto.INT64), tmp_path / "m.onnx")
    logits, _ = held_through_the_chain(*bring(tmp_path / "m.onnx", rows), rows, tmp_path)
    np.testing.assert_allclose(logits, rows @ WEIGHTS, atol=1e-5)
