"""How long `ingot run digits` takes when nothing changed, beside the run that did the work, and beside bare imports.

Every run is a process of its own, as a user's or a scheduler's is. Needs a running stack (`ingot up`).
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from deployments.local.connection import connect
from deployments.local.settings import read_settings

ROUNDS = 5
PROMISE_SECONDS = 5.0
ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "unchanged.json"
INGOT = str(Path(sys.executable).parent / "ingot")


def main() -> None:
    """Run once with work, then without, in turns with the imports; print and write the seconds."""
    connect(read_settings(), print)
    model = f"unchanged-{uuid4().hex[:8]}"
    work = seconds_of(model, "published")
    again, imports = [], []
    for _ in range(ROUNDS):
        again.append(seconds_of(model, "unchanged"))
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import prefect.flows, flows.retrain"], cwd=ROOT, check=True)
        imports.append(time.perf_counter() - start)
    figures = {
        "rounds": ROUNDS,
        "seconds_with_work": round(work, 3),
        "seconds_unchanged": round(statistics.median(again), 3),
        "most_seconds_unchanged": round(max(again), 3),
        "of_these_imports": round(statistics.median(imports), 3),
        "unchanged_over_work": round(statistics.median(again) / work, 4),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    for name, value in figures.items():
        sys.stdout.write(f"{name:<26} {value}\n")
    sys.stdout.write(f"promise: seconds_unchanged < {PROMISE_SECONDS:g}\n")


def seconds_of(model: str, status: str) -> float:
    """How long a run took, that must end so."""
    start = time.perf_counter()
    command = [INGOT, "run", "digits", "--set", f"model_name={model}", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    spent = time.perf_counter() - start
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    if found.get("status") != status:
        raise SystemExit(f"the run is not {status}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return spent


if __name__ == "__main__":
    main()
