"""Files as they lie on the disk: no links, nothing but plain files, no pickles."""

import io
import os
import pickletools
import stat
import zipfile
from pathlib import Path

from tasks.contracts.errors import IntegrityError

_PICKLE_SUFFIXES = {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".ckpt", ".dill"}
_PROTOCOLS = (2, 3, 4, 5)
_PROTO = 0x80
_NUMPY = b"\x93NUMPY"
_OBJECTS = (b"|O", b"'O'")
_LOOKED_AT_BYTES = 2**20
_CUT_SHORT = ("but only", "not enough data", "exhausted")
_ZIP = b"PK\x03\x04"


def size_of_plain_file(path: Path, place: str) -> int:
    """The size of a regular file that has one name; a link, also a hard one, could be anybody's file.

    Args:
        path: Where it lies.
        place: What to call it in the message.

    Raises:
        IntegrityError: If it is missing, a link, or something else.
    """
    try:
        found = path.lstat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise IntegrityError(f"{place} cannot be read ({reason}), but must be a file: fetch it again") from error
    if stat.S_ISLNK(found.st_mode):
        raise IntegrityError(f"{place} is a symbolic link, but must be a file of its own: copy it")
    if not stat.S_ISREG(found.st_mode):
        raise IntegrityError(f"{place} is no regular file, but must be: fetch it again")
    if found.st_nlink != 1:
        raise IntegrityError(
            f"{place} has {found.st_nlink} names (hard links), but must have one (it could be another's): copy it"
        )
    return found.st_size


def listed(folder: Path) -> dict[str, int]:
    """All files under a folder, by their path in it, with their sizes; no link is followed.

    Raises:
        IntegrityError: If something in it is neither a folder nor a plain file, or a folder holds nothing.
    """
    found: dict[str, int] = {}
    for place, folders, names in os.walk(folder, onerror=_cannot_be_read):
        here = Path(place)
        if not folders and not names and here != folder:
            raise IntegrityError(f"{here} is empty, but every folder must hold a file of the version: remove it")
        for name in folders:
            if (here / name).is_symlink():
                raise IntegrityError(f"{here / name} is a symbolic link, but must be a folder of its own: copy it")
        for name in names:
            found[(here / name).relative_to(folder).as_posix()] = size_of_plain_file(here / name, str(here / name))
    return found


def refuse_pickle(path: Path) -> None:
    """Refuses what some loader would unpickle, by its ending and by its first bytes; nothing is loaded.

    Raises:
        IntegrityError: If it is a pickle, or an archive or array with one in it.
    """
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT_BYTES)
        held = _pickles_in_zip(path) if start[:4] == _ZIP or zipfile.is_zipfile(file) else []
    if path.suffix.lower() in _PICKLE_SUFFIXES or _is_pickle(start):
        reason = "is a pickle"
    elif held:
        reason = f"holds the pickle {held[0]!r}"
    elif start.startswith(_NUMPY) and any(mark in start[:256] for mark in _OBJECTS):
        reason = "is an array of pickled objects"
    else:
        return
    raise IntegrityError(f"{path} {reason}, which runs code when it is read: publish ONNX or safetensors instead")


def _is_pickle(start: bytes) -> bool:
    """Whether the opcodes of a pickle (protocol 2 or later) lie here; random bytes break off after a few."""
    if len(start) < 3 or start[0] != _PROTO or start[1] not in _PROTOCOLS:
        return False
    try:
        for _ in pickletools.genops(io.BytesIO(start)):
            pass
    except (ValueError, IndexError, OverflowError) as error:
        # Broken off because there is more of it than was looked at, not because it is something else.
        return len(start) == _LOOKED_AT_BYTES and any(mark in str(error) for mark in _CUT_SHORT)
    return True


def _pickles_in_zip(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [each.filename for each in archive.infolist() if _is_pickled_member(archive, each)]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise IntegrityError(f"{path} is no whole zip archive ({error}), but must be: fetch it again") from error


def _is_pickled_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    if Path(member.filename).suffix.lower() in _PICKLE_SUFFIXES:
        return True
    if member.is_dir():
        return False
    with archive.open(member) as file:
        start = file.read(_LOOKED_AT_BYTES)
    return _is_pickle(start) or (start.startswith(_NUMPY) and any(mark in start[:256] for mark in _OBJECTS))


def _cannot_be_read(error: OSError) -> None:
    raise IntegrityError(f"{error.filename} cannot be read ({error.strerror}), but must be: fetch it again") from error
