"""Many command lines in one process, since importing torch, Prefect and MLflow costs more than most of them.

Reads a JSON list of `{"arguments": [...], "environment": {...}}` from standard input and prints a JSON list of
`{"exit_code", "stdout", "stderr"}`.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from deployments.command.edge import guarded


@contextmanager
def captured(descriptor: int) -> Iterator[list[str]]:
    """What is written to a file descriptor, by Python or by a library."""
    kept, text = os.dup(descriptor), [""]
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), descriptor)
        try:
            yield text
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept, descriptor)
            os.close(kept)
            file.seek(0)
            text[0] = file.read().decode(errors="replace")


def run(arguments: list[str], environment: dict[str, str]) -> dict[str, object]:
    """One command line under a changed environment."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        with captured(1) as stdout, captured(2) as stderr:
            exit_code = guarded(arguments)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return {"exit_code": exit_code, "stdout": stdout[0], "stderr": stderr[0]}


if __name__ == "__main__":
    answers = [run(**line) for line in json.load(sys.stdin)]
    json.dump(answers, sys.stdout)
