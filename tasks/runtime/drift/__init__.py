"""How far new rows are from a reference, and whether that is more than chance. Arrays in, records out."""

from tasks.runtime.drift.verdict import Series, compare, reason

__all__ = ["Series", "compare", "reason"]
