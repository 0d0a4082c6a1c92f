import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.datasets import json_lines
from tasks.datasets.build import build_dataset
from tasks.datasets.reader import read_split

ROWS = [{"a": i, "label": "ab"[i % 2]} for i in range(60)]


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


REFUSED = {
    "broken": ('{"a": 1,', "line 61 of data.jsonl is no JSON"),
    "NaN": ('{"a": NaN, "label": "a"}', "line 61 of data.jsonl is no JSON"),
    "list": ("[1, 2]", "line 61 of data.jsonl is a JSON list, but must be an object"),
    "nested": ({"a": {"b": 1}}, "column 'a' in line 61 of data.jsonl holds a JSON dict, but must hold numbers"),
    "huge": ({"a": 2**63, "label": "a"}, f"column 'a' in line 61 of data.jsonl is {2**63}, but must fit into 64 bits"),
    "no key": ({"label": "a"}, "column 'a' is missing in row 61 of data.jsonl"),
    "null": ({"a": None, "label": "a"}, "column 'a' is missing in row 61 of data.jsonl"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_by_place_and_mend(name: str, tmp_path: Path, refusal: Callable[..., str]) -> None:
    row, words = REFUSED[name]
    assert words in refusal(written(tmp_path / "data.jsonl", [*ROWS, row]))


def test_refuses_blank_lines_alone(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert "data.jsonl is empty, but must hold one JSON object" in refusal(written(tmp_path / "data.jsonl", ["", " "]))


def test_line_numbers_count_blank_lines(tmp_path: Path, refusal: Callable[..., str]) -> None:
    assert "line 4 of" in refusal(written(tmp_path / "data.jsonl", [ROWS[0], "", "", "nonsense", ROWS[1]]))


def test_missing_keys_are_filled_as_asked(tmp_path: Path) -> None:
    rows = [{"n": i, "w": "xy"[i % 2], "label": i % 3} for i in range(60)]
    path = written(tmp_path / "data.jsonl", [*rows, {"label": 0}, {"n": 4, "label": 1}])
    dropped = build_dataset(path, tmp_path / "drop", missing="drop")
    assert sum(dropped.rows.values()) == 60 and "rows with missing cells were dropped: 2" in dropped.warnings
    filled = build_dataset(path, tmp_path / "mean", missing="mean")
    assert sum(filled.rows.values()) == 62 and all(feature.nullable for feature in filled.schema.features)
    words = [word for split in filled.files.values() for word in read_split(split, filled.schema).inputs["w"]]
    assert words.count("") == 2


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(blacklist_categories=("Cs",))),
)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), scalars, min_size=1), min_size=1, max_size=30))
def test_every_value_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = written(tmp_path_factory.mktemp("jsonl") / "data.jsonl", rows)
    schema = json_lines.infer(path)
    table = pa.Table.from_batches(json_lines.read(path, schema, schema.names), schema)
    for name in schema.names:
        for got, row in zip(table[name].to_pylist(), rows, strict=True):
            value = row.get(name)
            if isinstance(got, str) and not isinstance(value, str):
                assert json.loads(got) == value
            else:
                assert got == value
