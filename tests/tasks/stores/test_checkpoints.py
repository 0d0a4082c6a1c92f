import pytest

from tasks.contracts.errors import UnavailableError
from tasks.stores import checkpoints
from tasks.stores.checkpoints import Checkpoints, folder_of, forget
from tasks.stores.s3 import Store


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "here"))
    return Store.from_environment(f"file://{tmp_path}/store")


def write(key, content):
    folder_of(key).mkdir(parents=True, exist_ok=True)
    (folder_of(key) / checkpoints.NAME).write_bytes(content)


def test_another_machine_takes_up_the_last_copy(store, monkeypatch, tmp_path):
    with Checkpoints(store, "key", every_seconds=0) as saves:
        write("key", b"after epoch 3")
        saves()
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "there"))
    with Checkpoints(store, "key") as saves:
        assert (saves.folder / checkpoints.NAME).read_bytes() == b"after epoch 3"


def test_what_lies_here_is_not_replaced_by_an_older_copy(store):
    with Checkpoints(store, "key", every_seconds=0) as saves:
        write("key", b"after epoch 3")
        saves()
    write("key", b"after epoch 4")
    with Checkpoints(store, "key") as saves:
        assert (saves.folder / checkpoints.NAME).read_bytes() == b"after epoch 4"


def test_of_all_copies_one_stands_and_nothing_else_is_touched(store):
    store.put_bytes(b"somebody else's")
    before = set(store.keys(""))
    for epoch in range(4):
        with Checkpoints(store, "key", every_seconds=0) as saves:
            write("key", b"after epoch %d" % epoch)
            saves()
    copies = set(store.keys("")) - before
    assert len(copies) == 2 and "checkpoints/key/last.json" in copies
    forget(store, "key")
    assert set(store.keys("")) == before


def test_a_copy_that_is_broken_is_no_copy_and_a_store_that_is_away_is_waited_for(store, tmp_path, monkeypatch):
    with Checkpoints(store, "key", every_seconds=0) as saves:
        write("key", b"after epoch 3")
        saves()
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "there"))

    def away(*_):
        raise UnavailableError("S3 does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "fetch", away)
        with pytest.raises(UnavailableError), Checkpoints(store, "key"):
            pass
    (blob,) = store.keys("checkpoints/key/blobs/")
    store.delete(blob)
    with Checkpoints(store, "key") as saves:
        assert not (saves.folder / checkpoints.NAME).exists()


def test_a_store_that_is_away_costs_copies_only(tmp_path, monkeypatch):
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    (tmp_path / "file").write_bytes(b"")
    away = Store.from_environment(f"file://{tmp_path}/file/store")
    saves = Checkpoints(away, "key", every_seconds=0)
    write("key", b"x")
    saves()
    saves.__exit__(None, None, None)


def test_what_stands_in_a_result_is_forgotten_everywhere(store):
    with Checkpoints(store, "key", every_seconds=0) as saves:
        write("key", b"x")
        saves()
    forget(store, "key")
    assert not folder_of("key").exists() and not list(store.keys("checkpoints/"))


def test_without_a_key_nothing_is_kept(store):
    with Checkpoints(store, "") as saves:
        saves()
    assert saves.folder is None
