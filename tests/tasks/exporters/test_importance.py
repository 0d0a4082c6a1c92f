import io
from functools import partial

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from tasks.contracts.artifacts import Architecture
from tasks.contracts.explanation import Explanation, Influence
from tasks.contracts.schema import Encoding, Feature, ImageEncoding, Schema, TextEncoding
from tasks.datasets.reader import Rows
from tasks.explain import explain as explain_step
from tasks.exporters.card import influence_table, model_card
from tasks.exporters.importance import Explained, Winner, explain, rows_wanted
from tasks.exporters.importance_plot import importance_plot
from tasks.models import zoo
from tasks.runtime import importance
from tests.tasks.exporters import measured

IMAGES = Schema(
    task="classification", features=(Feature(name="image", kind="image", shape=(6, 6)),), target="y", labels=(0, 1)
)
TEXTS = Schema(task="classification", features=(Feature(name="text", kind="text"),), target="y", labels=("ham", "spam"))
OF_IMAGES = Encoding(features=(ImageEncoding(mean=(0.5,), scale=(0.25,)),))
OF_TEXTS = Encoding(features=(TextEncoding(words=("free", "meeting", "the"), length=4),))
ROWS = 40


class Corner(torch.nn.Module):
    """Class 1 where the top left pixel is bright."""

    def forward(self, rows):
        return torch.stack([torch.zeros(len(rows)), rows[:, 0, 0, 0]], dim=1)


class Opaque(Corner):
    def forward(self, rows):
        return super().forward(rows).detach()


def corner_graph() -> bytes:
    """The same as ONNX, from raw pixels to a label."""
    nodes = [
        helper.make_node("Slice", ["image", "from", "to", "axes"], ["pixel"]),
        helper.make_node("Reshape", ["pixel", "flat"], ["row"]),
        helper.make_node("Cast", ["row"], ["number"], to=TensorProto.INT32),
        helper.make_node("Greater", ["number", "half"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["label"], to=TensorProto.INT64),
    ]
    constants = {"from": [0, 0], "to": [1, 1], "axes": [1, 2], "flat": [-1]}
    numbers = [helper.make_tensor(name, TensorProto.INT64, [len(v)], v) for name, v in constants.items()]
    graph = helper.make_graph(
        nodes, "corner",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 6, 6])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])],
        [*numbers, helper.make_tensor("half", TensorProto.INT32, [], [127])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def images() -> tuple[Rows, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (ROWS, 6, 6), dtype=np.uint8)
    encoded = ((pixels / 255 - 0.5) / 0.25).astype(np.float32)[:, None]
    return Rows({"image": pixels}, (pixels[:, 0, 0] > 127).astype(np.int64)), encoded


@pytest.mark.parametrize(("module", "method"), [(Corner(), "integrated gradients"), (Opaque(), "permutation")])
def test_the_pixel_that_decides_is_found_with_gradients_and_without(module, method):
    explained = explain(Winner(corner_graph(), module, IMAGES, OF_IMAGES), *images(), seed=0)
    found = explained.explanation
    assert found.method == method and found.influences[0].name == "top left"
    assert all(abs(each.mean) < 1e-6 for each in found.influences[1:])
    assert ("no gradient comes through" in found.note) is (method == "permutation")
    assert bool(found.heat_maps) is bool(explained.images) is (method != "permutation")
    assert importance_plot(explained).axes


def test_the_words_that_decide_are_told_with_their_class():
    architecture = Architecture(family="linear", input_shape=(4,), output_size=2, hidden_sizes=(4,), vocabulary_size=5)
    module = zoo.build(architecture, seed=0)
    (embedding,) = (each for each in module.modules() if isinstance(each, torch.nn.Embedding))
    heads = [each for each in module.modules() if isinstance(each, torch.nn.Linear)]
    with torch.no_grad():
        embedding.weight.zero_()
        embedding.weight[2, 0], embedding.weight[3, 0] = 1.0, -1.0
        heads[-1].weight.zero_()
        heads[-1].weight[1, 0], heads[-1].weight[0, 0] = 5.0, -5.0
        heads[-1].bias.zero_()
    tokens = np.array([[2, 4, 0, 0], [3, 4, 4, 0], [2, 2, 1, 0], [3, 0, 0, 0]])
    rows = Rows({"text": np.array(["", "", "", ""], dtype=object)}, np.array([1, 0, 1, 0]))
    found = explain(Winner(b"", module, TEXTS, OF_TEXTS), rows, tokens, seed=0).explanation
    assert {(each.name, each.label) for each in found.influences[:2]} == {("free", "spam"), ("meeting", "ham")}
    assert found.examples[2].words == ("free", "free", "(unknown)") and found.examples[0].label == "spam"


def test_words_of_a_regression_are_told_with_their_sign_and_in_its_unit():
    module = torch.nn.Sequential(torch.nn.Embedding(5, 1), torch.nn.Flatten(), torch.nn.Linear(4, 1))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[0.0], [0.0], [1.0], [-3.0], [0.0]]))
        module[2].weight.fill_(1.0)
        module[2].bias.zero_()
    schema = Schema(task="regression", features=TEXTS.features, target="price")
    rows = Rows({"text": np.array(["", ""], dtype=object)}, np.array([1.0, -3.0]))
    tokens = np.array([[2, 4, 0, 0], [3, 4, 0, 0]])
    found = explain(Winner(b"", module, schema, OF_TEXTS), rows, tokens, seed=0).explanation
    told = {each.words[0]: each.scores[0] for each in found.examples}
    assert told == {"free": 1.0, "meeting": -3.0} and not any(each.label for each in found.examples)
    assert found.unit == "what a word adds to the answer, in standard deviations of price"


def test_a_network_that_cannot_be_explained_says_why():
    winner = Winner(b"", torch.nn.Linear(4, 2), TEXTS, OF_TEXTS)
    rows = Rows({"text": np.array([""], dtype=object)}, np.array([0]))
    found = explain(winner, rows, np.ones((1, 4), np.int64), seed=0).explanation
    assert found.method == "none" and "no nn.Embedding of 5 words" in found.note
    none = Rows({"text": np.array([], dtype=object)}, np.array([], dtype=np.int64))
    assert explain(winner, none, np.ones((0, 4), np.int64), seed=0).explanation.note == "The validation split is empty."


def test_the_step_explains_digits_and_not_a_winner_that_failed_its_gate(bench):
    graph = linear_graph()
    file = bench.store.put_bytes(graph)
    winner = measured.candidate("dense/none").model_copy(update={"file": file, "network": bench.dense})
    verdict = measured.verdict().model_copy(update={"winner": winner})
    run = bench.run.model_copy(update={"mlflow_run_id": ""})
    found = explain_step.fn(verdict, bench.dataset, run)
    assert found == explain_step.fn(verdict, bench.dataset, run)
    assert found.method == "permutation" and found.influences[0].name == "pixel_3_3"
    failed = verdict.model_copy(update={"gate": measured.verdict(passed=False).gate})
    assert explain_step.fn(failed, bench.dataset, run).note == "Not explained: it failed its gate."


def value_graph() -> bytes:
    """The first of three columns is the answer."""
    nodes = [helper.make_node("Gather", ["features", "place"], ["value"], axis=1)]
    graph = helper.make_graph(
        nodes, "value",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor("place", TensorProto.INT64, [], [0])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return model.SerializeToString()


def of_three_columns() -> tuple[Winner, Rows]:
    features = tuple(Feature(name=name, kind="number") for name in ("a", "b", "a + b"))
    schema = Schema(task="regression", features=features, target="y")
    rows = np.random.default_rng(0).normal(size=(ROWS, 3)).astype(np.float32)
    rows[:, 1] = rows[:, 0]
    winner = Winner(value_graph(), torch.nn.Identity(), schema, Encoding(features=()))
    return winner, Rows({"features": rows}, rows[:, 0].astype(np.float64))


def test_a_column_is_not_taken_for_the_columns_that_its_name_joins():
    winner, rows = of_three_columns()
    found = explain(winner, rows, np.zeros((0, 3)), seed=0).explanation
    assert [each.name for each in found.influences] == ["a", "b", "a + b"] and found.influences[2].mean == 0
    assert [each.name for each in found.together] == ["a + b"] and found.together[0].mean > 0


def test_columns_that_were_not_reached_are_counted_without_those_that_are_joined(monkeypatch):
    winner, rows = of_three_columns()
    permutation = importance.permutation
    monkeypatch.setattr(importance, "permutation", partial(permutation, most_seconds=0.0))
    assert (
        "3 of 3 columns were not reached in time." in explain(winner, rows, np.zeros((0, 3)), seed=0).explanation.note
    )


def linear_graph() -> bytes:
    """Digits by the pixel in the middle alone."""
    nodes = [
        helper.make_node("Gather", ["features", "place"], ["pixel"], axis=1),
        helper.make_node("Greater", ["pixel", "half"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["label"], to=TensorProto.INT64),
    ]
    graph = helper.make_graph(
        nodes, "pixel",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])],
        [helper.make_tensor("place", TensorProto.INT64, [], [27]),
         helper.make_tensor("half", TensorProto.FLOAT, [], [7.5])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return model.SerializeToString()


def test_the_card_tells_the_strongest_and_what_was_left_out():
    found = Explanation(
        method="permutation", unit="RMSE gained", rows=70, note="A note.",
        influences=(Influence(name="a|b`c", mean=2.0, low=1.0, high=3.0, label="x|y"),),
    )  # fmt: skip
    card = model_card("shop", measured.verdict(), measured.dataset(), "s3://b/d", explanation=found)
    assert "## What drives the answers\n\nPermutation on 70 validation rows: RMSE gained.\n" in card
    assert r"| `a\|b'c` for x\|y | 2 | 1 to 3 |" in card and "\nA note.\n" in card
    assert influence_table(Explanation(method="none", note="Why.")) == ["Why."]
    assert influence_table(None) == []


def test_bars_draw_names_as_they_are_and_any_number_of_them():
    some = tuple(Influence(name=f"$x_{i}$" * 9, mean=i, low=i - 1, high=i + 1) for i in range(50))
    figure = importance_plot(Explained(Explanation(method="permutation", influences=some, together=some[:2])))
    figure.savefig(io.BytesIO(), format="png")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(names) == 22 and all(len(name) <= 32 for name in names)


def test_maps_and_examples_draw_the_names_of_classes_as_they_are():
    name, image = "US$ \\frac$", np.ones((6, 6))
    found = Explanation(method="integrated gradients", heat_maps={"all": ((1.0,),), name: ((1.0,),)})
    figure = importance_plot(Explained(found, ((image, image, name),)))
    figure.savefig(io.BytesIO(), format="png")
    assert [axes.get_title() for axes in figure.axes[:4]] == ["all", name, f"as {name}", ""]


def test_few_rows_are_fetched_for_a_wide_table():
    wide = Schema(
        task="regression", features=tuple(Feature(name=str(i), kind="number") for i in range(784)), target="y"
    )
    assert rows_wanted(wide, 10**6) == 255 and rows_wanted(IMAGES, 10**6) == 2000
