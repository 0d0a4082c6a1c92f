"""The folder that holds everything the embedded stack owns: `.ingot/`, mode 0700."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.errors import ConfigError, UnavailableError

LOG_LIMIT_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Home:
    """Where each thing of one embedded stack lies."""

    root: Path

    @property
    def state(self) -> Path:
        """What the supervisor runs; its existence says that one was started."""
        return self.root / "stack.json"

    @property
    def credentials(self) -> Path:
        """The keys of the embedded S3, mode 0600."""
        return self.root / "credentials.json"

    @property
    def signing_key(self) -> Path:
        """Signs what is published here, mode 0600."""
        return self.root / "keys" / "signing.pem"

    @property
    def trusted_keys(self) -> Path:
        """Whose signatures count here: public keys one after the other."""
        return self.root / "keys" / "trusted.pem"

    @property
    def registered(self) -> Path:
        """Which deployments were registered last, on which server."""
        return self.root / "deployments.json"

    @property
    def logs(self) -> Path:
        """One file for each part, one for the supervisor, one for `ingot run`."""
        return self.root / "logs"

    @property
    def examples(self) -> Path:
        """A request for each model that was made here."""
        return self.root / "examples"

    def folder(self, name: str) -> Path:
        """A private folder in here, made when it is missing."""
        path = self.root / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def log(self, part: str) -> Path:
        """The log of one part."""
        return self.folder("logs") / f"{part}.log"

    def prepare(self) -> None:
        """Make the folder, closed to everybody else.

        Raises:
            ConfigError: It cannot be made or closed.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.chmod(0o700)
            self.folder("logs")
        except OSError as error:
            raise ConfigError(
                f"INGOT_HOME is {self.root}, but must be a folder of yours: {error.strerror or error}"
            ) from error

    @contextmanager
    def locked(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Hold a lock that the kernel frees when its holder dies.

        Raises:
            UnavailableError: Somebody holds it, and `wait` is false.
        """
        descriptor = os.open(self.root / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise UnavailableError(f"{self.root} is in use by another {name}: wait for it, or stop it") from error
            yield
        finally:
            os.close(descriptor)


def write_privately(path: Path, content: bytes) -> None:
    """Replace a file as a whole, readable by its owner alone."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def open_log(path: Path) -> int:
    """A descriptor that appends to a log; a log past 8 MiB is first put aside as `.1`."""
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def last_lines(path: Path, count: int = 15) -> list[str]:
    """The end of a log, without blank lines; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 32_768))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]
