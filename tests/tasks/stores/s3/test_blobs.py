"""Chunks under zstd in a real S3: what they cost, and what becomes of hostile ones."""

import hashlib
import resource
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.contracts.artifacts import Artifact
from tasks.contracts.errors import IntegrityError
from tasks.runtime.transport import compressed_size
from tasks.stores.s3 import Store, blobs

RANDOM = np.random.default_rng(0)
SPARSE = (RANDOM.normal(size=20_000) * (RANDOM.random(20_000) < 0.05)).astype(np.float32).tobytes()


def head(store: Store, artifact: Artifact) -> dict[str, Any]:
    return store.connection.call("head_object", Bucket="ingot", Key=f"{store.prefix}blobs/sha256/{artifact.chunks[0]}")


def plant(store: Store, content: bytes, body: bytes, encoding: str = "zstd") -> Artifact:
    """An artifact of that content, whose chunk holds another body."""
    digest = hashlib.sha256(content).hexdigest()
    how = {"ContentEncoding": encoding} if encoding else {}
    key = f"{store.prefix}blobs/sha256/{digest}"
    store.connection.call("put_object", Bucket="ingot", Key=key, Body=body, **how)
    return Artifact(uri=f"s3://ingot/{key}", sha256=digest, size_bytes=len(content), chunks=(digest,))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(content=st.binary(max_size=200), times=st.integers(1, 50), chunk=st.integers(500, 5000))
def test_content_that_repeats_comes_back(store: Store, tmp_path: Path, content: bytes, times: int, chunk: int) -> None:
    content *= times
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blobs, "CHUNK_BYTES", chunk)
        (tmp_path / "in").write_bytes(content)
        artifact = store.put_file(tmp_path / "in")
        assert store.put_bytes(content) == artifact
    assert artifact.transit_bytes <= artifact.size_bytes == len(content)
    assert store.get_bytes(artifact) == content
    assert store.fetch(artifact, tmp_path / "out").read_bytes() == content


def test_sparse_weights_are_stored_as_they_are_measured(store: Store) -> None:
    artifact = store.put_bytes(SPARSE)
    found = head(store, artifact)
    assert found["ContentEncoding"] == "zstd"
    assert artifact.transit_bytes == found["ContentLength"] == compressed_size(SPARSE) < len(SPARSE) / 8
    assert artifact.sha256 == hashlib.sha256(SPARSE).hexdigest()


def test_noise_is_stored_plain(store: Store) -> None:
    noise = RANDOM.bytes(10_000)
    artifact = store.put_bytes(noise)
    assert "ContentEncoding" not in head(store, artifact)
    assert artifact.transit_bytes == 10_000 == compressed_size(noise)


def test_a_plain_chunk_of_an_older_ingot_stays_readable_and_costs_what_it_is(store: Store) -> None:
    old = plant(store, SPARSE, SPARSE, encoding="")
    assert store.get_bytes(old) == SPARSE
    assert store.put_bytes(SPARSE) == old.model_copy(update={"transit_bytes": len(SPARSE)})


def test_a_record_without_transit_bytes_is_read(store: Store) -> None:
    record = store.put_bytes(SPARSE).model_dump(mode="json")
    del record["transit_bytes"]
    assert store.get_bytes(Artifact.model_validate(record)) == SPARSE


@dataclass
class Late:
    """A client whose first look finds nothing, since another writer is not done yet."""

    client: Any
    looks: int = field(default=0)

    def head_object(self, **arguments: Any) -> Any:
        self.looks += 1
        return self.client.head_object(**{**arguments, "Key": "absent"} if self.looks == 1 else arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


def test_who_comes_late_reports_what_really_stands(store: Store) -> None:
    plant(store, SPARSE, SPARSE, encoding="")
    late = replace(store, connection=replace(store.connection, client=Late(store.connection.client)))
    assert late.put_bytes(SPARSE).transit_bytes == len(SPARSE)


FRAME = zstandard.compress(SPARSE, 3)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "its end is missing"),
        (b"no frame at all", "Unknown frame descriptor"),
        (SPARSE, "Unknown frame descriptor"),
        (FRAME[:-1], "its end is missing"),
        (FRAME[: len(FRAME) // 2], "its end is missing"),
        (FRAME + b"x", "bytes follow its end"),
        (FRAME + FRAME, "bytes follow its end"),
        (zstandard.compress(SPARSE[:-4], 3), "holds other bytes than its name says"),
        (zstandard.compress(SPARSE[::-1], 3), "holds other bytes than its name says"),
    ],
)
def test_refuses_a_chunk_that_is_not_one_whole_frame_of_its_content(
    store: Store, tmp_path: Path, body: bytes, words: str
) -> None:
    artifact = plant(store, SPARSE, body)
    with pytest.raises(IntegrityError, match=words) as caught:
        store.fetch(artifact, tmp_path / "model.onnx")
    assert artifact.sha256 in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd, gzip", "ZSTD"])
def test_refuses_an_encoding_that_is_not_ours(store: Store, encoding: str) -> None:
    artifact = plant(store, SPARSE, FRAME, encoding)
    with pytest.raises(IntegrityError, match=f"is under '{encoding}', but only zstd is ours: restore it"):
        store.get_bytes(artifact)


def test_never_writes_more_of_a_bomb_than_the_artifact_has(store: Store) -> None:
    """32 KiB that stand for a GiB, under the name of a small artifact."""
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    bomb = b"".join(compressor.compress(bytes(2**20)) for _ in range(1024)) + compressor.flush()
    artifact = plant(store, b"small", bomb)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(IntegrityError, match="holds other bytes than its name says"):
        store.get_bytes(artifact)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 2**10  # KiB


@dataclass
class Changing:
    """A client that meets a file which somebody writes to between its two readings."""

    client: Any
    path: Path

    def head_object(self, **arguments: Any) -> Any:
        self.path.write_bytes(b"after! " * 1000)
        return self.client.head_object(**arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


def test_a_file_that_changes_never_stands_under_the_name_of_what_it_was(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"before " * 1000)
    changing = replace(store, connection=replace(store.connection, client=Changing(store.connection.client, path)))
    with pytest.raises(IntegrityError, match="changed while it was stored"):
        changing.put_file(path)
    assert list(store.keys("")) == []


PEAK = """
import resource, sys
from pathlib import Path
from tasks.stores.s3 import Store
store = Store.from_environment("ingot", sys.argv[2])
small, large = Path(sys.argv[1], "small"), Path(sys.argv[1], "large")
peaks = []
for path in (small, large):
    artifact = store.put_file(path)
    assert artifact.transit_bytes < 0.95 * artifact.size_bytes
    store.fetch(artifact, path.with_suffix(".copy"))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[1] - peaks[0])
"""


def test_memory_stays_flat_while_large_files_are_packed(store: Store, tmp_path: Path) -> None:
    weights = RANDOM.normal(size=2**18).astype(np.float32).tobytes()
    (tmp_path / "small").write_bytes(weights * 64)
    with (tmp_path / "large").open("wb") as file:
        for i in range(320):
            file.write(weights[i:] + weights[:i])
    command = [sys.executable, "-c", PEAK, str(tmp_path), store.prefix]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 64 * 2**10  # KiB
