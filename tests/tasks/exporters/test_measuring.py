import numpy as np
import pytest

from tasks.contracts.artifacts import Candidate
from tasks.contracts.schema import Encoding, NumberEncoding
from tasks.exporters.measuring import Holdout, measure
from tasks.runtime.budget import Budget
from tests.tasks.exporters import measured
from tests.tasks.exporters.test_contest import ROWS, SCHEMA, times

ENCODING = Encoding(features=(NumberEncoding(mean=0, scale=1),), target=NumberEncoding(mean=0, scale=3))
HOLDOUT = Holdout(ROWS.inputs, ROWS.target, SCHEMA, ENCODING)


def candidate(name: str, *, size: int, parameters: int) -> Candidate:
    made = measured.candidate(name)
    file = made.file.model_copy(update={"size_bytes": size})
    return made.model_copy(update={"file": file, "network": made.network.model_copy(update={"parameters": parameters})})


def run(budget: Budget):
    candidates = [
        candidate("dense/none", size=1000, parameters=40),
        candidate("channels-50/static", size=250, parameters=10),
    ]
    graphs = {"dense/none": times(3.0), "channels-50/static": times(2.4)}
    answers = {"dense": {"value": 3.0 * ROWS.inputs["features"][:, 0]}}
    answers["channels-50"] = {"value": 2.4 * ROWS.inputs["features"][:, 0] + np.where(np.arange(400) < 100, 1.0, 0.0)}
    return measure(candidates, graphs, answers, HOLDOUT, budget=budget, threads=1, batch_size=500)


def test_each_candidate_is_measured_against_dense_fp32():
    dense, small = run(Budget(max_drop=1000.0))
    truth = ROWS.target
    assert dense.metric == pytest.approx(np.sqrt(np.mean((3.0 * ROWS.inputs["features"][:, 0] - truth) ** 2)), rel=1e-5)
    assert dense.speed_up == 1.0 and dense.compression_rate_bytes == 0.0 and dense.parity == 1.0
    assert small.compression_rate_bytes == 0.75 and small.compression_rate_parameters == 0.75
    assert small.parity == 0.75 and small.largest_difference == pytest.approx(1 / 3, rel=1e-5)
    assert small.speed_up == pytest.approx(dense.p50_ms / small.p50_ms)
    assert small.metric_low < small.metric < small.metric_high
    assert dense.within_budget and small.within_budget


def test_what_breaks_the_budget_says_so():
    dense, small = run(Budget(max_drop=5.0, max_size_bytes=100))
    assert not dense.within_budget and dense.broken_limits == ("max_size_bytes is 100, but it has 1000: 900 too many",)
    assert [sentence.split(" is ")[0] for sentence in small.broken_limits] == ["max_drop", "max_size_bytes"]


def test_a_batch_larger_than_the_split_takes_its_rows_again():
    batch = HOLDOUT.batch(401)["features"]
    assert len(batch) == 401 and batch[400] == ROWS.inputs["features"][0]
