import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.datasets import csv_files
from tasks.datasets.build import build_dataset
from tasks.datasets.reader import read_split
from tasks.datasets.source import TypesTooNarrow

GOOD = "".join(f"{i},{i % 7},{'ab'[i % 2]}\n" for i in range(60)).encode()
HEADER = b"a,b,label\n"

REFUSED = {
    "blank": (b"\n\n", "data.csv is empty, but must hold a header line and rows"),
    "header only": (HEADER, "data.csv holds a header but no rows, but must hold both"),
    "no header": (b"1,2,3\n4,5,6\n", "line 1 of data.csv is '1,2,3', but must name the columns"),
    "few cells": (HEADER + GOOD + b"1,2\n" + GOOD, "row 61 of data.csv has 2 cells, but must have 3 like the header"),
    "many cells": (HEADER + b"1,2,a,4\n" + GOOD, "row 1 of data.csv has 4 cells, but must have 3"),
    "name twice": (b"a,a,label\n" + GOOD, "data.csv has 'a' as the name of two columns, but names must differ"),
    "no name": (b"a,,label\n" + GOOD, "column 2 of data.csv has no name, but must have one"),
    "latin-1": (HEADER + GOOD + b"1,2,\xe9\n", "line 62 of data.csv holds byte 0xe9, but must be UTF-8"),
    "latin-1 header": (b"a\xe9,b,label\n" + GOOD, "line 1 of data.csv holds byte 0xe9, but must be UTF-8"),
    "UTF-16": ((HEADER + GOOD).decode().encode("utf-16"), "line 1 of data.csv holds byte 0xff, but must be UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_by_place_and_mend(name: str, tmp_path: Path, refusal: Callable[..., str]) -> None:
    content, words = REFUSED[name]
    (tmp_path / "data.csv").write_bytes(content)
    assert words in refusal(tmp_path / "data.csv")


def read(path: Path) -> pa.Table:
    schema = csv_files.scan(path)
    return pa.Table.from_batches(csv_files.read(path, schema, schema.names), schema)


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8", newline="")
    return path


def test_types_are_the_narrowest_that_hold_every_row(tmp_path: Path) -> None:
    rows = ["1,1,1,true,x,2026-11-30", "2,2.5,x,false,,2026-12-01"]
    path = write(tmp_path / "a.csv", "\n".join(["i,f,s,b,w,d", *rows]))
    assert [str(field.type) for field in csv_files.scan(path)] == [
        "int64", "double", "string", "bool", "string", "date32[day]",
    ]  # fmt: skip


def test_a_late_row_that_does_not_fit_asks_for_wider_types(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,label\n" + "1,2\n" * 10 + "1.5,2\n")
    narrow = pa.schema([("a", pa.int64()), ("label", pa.int64())])
    with pytest.raises(TypesTooNarrow):
        list(csv_files.read(path, narrow, ["a", "label"]))


def test_types_widen_beyond_the_first_glance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "GLANCE_BYTES", 1000)
    monkeypatch.setattr(csv_files, "BATCH_BYTES", 4000)
    rows = [f"{i},{i % 3}" for i in range(2000)] + ["1.5,word", "2.5,word", "3.5,word"]
    path = write(tmp_path / "a.csv", "\n".join(["a,label", *rows]))
    assert csv_files.infer(path).field("a").type == pa.int64()
    built = build_dataset(path, tmp_path / "out")
    assert built.schema.labels == ("0", "1", "2", "word")
    assert max(read_split(built.files["train"], built.schema).inputs["features"]) == 1999
    assert sum(built.rows.values()) == 2003


def test_rows_longer_than_a_parsing_block_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\n" + "".join(f'"{i}{"x " * 600_000}",a\n' for i in range(3)))
    assert [len(text) for text in read(path)["text"].to_pylist()] == [1_200_001] * 3


def test_blocks_are_cut_outside_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "BATCH_BYTES", 64)
    texts = [f'line {i}\nand "more", after' for i in range(40)]
    path = tmp_path / "a.csv"
    pd.DataFrame({"text": texts, "label": range(40)}).to_csv(path, index=False)
    assert read(path).to_pydict() == {"text": texts, "label": list(range(40))}


def test_a_stray_quote_is_no_trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "BATCH_BYTES", 64)
    monkeypatch.setattr(csv_files, "LONGEST_ROW", 256)
    path = write(tmp_path / "a.csv", "size,label\n" + '5" pipe,1\n' + "plain,2\n" * 200)
    assert read(path).num_rows == 201


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_seen_in_the_header(delimiter: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b\n1,2\n".replace(",", delimiter))
    assert read(path).to_pydict() == {"a": [1], "b": [2]}


def test_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffname,å\r\nx,1\r\n\r\ny,2\r\n".encode())
    assert read(path).to_pydict() == {"name": ["x", "y"], "å": [1, 2]}


def test_gzip_reads_like_the_plain_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER + GOOD)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(HEADER + GOOD))
    plain, packed = (build_dataset(tmp_path / name, tmp_path / name[0]) for name in ("a.csv", "b.csv.gz"))
    assert plain.files["train"].read_bytes() == packed.files["train"].read_bytes()
    assert read_split(packed.files["train"], packed.schema).target.tolist()


def test_refuses_broken_gzip(tmp_path: Path, refusal: Callable[..., str]) -> None:
    path = tmp_path / "data.csv.gz"
    for content in (HEADER + GOOD, gzip.compress(HEADER + GOOD)[:60]):
        path.write_bytes(content)
        assert "data.csv.gz is no whole gzip file, but must be one" in refusal(path)


cells = st.one_of(
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), min_size=1),
)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=20))
def test_reads_what_pandas_wrote(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, Any]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    pd.DataFrame(rows, columns=["a", "b"], dtype=object).to_csv(path, index=False, quoting=1)
    got = read(path)
    assert got.num_rows == len(rows)
    for name, place in (("a", 0), ("b", 1)):
        if pa.types.is_string(got[name].type):
            written = [str(row[place]) for row in rows]
            assert [text.replace("\r\n", "\n").replace("\r", "\n") for text in got[name].to_pylist()] == [
                text.replace("\r\n", "\n").replace("\r", "\n") for text in written
            ]
        elif pa.types.is_floating(got[name].type) and not got[name].null_count:
            assert got[name].to_pylist() == [float(row[place]) for row in rows]
