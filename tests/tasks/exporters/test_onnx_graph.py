import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from tasks.contracts.errors import GraphError
from tasks.contracts.schema import Encoding, Feature, NumberEncoding, Schema
from tasks.contracts.signature import signature_of
from tasks.exporters import parity
from tasks.exporters.onnx_graph import assemble, export_network
from tasks.runtime.session import load

# The families of the zoo are exported in test_chain.
KINDS = ("residual", "gru", "attention")


def to_bytes(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString(deterministic=True)


@pytest.fixture(scope="module")
def three_logits():
    """A linear network from four numbers to three logits, exported once."""
    torch.manual_seed(3)
    module = nn.Linear(4, 3)
    return module, export_network(module, np.zeros((2, 4), np.float32), 20)


@pytest.fixture(scope="module")
def one_logit():
    """A linear network from four numbers to one logit, exported once."""
    torch.manual_seed(4)
    module = nn.Linear(4, 1)
    return module, export_network(module, np.zeros((2, 4), np.float32), 20)


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_network_answers_like_torch_at_every_batch_size(exported, kind):
    module, rows, graph = exported(kind)
    onnx.checker.check_model(graph, full_check=True)
    assert parity.sweep(graph, module, rows, batches=(1, 2, 3, 7, 32)) < 1e-5
    assert [value.name for value in graph.graph.input] == ["encoded"]
    assert [value.name for value in graph.graph.output] == ["logits"]
    for value in (*graph.graph.input, *graph.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize(("kind", "opset"), [("residual", 18), ("attention", 23)])
def test_every_opset_of_the_form_can_be_asked_for(small_network, kind, opset):
    module, rows = small_network(kind)
    graph = export_network(module, rows, opset)
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", opset)]
    assert parity.sweep(graph, module, rows) < 1e-5


def test_dropout_is_off_in_the_graph_and_the_modules_mode_is_left_as_it_was(small_network):
    module, rows = small_network("mlp")
    module.train()
    graph = export_network(module, rows, 20)
    assert module.training
    assert "Dropout" not in {node.op_type for node in graph.graph.node}


def test_one_row_is_example_enough(small_network, exported):
    module, rows = small_network("mlp")
    assert to_bytes(export_network(module, rows[:1], 20)) == to_bytes(exported("mlp")[2])


def test_nothing_of_this_machine_is_in_the_file(exported):
    content = to_bytes(exported("attention")[2])
    for trace in (str(Path.cwd()), "site-packages", "stack_trace", ".py", "pkg.torch", "pytorch"):
        assert trace.encode() not in content


def test_the_same_network_has_the_same_digest_in_two_processes(exported):
    program = (
        "import sys, hashlib, runpy; from tasks.exporters.onnx_graph import export_network;"
        "module, rows = runpy.run_path(sys.argv[1])['small_network']('attention');"
        "content = export_network(module, rows, 20).SerializeToString(deterministic=True);"
        "print(hashlib.sha256(content).hexdigest())"
    )
    conftest = Path(__file__).with_name("conftest.py")
    done = subprocess.run(
        [sys.executable, "-c", program, str(conftest)], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == hashlib.sha256(to_bytes(exported("attention")[2])).hexdigest()


def test_exports_in_several_threads_do_not_disturb_each_other():
    rows = np.zeros((2, 2), np.float32)
    modules = [nn.Sequential(nn.Linear(2, 2 + i), nn.Tanh(), nn.Linear(2 + i, 2)) for i in range(2)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda module: to_bytes(export_network(module, rows, 20)), modules))
    assert found == [to_bytes(export_network(module, rows, 20)) for module in modules]


def test_export_writes_nothing_to_the_terminal(small_network, capfd):
    export_network(*small_network("mlp"), 20)
    assert capfd.readouterr() == ("", "")


class PinnedView(nn.Module):
    def forward(self, rows):
        return rows.view(4, 2)


class PinnedLoop(nn.Module):
    def forward(self, rows):
        return torch.stack([row * 2 for row in rows.unbind(0)])


class PinnedTable(nn.Module):
    def forward(self, rows):
        return rows + torch.zeros(5, 2)


class Branch(nn.Module):
    def forward(self, rows):
        return rows if rows.sum().item() > 0 else -rows


class Pair(nn.Module):
    def forward(self, rows):
        return rows, rows


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (PinnedView(), "the network does not run on a batch of 5 rows, but must run on any"),
        (PinnedLoop(), "is pinned to 5, but must be free: look for a fixed batch size"),
        (PinnedTable(), "is pinned to 5, but must be free: look for a fixed batch size"),
        (Branch(), "the network branches on the values of its rows"),
        (Pair(), "the network answers 5 rows by tuple, but must give logits [5, K]"),
        (nn.Flatten(0), "the network answers 5 rows by [10], but must give logits [5, K]"),
    ],
)
def test_a_network_that_cannot_take_any_batch_is_refused_in_one_line(module, words):
    with pytest.raises(GraphError) as caught:
        export_network(module, np.ones((2, 2), np.float32), 20)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("labels", [(0, 1, 2), (3, 5, 9), ("cat", "dog", "eel")])
def test_a_whole_graph_answers_labels_and_probabilities(three_logits, numbers, labels):
    module, network = three_logits
    schema, encoding, preprocessor = numbers
    schema = schema.model_copy(update={"labels": labels})
    whole = assemble(preprocessor, network, schema, encoding, "cross_entropy")
    raw = np.random.default_rng(0).normal(size=(23, 4)).astype(np.float32)
    found = load(to_bytes(whole)).run({"features": raw})
    with torch.no_grad():
        expected = torch.softmax(module.eval()(torch.from_numpy((raw - np.arange(4, dtype=np.float32)) / 2)), 1).numpy()
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
    assert found["label"].tolist() == [labels[i] for i in expected.argmax(1)]
    assert found["label"].dtype == (object if isinstance(labels[0], str) else np.int64)


def test_a_whole_graph_says_what_its_signature_says(three_logits, numbers):
    schema, encoding, preprocessor = numbers
    whole = assemble(preprocessor, three_logits[1], schema, encoding, "cross_entropy")
    session, signature = load(to_bytes(whole)), signature_of(schema)
    facts = [(tensor.name, tensor.datatype, tensor.shape) for tensor in (*session.inputs, *session.outputs)]
    assert facts == [(t.name, t.datatype, t.shape) for t in (*signature.inputs, *signature.outputs)]
    for value in (*whole.graph.input, *whole.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert whole.producer_name == "ingot"
    assert whole.doc_string == whole.graph.doc_string == ""


def test_strings_and_numbers_of_their_own_go_in(one_logit, mixed):
    schema, encoding, preprocessor = mixed
    module, network = one_logit
    whole = assemble(preprocessor, network, schema, encoding, "bce")
    inputs = {
        "age": np.array([30, 50, 40], np.float32),
        "city": np.array(["Oslo", "Tromsø", "Paris"], dtype=object),
    }
    found = load(to_bytes(whole)).run(inputs)
    encoded = torch.tensor([[-1.0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]])
    with torch.no_grad():
        p = torch.sigmoid(module(encoded)).numpy()
    np.testing.assert_allclose(found["probabilities"], np.concatenate([1 - p, p], 1), atol=1e-6)
    assert found["label"].tolist() == ["yes" if each > 0.5 else "no" for each in p[:, 0]]


@pytest.mark.parametrize("target", [NumberEncoding(mean=200_000.0, scale=50_000.0), None])
def test_regression_answers_in_the_targets_own_unit(one_logit, numbers, target):
    _, encoding, preprocessor = numbers
    schema = Schema(
        task="regression", features=tuple(Feature(name=name, kind="number") for name in "abcd"), target="price"
    )
    encoding = Encoding(features=encoding.features, target=target)
    module, network = one_logit
    whole = assemble(preprocessor, network, schema, encoding, "mse")
    raw = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    found = load(to_bytes(whole)).run({"features": raw})
    with torch.no_grad():
        expected = module(torch.from_numpy((raw - np.arange(4, dtype=np.float32)) / 2)).numpy()[:, 0]
    if target:
        expected = expected * target.scale + target.mean
    assert list(found) == ["value"]
    np.testing.assert_allclose(found["value"], expected, rtol=1e-6)


def test_probabilities_of_a_sure_no_keep_their_digits(mixed):
    schema, encoding, preprocessor = mixed
    module = nn.Linear(4, 1)
    nn.init.constant_(module.bias, 30.0)
    whole = assemble(preprocessor, export_network(module, np.zeros((2, 4), np.float32), 20), schema, encoding, "bce")
    found = load(to_bytes(whole)).run({"age": np.float32([40]), "city": np.array([""], dtype=object)})
    assert found["probabilities"][0, 0] == pytest.approx(1 / (1 + np.exp(30)), rel=1e-3)


def test_assembling_twice_gives_the_same_bytes_and_leaves_the_parts_alone(three_logits, numbers):
    network = three_logits[1]
    schema, encoding, preprocessor = numbers
    before = to_bytes(preprocessor), to_bytes(network)
    first = to_bytes(assemble(preprocessor, network, schema, encoding, "cross_entropy"))
    assert first == to_bytes(assemble(preprocessor, network, schema, encoding, "cross_entropy"))
    assert before == (to_bytes(preprocessor), to_bytes(network))


@pytest.mark.parametrize("opset", [18, 22, 23])
def test_preprocessor_and_network_may_be_of_different_opsets(small_network, numbers, opset):
    module, rows = small_network("mlp")
    schema, encoding, preprocessor = numbers
    whole = assemble(preprocessor, export_network(module, rows, opset), schema, encoding, "cross_entropy")
    assert [entry.version for entry in whole.opset_import if entry.domain == ""] == [max(opset, 20)]
    assert load(to_bytes(whole)).run({"features": rows})["label"].shape == (40,)


def test_an_operator_that_changed_its_meaning_is_not_relabelled(three_logits, numbers):
    schema, encoding, preprocessor = numbers
    network = onnx.ModelProto.FromString(to_bytes(three_logits[1]))
    network.opset_import[0].version = 18
    network.graph.node.append(helper.make_node("GridSample", ["encoded", "encoded"], ["unused"]))
    with pytest.raises(GraphError, match="GridSample changed its meaning in opset 20: export at opset 20"):
        assemble(preprocessor, network, schema, encoding, "cross_entropy")


def test_parts_that_do_not_fit_are_refused_by_name(three_logits, one_logit, numbers, mixed):
    schema, encoding, preprocessor = numbers
    three, one = three_logits[1], one_logit[1]
    wide = export_network(nn.Linear(5, 3), np.zeros((2, 5), np.float32), 20)
    words = export_network(nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Linear(12, 3)), np.zeros((2, 4), int), 20)
    regression = Schema(task="regression", features=schema.features, target="y")
    named_label = schema.model_copy(
        update={"features": (Feature(name="label", kind="number"), Feature(name="city", kind="category"))}
    )
    clashing = onnx.ModelProto.FromString(to_bytes(mixed[2]))
    clashing.graph.input[0].name = "label"
    cases = [
        ((preprocessor, one, schema, "cross_entropy"), "gives 1 logits, but cross_entropy on 'y' needs 3"),
        ((preprocessor, three, schema, "mse"), "loss is mse, but the target 'y' is for classification"),
        ((preprocessor, three, regression, "mse"), "gives 3 logits, but mse on 'y' needs 1"),
        ((mixed[2], three, schema, "cross_entropy"), r"takes \['age', 'city'\], but the schema has \['features'\]"),
        ((preprocessor, words, schema, "cross_entropy"), "preprocessor gives element type 1, but the network takes"),
        ((preprocessor, wide, schema, "cross_entropy"), "preprocessing and network do not make one sound graph"),
        ((clashing, three, named_label, "cross_entropy"), "feature 'label' has the name of an output: rename"),
    ]
    for (first, second, over, loss), sentence in cases:
        with pytest.raises(GraphError, match=sentence):
            assemble(first, second, over, encoding, loss)
