"""`python -m deployments.serving [NAME ...]`: the serving process, for a supervisor."""

import sys
from collections.abc import Sequence

from deployments.serving.settings import Settings, model_names
from tasks.contracts.errors import IngotError
from tasks.contracts.log_mask import mask_logs


def main(names: list[str]) -> int:
    """Serves the named models, or all; an error is one line on stderr.

    Returns:
        The exit code: 0 after a clean end, 2 if the user's input is wrong, 1 if we failed.
    """
    mask_logs()
    try:
        settings = Settings.from_environment()
        return start(names, settings)
    except IngotError as error:
        sys.stderr.write(f"ingot serving: {error}\n")
        return error.exit_code


def start(names: Sequence[str], settings: Settings) -> int:
    """Serves in this process, or in as many workers as the settings say, with this process as their small parent.

    Returns:
        The exit code.

    Raises:
        IngotError: If it cannot; the message is for the user.
    """
    model_names(names)
    if settings.workers > 1 and not settings.slot:
        from deployments.serving.workers import supervise

        return supervise(names, settings.host, settings.port, settings.workers, settings.state)
    from deployments.serving.server import serve

    serve(names, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
