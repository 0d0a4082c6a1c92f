"""The parity ledger: what each step from the dense torch network to a candidate did to the answers.

| hop | from | to | must keep |
|---|---|---|---|
| pruned | the dense network in torch | this network in torch | enough rows answered alike |
| exported | this network in torch | its fp32 graph | the same answers, but for rounding |
| quantized | its fp32 graph | this candidate | enough rows answered alike |

A hop that was not made has no entry: nothing is pruned of dense, nothing quantized in fp32. All hops are held on the
same frozen golden batch, the first rows of the validation split, so that a fault shows where it was made.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tasks.contracts.schema import Encoding
from tasks.contracts.verdict import Hop
from tasks.exporters.parity import VALUE_TOLERANCE, Agreement, agreement

GOLDEN_ROWS = 256
QUARTER = 0.25
"""Of the target's scale: closer values count as alike."""
_ROUNDINGS = 4
"""Of float32, which a large value in a small scale is worth more than the tolerance."""

Answers = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Chain:
    """Answers to the golden batch, from the dense network to the candidate; what is None was skipped."""

    network: Answers
    """Of the candidate's own network in torch."""
    candidate: Answers
    dense: Answers | None = None
    """Of the dense network in torch; None where that is the candidate's own."""
    graph: Answers | None = None
    """Of the network's fp32 graph; None where that is the candidate, or was not measured."""
    quantized: bool = False
    """Whether the candidate is no fp32 graph itself."""


def ledger(chain: Chain, encoding: Encoding, min_agreement: float) -> tuple[Hop, ...]:
    """The hops of a chain, in order.

    Args:
        chain: Answers to the same rows.
        encoding: Holds the target's scale.
        min_agreement: Share of rows that pruning and quantizing must each answer alike.
    """
    hops = []
    if chain.dense is not None:
        hops.append(_lossy("pruned", chain.network, chain.dense, encoding, min_agreement))
    fp32 = chain.graph if chain.quantized else chain.candidate
    if fp32 is not None:
        hops.append(_exact(fp32, chain.network, encoding))
    if chain.quantized:
        before = chain.network if chain.graph is None else chain.graph
        hops.append(_lossy("quantized", chain.candidate, before, encoding, min_agreement))
    return tuple(hops)


def golden(answers: Answers) -> Answers:
    """Those to the golden batch, of answers to the whole validation split."""
    return {name: array[:GOLDEN_ROWS] for name, array in answers.items()}


def _lossy(name: str, found: Answers, expected: Answers, encoding: Encoding, min_agreement: float) -> Hop:
    alike = agreement(found, expected, encoding, QUARTER)
    return _hop(name, alike, f"evaluate.min_agreement {min_agreement:g}", alike.share >= min_agreement)


def _exact(found: Answers, expected: Answers, encoding: Encoding) -> Hop:
    alike, tolerance = agreement(found, expected, encoding, QUARTER), VALUE_TOLERANCE
    if "value" in expected:
        scale = encoding.target.scale if encoding.target else 1.0
        rounding = _ROUNDINGS * float(np.spacing(np.float32(np.abs(expected["value"]).max()))) / scale
        tolerance = max(tolerance, rounding)
        passed, of = alike.largest_difference <= tolerance, "of the target's scale"
    else:
        passed = alike.largest_difference <= tolerance and _equal_but_for_ties(found, expected, 2 * tolerance)
        of = "of a probability, and labels alike but for ties"
    return _hop("exported", alike, f"a difference of at most {tolerance:.3g} {of}", passed)


def _equal_but_for_ties(found: Answers, expected: Answers, gap: float) -> bool:
    """A label may change only where the two likeliest classes are as close as two differences can bring them."""
    likeliest = np.sort(expected["probabilities"], axis=1)[:, -2:]
    tied = likeliest[:, -1] - likeliest[:, 0] <= gap
    return bool(np.all((found["label"] == expected["label"]) | tied))


def _hop(name: str, alike: Agreement, bound: str, passed: bool) -> Hop:
    return Hop.model_validate(
        {
            "name": name,
            "label_agreement": alike.share,
            "largest_difference": alike.largest_difference,
            "bound": bound,
            "passed": passed,
        }
    )
