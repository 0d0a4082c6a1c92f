"""What is known of a version, in words and units that a person understands."""

from html import escape

from deployments.serving.library import Served, Shelf
from tasks.contracts.manifest import JournalEntry, Manifest

_METRICS = {"accuracy": "Accuracy", "rmse": "Root mean squared error"}


def facts(served: Served, shelf: Shelf) -> dict[str, str]:
    """What a person asks first, as plain text: what it is, since when, how good, how large, how fast."""
    manifest = served.manifest
    figures = manifest.metrics
    found = {
        "Champion": f"version {served.version} (journal entry {served.seq})",
        "Since": moment(_since(served, shelf.journal)),
        "Candidate": manifest.candidate,
        **_quality(manifest),
        "Size": _size(manifest),
        "Latency when measured": f"{figures['p95_ms']:.3g} ms (p95)" if "p95_ms" in figures else "",
        "Gate": f"{'passed' if manifest.gate.passed else 'failed'}: {manifest.gate.reason}",
        "Made": moment(manifest.created_at),
    }
    return {name: value for name, value in found.items() if value}


def moment(time: str) -> str:
    """A time of ours without what nobody reads.

    >>> moment("2026-11-21T08:09:10.123456+00:00")
    '2026-11-21 08:09 UTC'
    """
    return f"{time[:10]} {time[11:16]} UTC" if time[10:11] == "T" and time.endswith(("+00:00", "Z")) else time


def table(rows: dict[str, str]) -> str:
    """Names and plain texts as a table of HTML."""
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td dir="auto">{escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    return f"<table><tbody>{lines}</tbody></table>"


def _since(served: Served, journal: tuple[JournalEntry, ...]) -> str:
    return next((entry.time for entry in journal if entry.seq == served.seq), "")


def _quality(manifest: Manifest) -> dict[str, str]:
    figures, name = manifest.metrics, manifest.metric_name
    said = _METRICS[name]
    found: dict[str, str] = {}
    if f"test_{name}" in figures:
        found[f"{said}, test rows"] = _metric(name, figures[f"test_{name}"])
    if "metric" in figures:
        low, high = figures.get("metric_low"), figures.get("metric_high")
        interval = "" if low is None or high is None else f" ({_metric(name, low)} to {_metric(name, high)} at 95 %)"
        found[f"{said}, validation rows"] = _metric(name, figures["metric"]) + interval
    return found


def _metric(name: str, value: float) -> str:
    return f"{value:.2%}".replace("%", " %") if name == "accuracy" else f"{value:.4g}"


def _size(manifest: Manifest) -> str:
    graphs = [file.artifact.size_bytes for file in manifest.files if file.path.endswith(".onnx")]
    saved = manifest.metrics.get("compression_rate_bytes")
    fewer = f", {saved:.0%} fewer than dense fp32".replace("%", " %") if saved else ""
    return f"{graphs[0]:,} bytes{fewer}" if graphs else ""
