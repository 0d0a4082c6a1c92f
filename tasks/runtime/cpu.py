"""Under which conditions a latency holds: the processor, what it offers to int8, threads, rows, ONNX Runtime."""

import platform
from pathlib import Path

import onnxruntime

from tasks.contracts.verdict import Conditions

INT8_FLAGS = (
    "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8",  # x86
    "asimd", "asimddp", "i8mm", "sve",  # Arm, as Linux calls them
)  # fmt: skip
"""On which of these the speed of int8 depends; the ones with vnni, dp or i8mm multiply four pairs in one go."""
_CPUINFO = Path("/proc/cpuinfo")
_MODEL_LINES = ("model name", "Model", "Hardware")
_FLAG_LINES = ("flags", "Features")


def model(cpuinfo: str | None = None) -> str:
    r"""What the processor is called.

    Args:
        cpuinfo: What Linux tells in /proc/cpuinfo; None reads it, and asks Python where there is none.

    >>> model("processor : 0\nmodel name : AMD EPYC\n")
    'AMD EPYC'
    """
    return _first(_facts(cpuinfo), _MODEL_LINES) or platform.processor() or platform.machine() or "unknown"


def flags(cpuinfo: str | None = None) -> tuple[str, ...]:
    """Those of `INT8_FLAGS` that the processor has; none are known where /proc/cpuinfo does not exist.

    >>> flags("flags : fpu avx2 sse4_2 avx512_vnni"), flags("Features : fp asimd asimddp")
    (('avx2', 'avx512_vnni'), ('asimd', 'asimddp'))
    """
    found = set(_first(_facts(cpuinfo), _FLAG_LINES).split())
    return tuple(flag for flag in INT8_FLAGS if flag in found)


def conditions(threads: int, batch_size: int) -> Conditions:
    """Those of a measurement that is made here and now."""
    return Conditions(
        cpu=model(),
        cpu_flags=flags(),
        threads=threads,
        batch_size=batch_size,
        onnxruntime=onnxruntime.__version__,
    )


def _facts(cpuinfo: str | None) -> dict[str, str]:
    """The lines of the first processor: each is `name : value`."""
    if cpuinfo is None:
        cpuinfo = _CPUINFO.read_text() if _CPUINFO.exists() else ""
    facts: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    return facts


def _first(facts: dict[str, str], names: tuple[str, ...]) -> str:
    return next((facts[name] for name in names if facts.get(name)), "")
