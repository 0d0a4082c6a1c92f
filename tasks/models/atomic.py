"""Files that are either whole or not there."""

import os
import tempfile
from pathlib import Path

from tasks.contracts.errors import TrainingError


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path`, in one step: whoever reads sees the old file or the new one, whole.

    Raises:
        TrainingError: The disk is full or cannot be written to; the old file still stands, and no other is left.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".writing-", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        reason = error.strerror or type(error).__name__
        raise TrainingError(
            f"{path} cannot be written ({reason}): free {len(content):,} bytes or mend the folder"
        ) from error
