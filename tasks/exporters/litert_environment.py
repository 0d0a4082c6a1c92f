"""The Python that LiteRT's converter lives in: it pins other versions than ours, so it gets an environment of its own.

`INGOT_LITERT_PYTHON` names an interpreter that has `litert-requirements.txt` installed. Without it, one is looked for
under `.ingot/environments/litert`, where `python -m tasks.exporters.litert_environment` makes it (2 GB, 2 minutes).
The mark `ready` is written last and holds the digest of the requirements: it exists only in a whole environment.
"""

import os
import subprocess
import sys
from pathlib import Path

from tasks.contracts.errors import ConfigError
from tasks.contracts.record import sha256_hex

VARIABLE = "INGOT_LITERT_PYTHON"
REQUIREMENTS = Path(__file__).with_name("litert-requirements.txt")
_MEND = f"make it by python -m tasks.exporters.litert_environment, or set {VARIABLE} to a Python that has {{file}}"


def interpreter() -> Path:
    """The Python to convert with.

    Raises:
        ConfigError: There is none, or it was made for other requirements.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            raise ConfigError(f"{VARIABLE} is {named}, but must be a Python interpreter: {_mend()}")
        return Path(named)
    mark = folder() / "ready"
    if not mark.exists():
        raise ConfigError(f"export.extra_formats holds 'litert', but {folder()} is no whole environment: {_mend()}")
    if mark.read_text() != _digest():
        raise ConfigError(f"{folder()} was made for other requirements, but must have those of today: {_mend()}")
    return _python(folder())


def folder() -> Path:
    """Where the environment lies that `create` makes."""
    return Path(os.environ.get("INGOT_HOME") or ".ingot").absolute() / "environments" / "litert"


def create(at: Path | None = None) -> Path:
    """Makes the environment with pip, over an earlier one, and returns its interpreter.

    torch goes first: asked for alone it is the CPU wheel, among others pip might bring that with gigabytes of CUDA.

    Raises:
        ConfigError: A command failed; its output was shown.
    """
    at = at or folder()
    mark = at / "ready"
    mark.unlink(missing_ok=True)
    python = str(_python(at))
    torch = next(line for line in REQUIREMENTS.read_text().splitlines() if line.startswith("torch=="))
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(at)],
        [*pip, torch],
        [*pip, "--requirement", str(REQUIREMENTS)],
    ):
        if subprocess.run(command, check=False).returncode:
            raise ConfigError(f"{at} cannot be made, {' '.join(command)} failed: mend what it says, and run it again")
    mark.write_text(_digest())
    return Path(python)


def _python(at: Path) -> Path:
    return at / "bin" / "python"


def _digest() -> str:
    return sha256_hex(REQUIREMENTS.read_bytes())


def _mend() -> str:
    return _MEND.format(file=REQUIREMENTS.name)


if __name__ == "__main__":
    create()
