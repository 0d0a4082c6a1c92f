"""Where a result comes from: the digest of our own code, the commit it was run at."""

import hashlib
import importlib.util
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from uuid import uuid4

from tasks.contracts.config import RetrainConfig, TrainConfig
from tasks.contracts.record import canonical_json, sha256_hex
from tasks.stores.fingerprints import fingerprint
from tasks.stores.import_graph import closure
from tasks.stores.s3 import Store

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


def foreign_digest(config: TrainConfig, store: Store) -> str:
    """Digest of what the recipe names from outside: a custom model's module, a pretrained model's file; else empty.

    A file whose content nobody can tell without reading it is regarded as new each time.
    """
    if config.family == "pretrained":
        known = fingerprint(store, config.source) or uuid4().hex
        return sha256_hex(canonical_json([known, _module_digest(config.import_path)]))
    return _module_digest(config.import_path) if config.family == "custom" else ""


def _module_digest(import_path: str) -> str:
    """Of the sources of a module outside Ingot, and of all that it imports from the folder that holds its package.

    Of an installed package its own modules count. Empty where there is none: whoever imports it says what is wrong.
    """
    module = import_path.partition(":")[0]
    top = module.partition(".")[0]
    root = _root_of(top) if top else None
    if root is None:
        return ""
    installed = str(root) in {sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")}
    files = sorted(closure(module, root, (top,) if installed else ()))
    return sha256_hex(canonical_json([[f.relative_to(root).as_posix(), sha256_hex(f.read_bytes())] for f in files]))


def _root_of(package: str) -> Path | None:
    """The folder that a package or a module is imported from; looked for where training looks, this folder last."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if found is None:
        return None
    if found.submodule_search_locations:
        return Path(next(iter(found.submodule_search_locations))).parent
    return Path(found.origin).parent if found.origin and found.has_location else None


def config_digest(config: RetrainConfig) -> str:
    """SHA-256 over the forms that shape the result."""
    return sha256_hex(canonical_json(config.model_dump(mode="json", include=set(RECIPE))))


def git_sha() -> str:
    """The commit this code was checked out at; empty outside a checkout."""
    found = subprocess.run(
        ["git", "-C", str(PACKAGE), "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=5
    )
    return found.stdout.strip() if found.returncode == 0 else ""
