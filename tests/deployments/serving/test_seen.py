"""What was seen once is never un-seen."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from deployments.serving.seen import Seen
from tasks.contracts.errors import ConfigError, IntegrityError
from tasks.contracts.manifest import Pointer

PLACE = "s3://ingot/models/digits/aliases/champion.json"


def pointer(seq, day=1, manifest="m"):
    return Pointer(seq=seq, version="1", manifest=manifest, expires=f"2026-12-{day:02d}T00:00:00+00:00")


def test_an_older_pointer_is_refused_by_the_next_process_too(tmp_path):
    Seen(tmp_path).note(PLACE, pointer(5))
    with pytest.raises(IntegrityError, match="is at seq 4, .*, but must not be older than seq 5, .*: somebody put an"):
        Seen(tmp_path).check(PLACE, pointer(4, day=30))
    Seen(tmp_path).check(PLACE, pointer(5))
    Seen(tmp_path).check(PLACE, pointer(6))


def test_a_renewal_is_newer_than_what_it_renews(tmp_path):
    seen = Seen(tmp_path)
    seen.note(PLACE, pointer(5, day=20))
    with pytest.raises(IntegrityError, match="somebody put an old pointer back"):
        seen.check(PLACE, pointer(5, day=10))
    seen.check(PLACE, pointer(5, day=21))


def test_two_histories_cannot_share_a_place(tmp_path):
    seen = Seen(tmp_path)
    seen.note(PLACE, pointer(5))
    with pytest.raises(IntegrityError, match="names manifest other, but named m before: history was rewritten"):
        seen.check(PLACE, pointer(5, day=2, manifest="other"))


def test_a_note_never_gives_way_to_an_older_one_whoever_writes(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seq: Seen(tmp_path).note(PLACE, pointer(seq)), [*range(1, 30), *range(29, 0, -1)]))
    with pytest.raises(IntegrityError):
        Seen(tmp_path).check(PLACE, pointer(28, day=30))
    Seen(tmp_path).check(PLACE, pointer(29))


def test_stores_do_not_share_their_notes(tmp_path):
    Seen(tmp_path).note(PLACE, pointer(5))
    Seen(tmp_path).check("s3://other/models/digits/aliases/champion.json", pointer(1))


def test_without_a_folder_it_remembers_for_its_own_life():
    seen = Seen()
    seen.note(PLACE, pointer(5))
    with pytest.raises(IntegrityError):
        seen.check(PLACE, pointer(4))
    Seen().check(PLACE, pointer(4))


@pytest.mark.parametrize("content", [b"", b"torn", b"[]", b'{"a": {"seq": 1}}'])
def test_damaged_notes_are_not_forgotten_silently(tmp_path, content):
    (tmp_path / "seen.json").write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read, but must say which pointers were seen: restore it, or"):
        Seen(tmp_path).check(PLACE, pointer(1))


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="INGOT_SERVING_STATE is .*, but must be a folder of ours"):
        Seen(tmp_path / "file" / "state").note(PLACE, pointer(1))
