"""What others make of the same network: each in an environment of its own, by its defaults.

A rival is a script that takes an ONNX network, rows to calibrate with and a folder, and leaves ONNX files there.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rivals.environment import python_of

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Rival:
    """Somebody else's way to int8."""

    name: str
    requirements: tuple[str, ...]
    """For pip, installed in order; none takes the environment of Ingot itself."""

    def quantized(self, network: Path, rows: Path, folder: Path) -> dict[str, Path]:
        """Variant to ONNX file; empty where it could not be installed or failed, which is told on stderr."""
        folder.mkdir()
        try:
            command = [self._python(), str(HERE / f"{self.name}_int8.py"), str(network), str(rows), str(folder)]
            subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
        except subprocess.CalledProcessError as error:
            sys.stderr.write(f"{self.name} is left out: {' '.join((error.stderr or '').split())[-400:]}\n")
            return {}
        return {f"{self.name} {path.stem}": path for path in sorted(folder.glob("*.onnx"))}

    def _python(self) -> str:
        if not self.requirements:
            return sys.executable
        return str(python_of(self.name, self.requirements))


# torch first and by its exact version, as everywhere; requests is a dependency that Olive forgets to name.
RIVALS = (
    Rival("onnxruntime", ()),
    Rival("nncf", ("onnx==1.23.2", "onnxruntime==1.31.0", "nncf==3.4.0")),
    Rival("olive", ("torch==2.13.0", "onnx==1.23.2", "onnxruntime==1.31.0", "requests", "olive-ai==0.13.0")),
)
