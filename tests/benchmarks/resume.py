"""How much work is repeated when a run is killed and run again: per cent of the time of a run that nobody disturbed.

A whole retraining, each in a process that is really killed, at `CUTS` evenly spaced moments; see
`tests.end_to_end.resuming`. Both runs together, less the undisturbed one, are what the kill cost; processes are forked
from one that has imported everything, so that their start counts little. Needs a running stack (`ingot up`).
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from deployments.local.connection import connect
from deployments.local.settings import read_settings

CUTS = 10
ROUNDS = 3
ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "resume.json"


def main() -> None:
    """Kill at each share, run again, print and write what it cost."""
    connect(read_settings(), print)
    command = [sys.executable, "-m", "tests.end_to_end.resuming"]
    with (
        tempfile.TemporaryDirectory(prefix="ingot-") as place,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        quiet = statistics.median(seconds_of(process, new_home(place), 0.0) for _ in range(ROUNDS))
        cuts = [cut(process, new_home(place), quiet, (number + 0.5) / CUTS) for number in range(CUTS)]
        assert process.stdin
        process.stdin.close()
    report(quiet, cuts)


def new_home(place: str) -> Path:
    """An empty folder, whose name is that of a model as well."""
    return Path(tempfile.mkdtemp(prefix="resume", dir=place))


def seconds_of(process: "subprocess.Popen[str]", home: Path, kill_after_seconds: float) -> float:
    """How long a run took, to its end or until it was killed."""
    assert process.stdin
    assert process.stdout
    model = f"resume-{home.name.removeprefix('resume').replace('_', '-').lower()}-x"
    asked = {"act": "whole", "model": model, "home": str(home), "kill_after_seconds": kill_after_seconds}
    process.stdin.write(json.dumps([asked]) + "\n")
    process.stdin.flush()
    (outcome,) = json.loads(process.stdout.readline())
    if outcome["error"]:
        raise SystemExit(outcome["error"])
    return float(outcome["seconds"])


def cut(process: "subprocess.Popen[str]", home: Path, quiet: float, share: float) -> dict[str, Any]:
    """What a kill after a share of the time cost."""
    spent = seconds_of(process, home, share * quiet) + seconds_of(process, home, 0.0)
    begun = Counter((home / "trace").read_text().splitlines())
    again = {kind: sum(n - 1 for line, n in begun.items() if line.startswith(kind)) for kind in ("body", "epoch")}
    return {
        "share": share,
        "repeated_per_cent": round(100 * (spent / quiet - 1), 1),
        "steps_repeated": again["body"],
        "epochs_repeated": again["epoch"],
    }


def report(quiet: float, cuts: list[dict[str, Any]]) -> None:
    """Print and write the figures."""
    figures = {
        "undisturbed_seconds": round(quiet, 3),
        "repeated_per_cent": round(statistics.mean(each["repeated_per_cent"] for each in cuts), 1),
        "most_steps_repeated": max(each["steps_repeated"] for each in cuts),
        "most_epochs_repeated": max(each["epochs_repeated"] for each in cuts),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**figures, "cuts": cuts}, indent=1) + "\n")
    for each in cuts:
        sys.stdout.write("  ".join(f"{name} {value}" for name, value in each.items()) + "\n")
    for name, value in figures.items():
        sys.stdout.write(f"{name:<28} {value}\n")
    sys.stdout.write("promise: most_steps_repeated <= 1, most_epochs_repeated <= 1\n")


if __name__ == "__main__":
    main()
