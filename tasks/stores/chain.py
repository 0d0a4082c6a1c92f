"""The chain of journal entries under one folder of a store: read in parallel, verified link by link."""

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from tasks.contracts.errors import IntegrityError
from tasks.contracts.manifest import JOURNAL_TYPE, JournalEntry
from tasks.contracts.record import sha256_hex
from tasks.stores.s3 import Store
from tasks.stores.signing import Keyring

BEGINNING = "0" * 64
"""What the first entry names as the digest before it."""

READERS = 16
"""Entries read at once: the first look at three years of nights, 2,000 entries, takes seconds."""


class Chain:
    """Entries 1 to n, each naming the digest of the one before. What was verified once is not read again."""

    def __init__(self, store: Store, folder: str, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring
        self._folder = folder
        self._entries: list[JournalEntry] = []
        self._head = BEGINNING
        self._lock = Lock()

    def read(self) -> tuple[list[JournalEntry], str]:
        """All entries as they stand now, oldest first, and the digest that the next one must name.

        Raises:
            IntegrityError: an entry is missing, not signed by whom we trust, or does not name the one before it.
        """
        with self._lock:
            known, length = len(self._entries), self._length()
            if length < known:
                raise IntegrityError(f"{self._uri(known)} is missing, but stood there before: restore it")
            with ThreadPoolExecutor(READERS) as pool:
                places = range(known + 1, length + 1)
                for seq, envelope in zip(places, pool.map(self._envelope, places), strict=True):
                    self._link(seq, envelope)
            return list(self._entries), self._head

    def add(self, entry: JournalEntry) -> bool:
        """Commits an entry; False if its place is taken."""
        return self._store.create(self._key(entry.seq), self._keyring.seal_record(entry, JOURNAL_TYPE))

    def _length(self) -> int:
        """The highest place that is taken. A listing may miss an entry that was being written, but not the last."""
        names = (key.removeprefix(self._folder) for key in self._store.keys(self._folder))
        return max((int(name[:20]) for name in names if re.fullmatch(r"\d{20}\.json", name)), default=0)

    def _envelope(self, seq: int) -> bytes:
        found = self._store.read(self._key(seq))
        if found is None:
            raise IntegrityError(f"{self._uri(seq)} is missing, but later entries stand: restore it")
        return found.content

    def _link(self, seq: int, envelope: bytes) -> None:
        entry = self._keyring.unseal_record(JournalEntry, envelope, JOURNAL_TYPE, self._uri(seq))
        if entry.seq != seq:
            raise IntegrityError(
                f"{self._uri(seq)} says it is entry {entry.seq}: somebody moved it, restore the journal"
            )
        if entry.previous_sha256 != self._head:
            raise IntegrityError(
                f"{self._uri(seq)} follows {entry.previous_sha256[:12]}, but the entry before it is {self._head[:12]}: "
                "history was rewritten, restore the journal"
            )
        self._entries.append(entry)
        self._head = sha256_hex(envelope)

    def _key(self, seq: int) -> str:
        return f"{self._folder}{seq:020d}.json"

    def _uri(self, seq: int) -> str:
        return self._store.uri(self._key(seq))
