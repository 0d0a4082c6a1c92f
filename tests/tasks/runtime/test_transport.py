import io
from collections.abc import Iterable

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import IntegrityError
from tasks.runtime import transport
from tasks.runtime.transport import SEAL_BYTES, compressed_size, packed, unpacked

RANDOM = np.random.default_rng(0)
NOISE = RANDOM.bytes(100_000)
DENSE = RANDOM.normal(size=100_000).astype(np.float32).tobytes()
SPARSE = (RANDOM.normal(size=100_000) * (RANDOM.random(100_000) < 0.05)).astype(np.float32).tobytes()


def frame_of(content: bytes) -> bytes:
    frame = packed(io.BytesIO(content), len(content))
    assert frame is not None
    return frame.file.read()


def plain_of(frame: bytes, piece: int = 2**20) -> bytes:
    return b"".join(unpacked((frame[i : i + piece] for i in range(0, len(frame), piece)), "s3://b/k"))


@given(content=st.binary(min_size=1, max_size=50), times=st.integers(200, 2000), piece=st.integers(1, 3000))
def test_what_repeats_is_packed_and_comes_back(content: bytes, times: int, piece: int) -> None:
    frame = frame_of(content * times)
    assert len(frame) == compressed_size(content * times) < len(content * times)
    assert plain_of(frame, piece) == content * times


@given(content=st.binary(max_size=3000))
def test_no_file_costs_more_than_its_plain_bytes(content: bytes) -> None:
    assert compressed_size(content) <= len(content)


def test_noise_travels_plain() -> None:
    assert packed(io.BytesIO(NOISE), len(NOISE)) is None
    assert compressed_size(NOISE) == len(NOISE)


def test_sparse_weights_cost_what_the_best_level_leaves_of_them() -> None:
    """Held against zstd's one-shot compressor: a stream adds a block header at most, and then there is the seal."""
    assert compressed_size(SPARSE) - SEAL_BYTES == pytest.approx(len(zstandard.compress(SPARSE, 19)), abs=16)
    assert compressed_size(SPARSE) < len(zstandard.compress(SPARSE, 1))


def test_no_effort_is_spent_where_nothing_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BEST", "no level at all")
    assert 0.9 < compressed_size(DENSE) / len(DENSE) < 0.95


def test_a_file_costs_what_its_chunks_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [SPARSE[:150_000], SPARSE[150_000:300_000], SPARSE[300_000:]]
    alone = sum(map(compressed_size, parts))
    monkeypatch.setattr(transport, "CHUNK_BYTES", 150_000)
    assert compressed_size(SPARSE) == alone


@pytest.mark.parametrize("size", [len(SPARSE) - 1, len(SPARSE) + 1])
def test_refuses_a_chunk_that_changed_its_length(size: int) -> None:
    with pytest.raises(IntegrityError, match="another length than a moment ago, but must hold still: try again"):
        packed(io.BytesIO(SPARSE), size)


FRAME = frame_of(SPARSE)


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 100, len(FRAME) - 1, len(FRAME)])
def test_refuses_a_frame_whose_end_is_missing(cut: int) -> None:
    with pytest.raises(IntegrityError, match=r"s3://b/k is no whole zstd frame \(its end is missing\): restore or del"):
        plain_of(FRAME[:-cut])


@pytest.mark.parametrize("more", [b"\0", b"garbage", FRAME, b"x" * 5000])
@pytest.mark.parametrize("piece", [1, 1000, len(FRAME), 2**20])
def test_refuses_bytes_behind_the_end_of_a_frame(more: bytes, piece: int) -> None:
    with pytest.raises(IntegrityError, match="bytes follow its end"):
        plain_of(FRAME + more, piece)


def test_no_bit_of_a_frame_can_be_turned_though_decoders_ignore_some() -> None:
    content = SPARSE[:20_000]
    frame = frame_of(content)
    ignored = 0
    for bit in range(8 * len(frame)):
        turned = bytearray(frame)
        turned[bit // 8] ^= 1 << bit % 8
        assert not gives(bytes(turned), content)
        ignored += bit < 8 * (len(frame) - SEAL_BYTES) and gives(bytes(turned[:-SEAL_BYTES]), content)
    assert ignored > 1


def gives(frame: bytes, content: bytes) -> bool:
    try:
        return plain_of(frame) == content
    except IntegrityError:
        return False


def test_a_frame_of_another_program_needs_no_seal_and_every_program_reads_ours() -> None:
    assert plain_of(zstandard.compress(SPARSE)) == SPARSE
    assert plain_of(FRAME[:-SEAL_BYTES]) == SPARSE
    assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(FRAME), read_across_frames=True).read() == SPARSE


@given(content=st.binary(min_size=1, max_size=2000))
def test_any_bytes_are_unpacked_or_refused_in_our_words(content: bytes) -> None:
    try:
        plain_of(content)
    except IntegrityError as error:
        assert "\n" not in str(error)


def test_a_frame_that_wants_much_memory_is_refused() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27, format=zstandard.FORMAT_ZSTD1)
    compressor = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    with pytest.raises(IntegrityError, match="requires too much memory"):
        plain_of(compressor.compress(bytes(100)) + compressor.flush())


def test_a_bomb_is_unpacked_in_small_steps() -> None:
    """The smallest blocks that the format knows: a mebibyte and a half that stands for 48 GiB."""
    header = b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x38"  # no size, a window of 128 KiB
    block = (((128 * 2**10) << 3) | (1 << 1)).to_bytes(3, "little") + b"\0"  # run-length, not the last

    def pieces() -> Iterable[bytes]:
        yield header
        for _ in range(1000):
            yield block * 400

    sizes = [len(piece) for piece, _ in zip(unpacked(pieces(), "s3://b/k"), range(20), strict=False)]
    assert 2**20 < max(sizes) <= 32 * 2**20
