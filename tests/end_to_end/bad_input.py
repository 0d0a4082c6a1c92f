"""Everything that users get wrong, one row each: what is on disk, what they type, what they must read."""

import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

QUICK = {"train.epochs": "1", "prune.ratios": "[]", "quantize.schemes": "[none]"}


@dataclass(frozen=True)
class Case:
    """One mistake."""

    name: str
    words: str
    """A part of the one line on standard error."""
    source: str | Callable[[Path], Path] = "data/digits.parquet"
    """What `ingest.source` is, or what makes it in a folder."""
    settings: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    exit_code: int = 2


def file(name: str, content: str | bytes) -> Callable[[Path], Path]:
    """A source that is one file."""

    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def table(name: str = "rows.csv", **columns: object) -> Callable[[Path], Path]:
    """A source that is a CSV of 40 rows with `a`, `b` and `label`, and these columns besides or instead."""

    def write(folder: Path) -> Path:
        rng = np.random.default_rng(0)
        label = np.arange(40) % 2
        frame = pd.DataFrame({"a": rng.normal(size=40).round(6), "b": rng.normal(size=40).round(6)} | columns)
        if "label" not in columns:
            frame["label"] = label
        frame.to_csv(folder / name, index=False)
        return folder / name

    return write


def first_then(first: object, rest: object, rows: int = 40) -> list[object]:
    """One odd value, and others."""
    return [first, *[rest] * (rows - 1)]


def good_rows() -> str:
    """CSV text of 40 sound rows."""
    return "a,b,label\n" + "".join(f"{i}.5,{40 - i},{i % 2}\n" for i in range(40))


def cut_parquet(folder: Path) -> Path:
    """A Parquet file whose end is missing."""
    path = folder / "cut.parquet"
    path.write_bytes(Path("data/digits.parquet").read_bytes()[:-2000])
    return path


def images(folder: Path, odd: Callable[[Path], None] | None = None) -> Path:
    """A folder of two classes with six PNG images each, and one odd file."""
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / "pictures" / label).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / label / f"{i}.png")
    if odd:
        odd(folder / "pictures" / "cat")
    return folder / "pictures"


def not_an_image(folder: Path) -> Path:
    """An image folder with a text file that is called a PNG."""
    return images(folder, lambda place: (place / "bad.png").write_text("no image"))


def other_size(folder: Path) -> Path:
    """An image folder in which one image is larger."""
    return images(folder, lambda place: Image.fromarray(np.zeros((9, 8), np.uint8)).save(place / "big.png"))


def idx(magic: int = 2051, rows: int = 20, labels: int = 20, cut: int = 0) -> Callable[[Path], Path]:
    """A folder with a pair of IDX files, wrong in one way."""

    def write(folder: Path) -> Path:
        pixels = np.random.default_rng(0).integers(0, 255, (rows, 4, 4), dtype=np.uint8).tobytes()
        body = struct.pack(">IIII", magic, rows, 4, 4) + pixels
        (folder / "idx").mkdir()
        with gzip.open(folder / "idx" / "train-images-idx3-ubyte.gz", "wb") as out:
            out.write(body[: len(body) - cut])
        with gzip.open(folder / "idx" / "train-labels-idx1-ubyte.gz", "wb") as out:
            out.write(struct.pack(">II", 2049, labels) + bytes(i % 2 for i in range(labels)))
        return folder / "idx"

    return write


def npz(x: np.ndarray, y: np.ndarray) -> Callable[[Path], Path]:
    """A source that is an NPZ file."""

    def write(folder: Path) -> Path:
        np.savez(folder / "arrays.npz", x=x, y=y)
        return folder / "arrays.npz"

    return write


def empty_folder(folder: Path) -> Path:
    """A folder with nothing in it."""
    (folder / "empty").mkdir()
    return folder / "empty"


def model(line: str) -> dict[str, str]:
    """Settings for a custom model of `tests.recipes.broken_models`."""
    return {"train.family": "custom", "train.import_path": line}


BROKEN = "tests.recipes.broken_models"
LABELS = np.arange(40) % 2
CASES = [
    # Data: files
    Case("missing file", "there is nothing there", source="data/nowhere.csv"),
    Case("empty file", "is empty", source=file("rows.csv", "")),
    Case("header only", "no rows", source=file("rows.csv", "a,b,label\n")),
    Case("unknown scheme", "ftp:// is not read", source="ftp://host/rows.csv"),
    Case(
        "web page that is not there",
        "did not answer",
        source="http://127.0.0.1:9/rows.csv",
        environment={"INGOT_PATIENCE_SECONDS": "0"},
        exit_code=1,
    ),
    Case("S3 object that is not there", "does not exist", source="s3://nowhere/rows.csv"),
    Case("larger than allowed", "max_bytes", settings={"ingest.max_bytes": "1000"}),
    Case("empty folder", "empty", source=empty_folder),
    Case("cut Parquet", "cut.parquet", source=cut_parquet),
    Case("text called Parquet", "rows.parquet", source=file("rows.parquet", good_rows())),
    Case("invalid UTF-8", "UTF-8", source=file("rows.csv", good_rows().encode() + b"1,\xff\xfe,0\n")),
    # Data: rows and columns
    Case("ragged row", "row 41 of rows.csv has 2 cells", source=file("rows.csv", good_rows() + "1,2\n")),
    Case("bad JSON line", "line 2", source=file("rows.jsonl", '{"a": 1, "label": 0}\n{"a": 1, "label"\n')),
    Case("nested JSON value", "holds a JSON dict", source=file("rows.jsonl", '{"a": {"b": 1}, "label": 0}\n' * 40)),
    Case("same column twice", "the name of two columns", source=file("rows.csv", good_rows().replace("a,b,", "a,a,"))),
    Case("no such target", "'lable' does not exist: did you mean 'label'", table(), {"ingest.target": "lable"}),
    Case("no such feature", "'c' does not exist", table(), {"ingest.features": "[a, c]"}),
    Case("one class", "one class", table(label=[1] * 40)),
    Case("a class with one row", "class", table(label=first_then("rare", "common"))),
    Case("missing label", "label", table(label=first_then(None, 1.0))),
    Case("constant target", "is 0.5 in every row", table(label=[0.5] * 40), {"ingest.task": "regression"}),
    Case("infinite value", "must be finite", table(a=first_then(float("inf"), 1.5))),
    Case("empty cell", "missing", table(a=first_then(None, 1.5))),
    Case("column without values", "a", table(a=[None] * 40), {"ingest.missing": "mean"}),
    Case("dates as a feature", "exclude", table(a=[f"2026-01-{1 + i % 28:02}" for i in range(40)])),
    Case("too few rows", "rows", file("rows.csv", "a,label\n1,0\n2,1\n3,0\n")),
    Case(
        "no column for time", "'day' does not exist", table(), {"ingest.split_by": "time", "ingest.time_column": "day"}
    ),
    # Data: images, arrays, text
    Case("no image in an image folder", "bad.png", source=not_an_image),
    Case("images of different sizes", "big.png", source=other_size),
    Case("IDX with a wrong magic number", "train-images-idx3-ubyte", source=idx(magic=7)),
    Case("IDX that was cut", "train-images-idx3-ubyte", source=idx(cut=30)),
    Case("more images than labels", "labels", source=idx(labels=12)),
    Case("NPZ with pickled objects", "holds Python objects", source=npz(np.array([{}] * 40, dtype=object), LABELS)),
    Case("NPZ arrays of different lengths", "40", source=npz(np.zeros((40, 3)), LABELS[:39])),
    Case("text line without a label", "line 3", source=file("rows.txt", "0 a b\n1 c d\nword\n" + "0 x\n1 y\n" * 20)),
    # Forms
    Case("unknown field", "train.epoch", settings={"train.epoch": "3"}),
    Case("wrong type", "train.epochs is 'many'", settings={"train.epochs": "many"}),
    Case("below the limit", "train.epochs is 0", settings={"train.epochs": "0"}),
    Case("ratio of one", "0.9 removes nine channels of ten", settings={"prune.ratios": "[1.0]"}),
    Case("unknown family", "train.family is 'forest'", settings={"train.family": "forest"}),
    Case("fp32 left out", "fp32 is what the others are held against", settings={"quantize.schemes": "[static]"}),
    Case("nothing to train on", "must be below 1", settings={"ingest.test_share": "0.9"}),
    Case("a name that climbs", "model_name is '../x'", settings={"model_name": "../x"}),
    Case("loss for the other task", "train.loss is mse", settings={"train.loss": "mse"}),
    Case("one sigmoid for ten classes", "10 classes, not 2", settings={"train.loss": "bce"}),
    Case("batch larger than the data", "train.batch_size", settings={"train.batch_size": "100000"}),
    # Models
    Case("family that does not fit", "train.family is resnet", settings={"train.family": "resnet"}),
    Case("no such module", "nowhere", settings=model("nowhere.at_all:build")),
    Case("no such function", "did you mean 'build'", settings=model("tests.recipes.gated_network:biuld")),
    Case("entry point without a function", "package.module:function", settings=model("tests.recipes")),
    Case("function that raises", "no luck", settings=model(f"{BROKEN}:raises")),
    Case("function that returns no module", "str", settings=model(f"{BROKEN}:returns_a_word")),
    Case("wrong shape", "(2, 3)", settings=model(f"{BROKEN}:three_outputs")),
    Case("nothing to train", "parameters", settings=model(f"{BROKEN}:nothing_to_train")),
    Case(
        "a branch on values",
        "branches on the values of its rows",
        settings=model(f"{BROKEN}:branches_on_values"),
        exit_code=1,
    ),
    # The world
    Case(
        "loss that is not a number",
        "learning_rate",
        settings={"train.optimizer": "sgd", "train.learning_rate": "1e30"},
        exit_code=1,
    ),
    Case(
        "S3 that is down",
        "127.0.0.1:9",
        environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "INGOT_PATIENCE_SECONDS": "0"},
        exit_code=1,
    ),
    Case("wrong credentials", "AWS_SECRET_ACCESS_KEY", environment={"AWS_SECRET_ACCESS_KEY": "wrong"}),
    Case(
        "MLflow that is down",
        "127.0.0.1:9",
        environment={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "INGOT_PATIENCE_SECONDS": "0"},
        exit_code=1,
    ),
]
