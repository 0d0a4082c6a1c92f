"""A stretch of a file as a file of its own: chunks are read from where they lie, and never held whole."""

import hashlib
import os
from pathlib import Path

from tasks.stores.s3.connection import PIECE_BYTES


class Window:
    """A stretch of a file that botocore can measure, sign, send, and send again."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        self._file = path.open("rb")
        self._start = start
        self._length = length
        self._file.seek(start)

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the stretch."""
        left = self._length - self.tell()
        return self._file.read(left if size < 0 else min(size, left))

    def tell(self) -> int:
        """Place in the stretch."""
        return self._file.tell() - self._start

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves within the stretch."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._length}[whence]
        return self._file.seek(self._start + origin + offset) - self._start

    def close(self) -> None:
        """Closes the file below."""
        self._file.close()


def digest(path: Path, start: int, length: int) -> str:
    """SHA-256 of a stretch of a file, in hexadecimal."""
    window = Window(path, start, length)
    found = hashlib.sha256()
    while piece := window.read(PIECE_BYTES):
        found.update(piece)
    window.close()
    return found.hexdigest()
