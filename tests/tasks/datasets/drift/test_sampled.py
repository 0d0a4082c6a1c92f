"""The server's samples are read as it writes them, and nothing that lies among them breaks the reading."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tasks.contracts.schema import Feature, Schema
from tasks.datasets.drift.sampled import Sampled

UNTIL = datetime(2026, 11, 26, 0, 30, tzinfo=UTC)
PAIR = (Feature(name="a", kind="number"), Feature(name="c", kind="category"))
PICTURE = (Feature(name="picture", kind="image", shape=(1, 2)),)
MIXED = Schema(task="regression", features=PAIR, target="y")
IMAGE = Schema(task="classification", features=PICTURE, target="l", labels=(0, 1))
ODD = [b"", b"\n\n", b"{", b"[1]\n3\n", b"\xff\n", b'{"a":1,"c":"x","ingot_time":"2026"}', b'{"ingot_time":3}']


def line(minutes_ago: float, **cells) -> bytes:
    time = (UNTIL - timedelta(minutes=minutes_ago)).isoformat(timespec="milliseconds")
    return json.dumps(cells | {"ingot_answer": 1.0, "ingot_version": "1", "ingot_time": time}).encode() + b"\n"


def read(schema: Schema, files: dict[str, bytes], hours: float = 24):
    sampled = Sampled("m", schema, UNTIL - timedelta(hours=hours), UNTIL)
    keys = [f"samples/m/{name}" for name in files]
    batches = list(sampled.batches(lambda prefix: [k for k in keys if k.startswith(prefix)], lambda k: files[k[10:]]))
    return batches, sampled.left_out


def test_rows_of_the_time_asked_for_are_read_and_no_others():
    today = line(5, a=1.5, c="x") + line(-5, a=9.0, c="late")
    yesterday = line(60, a=None, c="Ærø") + line(24 * 60 + 5, a=9.0, c="early")
    files = {"2026-11-26/1.jsonl": today, "2026-11-25/1.jsonl": yesterday, "2026-10-01/1.jsonl": b"never read"}
    batches, left_out = read(MIXED, files)
    assert [batch.columns["c"].tolist() for batch in batches] == [["x"], ["Ærø"]]
    assert np.isnan(batches[1].columns["a"]).tolist() == [True]
    assert left_out == 0 and all(batch.target is None for batch in batches)


def test_a_long_file_comes_a_part_at_a_time(monkeypatch):
    monkeypatch.setattr("tasks.datasets.source.BATCH_ROWS", 3)
    content = b"".join(line(1, a=float(number), c="x") for number in range(7))
    batches, _ = read(MIXED, {"2026-11-26/1.jsonl": content})
    assert [batch.columns["a"].tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_file_of_the_evening_before_still_counts_by_the_time_of_its_rows():
    batches, _ = read(MIXED, {"2026-11-25/1.jsonl": line(10, a=1.0, c="x")}, hours=0.4)
    assert len(batches) == 1


def test_an_image_is_read_from_nested_lists_under_the_name_of_its_tensor():
    batches, left_out = read(IMAGE, {"2026-11-26/1.jsonl": line(1, image=[[0, 255]]) + line(1, image=[[0, 256]])})
    assert batches[0].columns["picture"].tolist() == [[[0, 255]]]
    assert batches[0].columns["picture"].dtype == np.uint8 and left_out == 1


@pytest.mark.parametrize("odd", [{"a": "1", "c": "x"}, {"a": True, "c": "x"}, {"a": 1.0}, {"a": [1], "c": 2}, {}])
def test_a_row_of_another_version_is_left_out_and_counted(odd):
    batches, left_out = read(MIXED, {"2026-11-26/1.jsonl": line(1, **odd) + line(1, a=1, c="x")})
    assert len(batches[0]) == 1 and left_out == 1


@pytest.mark.parametrize("image", [None, 3, [[1]], [[1, 2], [3]], [["a", "b"]], [[0.5, 1.0]], [[-1, 0]], {}])
def test_what_is_no_image_is_left_out(image):
    assert read(IMAGE, {"2026-11-26/1.jsonl": line(1, image=image)}) == ([], 1)


@pytest.mark.parametrize("content", ODD)
def test_what_is_no_sample_is_passed_over(content):
    assert read(MIXED, {"2026-11-26/1.jsonl": content}) == ([], 0)


def test_a_number_beyond_float32_is_missing_as_it_is_to_the_graph():
    batches, _ = read(MIXED, {"2026-11-26/1.jsonl": line(1, a=1e300, c="x")})
    assert np.isnan(batches[0].columns["a"]).all()
