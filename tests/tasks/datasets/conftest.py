from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tasks.contracts.errors import InputError
from tasks.datasets.build import build_dataset

# The first call of a test loads libraries: no deadline for one example.
settings.register_profile("datasets", deadline=None)
settings.load_profile("datasets")

Refusal = Callable[..., str]


@pytest.fixture
def refusal(tmp_path: Path) -> Refusal:
    """The one line with which a source is refused; nothing may be left behind."""

    def refused(source: Path, error: type[InputError] = InputError, **choices: Any) -> str:
        folder = tmp_path / "splits"
        with pytest.raises(error) as caught:
            build_dataset(source, folder, **choices)
        message = str(caught.value)
        assert "\n" not in message and len(message) < 300 and ": " in message
        assert not folder.exists() or not list(folder.iterdir())
        return message

    return refused


@pytest.fixture
def csv(tmp_path: Path) -> Callable[..., Path]:
    """Writes lines as `data.csv`."""

    def write(*lines: str, name: str = "data.csv") -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write
