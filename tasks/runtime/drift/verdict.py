"""Which columns drifted: only what is both surely there and large.

Significance alone cries wolf over large samples, size alone over small ones. All tests of a report are corrected
together (Benjamini and Hochberg, 1995): where nothing drifted at all, a false alarm comes with a chance of `alpha`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.contracts.config import DriftConfig
from tasks.contracts.drift import ColumnDrift, Role
from tasks.runtime.drift import distance, histograms
from tasks.runtime.drift.distance import Distance

MOST_NAMED = 5
LONGEST_NAME = 60


@dataclass(frozen=True)
class Series:
    """One thing measured in reference rows and in new rows."""

    name: str
    role: Role
    before: np.ndarray
    """float64 (N,) with NaN where missing, or object (N,) of str with '' where missing."""
    now: np.ndarray
    known: frozenset[str] | None = None
    """Categories: every value that training saw; None asks for no unseen ones."""
    held_out: np.ndarray | None = None
    """Categories: rows that training did not see, object (N,) of str; they tell how many unseen values are usual."""
    gaps: float | None = None
    """Share of missing cells in the reference before rows were dropped for them; None counts those of `before`."""

    @property
    def is_number(self) -> bool:
        """Whether it is a number; else it is a category."""
        return bool(self.before.dtype != object)


@dataclass(frozen=True)
class _Measured:
    series: Series
    distance: Distance
    missing: tuple[float, float]
    unseen: np.ndarray
    """The new values that training never saw, one a row."""
    unseen_before: float
    """Share of the held-out rows with a value that training never saw."""
    unseen_share: float
    p_values: tuple[float, float, float]
    """Of the distribution, of missing cells, of unseen values; NaN where neither side has any."""


def compare(series: Sequence[Series], config: DriftConfig) -> tuple[ColumnDrift, ...]:
    """A verdict a series, in order.

    Args:
        series: At least one.
        config: Thresholds and alpha.
    """
    from scipy import stats

    measured = [_measure(each) for each in series]
    raw = np.array([each.p_values for each in measured])
    asked = ~np.isnan(raw)
    corrected = np.ones_like(raw)
    if asked.any():
        corrected[asked] = stats.false_discovery_control(raw[asked], method="bh")
    return tuple(_judge(each, p, config) for each, p in zip(measured, corrected, strict=True))


def reason(columns: Sequence[ColumnDrift]) -> str:
    """What drifted, worst first, in one line."""
    drifted = sorted((column for column in columns if column.drifted), key=lambda column: -column.psi)
    if not drifted:
        return f"none of {len(columns)} columns drifted"
    named = [f"{_in_a_line(column.name)} ({column.findings[0]})" for column in drifted[:MOST_NAMED]]
    more = f" and {len(drifted) - MOST_NAMED} more" if len(drifted) > MOST_NAMED else ""
    return f"{len(drifted)} of {len(columns)} columns drifted: {', '.join(named)}{more}"


def _in_a_line(name: str) -> str:
    return " ".join(name.split())[:LONGEST_NAME]


def _measure(series: Series) -> _Measured:
    gaps = [np.isnan(s) if series.is_number else s == "" for s in (series.before, series.now)]
    before, now = series.before[~gaps[0]], series.now[~gaps[1]]
    found = distance.of_numbers(before, now) if series.is_number else distance.of_categories(before, now)
    counts = [int(gap.sum()) for gap in gaps]
    if series.gaps is not None:
        counts[0] = round(series.gaps * len(gaps[0]))
    # Labels come late and answers need whole rows: neither's gaps are drift.
    is_asked = series.role == "feature" and any(counts)
    missing = distance.of_shares(counts[0], len(gaps[0]), counts[1], len(gaps[1])) if is_asked else np.nan
    held_out = before if series.held_out is None else series.held_out[series.held_out != ""]
    usual, unseen = _unseen(held_out, series.known), _unseen(now, series.known)
    strange = distance.of_shares(len(usual), len(held_out), len(unseen), len(now)) if len(unseen) else np.nan
    return _Measured(
        series=series,
        distance=found,
        missing=(counts[0] / max(len(gaps[0]), 1), counts[1] / max(len(gaps[1]), 1)),
        unseen=unseen,
        unseen_before=len(usual) / max(len(held_out), 1),
        unseen_share=len(unseen) / max(len(now), 1),
        p_values=(found.p_value, missing, strange),
    )


def _unseen(values: np.ndarray, known: frozenset[str] | None) -> np.ndarray:
    """Those of the values that are not known, one a row."""
    return values[:0] if known is None else np.array([value for value in values if value not in known], dtype=object)


def _judge(measured: _Measured, p_values: np.ndarray, config: DriftConfig) -> ColumnDrift:
    series, found = measured.series, measured.distance
    present = [s[~np.isnan(s)] if series.is_number else s[s != ""] for s in (series.before, series.now)]
    draw = histograms.of_numbers if series.is_number else histograms.of_categories
    return ColumnDrift(
        name=series.name,
        role=series.role,
        test="ks" if series.is_number else "chi2",
        statistic=found.statistic,
        psi=found.psi,
        p_value=float(p_values[0]),
        missing_before=measured.missing[0],
        missing_now=measured.missing[1],
        unseen=measured.unseen_share,
        findings=tuple(_findings(measured, p_values < config.alpha, config)),
        histogram=draw(*present),
    )


def _findings(measured: _Measured, sure: np.ndarray, config: DriftConfig) -> list[str]:
    found, findings = measured.distance, []
    far = measured.series.is_number and found.statistic >= config.min_distance
    if sure[0] and (found.psi - found.noise >= config.min_psi or far):
        findings.append(f"PSI {found.psi:.2f}" + (f", KS {found.statistic:.2f}" if far else ""))
    before, now = measured.missing
    if sure[1] and abs(now - before) >= config.min_missing:
        findings.append(f"missing {before:.1%}, now {now:.1%}")
    if sure[2] and measured.unseen_share - measured.unseen_before >= config.min_unseen:
        findings.append(f"{measured.unseen_share:.1%} unseen values such as {str(measured.unseen[0])[:40]!r}")
    return findings
