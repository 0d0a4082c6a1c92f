import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import IntegrityError
from tasks.runtime.vetting import listed, refuse_pickle
from tasks.runtime.vetting.files import _is_pickle


class Bomb:
    def __reduce__(self):
        return (os._exit, (3,))


def saved(value, **how):
    buffer = io.BytesIO()
    torch.save(value, buffer, **how)
    return buffer.getvalue()


def zipped(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme", b"harmless")
        archive.writestr(name, content)
    return buffer.getvalue()


def array(value):
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=True)
    return buffer.getvalue()


PICKLES = {
    "weights.pt": b"anything",
    "model.pkl": b"cos\nsystem\n.",
    "pickle.bin": pickle.dumps(Bomb(), protocol=2),
    "newer.bin": pickle.dumps(Bomb(), protocol=5),
    "large.bin": pickle.dumps(b"0" * 3_000_000, protocol=4),
    "torch.bin": saved({"a": torch.ones(2)}),
    "old.bin": saved({"a": torch.ones(2)}, _use_new_zipfile_serialization=False),
    "model.onnx": pickle.dumps(Bomb()),
    "archive.zip": zipped("inner", pickle.dumps(Bomb())),
    "named.zip": zipped("archive/data.pkl", b"x"),
    "behind.bin": b"\0" * 100 + zipped("data.pkl", b"x"),
    "objects.npy": array(np.array([Bomb()], dtype=object)),
    "objects.npz": zipped("a.npy", array(np.array([None], dtype=object))),
}


@pytest.mark.parametrize("name", PICKLES)
def test_refuses_a_pickle_whatever_its_name_and_loads_none(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(PICKLES[name])
    with pytest.raises(IntegrityError, match="pickle.* runs code when it is read: publish ONNX"):
        refuse_pickle(path)


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x80\x04", b"# words", array(np.ones(3)), zipped("a", b"text")])
def test_takes_what_is_no_pickle(tmp_path, content):
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    refuse_pickle(path)


def test_refuses_a_broken_archive(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(zipped("a", b"text")[:40])
    with pytest.raises(IntegrityError, match="no whole zip archive"):
        refuse_pickle(path)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4), max_leaves=8))
def test_knows_every_pickle_of_protocol_two_and_later(value):
    assert all(_is_pickle(pickle.dumps(value, protocol=protocol)) for protocol in (2, 3, 4, 5))


@given(st.binary(min_size=200, max_size=300))
def test_never_stumbles_over_bytes_that_begin_like_a_pickle(content):
    _is_pickle(b"\x80\x04" + content)


def test_lists_plain_files_alone(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"12")
    (tmp_path / "c").write_bytes(b"")
    assert listed(tmp_path) == {"a/b": 2, "c": 0}


@pytest.mark.parametrize("kind", ["soft", "soft folder", "dangling", "hard", "pipe", "empty folder"])
def test_refuses_everything_else(tmp_path, kind):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside").write_bytes(b"")
    odd = folder / "odd"
    {
        "soft": lambda: odd.symlink_to(tmp_path / "outside"),
        "soft folder": lambda: odd.symlink_to("/etc"),
        "dangling": lambda: odd.symlink_to("nowhere"),
        "hard": lambda: odd.hardlink_to(tmp_path / "outside"),
        "pipe": lambda: os.mkfifo(odd),
        "empty folder": odd.mkdir,
    }[kind]()
    with pytest.raises(IntegrityError, match="odd (is a symbolic link|has 2 names|is no regular file|is empty)"):
        listed(folder)
