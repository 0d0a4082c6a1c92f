"""A bucket with keys, and a server that is guarded by them."""

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from deployments.serving.access.guard import guarded
from deployments.serving.app import App
from deployments.serving.settings import Settings
from tasks.stores.access import Keys


@pytest.fixture
def keys(store):
    return Keys(store)


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def guard(store, state, library):
    """A guarded app: `with guard() as guarded: guarded.ask(...)`; the models are those of the shared library."""

    @contextmanager
    def opened(host="127.0.0.1", **changes):
        settings = replace(Settings(state=state, poll_seconds=0.01), **changes)
        with guarded(store, settings, host) as door:
            app = App(library, max_body_bytes=1_000_000, version="1", access=door)
            yield SimpleNamespace(door=door, app=app)
            app.close()

    return opened


def bearer(token):
    return ((b"authorization", f"Bearer {token}".encode()),)
