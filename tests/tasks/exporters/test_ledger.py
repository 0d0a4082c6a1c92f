import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.schema import Encoding, NumberEncoding
from tasks.exporters.ledger import GOLDEN_ROWS, Chain, golden, ledger

CLASSES = Encoding(features=(NumberEncoding(mean=0, scale=1),))
PRICES = Encoding(features=CLASSES.features, target=NumberEncoding(mean=100, scale=20))
ROWS = 40


def labelled(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    return {"label": probabilities.argmax(axis=1), "probabilities": probabilities}


def sure(wrong: int = 0) -> dict[str, np.ndarray]:
    """Class 0 with 90 %, but class 1 in the first so many rows."""
    probabilities = np.tile([0.9, 0.1], (ROWS, 1))
    probabilities[:wrong] = [0.1, 0.9]
    return labelled(probabilities)


def names(hops):
    return [(hop.name, hop.passed) for hop in hops]


def test_only_the_steps_that_were_made_are_told():
    exported = Chain(sure(), sure())
    assert names(ledger(exported, CLASSES, 0.8)) == [("exported", True)]
    pruned = Chain(sure(), sure(), dense=sure())
    assert names(ledger(pruned, CLASSES, 0.8)) == [("pruned", True), ("exported", True)]
    whole = Chain(sure(), sure(), dense=sure(), graph=sure(), quantized=True)
    assert names(ledger(whole, CLASSES, 0.8)) == [("pruned", True), ("exported", True), ("quantized", True)]


@pytest.mark.parametrize(
    ("chain", "broken"),
    [
        (Chain(sure(9), sure(9), dense=sure(), graph=sure(9), quantized=True), "pruned"),
        (Chain(sure(), sure(1), dense=sure(), graph=sure(1), quantized=True), "exported"),
        (Chain(sure(), sure(9), dense=sure(), graph=sure(), quantized=True), "quantized"),
    ],
)
def test_a_fault_shows_at_the_hop_where_it_was_made(chain, broken):
    hops = ledger(chain, CLASSES, 0.8)
    assert [hop.name for hop in hops if not hop.passed] == [broken]


def test_agreement_may_equal_its_bound():
    (_, quantized) = ledger(Chain(sure(), sure(8), graph=sure(), quantized=True), CLASSES, 0.8)
    assert quantized.label_agreement == 0.8 and quantized.passed
    assert quantized.largest_difference == pytest.approx(0.8)
    assert quantized.bound == "evaluate.min_agreement 0.8"


def test_without_an_fp32_graph_int8_is_held_against_torch():
    assert names(ledger(Chain(sure(), sure(9), quantized=True), CLASSES, 0.8)) == [("quantized", False)]


def test_an_export_may_turn_a_tie_but_no_label_that_is_sure():
    close, turned = np.full((ROWS, 2), 0.5), np.full((ROWS, 2), 0.5)
    close[:, 0] += 0.0004
    turned[:, 1] += 0.0004
    (hop,) = ledger(Chain(labelled(close), labelled(turned)), CLASSES, 0.8)
    assert hop.passed and hop.label_agreement == 0.0
    mislabelled = sure() | {"label": np.ones(ROWS, dtype=np.int64)}
    assert not ledger(Chain(sure(), mislabelled), CLASSES, 0.8)[0].passed
    assert hop.bound == "a difference of at most 0.001 of a probability, and labels alike but for ties"


@given(st.floats(-0.0009, 0.0009), st.integers(0, 2**32 - 1))
def test_whatever_stays_within_the_difference_passes(shift, seed):
    first = np.random.default_rng(seed).random((ROWS, 1))
    expected = np.concatenate([first, 1 - first], axis=1)
    found = expected + np.array([shift, -shift])
    assert ledger(Chain(labelled(expected), labelled(found)), CLASSES, 0.8)[0].passed


def test_values_are_alike_within_a_quarter_of_the_targets_scale():
    truth = {"value": np.full(4, 100.0, dtype=np.float32)}
    answered = {"value": np.float32([100, 104.9, 105.1, 130])}
    (_, hop) = ledger(Chain(truth, answered, graph=truth, quantized=True), PRICES, 0.8)
    assert hop.label_agreement == 0.5 and hop.largest_difference == pytest.approx(1.5) and not hop.passed


def test_an_export_of_large_values_is_forgiven_its_rounding_and_no_more():
    encoding = Encoding(features=CLASSES.features, target=NumberEncoding(mean=1e8, scale=100.0))
    truth = {"value": np.full(4, 1e8, dtype=np.float32)}
    (rounded,) = ledger(Chain(truth, {"value": truth["value"] + np.float32(16)}), encoding, 0.8)
    (wrong,) = ledger(Chain(truth, {"value": truth["value"] + np.float32(64)}), encoding, 0.8)
    assert rounded.passed and not wrong.passed
    assert rounded.bound == "a difference of at most 0.32 of the target's scale"


def test_what_is_no_number_breaks_the_export():
    nan = {"value": np.full(4, np.nan, dtype=np.float32)}
    assert not ledger(Chain({"value": np.ones(4, dtype=np.float32)}, nan), PRICES, 0.8)[0].passed


def test_the_golden_batch_is_the_first_rows():
    answers = golden({"value": np.arange(1000)})
    np.testing.assert_array_equal(answers["value"], np.arange(GOLDEN_ROWS))
