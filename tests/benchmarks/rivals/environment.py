"""Somebody else's software in an environment of its own, under `.ingot/environments/`; made once, remade for others."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def python_of(name: str, requirements: Sequence[str]) -> Path:
    """The interpreter of the environment that holds these requirements; they are installed in order.

    Raises:
        subprocess.CalledProcessError: If pip could not.
    """
    folder = Path(os.environ.get("INGOT_HOME") or ".ingot").absolute() / "environments" / name
    mark, python = folder / "ready", folder / "bin" / "python"
    if not mark.exists() or mark.read_text() != "\n".join(requirements):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, capture_output=True)
        for requirement in requirements:
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirement.split()]
            subprocess.run(pip, check=True, capture_output=True, text=True)
        mark.write_text("\n".join(requirements))
    return python
