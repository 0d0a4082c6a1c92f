"""Weights that a graph keeps in another file: only in a plain file of the same folder.

ONNX Runtime refuses `..`, absolute paths and symbolic links itself, but loads a hard link to a foreign file, and
has locations with a meaning of their own (an address in memory): here every location is a file, or it is refused.
Source: https://github.com/onnx/onnx/blob/main/docs/ExternalData.md
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.contracts.errors import IntegrityError
from tasks.runtime.vetting.files import size_of_plain_file
from tasks.runtime.vetting.paths import plain_path

_KEYS = {"location", "offset", "length", "checksum"}
_NUMBER = re.compile(r"[0-9]{1,18}")


def check_external(tensor: Any, folder: Path) -> None:
    """Holds the place of a tensor's data against the folder of its graph.

    Args:
        tensor: A `TensorProto`.
        folder: Where the graph lies.

    Raises:
        IntegrityError: If the data is not wholly in a plain file of this folder.
    """
    if not tensor.external_data and tensor.data_location != tensor.EXTERNAL:
        return
    place = f"external data of tensor {tensor.name[:100]!r}"
    fields = _fields(tensor.external_data, place)
    path = plain_path(fields.get("location", ""), f"the location of the {place}")
    _refuse_linked_folders(folder, path.parts[:-1], place)
    size = size_of_plain_file(folder / path, f"{path} ({place})")
    offset = _number(fields, "offset", 0, place)
    length = _number(fields, "length", size - offset, place)
    if offset > size or offset + length > size:
        raise IntegrityError(
            f"{place} is bytes {offset} to {offset + length} of {path}, but the file has {size}: fetch it again"
        )


def _fields(entries: Sequence[Any], place: str) -> dict[str, str]:
    fields = {entry.key: entry.value for entry in entries}
    if len(fields) != len(entries) or not fields.keys() <= _KEYS:
        named = ", ".join(entry.key for entry in entries)[:200]
        raise IntegrityError(f"{place} has the fields {named}, but may have {', '.join(sorted(_KEYS))}, each once")
    return fields


def _refuse_linked_folders(folder: Path, names: Sequence[str], place: str) -> None:
    for name in names:
        folder /= name
        if folder.is_symlink():
            raise IntegrityError(f"{place} lies behind the symbolic link {folder.name}, but must not: copy the folder")


def _number(fields: dict[str, str], key: str, default: int, place: str) -> int:
    text = fields.get(key)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text):
        raise IntegrityError(f"{place} has {key} {text[:50]!r}, but must have a whole number: export it anew")
    return int(text)
