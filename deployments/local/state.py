"""What the supervisor writes down: which processes it holds, where they answer, how they fare.

The file outlives a crash; every process in it is named by pid and start time, so what it says of dead processes is
recognised as stale.
"""

from typing import Literal

import psutil
from pydantic import ValidationError

from deployments.local.home import Home, write_privately
from deployments.local.processes import runs
from tasks.contracts.record import Record

CLOCK_SLACK_SECONDS = 2.0
"""Start times are counted from a boot time that moves when the clock is set."""

PartName = Literal["s3", "prefect", "mlflow", "worker", "serving"]


class ProcessId(Record):
    """A process, for good: pids come round again, a pid with its start time does not."""

    pid: int
    started: float
    """Seconds since the epoch."""

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """The process that bears this pid now."""
        return cls(pid=pid, started=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The process, unless it is gone, a zombie, or somebody else's by now."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < CLOCK_SLACK_SECONDS
        except psutil.Error:
            return None
        return process if same and runs(process) else None


class Addresses(Record):
    """Where each service answers, embedded or the user's own."""

    prefect_api_url: str
    mlflow_tracking_uri: str
    s3_endpoint_url: str
    bucket: str
    serving_url: str

    @property
    def prefect_ui_url(self) -> str:
        """The Prefect UI."""
        return self.prefect_api_url.removesuffix("/").removesuffix("/api")


class PartState(Record):
    """How one part fares."""

    state: Literal["external", "waiting", "running", "restarting"]
    """waiting: for the part it needs; restarting: dead, and started again after a pause."""
    address: str
    process: ProcessId | None = None
    """The leash; the part itself is its child."""
    since: float = 0.0
    """When it was started last, seconds since the epoch."""
    restarts: int = 0
    last_exit: str = ""
    """How it ended last time, in words."""


class StackState(Record):
    """The whole stack, as its supervisor last wrote it."""

    supervisor: ProcessId
    root: str
    """The folder that relative paths of data sources are read from."""
    addresses: Addresses
    parts: dict[PartName, PartState]

    @property
    def alive(self) -> bool:
        """Whether the supervisor still runs."""
        return self.supervisor.find() is not None


def read_state(home: Home) -> StackState | None:
    """What was written last; nothing when there is none, or when it was cut or comes from another version."""
    try:
        return StackState.model_validate_json(home.state.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_state(home: Home, state: StackState) -> None:
    """Replace what was written."""
    write_privately(home.state, state.to_bytes())
