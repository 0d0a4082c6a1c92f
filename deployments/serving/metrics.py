"""`/metrics`: the figures of all workers in Prometheus' text format.

Every worker keeps its figures to itself, and writes them to a file of its own each second; whoever is scraped adds up
its own and the others' files. A worker that takes a dead one's place goes on from its file, so no counter falls back.
"""

import contextlib
import logging
import os
import resource
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from deployments.serving.figures import (
    CANARY,
    CHAMPION,
    CPU,
    EXPIRY,
    FAMILIES,
    FILES,
    MEMORY,
    STARTED,
    Family,
    Figures,
    Snapshot,
    merged,
)
from deployments.serving.library import Library
from deployments.serving.reply import Reply

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = logging.getLogger("ingot.serving")

MEDIA_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
WRITE_SECONDS = 1.0
_STARTED = time.time()


class Metrics:
    """Words the figures.

    Args:
        figures: Of this process.
        measure: Brings gauges up to date before they are read.
        folder: Where workers leave their figures for one another; None if there is but one.
        slot: Which worker this is.
    """

    def __init__(
        self, figures: Figures, measure: Callable[[], None], folder: Path | None = None, slot: str = "0"
    ) -> None:
        self._figures = figures
        self._measure = measure
        self._folder = folder
        self._name = f"metrics-{slot}.json"
        if folder is not None:
            figures.resume(_read(folder / self._name))

    def reply(self) -> Reply:
        """The page."""
        snapshots = [self._now()]
        if self._folder is not None:
            others = sorted(path for path in self._folder.glob("metrics-*.json") if path.name != self._name)
            snapshots += map(_read, others)
        return Reply(text_of(merged(snapshots)), media_type=MEDIA_TYPE)

    def run(self, stop: threading.Event) -> None:
        """Writes this worker's figures again and again until told to stop, and once more then."""
        while self._folder is not None:
            stopped = stop.wait(WRITE_SECONDS)
            try:
                _write(self._folder / self._name, self._now())
            except OSError as error:
                log.error("the figures of this worker cannot be written, others' scrapes lack them: %s", error)
            if stopped:
                return

    def _now(self) -> Snapshot:
        self._measure()
        measure_process(self._figures)
        return self._figures.snapshot()


def measure_models(figures: Figures, library: Library) -> None:
    """Brings up to date what the library tells: who answers, until when, and who is tried out."""
    for model, shelf in library.shelves():
        if shelf.served:
            champion = shelf.served[0]
            figures.set(CHAMPION, (model,), champion.seq)
            figures.set(
                EXPIRY, (model,), datetime.fromisoformat(champion.expires).timestamp() if champion.expires else 0
            )
        figures.clear(CANARY, (model,))
        if shelf.canary is not None:
            figures.set(CANARY, (model, shelf.canary.served.version), shelf.canary.weight)


def measure_process(figures: Figures) -> None:
    """Brings up to date what the kernel tells of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures.set(CPU, (), used.ru_utime + used.ru_stime)
    figures.set(STARTED, (), _STARTED)
    with contextlib.suppress(OSError):  # there is no /proc but on Linux
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        figures.set(MEMORY, (), pages * os.sysconf("SC_PAGE_SIZE"))
        figures.set(FILES, (), len(os.listdir("/proc/self/fd")))  # noqa: PTH208


class _Collector:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> "Iterator[Metric]":
        for family in FAMILIES:
            yield _metric(family, self._snapshot[family.name])


def text_of(snapshot: Snapshot) -> bytes:
    """Figures in Prometheus' text format."""
    # Imported when first scraped: nobody else pays its 20 ms.
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot))
    return generate_latest(registry)


def _metric(family: Family, values: Iterable[tuple[Sequence[str], Any]]) -> "Metric":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for labels, value in values:
            histogram.add_metric(labels, _cumulated(family, value[:-1]), value[-1])
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for labels, value in values:
        metric.add_metric(labels, value)
    return metric


def _cumulated(family: Family, counts: Sequence[int]) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for bound, count in zip([*map(str, family.bounds), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


def _write(path: Path, snapshot: Snapshot) -> None:
    fresh = path.with_suffix(".json.new")
    fresh.write_bytes(orjson.dumps(snapshot))
    fresh.replace(path)


def _read(path: Path) -> Snapshot:
    try:
        found: Snapshot = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found
