"""`ingot compress`: a model file in, a folder with the winner, the table and the plot out; no server is asked."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from deployments.command import outcome
from deployments.command.recipe import laid_over
from tasks.contracts.config import RetrainConfig
from tasks.contracts.errors import ConfigError
from tasks.contracts.verdict import Verdict

NO_NAME = re.compile(r"[^a-z0-9_-]+")


def compress_and_show(config: RetrainConfig, folder: Path, *, as_json: bool) -> int:
    """Compress, and print what came of it; 0 if there is a winner that may be used, 1 if there is none.

    Args:
        config: Of `read_config`.
        folder: To make.
        as_json: Whether the last line is one JSON object instead of tables.

    Raises:
        IngotError: It failed, and nothing was written; the message is for the user.
    """
    if folder.exists():
        raise ConfigError(f"--out is {folder}, but must not exist yet: remove it, or name another folder")
    from flows.compress import compress

    steps = Console(stderr=True)
    verdict = compress(config, folder, lambda step: steps.print(f"  {step}", style="dim", highlight=False))
    if as_json:
        Console().out(json.dumps(as_object(verdict, folder)), highlight=False)
    else:
        show(verdict, folder, config)
    return 0 if verdict.gate.passed else 1


def read_config(
    model: Path, data: str, limits: Mapping[str, float | None], params: Path | None, assignments: Sequence[str]
) -> RetrainConfig:
    """The form of a command line.

    Args:
        model: The file.
        data: Where the rows lie.
        limits: Fields of `evaluate`, as far as they were given.
        params: Fields from a file.
        assignments: `ingest.target=age`, laid over both.

    Raises:
        ConfigError: A field is wrong.
    """
    given: dict[str, Any] = {
        "model_name": NO_NAME.sub("-", model.stem.lower()).strip("-_") or "model",
        "ingest": {"source": data, "scaling": "none"},  # as the model has always been fed
        "train": {"family": "pretrained", "source": str(model)},
        "evaluate": {name: value for name, value in limits.items() if value is not None},
    }
    return laid_over(given, params, assignments)


def as_object(verdict: Verdict, folder: Path) -> dict[str, Any]:
    """The object of `--json`."""
    return {
        "model": str(folder / "model.onnx") if verdict.gate.passed else "",
        "winner": verdict.winner.name,
        "reason": verdict.reason,
        "passed": verdict.gate.passed,
        f"test_{verdict.metric_name}": verdict.test_metric,
        "conditions": verdict.conditions.model_dump(mode="json"),
        "candidates": outcome.candidate_objects(verdict.measurements),
        "dropped": [each.model_dump(mode="json") for each in verdict.dropped],
    }


def show(verdict: Verdict, folder: Path, config: RetrainConfig) -> None:
    """Print the table, what was dropped, and where the winner lies."""
    console = outcome.wide_console()
    winner = verdict.winner.name if verdict.gate.passed else ""
    title = f"candidates of {config.model_name}"
    console.print(outcome.candidates_table(verdict.measurements, title, winner, verdict.metric_name, console.width))
    for candidate in verdict.measurements:
        for limit in candidate.broken_limits:
            console.print(f"outside {candidate.name}: {limit}", style="dim", markup=False, soft_wrap=True)
    for each in verdict.dropped:
        console.print(f"dropped {each.name}: {each.reason}", style="dim", markup=False, soft_wrap=True)
    console.print(verdict.reason, style="bold", markup=False, soft_wrap=True)
    if not verdict.gate.passed:
        console.print(f"refused: {verdict.gate.reason}", style="bold red", markup=False, soft_wrap=True)
    console.print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}", markup=False)
