"""Where the serving process listens and what it allows: environment variables that begin with `INGOT_`."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.errors import ConfigError

_VERSION = re.compile(r"[0-9][A-Za-z0-9._-]{0,62}")
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
    header_seconds: float = 10.0
    """INGOT_HEADER_SECONDS: how long a connection may take to bring the whole head of a request."""
    body_seconds: float = 60.0
    """INGOT_BODY_SECONDS: how long a body may take to come, and an answer to be taken."""
    workers: int = 1
    """INGOT_SERVING_WORKERS: processes that share the port."""
    state: Path = Path(".ingot/serving")
    """INGOT_SERVING_STATE: usage, audit log, allowances, pointers seen; by default `serving` in INGOT_HOME."""
    slot: str = ""
    """INGOT_SERVING_SLOT: which of several workers this process is, as the parent of all tells it; empty without."""
    queue_rows: int = 100_000
    """INGOT_QUEUE_ROWS: rows that may wait or run at once; a request beyond that is refused with 429."""
    sample_share: float = 0.0
    """INGOT_SAMPLE_SHARE: share of requests whose rows are kept in the bucket with their answers."""
    anonymous: bool = False
    """INGOT_SERVING_ANONYMOUS: a server without API keys answers everybody, also beyond loopback."""
    audit: bool = True
    """INGOT_AUDIT: whether requests that need a key are written down."""
    tls_cert: str = ""
    """INGOT_TLS_CERT: a certificate chain in PEM."""
    tls_key: str = ""
    """INGOT_TLS_KEY: its private key in PEM, without a password."""
    trial_memory_bytes: int = 0
    """INGOT_TRIAL_MEMORY_BYTES: most memory of the process that tries a version; 0 takes 1 GiB and 8 times the file."""
    trial_seconds: float = 60.0
    """INGOT_TRIAL_SECONDS: a version that is not loaded and true to its golden batch by then is refused."""

    @property
    def shared_state(self) -> Path | None:
        """The state folder if other workers look into it."""
        return self.state if self.slot else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Reads the variables; an unset or empty one keeps its default.

        Raises:
            ConfigError: If one has a value it cannot have.
        """
        return cls(
            max_body_bytes=int(_number(environment, "INGOT_MAX_BODY_BYTES", cls.max_body_bytes, 1024, 2**31)),
            header_seconds=_number(environment, "INGOT_HEADER_SECONDS", cls.header_seconds, 0.1, 3600),
            body_seconds=_number(environment, "INGOT_BODY_SECONDS", cls.body_seconds, 0.1, 86400),
            poll_seconds=_number(environment, "INGOT_POLL_SECONDS", cls.poll_seconds, 0.01, 3600),
            host=environment.get("INGOT_SERVING_HOST") or cls.host,
            port=int(_number(environment, "INGOT_SERVING_PORT", cls.port, 0, 65535)),
            workers=int(_number(environment, "INGOT_SERVING_WORKERS", cls.workers, 1, 256)),
            slot=environment.get("INGOT_SERVING_SLOT") or cls.slot,
            queue_rows=int(_number(environment, "INGOT_QUEUE_ROWS", cls.queue_rows, 1, 10**9)),
            sample_share=_number(environment, "INGOT_SAMPLE_SHARE", cls.sample_share, 0, 1),
            state=state_folder(environment),
            anonymous=_switch(environment, "INGOT_SERVING_ANONYMOUS", default=cls.anonymous),
            audit=_switch(environment, "INGOT_AUDIT", default=cls.audit),
            tls_cert=environment.get("INGOT_TLS_CERT", ""),
            tls_key=environment.get("INGOT_TLS_KEY", ""),
            trial_memory_bytes=int(_number(environment, "INGOT_TRIAL_MEMORY_BYTES", cls.trial_memory_bytes, 0, 2**50)),
            trial_seconds=_number(environment, "INGOT_TRIAL_SECONDS", cls.trial_seconds, 1, 3600),
        )


DEFAULTS = Settings()


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where serving keeps its books."""
    home = environment.get("INGOT_HOME") or ".ingot"
    return Path(environment.get("INGOT_SERVING_STATE") or Path(home, "serving")).expanduser()


def _switch(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environment.get(name) or str(int(default))
    if text not in ("0", "1"):
        raise ConfigError(f"{name} is {text!r}, but must be 0 or 1: unset it for {int(default)}")
    return text == "1"


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
    """The models that `NAME[@champion]` or `NAME@VERSION` arguments ask for, each once.

    >>> model_names(["digits@champion", "diabetes", "digits@3"])
    ('digits', 'diabetes')

    Raises:
        ConfigError: If a name cannot be a model's, or what follows it is neither the champion nor a version.
    """
    return tuple(dict.fromkeys(_split(given)[0] for given in names))


def pins(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The versions that are asked for beside the champion, by model.

    >>> pins(["digits", "digits@3", "digits@5"])
    {'digits': ('3', '5')}
    """
    found: dict[str, tuple[str, ...]] = {}
    for model, version in map(_split, names):
        if version not in ("", "champion", *found.get(model, ())):
            found[model] = (*found.get(model, ()), version)
    return found


def _split(given: str) -> tuple[str, str]:
    model, _, version = given.partition("@")
    if not is_model_name(model):
        raise ConfigError(f"model name is {model!r}, but must begin with a-z or 0-9 and hold only a-z 0-9 _ -")
    if version not in ("", "champion") and not _VERSION.fullmatch(version):
        raise ConfigError(
            f"alias is {version!r}, but must be champion, which serving follows, or a version: write {model}"
        )
    return model, version
