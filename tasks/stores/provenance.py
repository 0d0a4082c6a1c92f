"""Where a result comes from: the digest of our own code, the commit it was run at."""

import hashlib
import subprocess
from functools import cache
from pathlib import Path

from tasks.contracts.config import RetrainConfig
from tasks.contracts.record import canonical_json, sha256_hex

PACKAGE = Path(__file__).parents[1]
RECIPE = ("train", "prune", "export", "quantize", "evaluate")
"""The forms that shape a result. Ingest is left out because the data have a digest of their own."""


@cache
def code_digest() -> str:
    """SHA-256 over the sources of `tasks`, by path and content."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def config_digest(config: RetrainConfig) -> str:
    """SHA-256 over the forms that shape the result."""
    return sha256_hex(canonical_json(config.model_dump(mode="json", include=set(RECIPE))))


def git_sha() -> str:
    """The commit this code was checked out at; empty outside a checkout."""
    found = subprocess.run(
        ["git", "-C", str(PACKAGE), "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=5
    )
    return found.stdout.strip() if found.returncode == 0 else ""
