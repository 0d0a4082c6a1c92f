import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import IngotError, InputError, IntegrityError
from tasks.contracts.manifest import File, GoldenBatch, Lineage, Manifest
from tasks.contracts.signature import Signature
from tasks.contracts.verdict import Gate
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tasks.stores.version_folder import find, pull, read

CONTENT = {"model.onnx": b"graph", "README.md": b"# card", "openvino/model.bin": b"weights"}


def published(store, files=None, contents=CONTENT):
    files = files or tuple(File(path=path, artifact=store.put_bytes(content)) for path, content in contents.items())
    manifest = Manifest(
        model="digits",
        run_key="k",
        candidate="dense/none",
        metric_name="accuracy",
        files=files,
        signature=Signature(inputs=(), outputs=()),
        metrics={},
        gate=Gate(passed=True, reason=""),
        golden=GoldenBatch(inputs={}, outputs={}),
        lineage=Lineage(data_digest="d", config_digest="c", code_digest="k", seed=0),
        created_at="2026-11-21T00:00:00+00:00",
    )
    return Journal(store, "digits").put_manifest(manifest)[1]


@pytest.fixture
def local(tmp_path):
    """A store in a folder."""
    return Store.from_environment((tmp_path / "store").as_uri(), "t/")


@pytest.fixture
def pulled(local, tmp_path):
    pull(local, "digits", published(local), tmp_path / "out")
    return tmp_path / "out"


def test_writes_the_envelope_and_every_file(local, pulled):
    digest = read(pulled).sha256
    assert (pulled / "manifest.json").read_bytes() == local.read(f"models/digits/manifests/{digest}.json").content
    assert {path: (pulled / path).read_bytes() for path in CONTENT} == CONTENT
    assert read(pulled).manifest.model == "digits"


@pytest.mark.parametrize(
    "path", ["../x", "/tmp/x", "a/../x", "a\\x", "manifest.json", "MANIFEST.JSON", "nul", "e\u0301"]
)
def test_a_path_that_leads_elsewhere_writes_nothing(local, tmp_path, path):
    file = File(path=path, artifact=local.put_bytes(b"x"))
    with pytest.raises(IntegrityError, match="path"):
        pull(local, "digits", published(local, (file,)), tmp_path / "a" / "out")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "A"), ("a", "a/b"), ("a/b", "A")])
def test_two_files_never_share_a_place(local, tmp_path, paths):
    files = tuple(File(path=path, artifact=local.put_bytes(b"x")) for path in paths)
    with pytest.raises(IntegrityError, match="is taken already|is a file and a folder"):
        pull(local, "digits", published(local, files), tmp_path / "out")


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_what_exists_is_left_alone(local, tmp_path, kind):
    out = tmp_path / "out"
    {"folder": out.mkdir, "file": out.touch, "dangling link": lambda: out.symlink_to("nowhere")}[kind]()
    with pytest.raises(InputError, match="out exists, but must not"):
        pull(local, "digits", published(local), out)


def test_a_file_that_is_not_what_it_was_leaves_no_folder(local, tmp_path):
    digest = published(local)
    for blob in (tmp_path / "store").rglob("blobs/sha256/*"):
        blob.write_bytes(b"x")
    with pytest.raises(IngotError):
        pull(local, "digits", digest, tmp_path / "out" / "in")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_manifest_under_another_name_is_refused(local, tmp_path):
    digest = published(local)
    envelope = local.read(f"models/digits/manifests/{digest}.json").content
    local.create(f"models/digits/manifests/{'0' * 64}.json", envelope)
    local.create(f"models/other/manifests/{digest}.json", envelope)
    for model, name in (("digits", "0" * 64), ("other", digest)):
        with pytest.raises(IntegrityError, match="is another manifest than its name says"):
            pull(local, model, name, tmp_path / "out")
    with pytest.raises(IntegrityError, match="is missing"):
        pull(local, "digits", "1" * 64, tmp_path / "out")


def test_finds_the_champion_and_versions_by_number(local):
    journal, digest = Journal(local, "digits"), published(local)
    with pytest.raises(InputError, match="has no champion"):
        find(journal, "champion")
    facts = {"version": "3", "manifest": digest, "run_key": "k", "actor": "a", "reason": "r"}
    journal.append(action="publish", **facts)
    journal.append(action="promote", **facts)
    assert [find(journal, wanted).seq for wanted in ("3", "champion")] == [1, 2]
    with pytest.raises(InputError, match="version of model 'digits' '4' does not exist: .*known: 3"):
        find(journal, "4")


def test_refuses_what_is_no_folder(tmp_path):
    with pytest.raises(InputError, match="must be one that `ingot pull` wrote"):
        read(tmp_path / "none")
    with pytest.raises(IntegrityError, match="manifest.json cannot be read"):
        read(tmp_path)


def more(folder):
    (folder / "extra").touch()


def missing(folder):
    (folder / "README.md").unlink()


def soft_link(folder):
    (folder / "README.md").rename(folder.parent / "card")
    (folder / "README.md").symlink_to(folder.parent / "card")


def hard_link(folder):
    (folder.parent / "card").hardlink_to(folder / "README.md")


def linked_folder(folder):
    (folder / "openvino").rename(folder.parent / "openvino")
    (folder / "openvino").symlink_to(folder.parent / "openvino")


def linked_manifest(folder):
    (folder / "manifest.json").rename(folder.parent / "manifest")
    (folder / "manifest.json").symlink_to(folder.parent / "manifest")


def pipe(folder):
    missing(folder)
    os.mkfifo(folder / "README.md")


def empty_folder(folder):
    (folder / "empty").mkdir()


def other_bytes(folder):
    (folder / "README.md").write_bytes(b"# Card")


def same_content_in_other_words(folder):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=1))


DAMAGE = [more, missing, soft_link, hard_link, linked_folder, linked_manifest, pipe, empty_folder, other_bytes]


@pytest.mark.parametrize("damage", [*DAMAGE, same_content_in_other_words])
def test_refuses_a_folder_that_is_not_as_it_was_written(pulled, damage):
    damage(pulled)
    with pytest.raises(IntegrityError, match="but "):
        read(pulled)


def test_refuses_a_pickle_even_if_it_was_published(local, tmp_path):
    digest = published(local, contents={"weights.bin": b"\x80\x04K\x01."})
    pull(local, "digits", digest, tmp_path / "out")
    with pytest.raises(IntegrityError, match="weights.bin is a pickle"):
        read(tmp_path / "out")


FLIPS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FLIPS
@given(data=st.data())
def test_any_byte_of_any_file_that_is_flipped_is_seen(pulled, data):
    path = pulled / data.draw(st.sampled_from(["manifest.json", *sorted(CONTENT)]))
    with flipped(path, data), pytest.raises(IntegrityError):
        read(pulled)


class flipped:
    """A file with one byte changed, for a while."""

    def __init__(self, path: Path, data: st.DataObject) -> None:
        self.path, self.content = path, path.read_bytes()
        changed = bytearray(self.content)
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(bytes(changed))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.path.write_bytes(self.content)
