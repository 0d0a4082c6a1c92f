import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tasks.contracts.artifacts import Artifact
from tasks.contracts.manifest import File
from tasks.contracts.schema import Feature, Schema
from tasks.contracts.signature import signature_of
from tasks.datasets.reader import Rows
from tasks.exporters.contest import Decision, decide
from tests.tasks.exporters import measured

SCHEMA = Schema(task="regression", features=(Feature(name="x", kind="number"),), target="y")
SIGNATURE = signature_of(SCHEMA)
NEW = Artifact(uri="s3://b/new", sha256="new", size_bytes=1, chunks=("new",))
RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 1)).astype(np.float32)
ROWS = Rows(inputs={"features": X}, target=3.0 * X[:, 0].astype(np.float64) + RNG.normal(size=400) / 10)


def times(factor: float) -> bytes:
    """A graph that answers x times a factor."""
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["features", "factor"], ["scaled"]),
            helper.make_node("Reshape", ["scaled", "rows"], ["value"]),
        ],
        "times",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 1])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["batch"])],
        [
            helper.make_tensor("factor", TensorProto.FLOAT, [], [factor]),
            helper.make_tensor("rows", TensorProto.INT64, [1], [-1]),
        ],
    )
    opset = onnx.OperatorSetIdProto(version=20)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString()


def contest(
    challenger: float, champion: float | None, *, policy="if_better", margin=0.0, signature=SIGNATURE
) -> Decision:
    def fetch(artifact: Artifact) -> bytes:
        return times(challenger if artifact == NEW else champion)

    return decide(
        policy,
        margin,
        challenger=measured.manifest(SIGNATURE).model_copy(update={"files": (File(path="model.onnx", artifact=NEW),)}),
        champion=None if champion is None else measured.manifest(signature),
        fetch=fetch,
        rows=ROWS,
    )


def test_the_first_version_is_champion():
    assert contest(1.0, None) == Decision(True, "it is the first version")


def test_a_surely_better_challenger_is_promoted_and_the_figures_are_told():
    decision = contest(3.0, 2.0)
    assert decision.promoted
    assert decision.reason.startswith("better: +9") and "% of RMSE (95 % interval +" in decision.reason


@pytest.mark.parametrize("champion", [3.0, 2.9999])
def test_an_equal_challenger_is_not_promoted_by_luck(champion):
    decision = contest(3.0, champion)
    assert not decision.promoted and decision.reason.startswith("not surely better: ")


def test_a_gain_below_the_margin_is_not_enough():
    assert not contest(3.0, 2.0, margin=99.0).promoted


def test_always_and_never_do_not_look_at_the_figures():
    assert contest(1.0, 3.0, policy="always").promoted
    assert not contest(3.0, 1.0, policy="never").promoted
    assert not contest(3.0, None, policy="never").promoted


def test_a_champion_of_another_schema_cannot_be_compared():
    other = signature_of(SCHEMA.model_copy(update={"features": (Feature(name="z", kind="number"),)}))
    decision = contest(3.0, 1.0, signature=other)
    assert not decision.promoted and "set promote.policy=always" in decision.reason
