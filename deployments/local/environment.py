"""The environment variables through which everything finds everything else."""

import os
from collections.abc import MutableMapping
from urllib.parse import urlsplit

from deployments.local.credentials import load_or_create, make_signing_key
from deployments.local.ports import LOCALHOST
from deployments.local.serving import scheme
from deployments.local.settings import Settings
from deployments.local.state import Addresses
from tasks.stores.signing import SIGNING_KEY, TRUSTED_KEYS

WORK_POOL = "ingot"
REGION = "us-east-1"
FOREIGN = {
    "prefect_api_url": ("PREFECT_API_KEY", "PREFECT_PROFILE"),
    "mlflow_tracking_uri": ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
    "s3_endpoint_url": ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"),
}
"""What belongs to somebody else's server, and would be sent to ours."""

RESILIENT = {
    # A server that is away is asked again after 2, 4, ... 256 s: for eight minutes. The default gives up after one.
    "PREFECT_CLIENT_MAX_RETRIES": "8",
    # By it a run whose process is gone is told from one that works; Prefect takes nothing below 30 s.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}
"""What flow runs need on anybody's server; what the user has set wins."""


def addresses_of(settings: Settings) -> Addresses:
    """Where everything answers under these settings."""
    return Addresses(
        prefect_api_url=settings.prefect_api_url or f"http://{LOCALHOST}:{settings.prefect_port}/api",
        mlflow_tracking_uri=settings.mlflow_tracking_uri or f"http://{LOCALHOST}:{settings.mlflow_port}",
        s3_endpoint_url=settings.s3_endpoint_url or f"http://{LOCALHOST}:{settings.s3_port}",
        bucket=settings.bucket,
        serving_url=f"{scheme()}://{settings.serving_host}:{settings.serving_port}",
    )


def client_environment(settings: Settings, addresses: Addresses) -> dict[str, str]:
    """What a process must have in its environment to reach the stack; nothing for parts that the user runs himself."""
    values = {
        "INGOT_HOME": str(settings.place.root),
        "INGOT_BUCKET": addresses.bucket,
        "INGOT_SERVING_HOST": settings.serving_host,
        "INGOT_SERVING_PORT": str(urlsplit(addresses.serving_url).port or settings.serving_port),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "NO_PROXY": _without_proxy("NO_PROXY"),
        "no_proxy": _without_proxy("no_proxy"),
        **{name: os.environ.get(name) or value for name, value in RESILIENT.items()},
    }
    if not settings.prefect_api_url:
        values |= {
            "PREFECT_API_URL": addresses.prefect_api_url,
            "PREFECT_HOME": str(settings.place.folder("prefect")),
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
    if not settings.mlflow_tracking_uri:
        values["MLFLOW_TRACKING_URI"] = addresses.mlflow_tracking_uri
    if not settings.s3_endpoint_url:
        keys = load_or_create(settings.place)
        values |= {
            "AWS_ENDPOINT_URL": addresses.s3_endpoint_url,
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }
    if not settings.signing_key and not settings.trusted_keys:
        make_signing_key(settings.place)
        values |= {
            SIGNING_KEY: str(settings.place.signing_key),
            TRUSTED_KEYS: str(settings.place.trusted_keys),
        }
    return values


def apply(settings: Settings, addresses: Addresses, to: MutableMapping[str, str]) -> None:
    """Put the client environment into a process's own, and take out what would mislead it."""
    for field, names in FOREIGN.items():
        if not getattr(settings, field):
            for name in names:
                to.pop(name, None)
    to.update(client_environment(settings, addresses))


def _without_proxy(name: str) -> str:
    given = [host for host in os.environ.get(name, "").split(",") if host]
    return ",".join([*given, *(host for host in (LOCALHOST, "localhost") if host not in given)])
