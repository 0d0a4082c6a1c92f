"""Reaching the stack from a process of one's own: `connect()` before Prefect, MLflow or boto3 read their settings."""

import os

from deployments.local.environment import RESILIENT, addresses_of, apply
from deployments.local.settings import Settings, read_settings
from deployments.local.stack import Say, running, up
from deployments.local.state import Addresses, StackState


def connect(settings: Settings | None = None, say: Say = lambda line: None) -> Addresses:
    """Put the addresses and keys of the embedded parts into `os.environ`; start the stack if it does not run.

    What the user has set is left as it is; when all three servers are his own, nothing is started.

    Args:
        settings: Where things are; by default what the environment says.
        say: Is told what is waited for.

    Raises:
        ConfigError: A variable cannot be used, or a port is taken.
        UnavailableError: The stack could not be started.
    """
    settings = settings or read_settings()
    addresses = addresses_of(settings)
    if settings.prefect_api_url and settings.mlflow_tracking_uri and settings.s3_endpoint_url:
        for name, value in RESILIENT.items():
            os.environ.setdefault(name, value)
        return addresses
    state = running(settings)
    if state is None or not _serves(state, settings, addresses):
        up(settings, say)
    apply(settings, addresses, os.environ)
    return addresses


def _serves(state: StackState, settings: Settings, wanted: Addresses) -> bool:
    """Whether a running stack has, and holds alive, every part that the user does not run himself."""
    own = {field for field in ("prefect_api_url", "mlflow_tracking_uri", "s3_endpoint_url") if getattr(settings, field)}
    same = all(
        getattr(state.addresses, field) == getattr(wanted, field)
        for field in Addresses.model_fields
        if field not in own
    )
    return same and all(part.state in ("running", "external") for part in state.parts.values())
