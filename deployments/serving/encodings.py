"""Compressed bodies, both ways: what comes in never grows beyond its limit, what goes out is worth the work."""

import zlib
from typing import Any

from deployments.serving.refusal import Refusal

SMALLEST_BYTES = 1024
"""An answer below this fits a packet as it is."""
_LEVEL = 1
_DETECT = 47
"""Of zlib's window bits: 32 KiB, and gzip or zlib by what the first bytes say."""
_RAW = -15
_GZIP = 31
_ZLIB = 15


class Inflater:
    """Takes a compressed body piece by piece.

    Args:
        encoding: The `Content-Encoding`, in lower case.

    Raises:
        Refusal: 415 for an encoding that is not spoken.
    """

    def __init__(self, encoding: bytes) -> None:
        if encoding not in (b"gzip", b"x-gzip", b"deflate"):
            said = encoding[:40].decode("latin-1")
            message = f"Content-Encoding is {said!r}, but must be gzip, deflate or identity: send it in one of them"
            headers = ((b"accept-encoding", b"gzip, deflate"),)
            raise Refusal("unsupported_encoding", message, status=415, headers=headers)
        self._deflate = encoding == b"deflate"
        self._stream: Any = None

    def take(self, chunk: bytes, room: int) -> bytes:
        """What a piece unpacks to, cut off one byte past the room that is left.

        Raises:
            Refusal: 400 if it is not compressed so, or goes on after its end.
        """
        if not chunk:
            return b""
        if self._stream is None:
            # Deflate should come in zlib's wrapping, and from some clients comes bare.
            bare = self._deflate and chunk[0] & 0x0F != 8
            self._stream = zlib.decompressobj(_RAW if bare else _DETECT)
        elif self._stream.eof:
            raise _broken("it goes on after its end")
        try:
            grown: bytes = self._stream.decompress(chunk, room + 1)
        except zlib.error as error:
            raise _broken(str(error)) from error
        if self._stream.unused_data:
            raise _broken("it goes on after its end")
        return grown

    def end(self) -> None:
        """Says that no more comes.

        Raises:
            Refusal: 400 if the compressed stream is not whole.
        """
        if self._stream is None or not self._stream.eof:
            raise _broken("it ends before its end")


def accepted(header: bytes) -> bytes:
    """What an `Accept-Encoding` lets us use: `gzip`, `deflate`, or nothing.

    >>> accepted(b"br, gzip;q=0, deflate")
    b'deflate'
    """
    for name in (b"gzip", b"deflate"):
        if name in header:
            for part in header.lower().split(b","):
                coding, _, weight = part.partition(b";")
                if coding.strip() == name and weight.replace(b" ", b"").rstrip(b"0.") != b"q=":
                    return name
    return b""


def deflated(body: bytes, encoding: bytes) -> bytes:
    """The body in an encoding that `accepted` named."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP if encoding == b"gzip" else _ZLIB)
    return packer.compress(body) + packer.flush()


def _broken(why: str) -> Refusal:
    message = f"the body is no whole gzip or deflate stream ({why}), but must be as Content-Encoding says: pack it anew"
    return Refusal("broken_encoding", message)
