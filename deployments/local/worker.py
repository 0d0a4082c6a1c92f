"""What starts the worker: `python -m deployments.local.worker COMMAND...` first closes what its predecessor left open.

When a worker is killed, its flow runs die with it (its leash sees to that), but the server believes them running for
ever, and each holds the concurrency slot of its deployment: every later run of that model would wait for ever.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import httpx
import psutil

from deployments.local.environment import WORK_POOL
from deployments.local.health import ask_prefect

OPEN_STATES = ("RUNNING", "PENDING", "CANCELLING")
CRASHED = {"type": "CRASHED", "name": "Crashed", "message": "The worker died, and this run with it."}


def close_orphans(prefect_api_url: str) -> list[str]:
    """Set flow runs of our work pool to Crashed whose process is gone; their ids.

    Raises:
        httpx.HTTPError: The server does not answer.
    """
    wanted = {
        "work_pools": {"name": {"any_": [WORK_POOL]}},
        "flow_runs": {"state": {"type": {"any_": OPEN_STATES}}},
    }
    orphans = [run for run in ask_prefect("POST", f"{prefect_api_url}/flow_runs/filter", wanted) if not _lives(run)]
    for run in orphans:
        body = {"state": CRASHED, "force": True}
        ask_prefect("POST", f"{prefect_api_url}/flow_runs/{run['id']}/set_state", body)
    return [run["id"] for run in orphans]


def _lives(run: dict[str, Any]) -> bool:
    """Whether the process that a run names is there: a worker of the user's own may share the pool."""
    pid = str(run.get("infrastructure_pid") or "").rpartition(":")[2]
    try:
        return pid.isdigit() and "prefect" in " ".join(psutil.Process(int(pid)).cmdline())
    except psutil.Error:
        return False


def main(command: Sequence[str]) -> None:
    """Close what is open, then become the worker."""
    try:
        closed = close_orphans(os.environ["PREFECT_API_URL"])
    except httpx.HTTPError as error:
        sys.stderr.write(f"the Prefect server does not answer ({error}): the worker will be started again\n")
        sys.exit(1)
    for run_id in closed:
        sys.stderr.write(f"flow run {run_id} died with its worker: set to Crashed\n")
    sys.stderr.flush()
    os.execv(command[0], list(command))  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
