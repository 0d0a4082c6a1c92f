"""The number formats by name. Imports nothing, so that a flow may read it."""

from typing import Literal

GraphScheme = Literal["none", "dynamic", "static", "static-all", "static-percentile", "int4"]
"""Those that need no more than a graph, and a calibration set."""
Scheme = Literal["none", "dynamic", "static", "static-all", "static-percentile", "int4", "mixed", "qat"]

FALLBACKS: tuple[Scheme, ...] = ("static-percentile", "mixed", "qat")
"""What may save static int8 where it loses too much, the cheapest first."""
NEED_ROWS: tuple[Scheme, ...] = ("static", "static-all", *FALLBACKS)
"""Those that read ranges off a calibration set."""
