"""Fixtures that every test may ask for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tasks.stores.pem import new_key

os.environ["INGOT_SIGNING_KEY"] = new_key().decode()
os.environ.pop("INGOT_TRUSTED_KEYS", None)

# What a property meets is the same in every run, so that a change is judged by what it changes. `make explore` looks
# further, and finds what `make test` then holds as an example of its own.
settings.register_profile("steady", derandomize=True, database=None)
settings.register_profile("explore", print_blob=True)
settings.load_profile(os.environ.get("INGOT_PROPERTIES", "steady"))


@pytest.fixture
def snapshot(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Hold a text against `snapshots/<name>` beside the test; INGOT_UPDATE_SNAPSHOTS=1 writes it anew."""

    def hold(name: str, text: str) -> None:
        path = Path(request.path).parent / "snapshots" / name
        if os.environ.get("INGOT_UPDATE_SNAPSHOTS") == "1":
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"no snapshot {path.name}: run once with INGOT_UPDATE_SNAPSHOTS=1"
        assert text == path.read_text(), f"{name} changed: if that is meant, run once with INGOT_UPDATE_SNAPSHOTS=1"

    return hold
