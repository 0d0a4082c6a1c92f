"""What is counted while serving: plain numbers in dictionaries, which cost a microsecond; `metrics` words them.

Each figure is written by one thread alone, so that none needs a lock.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from deployments.serving.note import Note

Labels = tuple[str, ...]
Snapshot = dict[str, list[tuple[Labels, Any]]]
"""Family name to labels and value; of a histogram its counts, one for each bound and one beyond, and the sum."""

SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Family(NamedTuple):
    """One metric: what it is called, what it says, and how the figures of several workers become one."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    bounds: Sequence[float] = ()
    merge: Callable[[Any, Any], Any] = lambda one, other: one + other


REQUESTS = Family("ingot_requests", "counter", "Requests answered.", ("model", "version", "endpoint", "status"))
LATENCY = Family(
    "ingot_request_seconds", "histogram", "From head to last byte written.", ("model", "endpoint"), SECONDS
)
ROWS = Family("ingot_rows", "counter", "Rows answered.", ("model", "version"))
BATCH = Family("ingot_batch_requests", "histogram", "Requests that shared a run.", ("model",), SIZES)
IN_FLIGHT = Family("ingot_requests_in_flight", "gauge", "Requests under way.")
QUEUED = Family("ingot_queue_rows", "gauge", "Rows that wait or run.")
LOADS = Family("ingot_loads", "counter", "Versions that were loaded and proven.", ("model",))
REFUSED = Family("ingot_refused_versions", "counter", "Versions that were found bad.", ("model",))
CHAMPION = Family("ingot_champion_seq", "gauge", "Journal entry of the version that answers.", ("model",), (), max)
EXPIRY = Family(
    "ingot_pointer_expiry_timestamp_seconds", "gauge", "When the pointer expires; 0 never.", ("model",), (), max
)
CANARY = Family(
    "ingot_canary_share", "gauge", "Share of callers that the canary answers.", ("model", "version"), (), max
)
SHADOWED = Family("ingot_shadow_requests", "counter", "Requests compared with the shadow.", ("model", "version"))
SHADOW_ROWS = Family("ingot_shadow_rows", "counter", "Rows compared with the shadow.", ("model", "version"))
AGREED = Family("ingot_shadow_agreeing_rows", "counter", "Rows with the same label.", ("model", "version"))
SHADOW_DROPPED = Family("ingot_shadow_dropped", "counter", "Requests the shadow had no time for.", ("model", "version"))
SHADOW_FAILED = Family("ingot_shadow_failed", "counter", "Requests the shadow could not answer.", ("model", "version"))
SHADOW_APART = Family(
    "ingot_shadow_largest_difference", "gauge", "Between a number and the shadow's.", ("model", "version"), (), max
)
SAMPLES = Family("ingot_samples", "counter", "Sampled requests, by what became of them.", ("model", "outcome"))
CPU = Family("process_cpu_seconds", "counter", "Processor time of all workers.")
MEMORY = Family("process_resident_memory_bytes", "gauge", "Resident memory of all workers.")
FILES = Family("process_open_fds", "gauge", "Open descriptors of all workers.")
STARTED = Family("process_start_time_seconds", "gauge", "When the oldest worker started.", (), (), min)
FAMILIES = (
    REQUESTS, LATENCY, ROWS, BATCH, IN_FLIGHT, QUEUED, LOADS, REFUSED, CHAMPION, EXPIRY, CANARY,
    SHADOWED, SHADOW_ROWS, AGREED, SHADOW_DROPPED, SHADOW_FAILED, SHADOW_APART, SAMPLES, CPU, MEMORY, FILES, STARTED,
)  # fmt: skip


class Figures:
    """The figures of one process."""

    def __init__(self) -> None:
        self._values: dict[str, dict[Labels, Any]] = {family.name: {} for family in FAMILIES}
        self._requests = self._values[REQUESTS.name]
        self._rows = self._values[ROWS.name]

    def add(self, family: Family, labels: Labels = (), by: float = 1) -> None:
        """Counts up."""
        values = self._values[family.name]
        values[labels] = values.get(labels, 0) + by

    def set(self, family: Family, labels: Labels, value: float) -> None:
        """Puts a gauge where it stands now."""
        self._values[family.name][labels] = value

    def clear(self, family: Family, labels: Labels) -> None:
        """Forgets the values whose labels begin so."""
        values = self._values[family.name]
        for place in [place for place in values.copy() if place[: len(labels)] == labels]:
            values.pop(place, None)

    def highest(self, family: Family, labels: Labels, value: float) -> None:
        """Keeps the largest value that was seen."""
        values = self._values[family.name]
        values[labels] = max(values.get(labels, value), value)

    def observe(self, family: Family, labels: Labels, value: float) -> None:
        """Puts a value into its bucket."""
        bucket = self._values[family.name].get(labels)
        if bucket is None:
            bucket = self._values[family.name][labels] = [0] * (len(family.bounds) + 2)
        bucket[bisect_left(family.bounds, value)] += 1
        bucket[-1] += value

    def answered(self, note: Note, status: int, seconds: float) -> None:
        """Counts a request that was answered; a model that is not served is a client's word, and no label."""
        model = note.model if note.version else ""
        labels = (model, note.version, note.endpoint, str(status))
        self._requests[labels] = self._requests.get(labels, 0) + 1
        self.observe(LATENCY, (model, note.endpoint), seconds)
        if note.rows and status == 200:
            place = (model, note.version)
            self._rows[place] = self._rows.get(place, 0) + note.rows

    def ran(self, model: str, requests: int) -> None:
        """Counts a run that so many requests shared."""
        self.observe(BATCH, (model,), requests)

    def snapshot(self) -> Snapshot:
        """All of it now; threads may go on writing."""
        return {family.name: list(self._values[family.name].copy().items()) for family in FAMILIES}

    def resume(self, snapshot: Snapshot) -> None:
        """Goes on from where a worker before this one stood; gauges are measured anew."""
        for family in FAMILIES:
            if family.kind != "gauge":
                self._values[family.name] |= {tuple(labels): value for labels, value in snapshot.get(family.name, [])}


def merged(snapshots: Sequence[Mapping[str, Any]]) -> Snapshot:
    """The figures of several workers as those of one."""
    whole: dict[str, dict[Labels, Any]] = {family.name: {} for family in FAMILIES}
    for snapshot in snapshots:
        for family in FAMILIES:
            values = whole[family.name]
            for labels, value in snapshot.get(family.name, []):
                place = tuple(labels)
                values[place] = _merge(family, values[place], value) if place in values else value
    return {name: list(values.items()) for name, values in whole.items()}


def _merge(family: Family, one: Any, other: Any) -> Any:
    if family.kind == "histogram":
        return [a + b for a, b in zip(one, other, strict=True)]
    return family.merge(one, other)
