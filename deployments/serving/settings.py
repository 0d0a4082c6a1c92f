"""Where the serving process listens and what it allows: environment variables that begin with `INGOT_`."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.contracts.errors import ConfigError

_MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True)
class Settings:
    """What the environment says, checked."""

    max_body_bytes: int = 16 * 2**20
    """INGOT_MAX_BODY_BYTES: a longer request body is refused with 413."""
    poll_seconds: float = 1.0
    """INGOT_POLL_SECONDS: how often champion pointers are looked at."""
    host: str = "127.0.0.1"
    """INGOT_SERVING_HOST."""
    port: int = 8080
    """INGOT_SERVING_PORT; 0 takes a free one."""
    trial_memory_bytes: int = 0
    """INGOT_TRIAL_MEMORY_BYTES: most memory of the process that tries a version; 0 takes 1 GiB and 8 times the file."""
    trial_seconds: float = 60.0
    """INGOT_TRIAL_SECONDS: a version that is not loaded and true to its golden batch by then is refused."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Reads the variables; an unset or empty one keeps its default.

        Raises:
            ConfigError: If one has a value it cannot have.
        """
        return cls(
            max_body_bytes=int(_number(environment, "INGOT_MAX_BODY_BYTES", cls.max_body_bytes, 1024, 2**31)),
            poll_seconds=_number(environment, "INGOT_POLL_SECONDS", cls.poll_seconds, 0.01, 3600),
            host=environment.get("INGOT_SERVING_HOST") or cls.host,
            port=int(_number(environment, "INGOT_SERVING_PORT", cls.port, 0, 65535)),
            trial_memory_bytes=int(_number(environment, "INGOT_TRIAL_MEMORY_BYTES", cls.trial_memory_bytes, 0, 2**50)),
            trial_seconds=_number(environment, "INGOT_TRIAL_SECONDS", cls.trial_seconds, 1, 3600),
        )


def _number(environment: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    text = environment.get(name) or str(default)
    whole = isinstance(default, int)
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise ConfigError(f"{name} is {text!r}, but must be {kind} from {low:g} to {high:g}: unset it for {default:g}")
    return value


def is_model_name(name: str) -> bool:
    """Whether a model can be called so."""
    return _MODEL_NAME.fullmatch(name) is not None


def model_names(names: Sequence[str]) -> tuple[str, ...]:
    """The models that `NAME[@alias]` arguments ask for, each once.

    >>> model_names(["digits@champion", "diabetes", "digits"])
    ('digits', 'diabetes')

    Raises:
        ConfigError: If a name cannot be a model's, or the alias is not the champion.
    """
    models = []
    for given in names:
        model, _, alias = given.partition("@")
        if not is_model_name(model):
            raise ConfigError(f"model name is {model!r}, but must begin with a-z or 0-9 and hold only a-z 0-9 _ -")
        if alias not in ("", "champion"):
            raise ConfigError(f"alias is {alias!r}, but must be champion, which serving follows: write {model}")
        models.append(model)
    return tuple(dict.fromkeys(models))
