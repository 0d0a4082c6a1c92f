"""Places where a run can be told to die or to fail, so that a test can prove that neither matters.

`INGOT_FAILPOINT=publish.after_manifest:kill` ends the process there as `kill -9` does; `:fail` raises there, once in a
process, as a lost answer does. Several are separated by commas. Unset, a point costs one look at the environment.
"""

import os
import signal

from tasks.contracts.errors import ConfigError, UnavailableError, unknown_name

VARIABLE = "INGOT_FAILPOINT"

REMEMBERED = ("ingest", "train", "export", "survey", "prune", "finetune", "quantize", "evaluate", "explain", "convert")
"""The steps that `tasks.recall` looks up."""

POINTS = (
    *(f"{step}.{moment}" for step in REMEMBERED for moment in ("before_body", "before_result", "after_result")),
    "training.after_epoch",
    "publish.before_anything",
    "publish.after_logged_model",
    "publish.after_graph",
    "publish.after_blobs",
    "publish.after_manifest",
    "publish.after_registered_model",
    "publish.after_created_version",
    "publish.after_version",
    "publish.before_commit",
    "publish.after_commit",
    "publish.after_tags",
    "promote.before_contest",
    "promote.after_contest",
    "promote.after_challenger",
    "promote.before_commit",
    "promote.after_commit",
    "promote.before_pointer",
    "promote.after_pointer",
    "promote.before_alias",
    "promote.after_alias",
    "rollback.before_commit",
    "rollback.after_commit",
    "rollback.before_pointer",
    "rollback.after_pointer",
    "rollback.before_alias",
    "rollback.after_alias",
)
"""All of them; those of publishing and what follows stand in the order in which they are passed."""

_failed: set[str] = set()


def failpoint(name: str) -> None:
    """Dies or fails here if the environment says so.

    Raises:
        UnavailableError: it was told to fail here.
        ConfigError: the variable names no point, or no way to fail.
    """
    wish = os.environ.get(VARIABLE, "")
    if not wish:
        return
    for each in wish.split(","):
        point, _, way = each.strip().partition(":")
        if point not in POINTS:
            raise ConfigError(unknown_name(VARIABLE, point, POINTS))
        if way not in ("kill", "fail"):
            raise ConfigError(f"{VARIABLE} is {each!r}, but must end in :kill or :fail: correct it")
        if point == name:
            _act(point, way)


def _act(point: str, way: str) -> None:
    if way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif point not in _failed:
        _failed.add(point)
        raise UnavailableError(f"{point} was told to fail by {VARIABLE}: unset it")
