"""Every error Ingot raises on purpose.

    IngotError                 the run failed                                  exit 1
    ├── InputError             the user's input is wrong                       exit 2
    │   ├── ConfigError        a field of a form
    │   ├── DataError          a file, a column, a row
    │   └── ModelError         an entry point, an architecture, a model file
    ├── TrainingError          training broke down (NaN loss, checkpoint disk)
    ├── GraphError             an exported graph does not answer like its model
    ├── IntegrityError         bytes are not what their digest says
    ├── ConflictError          somebody else committed first
    └── UnavailableError       a server did not answer; the only error retried

A message is one line: *what is value, but must rule: next move*. Where a name is unknown, it lists the known ones.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from tasks.contracts.secrets import masked


class IngotError(Exception):
    r"""The run failed; the message is one line for the user, whatever it quotes, and holds no secret.

    >>> print(IngotError("column 'a\nb' is empty"))
    column 'a\nb' is empty
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in masked(message)))


class InputError(IngotError):
    """The user's input is wrong: nothing was started, nothing was written."""

    exit_code = 2


class ConfigError(InputError):
    """A field of a form has a value it cannot have."""


class DataError(InputError):
    """A source, a file, a column or a row cannot be used as data."""


class ModelError(InputError):
    """A model entry point, architecture or file cannot be used."""


class TrainingError(IngotError):
    """Training broke down; the last checkpoint is kept."""


class GraphError(IngotError):
    """An exported graph is unsound, or does not answer like the model it was made from."""


class IntegrityError(IngotError):
    """Bytes are not what their digest says."""


class ConflictError(IngotError):
    """Somebody else committed first."""


class UnavailableError(IngotError):
    """A server did not answer, or answered with its own fault; trying again can heal it."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that does not exist.

    >>> unknown_name("column", "lable", ["label", "age"])
    "column 'lable' does not exist: did you mean 'label'? known: age, label"
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return f"{what} {name!r} does not exist: {hint}known: {listed or 'none'}"
