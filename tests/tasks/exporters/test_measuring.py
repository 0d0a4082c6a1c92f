import numpy as np
import pytest

from tasks.contracts.artifacts import Candidate
from tasks.contracts.schema import Encoding, NumberEncoding
from tasks.exporters.measuring import Holdout, measure, without_twins
from tasks.runtime.budget import Budget
from tests.tasks.exporters import measured
from tests.tasks.exporters.test_contest import ROWS, SCHEMA, times

ENCODING = Encoding(features=(NumberEncoding(mean=0, scale=1),), target=NumberEncoding(mean=0, scale=3))
HOLDOUT = Holdout(ROWS.inputs, ROWS.target, SCHEMA, ENCODING)
X = ROWS.inputs["features"][:, 0]
FACTORS = {"dense/none": 3.0, "channels-50/none": 2.5, "channels-50/static": 2.4}


def candidate(name: str, *, size: int, parameters: int, sha256: str = "") -> Candidate:
    made = measured.candidate(name)
    file = made.file.model_copy(update={"size_bytes": size, "sha256": sha256 or name})
    return made.model_copy(update={"file": file, "network": made.network.model_copy(update={"parameters": parameters})})


def run(budget: Budget, min_agreement: float = 0.0, factors: dict[str, float] = FACTORS):
    candidates = [
        candidate("dense/none", size=1000, parameters=40),
        candidate("channels-50/static", size=250, parameters=10),
        candidate("channels-50/none", size=500, parameters=10),
    ]
    graphs = {name: times(factor) for name, factor in factors.items()}
    answers = {"dense": {"value": 3.0 * X}}
    answers["channels-50"] = {"value": 2.5 * X}
    return measure(
        candidates, graphs, answers, HOLDOUT,
        budget=budget, min_agreement=min_agreement, threads=1, batch_size=500,
    )  # fmt: skip


def test_each_candidate_is_measured_against_dense_fp32():
    dense, small, _ = run(Budget(max_drop=1e6))
    rmse = np.sqrt(np.mean((3.0 * X - ROWS.target) ** 2))
    assert dense.metric == pytest.approx(rmse, rel=1e-5)
    assert dense.speed_up == 1.0 and dense.compression_rate_bytes == 0.0 and dense.parity == 1.0
    assert (dense.drop, dense.drop_low, dense.drop_high) == (0.0, 0.0, 0.0)
    assert small.compression_rate_bytes == 0.75 and small.compression_rate_parameters == 0.75
    assert small.drop == pytest.approx(100 * (small.metric - rmse) / rmse, rel=1e-4)
    assert 0 < small.drop_low < small.drop < small.drop_high
    assert small.parity == pytest.approx(np.mean(np.abs(0.1 * X) <= 3e-3), abs=0.01)
    assert small.largest_difference == pytest.approx(np.abs(0.1 * X).max() / 3, rel=1e-5)
    assert small.speed_up == pytest.approx(dense.p50_ms / small.p50_ms)
    assert small.metric_low < small.metric < small.metric_high
    assert dense.within_budget and small.within_budget and dense.unfused_pairs == 0


def test_the_ledger_goes_from_dense_torch_to_the_file():
    dense, small, cut = run(Budget(max_drop=1e6))
    assert [hop.name for hop in dense.hops] == ["exported"]
    assert [hop.name for hop in cut.hops] == ["pruned", "exported"]
    assert [hop.name for hop in small.hops] == ["pruned", "exported", "quantized"]
    golden = np.abs(X[:256])
    assert small.hops[0].largest_difference == pytest.approx(0.5 * golden.max() / 3, rel=1e-5)
    assert small.hops[1].largest_difference < 1e-6
    assert small.hops[2].largest_difference == pytest.approx(0.1 * golden.max() / 3, rel=1e-4)


def test_the_first_hop_that_breaks_fails_the_candidate():
    _, small, cut = run(Budget(max_drop=1e6), factors=FACTORS | {"channels-50/none": 2.6, "channels-50/static": 9.0})
    assert not cut.within_budget and not small.within_budget
    (sentence,) = cut.broken_limits
    assert sentence.startswith("parity breaks where it is exported, which must keep a difference of at most 0.001 of")
    _, small, _ = run(Budget(max_drop=1e6), min_agreement=0.8, factors=FACTORS | {"channels-50/static": 9.0})
    assert small.broken_limits[0].startswith("parity breaks where it is quantized, which must keep evaluate.min_agree")


def test_what_breaks_the_budget_says_so():
    dense, small, _ = run(Budget(max_drop=5.0, max_size_bytes=100))
    assert not dense.within_budget and dense.broken_limits == ("max_size_bytes is 100, but it has 1000: 900 too many",)
    assert [sentence.split(" is ")[0] for sentence in small.broken_limits] == ["max_drop", "max_size_bytes"]


def test_the_best_metric_and_the_smallest_file_are_on_the_front():
    dense, small, _ = run(Budget(max_drop=5.0))
    assert dense.on_front and small.on_front


def test_the_same_file_is_measured_once_and_dense_fp32_is_never_left_out():
    everybody = [
        candidate("dense/static", size=9, parameters=1, sha256="same"),
        candidate("dense/static-all", size=9, parameters=1, sha256="same"),
        candidate("a/none", size=9, parameters=1, sha256="fp32"),
        candidate("dense/none", size=9, parameters=1, sha256="fp32"),
    ]
    kept, dropped = without_twins(everybody)
    assert [each.name for each in kept] == ["dense/none", "dense/static"]
    assert [(each.name, each.reason) for each in dropped] == [
        ("dense/static-all", "it is the same file as dense/static"),
        ("a/none", "it is the same file as dense/none"),
    ]


def test_a_batch_larger_than_the_split_takes_its_rows_again():
    batch = HOLDOUT.batch(401)["features"]
    assert len(batch) == 401 and batch[400] == X[0]
