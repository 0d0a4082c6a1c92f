"""What a retraining shows: the JSON object, the table of candidates, the addresses, a request to paste."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from deployments.local.home import Home
from deployments.local.serving import curl_options
from deployments.serving.named_features import keys_of
from tasks.contracts.manifest import Manifest
from tasks.contracts.verdict import Measurement
from tasks.contracts.version import ModelVersion

CANDIDATE_FIELDS = ("name", "metric", "size_bytes", "compressed_bytes", "p50_ms", "p95_ms", "parity", "within_budget")

WIDE = 104
"""Columns of a terminal that a whole row needs."""
LESS_WANTED = ("compressed", "p50 ms", "parity")


def wide_console() -> Console:
    """Standard output; what is not a terminal has room for a whole row."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, 132))


def as_object(version: ModelVersion) -> dict[str, Any]:
    """The object of `--json`; its keys are a promise (DESIGN 8)."""
    content = version.model_dump(mode="json", exclude={"candidates"})
    return content | {"candidates": candidate_objects(version.candidates)}


def candidate_objects(candidates: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Each candidate's figures, in the promised order."""
    rows = [candidate.model_dump(mode="json", include=set(CANDIDATE_FIELDS)) for candidate in candidates]
    return [{name: row[name] for name in CANDIDATE_FIELDS} for row in rows]


def candidates_table(
    candidates: Sequence[Measurement], title: str, winner: str, metric_name: str, width: int = WIDE
) -> Table:
    """One row a candidate; the winner is marked by `*`, the others on the Pareto front by `o`.

    A terminal narrower than `WIDE` gets the columns that decide; all stand in `--json`, the card and both UIs.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("", "candidate"):
        table.add_column(heading, no_wrap=True)
    headings = (metric_name, "size", "compressed", "p50 ms", "p95 ms", "parity", "in budget")
    shown = [place for place, heading in enumerate(headings) if width >= WIDE or heading not in LESS_WANTED]
    for heading in (headings[place] for place in shown):
        table.add_column(heading, justify="right", no_wrap=True)
    for candidate in candidates:
        wins = candidate.name == winner
        mark = "*" if wins else "o" if candidate.on_front else ""
        name, *figures = _row(candidate)
        table.add_row(mark, name, *(figures[place] for place in shown), style="bold green" if wins else "")
    return table


def addresses(version: ModelVersion, serving_url: str) -> str:
    """The four places to look at, one a line."""
    places = {
        "flow run": version.flow_run_url,
        "MLflow version": version.mlflow_version_url,
        "S3 manifest": version.manifest_uri,
        "serving": f"{serving_url}/v2/models/{version.model}",
    }
    return "\n".join(f"{what:<14}  {where or 'none'}" for what, where in places.items())


def summary(version: ModelVersion) -> str:
    """One line: what became of it, and why."""
    what = f"{version.model} version {version.version}" if version.version else version.model
    champion = ", champion" if version.champion else ""
    return f"{what}: {version.status}{champion}" + (f": {version.reason}" if version.reason else "")


def example_request(manifest: Manifest) -> tuple[dict[str, Any], str]:
    """A body for `/predict/NAME`, and the answer it must get: the first row of the golden batch."""
    row: dict[str, Any] = {}
    for tensor in manifest.signature.inputs:
        values, keys = manifest.golden.inputs[tensor.name][0], keys_of(tensor)
        row |= {keys[0]: values} if keys == (tensor.name,) else dict(zip(keys, values, strict=True))
    answers = {name: rows[0] for name, rows in manifest.golden.outputs.items()}
    expected = f"label {answers['label']!r}" if "label" in answers else f"value {answers['value']:.6g}"
    return {"inputs": [row]}, expected


def write_example(home: Home, model: str, body: dict[str, Any]) -> Path:
    """Put a request where a `curl` can take it from."""
    path = home.folder("examples") / f"{model}.json"
    path.write_text(json.dumps(body))
    return path


def curl(serving_url: str, model: str, example: Path) -> str:
    """The request as a line to paste."""
    shown = example.relative_to(Path.cwd()) if example.is_relative_to(Path.cwd()) else example
    return f"curl -s{curl_options()} {serving_url}/predict/{model} -H 'Content-Type: application/json' -d @{shown}"


def _row(candidate: Measurement) -> tuple[str, ...]:
    return (
        candidate.name,
        f"{candidate.metric:.4f}",
        _kilobytes(candidate.size_bytes),
        _kilobytes(candidate.compressed_bytes),
        f"{candidate.p50_ms:.3f}",
        f"{candidate.p95_ms:.3f}",
        f"{candidate.parity:.4f}",
        "yes" if candidate.within_budget else "no",
    )


def _kilobytes(size: int) -> str:
    return f"{size / 1024:.1f} KiB" if size < 2**20 else f"{size / 2**20:.1f} MiB"
