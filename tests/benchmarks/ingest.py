"""How fast a CSV becomes a dataset, against polars reading the same file, and whether memory follows the size.

In turns, `ROUNDS` times each: polars reads the whole file; `build_dataset` reads, checks, splits, hashes, writes and
profiles it. Every run is a process of its own, so that peak memory is its own.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROUNDS = 3
ROWS = {"small": 100_000, "large": 800_000}
RESULTS = Path(__file__).parent / "results" / "ingest.json"


def main() -> None:
    """Time both, print and write the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        files = {size: write(Path(folder) / f"{size}.csv", rows) for size, rows in ROWS.items()}
        ways = {(way, size): [] for way in ("polars", "build") for size in files}
        for _ in range(ROUNDS):
            for (way, size), runs in ways.items():
                runs.append(measured(way, files[size]))
        seconds = {key: statistics.median(run["seconds"] for run in runs) for key, runs in ways.items()}
        memory = {key: statistics.median(run["peak_mib"] for run in runs) for key, runs in ways.items()}
        figures = {
            "megabytes": {size: round(path.stat().st_size / 1e6, 1) for size, path in files.items()},
            "polars_seconds": round(seconds["polars", "large"], 3),
            "build_seconds": round(seconds["build", "large"], 3),
            "speed_of_build_over_polars": round(seconds["polars", "large"] / seconds["build", "large"], 3),
            "build_peak_mib": {size: round(memory["build", size]) for size in files},
            "memory_large_over_small": round(memory["build", "large"] / memory["build", "small"], 3),
        }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    for name, value in figures.items():
        sys.stdout.write(f"{name:<28} {value}\n")


def write(path: Path, rows: int) -> Path:
    """A table of eight numbers, a word and a label."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(rows, 8)).round(6), columns=[f"x{i}" for i in range(8)])
    table["city"] = rng.choice(["Oslo", "Graz", "Porto", "Lviv"], rows)
    table["label"] = rng.integers(0, 5, rows)
    table.to_csv(path, index=False)
    return path


def measured(way: str, path: Path) -> dict[str, float]:
    """One run in a process of its own."""
    done = subprocess.run([sys.executable, __file__, way, str(path)], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run(way: str, path: Path) -> None:
    """What the process does."""
    if way == "polars":
        import polars

        start = time.perf_counter()
        polars.read_csv(path)
    else:
        from tasks.datasets.build import build_dataset

        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            build_dataset(path, Path(folder))
    seconds = time.perf_counter() - start
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_mib": peak_kib / 1024}))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        run(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
