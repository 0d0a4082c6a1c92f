"""What bytes cost on their way: each chunk of a file travels as one zstd frame (RFC 8878), where that pays.

The stores keep what `packed` makes, and candidates are measured by `compressed_size`, which asks it too: what is
measured is what is stored. Weights by zstandard 0.25, one core, share of the plain bytes and plain MiB a second:

| weights | level 1 | level 19 | |
|---|---|---|---|
| dense float32 | 92.4 %, 400 | 92.5 %, 2.5 | nothing but their exponents repeats: effort is wasted |
| dense int8 | 87.5 %, 580 | 87.6 %, 4 | the same |
| noise | 100 %, 1000 | 100 %, 2 | left plain |
| float32, 95 % zeros | 7.3 %, 600 | 6.5 %, 2 | here effort pays: a tenth fewer bytes |
| int8, 95 % zeros | 12.0 %, 190 | 9.9 %, 1.2 | and here a sixth (xz: 9.2 %) |

So level 1 comes first. Only where it shows that something repeats, and the chunk is small, is the best level tried.

A frame has bits that a decoder does not look at: one in 500 can be turned and the same bytes come out. So behind each
stands its digest, in a skippable frame (RFC 8878, section 3.1.2), which every zstd decoder passes over and ours checks.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, NamedTuple, Protocol, cast

import zstandard

from tasks.contracts.errors import IntegrityError

ENCODING = "zstd"
"""As HTTP and S3 name it in Content-Encoding (RFC 8878, section 7.2)."""

CHUNK_BYTES = 64 * 2**20
"""Longest stretch of a file that is stored, compressed or fetched as one."""

QUICK, BEST = 1, 19
EFFORT_BYTES = 4 * 2**20
"""Largest chunk that the best level is tried on: 2 s at most."""

REPEATS = 0.75
"""Something repeats in a chunk of which level 1 leaves no more than this; weights that are dense stay above it."""

PAYS = 0.95
"""Above this share a frame is not worth unpacking: the chunk travels plain."""

PIECE_BYTES = 2**20
"""How much is compressed at a time."""

SLICE_BYTES = 2**10
"""How much is unpacked at a time: four bytes can stand for a block of 128 KiB, so a hostile slice gives 32 MiB."""

WINDOW_BYTES = 8 * 2**20
"""Most that an unpacker must remember: what level 19 asks for."""

SEAL_BYTES = 40
"""Length of what stands behind a frame: magic number, length, and SHA-256 of the frame."""


class Source(Protocol):
    """Plain bytes that can be read more than once."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Moves."""


class Frame(NamedTuple):
    """A chunk under zstd."""

    file: BinaryIO
    """At its start; in memory up to 4 MiB, else on disk."""
    size_bytes: int
    sha256: str
    """Of the frame."""
    plain_sha256: str
    """Of what was compressed."""


def compressed_size(content: bytes) -> int:
    """Bytes in transit of a file: what a reader fetches."""
    return sum(_kept_size(content[start : start + CHUNK_BYTES]) for start in range(0, len(content), CHUNK_BYTES))


def packed(plain: Source, size_bytes: int) -> Frame | None:
    """A chunk as it is stored; None where it is stored plain, since a frame would not save a twentieth.

    Args:
        plain: The chunk.
        size_bytes: Its length.

    Raises:
        IntegrityError: it has another length.
    """
    frame = _frame(plain, size_bytes, QUICK)
    if frame.size_bytes <= REPEATS * size_bytes and size_bytes <= EFFORT_BYTES:
        best = _frame(plain, size_bytes, BEST)
        frame = min(frame, best, key=lambda f: f.size_bytes)
    return frame if frame.size_bytes <= PAYS * size_bytes else None


def unpacked(pieces: Iterable[bytes], place: str) -> Iterator[bytes]:
    """The plain bytes of one frame, in bounded memory whatever the frame says; the caller counts and checks them.

    Args:
        pieces: The frame, in pieces of any length.
        place: Its address, for messages.

    Raises:
        IntegrityError: it is no frame, is not what its seal says, ends too early, goes on after its end, or wants too
            much memory. One without a seal, as any zstd tool writes it, is fine.
    """
    stored, seal = hashlib.sha256(), b""
    try:
        frame = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).decompressobj()
        for some in _slices(pieces):
            if frame.eof:
                seal += some
            else:
                yield frame.decompress(some)
                seal = frame.unused_data
                stored.update(some[: len(some) - len(seal)])
            if len(seal) > SEAL_BYTES:
                raise _broken(place, "bytes follow its end")
    except zstandard.ZstdError as error:
        raise _broken(place, str(error)) from error
    if not frame.eof:
        raise _broken(place, "its end is missing")
    _check_seal(seal, _seal(stored.digest()), place)


def _kept_size(chunk: bytes) -> int:
    frame = packed(io.BytesIO(chunk), len(chunk))
    return frame.size_bytes if frame else len(chunk)


def _frame(plain: Source, size_bytes: int, level: int) -> Frame:
    file = cast(BinaryIO, SpooledTemporaryFile(EFFORT_BYTES))  # noqa: SIM115 (the frame hands it on)
    stored, read = hashlib.sha256(), hashlib.sha256()
    compressor = zstandard.ZstdCompressor(level=level).compressobj(size=size_bytes)
    plain.seek(0)
    try:
        while piece := plain.read(PIECE_BYTES):
            read.update(piece)
            _append(compressor.compress(piece), file, stored)
        _append(compressor.flush(), file, stored)
    except zstandard.ZstdError as error:
        raise IntegrityError("a chunk has another length than a moment ago, but must hold still: try again") from error
    _append(_seal(stored.digest()), file, stored)
    size = file.tell()
    file.seek(0)
    return Frame(file, size, stored.hexdigest(), read.hexdigest())


def _append(piece: bytes, file: BinaryIO, digest: "hashlib._Hash") -> None:
    digest.update(piece)
    file.write(piece)


def _seal(digest: bytes) -> bytes:
    """A skippable frame that holds the digest of the frame before it."""
    return b"\x50\x2a\x4d\x18" + len(digest).to_bytes(4, "little") + digest


def _check_seal(found: bytes, right: bytes, place: str) -> None:
    if found in (b"", right):
        return
    if right.startswith(found):
        raise _broken(place, "its end is missing")
    changed = len(found) == len(right) and found[:8] == right[:8]
    raise _broken(place, "it is not what was written" if changed else "bytes follow its end")


def _slices(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), SLICE_BYTES):
            yield piece[start : start + SLICE_BYTES]


def _broken(place: str, why: str) -> IntegrityError:
    return IntegrityError(f"{place} is no whole zstd frame ({why}): restore or delete it")
