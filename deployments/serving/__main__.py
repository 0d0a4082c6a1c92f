"""`python -m deployments.serving [NAME ...]`: the serving process, for a supervisor."""

import sys

from deployments.serving.server import serve
from deployments.serving.settings import Settings
from tasks.contracts.errors import IngotError


def main(names: list[str]) -> int:
    """Serves the named models, or all; an error is one line on stderr.

    Returns:
        The exit code: 0 after a clean end, 2 if the user's input is wrong, 1 if we failed.
    """
    try:
        settings = Settings.from_environment()
        serve(names, settings.host, settings.port)
    except IngotError as error:
        sys.stderr.write(f"ingot serving: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
