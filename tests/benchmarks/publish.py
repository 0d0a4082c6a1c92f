"""What publishing costs: bytes in transit against plain ones, and throughput against boto3 with the plain file.

In turns, `ROUNDS` times each, to the same SeaweedFS: boto3 puts the file with its own parallel transfer, as anybody
would; `Store.put_file` hashes, packs, checks and puts it, `Store.fetch` brings it back verified. Throughput counts
plain bytes. Every turn is a process and a prefix of its own, so that nothing stands yet and peak memory is its own.
"""

import json
import os
import resource
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

ROUNDS = 3
MIB = 2**20
RESULTS = Path(__file__).parent / "results" / "publish.json"
FILES = {
    "noise 256 MiB": (256, "noise"),
    "dense float32 256 MiB": (256, "dense"),
    "sparse float32 256 MiB": (256, "sparse"),
    "dense float32 1 MiB": (1, "dense"),
    "sparse float32 1 MiB": (1, "sparse"),
}


def main() -> None:
    """Time both, print and write the figures."""
    with tempfile.TemporaryDirectory() as folder, weed(Path(folder) / "store") as environment:
        figures = {name: compared(written(Path(folder), *what), environment) for name, what in FILES.items()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    for name, found in figures.items():
        sys.stdout.write(f"{name}\n" + "".join(f"    {key:<28} {value}\n" for key, value in found.items()))


def compared(path: Path, environment: dict[str, str]) -> dict[str, float]:
    """Medians of one file, both ways in turns."""
    runs: dict[str, list[dict[str, float]]] = {"boto3": [], "ingot": []}
    for _ in range(ROUNDS):
        for way, found in runs.items():
            command = [sys.executable, __file__, way, str(path)]
            done = subprocess.run(
                command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
            )
            found.append(json.loads(done.stdout))
    size = path.stat().st_size
    path.unlink()
    put = {way: statistics.median(run["put_seconds"] for run in found) for way, found in runs.items()}
    get = {way: statistics.median(run["get_seconds"] for run in found) for way, found in runs.items()}
    transit = runs["ingot"][0]["transit_bytes"]
    return {
        "plain_bytes": size,
        "transit_bytes": int(transit),
        "plain_over_transit": round(size / transit, 2),
        "boto3_put_mib_s": round(size / MIB / put["boto3"], 1),
        "put_file_mib_s": round(size / MIB / put["ingot"], 1),
        "put_file_over_boto3": round(put["boto3"] / put["ingot"], 2),
        "boto3_get_mib_s": round(size / MIB / get["boto3"], 1),
        "fetch_mib_s": round(size / MIB / get["ingot"], 1),
        "put_file_peak_mib": round(max(run["peak_mib"] for run in runs["ingot"])),
    }


def written(folder: Path, mebibytes: int, kind: str) -> Path:
    """A file of random weights; every mebibyte is another."""
    rng, path = np.random.default_rng(0), folder / "weights"
    with path.open("wb") as file:
        for _ in range(mebibytes):
            kept = rng.random(MIB // 4) < (0.05 if kind == "sparse" else 1)
            weights = np.where(kept, rng.normal(size=MIB // 4), 0.0)  # a product would leave -0.0, which costs a bit
            file.write(rng.bytes(MIB) if kind == "noise" else weights.astype(np.float32).tobytes())
    return path


def run(way: str, path: Path) -> None:
    """What the process does."""
    import boto3

    from tasks.stores.s3 import Store

    copy, prefix = path.with_suffix(".copy"), f"{secrets.token_hex(4)}/"
    if way == "boto3":
        client = boto3.client("s3")
        client.list_buckets()  # not the first request of the process, which finds credentials and builds parsers
        start = time.perf_counter()
        client.upload_file(str(path), "ingot", f"{prefix}weights")
        put = time.perf_counter()
        client.download_file("ingot", f"{prefix}weights", str(copy))
        transit = path.stat().st_size
    else:
        store = Store.from_environment("ingot", prefix)
        store.read("nothing")
        start = time.perf_counter()
        artifact = store.put_file(path)
        put = time.perf_counter()
        store.fetch(artifact, copy)
        transit = artifact.transit_bytes
    end, peak = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    copy.unlink()
    found = {"put_seconds": put - start, "get_seconds": end - put, "transit_bytes": transit, "peak_mib": peak}
    sys.stdout.write(json.dumps(found))


@contextmanager
def weed(folder: Path) -> Iterator[dict[str, str]]:
    """A SeaweedFS of its own; yields the environment that names it."""
    folder.mkdir(mode=0o700)
    names = ("s3", "master", "volume", "filer", "admin")
    ports = dict(zip(names, range(free_port(), 65536), strict=False))
    command = [str(Path(sys.executable).parent / "weed"), "mini", f"-dir={folder}", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", "-disableHttp", "-master.telemetry=false", "-webdav=false", "-admin.ui=false"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0", *[f"-{name}.port={port}" for name, port in ports.items()]]
    keys = {"AWS_ACCESS_KEY_ID": secrets.token_hex(8), "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
    environment = {**keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3']}", "AWS_REGION": "us-east-1"}
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, env={**os.environ, **keys, "S3_BUCKET": "ingot"}, stdout=log, stderr=log)
        try:
            wait_for(environment)
            yield environment
        finally:
            child.terminate()
            child.wait(20)


def free_port() -> int:
    """The first of some ports that are free; a range that nobody else asks for."""
    for port in range(31300, 44000, 20):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) and probe.connect_ex(("127.0.0.1", port + 10000)):
                return port
    raise SystemExit("no port is free between 31300 and 44000: stop something")


def wait_for(environment: dict[str, str]) -> None:
    """Until the store takes a write."""
    os.environ.update(environment)
    from tasks.contracts.errors import UnavailableError
    from tasks.stores.s3 import Store

    for _ in range(60):
        try:
            Store.from_environment("ingot").create(f"health/{secrets.token_hex(4)}", b"up")
            return
        except UnavailableError:
            time.sleep(0.5)
    raise SystemExit(f"SeaweedFS at {urlsplit(environment['AWS_ENDPOINT_URL']).netloc} did not come up: read its log")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        run(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
