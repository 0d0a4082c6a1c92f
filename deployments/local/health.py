"""Whether a part does its work, asked of the part itself."""

import base64
import os
import time
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import httpx
from tenacity import retry, retry_if_exception, stop_after_delay, wait_exponential_jitter

from deployments.local.environment import WORK_POOL
from deployments.local.serving import scheme, trust
from deployments.local.state import Addresses, PartName
from tasks.contracts.errors import IngotError

TIMEOUT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""A Prefect server that waits for its database is slow before it is busy."""
BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
"""What Prefect answers while its database is locked: it did nothing, and its own client asks again."""
BUSY_SECONDS = 10.0
OFFLINE_SECONDS = 95.0
"""A worker beats every 30 s; after three missed beats it is offline."""


def problem_of(part: PartName, addresses: Addresses, since: float = 0.0) -> str:
    """What keeps a part from being healthy, in words; empty when it is.

    Args:
        part: Which one.
        addresses: Where it answers.
        since: For the worker: heartbeats before this moment are a predecessor's. Seconds since the epoch.
    """
    checks = {
        "s3": lambda: _s3(addresses.bucket),
        "prefect": lambda: _get(f"{addresses.prefect_api_url}/health"),
        "mlflow": lambda: _mlflow(addresses.mlflow_tracking_uri),
        "worker": lambda: _worker(addresses.prefect_api_url, since),
        "serving": lambda: _get(f"{addresses.serving_url}/v2/health/live", _serving_client()),
    }
    try:
        return checks[part]()
    except (httpx.HTTPError, IngotError) as error:
        return str(error) or type(error).__name__


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code in BUSY


@retry(
    retry=retry_if_exception(_is_busy),
    wait=wait_exponential_jitter(initial=0.5, max=4),
    stop=stop_after_delay(BUSY_SECONDS),
    reraise=True,
)
def ask_prefect(method: str, url: str, body: Mapping[str, Any] | None = None, seconds: float = ANSWER_SECONDS) -> Any:
    """One request to a Prefect server, with the user's credentials for his own; a busy one is asked again.

    Args:
        method: `GET`, `POST`, `DELETE`, ...
        url: The whole address.
        body: What goes along as JSON.
        seconds: How long one answer may take.

    Raises:
        httpx.HTTPError: Nobody answered, or with a fault.
    """
    headers = {}
    if key := os.environ.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    elif pair := os.environ.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    answer = _client().request(method, url, json=body, headers=headers, timeout=seconds)
    answer.raise_for_status()
    return answer.json() if answer.content else None


@lru_cache(maxsize=1)
def _client() -> httpx.Client:
    """One for all questions: making one costs 40 ms of CPU, for certificates, while servers are starting."""
    return httpx.Client(timeout=TIMEOUT_SECONDS)


@lru_cache(maxsize=1)
def _serving_client() -> httpx.Client:
    return httpx.Client(timeout=TIMEOUT_SECONDS, verify=trust()) if scheme() == "https" else _client()


def _get(url: str, client: httpx.Client | None = None) -> str:
    answer = (client or _client()).get(url)
    return "" if answer.is_success else f"{url} answered {answer.status_code}"


def _mlflow(uri: str) -> str:
    """An MLflow server's health; a user's file or database needs no server."""
    return _get(f"{uri.rstrip('/')}/health") if uri.startswith("http") else ""


def _s3(bucket: str) -> str:
    """Health of S3 is a PUT: after a crash it answers long before it can write."""
    from tasks.stores.s3 import Store

    store = Store.from_environment(bucket, "health/")
    standing = store.read("last")
    # False says that somebody else wrote meanwhile: so it can write.
    store.replace("last", f"{time.time_ns()}".encode(), standing.etag if standing else None)
    return ""


def _worker(prefect_api_url: str, since: float) -> str:
    url = f"{prefect_api_url}/work_pools/{WORK_POOL}/workers/filter"
    try:
        workers = ask_prefect("POST", url, {}, TIMEOUT_SECONDS)
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:
            return f"work pool {WORK_POOL!r} does not exist yet"
        raise
    beats = [datetime.fromisoformat(w["last_heartbeat_time"]).timestamp() for w in workers if w["last_heartbeat_time"]]
    last = max(beats, default=0.0)
    if last < since:
        return "no heartbeat has reached the Prefect server yet"
    silent = time.time() - last
    return f"the last heartbeat was {silent:.0f} s ago" if silent > OFFLINE_SECONDS else ""
