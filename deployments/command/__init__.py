"""The `ingot` command: its entry point alone; what it takes is imported when a command needs it."""


def main() -> None:
    """Run the command line and exit with its code."""
    import sys

    from deployments.command.edge import guarded

    sys.exit(guarded(sys.argv[1:]))
