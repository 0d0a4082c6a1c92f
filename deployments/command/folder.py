"""`ingot pull` and `ingot verify`: a published version as a folder, and the proof that a folder is one."""

import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

from deployments.command.outcome import wide_console
from deployments.local.connection import connect
from deployments.local.home import Home
from deployments.serving.trial import Passed, undergo
from tasks.contracts.errors import ConfigError
from tasks.contracts.manifest import Manifest
from tasks.stores import version_folder
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tasks.stores.signing import SIGNING_KEY, TRUSTED_KEYS
from tasks.stores.version_folder import Sealed


class Verified(NamedTuple):
    """A folder that passed."""

    sealed: Sealed
    trial: Passed
    seconds: float


def pull_and_show(name: str, folder: Path, *, as_json: bool) -> int:
    """Write `NAME[@champion|@V]` into a folder, and say what lies there; the exit code.

    Raises:
        IngotError: It failed, and nothing was written.
    """
    model, _, wanted = name.partition("@")
    if not model or name.endswith("@"):
        raise ConfigError(f"NAME is {name!r}, but must be NAME, NAME@champion or NAME@VERSION: write digits@3")
    _reach_the_store()
    store = Store.from_environment()
    journal = Journal(store, model)
    entry = version_folder.find(journal, wanted or "champion")
    sealed = version_folder.pull(store, model, entry.manifest, folder)
    told = {"model": model, "version": entry.version, "seq": entry.seq, "folder": str(folder), **_told(sealed)}
    if as_json:
        _print_object(told)
    else:
        table = _table(f"{model} version {entry.version} in {folder}", "file", "bytes", "sha256")
        for file in sealed.manifest.files:
            table.add_row(file.path, f"{file.artifact.size_bytes:,}", file.artifact.sha256)
        console = wide_console()
        console.print(table)
        console.print(f"check it anywhere, without a server: ingot verify {folder}", markup=False, soft_wrap=True)
    return 0


def verify_and_show(folder: Path, *, as_json: bool) -> int:
    """Check a folder and print what was checked; the exit code.

    Raises:
        IngotError: It is not what was published; the message says what is wrong first.
    """
    _trust_our_own_stack()
    verified = verify(folder)
    if as_json:
        _print_object(_told(verified.sealed) | _proof(verified) | {"model": verified.sealed.manifest.model, "ok": True})
    else:
        table = _table(f"{folder} is {verified.sealed.manifest.model}, as it was published", "checked", "found")
        for row in _rows(verified):
            table.add_row(*row)
        wide_console().print(table)
    return 0


def _trust_our_own_stack() -> None:
    """Where nobody said whom to trust, the stack of this folder is trusted, if there is one; it need not run."""
    trusted = Home(Path(os.environ.get("INGOT_HOME") or ".ingot").expanduser().absolute()).trusted_keys
    if not os.environ.get(TRUSTED_KEYS) and not os.environ.get(SIGNING_KEY) and trusted.exists():
        os.environ[TRUSTED_KEYS] = str(trusted)


def verify(folder: Path) -> Verified:
    """Holds a folder against its manifest, and its graph against the golden batch in a child process; asks no server.

    Raises:
        InputError: There is no such folder.
        IntegrityError: It is not what was published.
        GraphError: Its graph uses an operator that is not allowed, or does not answer as recorded.
    """
    start = time.monotonic()
    sealed = version_folder.read(folder)
    trial = undergo(_graph(folder, sealed.manifest), sealed.manifest, sealed.manifest.graph.sha256)
    return Verified(sealed, trial, time.monotonic() - start)


def _reach_the_store() -> None:
    """Puts the embedded stack's S3 into the environment, unless the store is a folder or the user's own."""
    if not os.environ.get("INGOT_BUCKET", "").startswith("file://") and not os.environ.get("AWS_ENDPOINT_URL"):
        connect()


def _graph(folder: Path, manifest: Manifest) -> Path:
    wanted = manifest.graph
    return folder / next(
        file.path for file in manifest.files if file.path.endswith(".onnx") and file.artifact == wanted
    )


def _told(sealed: Sealed) -> dict[str, Any]:
    return {
        "manifest_sha256": sealed.sha256,
        "signed_by": sealed.key_id,
        "candidate": sealed.manifest.candidate,
        "files": {file.path: file.artifact.sha256 for file in sealed.manifest.files},
    }


def _proof(verified: Verified) -> dict[str, Any]:
    return {
        "operators": dict(sorted(verified.trial.operators.items())),
        "golden_rows": verified.trial.golden_rows,
        "row_ms": verified.trial.row_seconds * 1000,
        "seconds": round(verified.seconds, 3),
    }


def _rows(verified: Verified) -> list[tuple[str, str]]:
    sealed, trial = verified.sealed, verified.trial
    files, size = sealed.manifest.files, sum(file.artifact.size_bytes for file in sealed.manifest.files)
    return [
        ("envelope", f"manifest {sealed.sha256}, signed by {sealed.key_id}"),
        ("files", f"{len(files)} with {size:,} bytes by SHA-256; none is missing, none is more"),
        ("links and pickles", "none"),
        ("operators", ", ".join(name.removeprefix("ai.onnx::") for name in sorted(trial.operators))),
        ("golden batch", f"{trial.golden_rows} rows answered as recorded, {trial.row_seconds * 1000:.3f} ms a row"),
    ]


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _print_object(told: dict[str, Any]) -> None:
    wide_console().out(json.dumps(told), highlight=False)
