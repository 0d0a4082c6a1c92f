import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import IntegrityError
from tasks.runtime.vetting import plain_path

BAD = ["", ".", "..", "/", "/etc/passwd", "a/../b", "a/./b", "a//b", "a/", "../a", "a\\b", "C:a", "a\0b", "a\nb", "nul"]
BAD += [
    "COM1.txt",
    "con/a",
    "a.",
    "a ",
    " a",
    "e\u0301",
    "a\u200bb",
    "a\u202eb",
    "x" * 256,
    "/".join("a" * 17),
    "*",
    "\ud800",
]


@pytest.mark.parametrize("text", BAD)
def test_refuses_a_path_that_could_lead_elsewhere(text):
    with pytest.raises(IntegrityError, match="path is .* but must be a plain path within the folder: "):
        plain_path(text, "path")


@pytest.mark.parametrize("text", ["model.onnx", "openvino/model.xml", "README.md", "größe/a-b_c.1", "...a"])
def test_takes_an_ordinary_path(text):
    assert plain_path(text, "path").as_posix() == text


@given(st.text(alphabet="ab./\\ \0", max_size=12))
def test_what_it_takes_stays_within_the_folder(text):
    try:
        path = plain_path(text, "path")
    except IntegrityError:
        return
    assert not path.is_absolute() and ".." not in path.parts and str(path) == text
