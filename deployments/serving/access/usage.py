"""What each key has used, by model and UTC day: a small SQLite database that all workers of a machine add to."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from tasks.contracts.errors import ConfigError, InputError, IntegrityError

DATABASE = "usage.db"
_WAIT_SECONDS = 5.0
_TABLES = """
CREATE TABLE IF NOT EXISTS usage (
    key TEXT, model TEXT, day TEXT,
    requests INTEGER, rows INTEGER, errors INTEGER, bytes_in INTEGER, bytes_out INTEGER, seconds REAL,
    PRIMARY KEY (key, model, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS names (key TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (place TEXT PRIMARY KEY, seq INTEGER) WITHOUT ROWID;
"""
_ADD = """
INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests, rows = rows + excluded.rows, errors = errors + excluded.errors,
    bytes_in = bytes_in + excluded.bytes_in, bytes_out = bytes_out + excluded.bytes_out,
    seconds = seconds + excluded.seconds
"""
_READ = """
SELECT usage.key, coalesce(name, ''), model, day, requests, rows, errors, bytes_in, bytes_out, seconds
FROM usage LEFT JOIN names USING (key) WHERE day > ? AND (? = '' OR usage.key = ?) ORDER BY day DESC, usage.key, model
"""


class Place(NamedTuple):
    """What is counted apart; no key is a server without keys, no model a page or a path that names none."""

    key: str
    model: str
    day: str


@dataclass(slots=True)
class Tally:
    """Sums."""

    requests: int = 0
    rows: int = 0
    errors: int = 0
    """Requests that were not answered with success."""
    bytes_in: int = 0
    """Of bodies, without heads."""
    bytes_out: int = 0
    seconds: float = 0.0
    """Of running the model."""


class UsageRow(NamedTuple):
    """One line of `ingot usage`."""

    key: str
    name: str
    model: str
    day: str
    requests: int
    rows: int
    errors: int
    bytes_in: int
    bytes_out: int
    seconds: float


@dataclass(slots=True)
class Usage:
    """Sums in memory, added to the database now and then; of one thread. What cannot be written now is kept for later.

    Args:
        path: The database; made if it is missing.
    """

    path: Path
    tallies: dict[Place, Tally] = field(default_factory=dict)

    def prepare(self) -> None:
        """Makes the database.

        Raises:
            ConfigError: it cannot be made.
        """
        try:
            with closing(self._connect()) as database, database:
                database.execute("PRAGMA journal_mode = WAL")
                database.executescript(_TABLES)
        except sqlite3.Error as error:
            raise ConfigError(
                f"{self.path} cannot be used ({error}), but must be ours to write: move it away"
            ) from error

    def tally(self, place: Place) -> Tally:
        """The sums of a place, to be added to."""
        found = self.tallies.get(place)
        if found is None:
            found = self.tallies[place] = Tally()
        return found

    def write(self) -> None:
        """Adds the sums to the database, all or none.

        Raises:
            sqlite3.Error: it cannot be written; the sums are kept.
        """
        if not self.tallies:
            return
        rows = [
            (*place, each.requests, each.rows, each.errors, each.bytes_in, each.bytes_out, each.seconds)
            for place, each in self.tallies.items()
        ]
        with closing(self._connect()) as database, database:
            database.executemany(_ADD, rows)
        self.tallies.clear()

    def name(self, names: Mapping[str, str]) -> None:
        """Writes down what keys are called, for whoever reads the table without the store."""
        with closing(self._connect()) as database, database:
            database.executemany("INSERT OR REPLACE INTO names VALUES (?, ?)", names.items())

    def seen(self, place: str) -> int:
        """The highest seq of a key list that was ever in force here; 0 if there was none."""
        with closing(self._connect()) as database:
            row = database.execute("SELECT seq FROM seen WHERE place = ?", (place,)).fetchone()
        return int(row[0]) if row else 0

    def see(self, place: str, seq: int) -> None:
        """Remembers a seq, unless a higher one is remembered."""
        with closing(self._connect()) as database, database:
            upsert = "INSERT INTO seen VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)"
            database.execute(upsert, (place, seq))

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=_WAIT_SECONDS)
        database.execute("PRAGMA synchronous = NORMAL")
        return database


def read_usage(path: Path, *, key: str = "", days: int = 30) -> list[UsageRow]:
    """The last days of a database, newest first.

    Args:
        path: The database.
        key: Of one key alone.
        days: Of how many days, today with them.

    Raises:
        InputError: there is no such database.
        IntegrityError: it is no database of ours.
    """
    if not path.exists():
        raise InputError(
            f"{path} does not exist, but must: nothing was served yet, or INGOT_SERVING_STATE is elsewhere"
        )
    since = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%d")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_WAIT_SECONDS)) as database:
            return [UsageRow(*row) for row in database.execute(_READ, (since, key, key))]
    except sqlite3.Error as error:
        raise IntegrityError(f"{path} cannot be read ({error}), but must hold usage: move it away") from error
