"""The edge of the process: whatever goes wrong leaves as one line on stderr and an exit code, never as a traceback.

0    done
1    the run failed
2    the user's input is wrong
3    `ingot drift` found drift
130  stopped by Ctrl-C
"""

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import typer

from deployments.command.app import app
from tasks.contracts.errors import IngotError
from tasks.contracts.log_mask import mask_logs
from tasks.contracts.secrets import masked

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
# Typer vendors click; this is the one public way to the errors of a command line.
UsageError = typer.BadParameter.__mro__[1]


def guarded(arguments: Sequence[str]) -> int:
    """Run a command line; its exit code."""
    mask_logs()
    try:
        code = app(list(arguments), prog_name="ingot", standalone_mode=False)
    except IngotError as error:
        return _refuse(str(error), error.exit_code)
    except typer.Abort:
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output went away; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001  the edge: an error nobody foresaw is reported, with a place to look it up
        return _refuse_unusual(error)
    return code if isinstance(code, int) else DONE


def _refuse_unusual(error: Exception) -> int:
    if isinstance(error, UsageError):
        return _refuse(_usage(error), WRONG_INPUT)
    log = Path(os.environ.get("INGOT_HOME") or ".ingot") / "logs" / "command.log"
    first = masked(" ".join(str(error).split()))[:300]
    where = "the next try may tell more"
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(masked("".join(traceback.format_exception(error))))
        where = f"the traceback is in {log}"
    except OSError as full:
        where = f"{log} cannot be written ({full.strerror})"
    return _refuse(f"{type(error).__name__} is not a user's fault, but must be mended ({first}): {where}", FAILED)


def _usage(error: Exception) -> str:
    text = str(getattr(error, "format_message", lambda: error)()).rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "ingot"
    return f"{text}: see `{path} --help`"


def _refuse(sentence: str, code: int) -> int:
    sys.stderr.write(f"error: {sentence}\n")
    return code
