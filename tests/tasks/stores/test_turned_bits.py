"""Bits that were turned in the store itself, not on the way: nobody takes them for what was written."""

import hashlib
import random

import numpy as np
import pytest

from tasks.contracts.errors import IntegrityError
from tasks.contracts.manifest import File
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tests.tasks.stores.test_journal import manifest

TURNS = 60


@pytest.fixture
def published(store: Store) -> Journal:
    """A champion with one file that lies plain and one that lies under zstd."""
    noise = np.random.default_rng(0).bytes(3000)
    contents = {"noise": noise, "repeated": noise[:300] * 10}
    files = tuple(File(path=path, artifact=store.put_bytes(content)) for path, content in contents.items())
    journal = Journal(store, "digits")
    digest = journal.put_manifest(manifest(files=files))[1]
    facts = {"version": "1", "manifest": digest, "run_key": "k", "actor": "ann", "reason": "why"}
    journal.append(action="publish", **facts)
    journal.move_pointer(journal.append(action="promote", **facts))
    return journal


def read_everything(store: Store) -> None:
    journal = Journal(store, "digits")
    pointer = journal.pointer()
    assert pointer is not None and len(journal.entries()) == 2
    for file in journal.get_manifest(pointer.manifest).files:
        assert hashlib.sha256(store.get_bytes(file.artifact)).hexdigest() == file.artifact.sha256


def put(store: Store, key: str, content: bytes, encoding: str) -> None:
    how = {"ContentEncoding": encoding} if encoding else {}
    store.connection.call("put_object", Bucket=store.bucket, Key=store.prefix + key, Body=content, **how)


def test_no_bit_of_anything_that_lies_in_the_store_can_be_turned(store: Store, published: Journal) -> None:
    chance, keys = random.Random(0), [*store.keys("blobs/"), *store.keys("models/")]
    assert len(keys) == 2 + 1 + 2 + 1  # files, manifest, entries, pointer
    encodings = set()
    for turn in range(TURNS):
        key = keys[turn % len(keys)]
        found = store.connection.open(store.bucket, store.prefix + key)
        content, encodings = b"".join(found.pieces), encodings | {found.encoding}
        bit = chance.randrange(8 * len(content))
        turned = bytearray(content)
        turned[bit // 8] ^= 1 << bit % 8
        put(store, key, bytes(turned), found.encoding)
        with pytest.raises(IntegrityError):
            read_everything(store)
        put(store, key, content, found.encoding)
    assert encodings == {"", "zstd"}
    read_everything(store)
