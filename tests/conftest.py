"""Fixtures that every test may ask for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.stores.pem import new_key

os.environ["INGOT_SIGNING_KEY"] = new_key().decode()
os.environ.pop("INGOT_TRUSTED_KEYS", None)


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
