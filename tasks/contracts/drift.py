"""What a comparison of new rows with the champion's reference found."""

from typing import Literal

from tasks.contracts.record import Record

Role = Literal["feature", "label", "prediction"]


class Histogram(Record):
    """Shares of the rows, before and now, side by side."""

    edges: tuple[float, ...] = ()
    """Numbers: one more than there are bins; both ends take what lies beyond."""
    values: tuple[str, ...] = ()
    """Categories: one a bar."""
    before: tuple[float, ...] = ()
    now: tuple[float, ...] = ()


class ColumnDrift(Record):
    """One column, or one thing measured of it."""

    name: str
    role: Role
    test: Literal["ks", "chi2"]
    statistic: float
    """Largest distance of the two distribution functions (0 to 1), or Cramer's V (0 to 1)."""
    psi: float
    """Population stability index: 0 is alike, above 0.2 is much."""
    p_value: float
    """Of the test, corrected for all tests of the report."""
    missing_before: float = 0.0
    """Share of the rows."""
    missing_now: float = 0.0
    unseen: float = 0.0
    """Share of the new rows whose value the champion has never seen."""
    findings: tuple[str, ...] = ()
    """Why it counts as drifted; empty if it does not."""
    histogram: Histogram = Histogram()

    @property
    def drifted(self) -> bool:
        """Whether it counts as drifted."""
        return bool(self.findings)


class DriftReport(Record):
    """New rows against the champion's reference."""

    model: str
    version: str
    manifest_sha256: str
    source: str
    rows: int
    """New rows that were found."""
    compared_rows: int
    """Of them, those that were compared: all, or a random sample."""
    reference_rows: int
    """Training rows they were compared with."""
    columns: tuple[ColumnDrift, ...]
    reason: str
    """In one line, what drifted, or that nothing did."""
    notes: tuple[str, ...] = ()
    """What else is worth knowing, a sentence each."""

    @property
    def drifted(self) -> bool:
        """Whether any column did."""
        return any(column.drifted for column in self.columns)
