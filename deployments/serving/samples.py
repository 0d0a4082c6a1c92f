"""A share of what is asked, kept in the bucket with its answers, so that drift can be looked for: JSON lines.

`samples/<model>/<date>/<uuid>.jsonl`, one row a line under the names of its features, as `ingest` reads them. A store
that is away loses samples, which is counted, and never a request.
"""

import logging
import random
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate, groupby
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import orjson

from deployments.serving.figures import SAMPLES, Figures
from deployments.serving.library import Served
from deployments.serving.named_features import item_shape, keys_of
from deployments.serving.question import Arrays, Question
from tasks.contracts.errors import IngotError
from tasks.contracts.signature import Tensor
from tasks.stores.s3 import Store

log = logging.getLogger("ingot.serving")

MOST_WAITING = 1000
"""Requests in memory; more are dropped and counted."""
MOST_BYTES = 32 << 20
"""Their inputs in memory; what would be more is dropped and counted."""
MOST_ROWS = 100
"""Rows that are kept of one request."""
FLUSH_REQUESTS = 500
FILE_BYTES = MOST_BYTES // 4
"""Of inputs, written at once; more than that waiting is written before its time."""
FLUSH_SECONDS = 10.0


class _Sample(NamedTuple):
    served: Served
    inputs: Arrays
    answer: np.ndarray
    time: datetime
    size: int
    """Of the inputs, in bytes."""


class Samples:
    """Collects samples, and writes them from a thread.

    Args:
        store: The bucket.
        share: Of requests, from 0 to 1; 0 keeps none.
        figures: Where it is counted what became of them.
    """

    def __init__(self, store: Store, share: float, figures: Figures) -> None:
        self._store = store
        self._share = share
        self._figures = figures
        self._waiting: list[_Sample] = []
        self._bytes = 0
        self._lock = threading.Lock()
        self._full = threading.Event()

    def offer(self, served: Served, question: Question, outputs: Arrays) -> None:
        """Keeps it, perhaps; returns at once."""
        if not self._share or random.random() >= self._share:  # noqa: S311 - a share, no secret
            return
        inputs = {name: array[:MOST_ROWS] for name, array in question.inputs.items()}
        size = sum(map(_size, inputs.values()))
        with self._lock:
            if len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_BYTES:
                self._figures.add(SAMPLES, (served.model, "dropped"))
                return
            # Copies: a view would keep the whole of a shared run in memory.
            kept = {name: array.copy() for name, array in inputs.items()}
            answer = next(outputs[name] for name in ("label", "value") if name in outputs)
            self._waiting.append(_Sample(served, kept, answer[:MOST_ROWS].copy(), datetime.now(UTC), size))
            self._bytes += size
            if len(self._waiting) >= FLUSH_REQUESTS or self._bytes >= FILE_BYTES:
                self._full.set()

    def run(self, stop: threading.Event) -> None:
        """Writes again and again until told to stop, and once more then."""
        if not self._share:
            return
        while not stop.is_set():
            for _ in range(int(FLUSH_SECONDS / _TICK_SECONDS)):
                if stop.wait(_TICK_SECONDS) or self._full.is_set():
                    break
            self._flush_whatever_comes()
        self._flush_whatever_comes()

    def _flush_whatever_comes(self) -> None:
        try:
            self.flush()
        except Exception:  # the edge of this thread: it must outlive whatever nobody foresaw
            log.exception("samples could not be written; others will be")

    def flush(self) -> None:
        """Writes what was kept, a model after the other."""
        with self._lock:
            waiting, self._waiting, self._bytes = self._waiting, [], 0
            self._full.clear()
        for model in sorted({sample.served.model for sample in waiting}):
            for portion in _portions([sample for sample in waiting if sample.served.model == model]):
                self._write(model, portion)

    def _write(self, model: str, samples: Sequence[_Sample]) -> None:
        key = f"samples/{model}/{samples[0].time:%Y-%m-%d}/{uuid4()}.jsonl"
        try:
            self._store.create(key, b"".join(line for sample in samples for line in _lines(sample)))
        except IngotError:
            self._figures.add(SAMPLES, (model, "lost"), by=len(samples))
        else:
            self._figures.add(SAMPLES, (model, "written"), by=len(samples))


_TICK_SECONDS = 0.1


def _size(array: np.ndarray) -> int:
    """Of what is kept: a string takes what it holds."""
    return int(array.nbytes) + (sum(map(len, array.flat)) if array.dtype == object else 0)


def _portions(samples: Sequence[_Sample]) -> Iterator[list[_Sample]]:
    """File by file, about FILE_BYTES each."""
    ends = accumulate(sample.size for sample in samples)
    for _, portion in groupby(zip(samples, ends, strict=True), key=lambda pair: pair[1] // FILE_BYTES):
        yield [sample for sample, _ in portion]


def _lines(sample: _Sample) -> Iterator[bytes]:
    columns: dict[str, list[Any]] = {}
    for tensor in sample.served.manifest.signature.inputs:
        columns |= _columns(tensor, sample.inputs[tensor.name])
    facts = {"ingot_version": sample.served.version, "ingot_time": sample.time.isoformat(timespec="milliseconds")}
    for row, answer in enumerate(sample.answer.reshape(-1).tolist()):
        features = {name: values[row] for name, values in columns.items()}
        yield orjson.dumps(features | {"ingot_answer": answer} | facts, option=orjson.OPT_APPEND_NEWLINE)


def _columns(tensor: Tensor, array: np.ndarray) -> dict[str, list[Any]]:
    """Named features, as a client would have sent them; orjson writes NaN, a gap, as null."""
    keys = keys_of(tensor)
    if item_shape(tensor) or array.ndim == 1:
        return {keys[0]: array.tolist()}
    return {key: array[:, column].tolist() for column, key in enumerate(keys)}
