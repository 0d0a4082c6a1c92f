"""Epochs as a progress bar in the Prefect UI: an artifact that is moved every few seconds, and never by the training.

A change costs an API call, and a server that is away costs seconds. So a thread of its own tells the latest epoch; the
training only leaves it there. What the server does not take is let go.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.context import TaskRunContext
from prefect.exceptions import PrefectException
