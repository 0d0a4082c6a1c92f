"""The environment is given back as it was: commands load `.env` and connect into it."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def environment_of_its_own() -> Iterator[None]:
    before = dict(os.environ)
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"):
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(before)
