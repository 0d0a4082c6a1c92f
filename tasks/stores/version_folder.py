"""A version as a folder: `manifest.json`, the signed envelope as it lies in the store, and every file it names.

Written whole or not at all; read back with the suspicion due to a folder that came from anywhere.
"""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.artifacts import Artifact
from tasks.contracts.errors import IngotError, InputError, IntegrityError
from tasks.contracts.manifest import MANIFEST_TYPE, JournalEntry, Manifest
from tasks.contracts.record import sha256_hex
from tasks.runtime.vetting import listed, plain_path, refuse_pickle, size_of_plain_file
from tasks.stores.history import publication_of
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tasks.stores.signing import Keyring

MANIFEST_NAME = "manifest.json"
_LARGEST_MANIFEST_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Sealed:
    """A manifest whose envelope was checked."""

    manifest: Manifest
    sha256: str
    """Of the payload: what the journal calls the manifest."""
    key_id: str
    """The key that signed it."""


def find(journal: Journal, wanted: str) -> JournalEntry:
    """The entry that stands for `champion` or a version number.

    Raises:
        InputError: There is no such version, or no champion yet.
    """
    if wanted == "champion":
        champion = journal.champion()
        if champion is None:
            raise InputError(f"model {journal.model!r} has no champion, but must have one: promote a version first")
        return champion
    return publication_of(journal, wanted, f"version of model {journal.model!r}")


def pull(store: Store, model: str, manifest_sha256: str, to: Path) -> Sealed:
    """Writes a published version into a folder that must not exist; every file is verified on its way.

    Raises:
        InputError: The folder exists.
        IntegrityError: The manifest or a file is not what its digest or signature says, or a path leads elsewhere.
        IngotError: The folder cannot be written.
    """
    if to.exists() or to.is_symlink():
        raise InputError(f"folder {to} exists, but must not: remove it, or name another")
    envelope = _envelope(store, model, manifest_sha256)
    place = store.uri(_key(model, manifest_sha256))
    sealed = _opened(envelope, place)
    if sealed.sha256 != manifest_sha256 or sealed.manifest.model != model:
        raise IntegrityError(f"{place} is another manifest than its name says: restore it")
    files = _files(sealed.manifest)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=".ingot-") as place_for_draft:
            draft = Path(place_for_draft) / "draft"
            draft.mkdir()
            for path, artifact in files.items():
                (draft / path).parent.mkdir(parents=True, exist_ok=True)
                store.fetch(artifact, draft / path)
            (draft / MANIFEST_NAME).write_bytes(envelope)
            draft.rename(to)
    except OSError as error:
        raise IngotError(f"{to} cannot be written ({error.strerror}): free some space, or name another") from error
    return sealed


def read(folder: Path) -> Sealed:
    """The manifest of a folder, once all of the folder was held against it; no link is followed, nothing unpickled.

    Raises:
        InputError: There is no such folder.
        IntegrityError: The envelope, a file, a path or the set of files is not what was published.
    """
    if not folder.is_dir():
        raise InputError(f"folder is {folder}, but must be one that `ingot pull` wrote: check the path")
    place = str(folder / MANIFEST_NAME)
    if size_of_plain_file(folder / MANIFEST_NAME, place) > _LARGEST_MANIFEST_BYTES:
        raise IntegrityError(f"{place} has more than {_LARGEST_MANIFEST_BYTES} bytes, but may not: it is not ours")
    sealed = _opened((folder / MANIFEST_NAME).read_bytes(), place)
    _check_files(folder, _files(sealed.manifest))
    return sealed


def _check_files(folder: Path, files: dict[str, Artifact]) -> None:
    present = listed(folder)
    present.pop(MANIFEST_NAME, None)
    for path in sorted(files.keys() - present.keys()):
        raise IntegrityError(f"{folder / path} is missing, but the manifest names it: pull the version again")
    for path in sorted(present.keys() - files.keys()):
        raise IntegrityError(f"{folder / path} is not named by the manifest, but every file must be: remove it")
    for path, artifact in files.items():
        if present[path] != artifact.size_bytes or _digest_of(folder / path) != artifact.sha256:
            raise IntegrityError(f"{folder / path} is not what its digest says, but must be: pull the version again")
        refuse_pickle(folder / path)


def _files(manifest: Manifest) -> dict[str, Artifact]:
    """Path to file; paths are plain, and differ also where upper and lower case are one.

    Raises:
        IntegrityError: They are not.
    """
    files: dict[str, Artifact] = {}
    taken = {MANIFEST_NAME}
    folders: set[str] = set()
    for file in manifest.files:
        path = plain_path(file.path, "a path of the manifest")
        name = path.as_posix().casefold()
        folders |= {parent.as_posix().casefold() for parent in path.parents}
        if name in taken:
            raise IntegrityError(
                f"the manifest's path {file.path!r} is taken already, but must be its own: publish again"
            )
        taken.add(name)
        files[path.as_posix()] = file.artifact
    for name in sorted(taken & folders):
        raise IntegrityError(f"the manifest's path {name!r} is a file and a folder, but must be one: publish again")
    return files


def _opened(envelope: bytes, place: str) -> Sealed:
    # The one place of this module that trusts an envelope.
    keyring = Keyring.from_environment()
    manifest = keyring.unseal_record(Manifest, envelope, MANIFEST_TYPE, place)
    (signature,) = json.loads(envelope)["signatures"]
    return Sealed(manifest, sha256_hex(keyring.unseal(envelope, MANIFEST_TYPE)), signature["keyid"])


def _envelope(store: Store, model: str, manifest_sha256: str) -> bytes:
    found = store.read(_key(model, manifest_sha256))
    if found is None:
        raise IntegrityError(
            f"{store.uri(_key(model, manifest_sha256))} is missing, but the journal names it: restore it"
        )
    return found.content


def _key(model: str, manifest_sha256: str) -> str:
    return f"models/{model}/manifests/{manifest_sha256}.json"


def _digest_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read ({error.strerror}), but must be: check its mode") from error
