"""Relative paths that mean one place within a folder, on every file system."""

import re
import unicodedata
from pathlib import PurePosixPath

from tasks.contracts.errors import IntegrityError

_LONGEST_NAME_BYTES = 255
_DEEPEST = 16
_UNSAFE = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
"""What Windows opens as a device, whatever the folder and the ending."""


def plain_path(text: str, what: str) -> PurePosixPath:
    """A relative path without `..`, links to devices, or characters that some file system reads otherwise.

    >>> plain_path("openvino/model.xml", "path")
    PurePosixPath('openvino/model.xml')

    Args:
        text: As it was written by somebody else.
        what: What to call it in the message.

    Raises:
        IntegrityError: If it could lead elsewhere.
    """
    reason = _fault(text)
    if reason:
        raise IntegrityError(f"{what} is {text[:200]!r}, but must be a plain path within the folder: {reason}")
    return PurePosixPath(text)


def _fault(text: str) -> str:
    if text.startswith("/"):
        return "it is absolute"
    if unicodedata.normalize("NFC", text) != text or any(unicodedata.category(c) in ("Cf", "Cs") for c in text):
        return "it is not in normal form, so it reads alike and is another"
    if _UNSAFE.search(text):
        return "it has a character that some file system reads otherwise"
    parts = text.split("/")
    if len(parts) > _DEEPEST:
        return f"it is more than {_DEEPEST} folders deep"
    return next((fault for fault in map(_name_fault, parts) if fault), "")


def _name_fault(name: str) -> str:
    if name in ("", ".", ".."):
        return f"{name!r} is no name"
    if len(name.encode()) > _LONGEST_NAME_BYTES:
        return f"a name is longer than {_LONGEST_NAME_BYTES} bytes"
    if name[-1] in ". " or name[0] == " ":
        return "a name begins or ends with a blank, or ends with a dot"
    if name.partition(".")[0].lower() in _DEVICES:
        return f"{name!r} is a device on some systems"
    return ""
