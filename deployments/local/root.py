"""The pull step of `prefect.yaml`: a flow run of a process worker works where the data of its deployment lie.

Prefect would else store the deployer's own directory on the server. `INGOT_ROOT` is set by `ingot up` for its worker;
any other worker falls back to the folder the packages were installed from.
"""

import os
from pathlib import Path

ROOT_VARIABLE = "INGOT_ROOT"
PREFECT_FILE = Path(__file__).parent.parent / "prefect.yaml"


def enter_root() -> dict[str, str]:
    """Change into the project's folder, and name it to Prefect."""
    directory = os.environ.get(ROOT_VARIABLE) or str(PREFECT_FILE.parent.parent)
    os.chdir(directory)
    return {"directory": directory}
