"""The binary tensor extension: tensors as raw little-endian bytes after the JSON of a request or an answer.

Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md. A string
is its length in four bytes and then its UTF-8. Numbers are read where they lie in the body, without a copy.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from deployments.serving.refusal import Refusal, shown
from deployments.serving.tensors import check_numbers, place_at
from tasks.contracts.signature import Datatype, Tensor

HEADER = b"inference-header-content-length"
SIZE = "binary_data_size"
_LENGTH_BYTES = 4
_TYPES: dict[Datatype, np.dtype[Any]] = {
    "FP32": np.dtype("<f4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("u1"),
}


class Tail:
    """What follows the JSON; each binary input takes its bytes from the front.

    Args:
        content: All of it.
    """

    def __init__(self, content: memoryview) -> None:
        self._content = content

    def take(self, size: Any, place: str) -> memoryview:
        """The next bytes.

        Args:
            size: How many, as the client says.
            place: Where it says so.

        Raises:
            Refusal: If that is no size, or more than is left.
        """
        if type(size) is not int or not 0 <= size <= len(self._content):
            message = f"{place} is {shown(size)}, but must be a number of bytes, and {len(self._content)} are left"
            mend = ": Inference-Header-Content-Length says where they begin"
            raise Refusal("wrong_binary_size", message + mend, field=place)
        taken, self._content = self._content[:size], self._content[size:]
        return taken

    def end(self) -> None:
        """Says that every input has its bytes.

        Raises:
            Refusal: If some are left over.
        """
        if len(self._content):
            message = (
                f"the body has {len(self._content)} bytes that no input asks for, but must end with the last input"
            )
            raise Refusal("wrong_binary_size", message + f": {SIZE} of each input adds up to them", field="inputs")


NO_TAIL = Tail(memoryview(b""))
"""Of a request that is JSON alone; nothing can be taken from it, so all share it."""


def split(body: bytes, header_length: bytes) -> tuple[bytes, memoryview]:
    """The JSON of a body, and what follows it.

    Args:
        body: JSON and binary data.
        header_length: What the `Inference-Header-Content-Length` header says.

    Raises:
        Refusal: If that is no length of a part of the body.
    """
    length = int(header_length[:20]) if header_length.isdigit() else -1
    if not 0 <= length <= len(body):
        said = shown(header_length.decode("latin-1"))
        message = f"Inference-Header-Content-Length is {said}, but must be the length of the JSON, at most {len(body)}"
        raise Refusal("wrong_binary_size", message)
    return body[:length], memoryview(body)[length:]


def from_bytes(tensor: Tensor, content: memoryview, shape: tuple[int, ...], place: str) -> np.ndarray:
    """A tensor out of its bytes.

    Args:
        tensor: What it must be.
        content: Its bytes.
        shape: What the client says it has; only compared with what was sent.
        place: Where it stands in the body.

    Raises:
        Refusal: If there are too few bytes or too many, or a value may not stand there.
    """
    if tensor.datatype == "BYTES":
        return np.array(_strings(content, shape, place), dtype=object).reshape(shape)
    kind = _TYPES[tensor.datatype]
    if prod(shape) * kind.itemsize != len(content):
        wanted = f"{prod(shape) * kind.itemsize} for shape {list(shape)} of {tensor.datatype}"
        raise Refusal("wrong_shape", f"{place} has {len(content)} bytes, but must have {wanted}", field=place)
    values = np.frombuffer(content, dtype=kind)
    if not values.flags.aligned:
        values = values.copy()
    if tensor.datatype == "FP32":
        check_numbers(tensor, values, lambda index: place_at(place, index, shape))
    return values.reshape(shape)


def raw(tensor: Tensor, content: memoryview) -> np.ndarray:
    """A whole body as the one input of a model: as many rows of numbers as it has, or one string.

    Raises:
        Refusal: If it is no whole number of rows, or a value may not stand there.
    """
    if tensor.datatype == "BYTES":
        return np.array([_text(bytes(content), "body")], dtype=object).reshape((1, *tensor.shape[1:]))
    row_bytes = prod(tensor.shape[1:]) * _TYPES[tensor.datatype].itemsize
    rows = max(1, len(content) // row_bytes)
    return from_bytes(tensor, content, (rows, *tensor.shape[1:]), "body")


def to_bytes(tensor: Tensor, array: np.ndarray) -> bytes:
    """A tensor as its bytes."""
    if tensor.datatype != "BYTES":
        return np.ascontiguousarray(array, dtype=_TYPES[tensor.datatype]).tobytes()
    parts = []
    for text in array.reshape(-1).tolist():
        content = text.encode()
        parts += [len(content).to_bytes(_LENGTH_BYTES, "little"), content]
    return b"".join(parts)


def _strings(content: memoryview, shape: Sequence[int], place: str) -> list[str]:
    count, data = prod(shape), bytes(content)
    if count * _LENGTH_BYTES > len(data):
        raise _wrong_count(place, len(data) // _LENGTH_BYTES, "at most ", shape)
    texts: list[str] = []
    start = 0
    while start < len(data) and len(texts) < count:
        end = start + _LENGTH_BYTES + int.from_bytes(data[start : start + _LENGTH_BYTES], "little")
        if end > len(data) or len(data) - start < _LENGTH_BYTES:
            where = place_at(place, len(texts), shape)
            message = f"{where} is cut off, but must be a length in {_LENGTH_BYTES} bytes and as many bytes of UTF-8"
            raise Refusal("wrong_binary_size", message, field=where)
        texts.append(_text(data[start + _LENGTH_BYTES : end], place_at(place, len(texts), shape)))
        start = end
    if len(texts) != count or start < len(data):
        raise _wrong_count(place, len(texts), "" if start == len(data) else "more than ", shape)
    return texts


def _text(content: bytes, place: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        message = f"{place} is not UTF-8 at byte {error.start}, but must be: a string of a model is text"
        raise Refusal("wrong_type", message, field=place) from error


def _wrong_count(place: str, count: int, about: str, shape: Sequence[int]) -> Refusal:
    message = f"{place} has {about}{count} strings, but must have {prod(shape)} for shape {list(shape)}"
    return Refusal("wrong_shape", message, field=place)
