"""Every kind of data that cannot be used, and the words of the one line that says so."""

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.contracts.errors import ConfigError, InputError
from tasks.datasets.build import build_dataset

GOOD = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(60)]


class Case(NamedTuple):
    name: str
    make: Callable[[Path], Path]
    words: str
    choices: dict[str, Any] = {}
    error: type[InputError] = InputError


def csv(*lines: str, name: str = "data.csv", encoding: str = "utf-8") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes("".join(f"{line}\n" for line in lines).encode(encoding, "surrogateescape"))
        return folder / name

    return make


def raw(content: bytes, name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def table(**columns: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pq.write_table(pa.table(columns), folder / "data.parquet")
        return folder / "data.parquet"

    return make


def jsonl(*rows: Any) -> Callable[[Path], Path]:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return csv(*lines, name="data.jsonl")


def npz(**arrays: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        np.savez(folder / "data.npz", **arrays)
        return folder / "data.npz"

    return make


def pictures(**extra: Callable[[Path], None]) -> Callable[[Path], Path]:
    """Two classes of ten images, and what the extra functions add to the folder."""

    def make(folder: Path) -> Path:
        root = folder / "pictures"
        for label in ("cat", "dog"):
            (root / label).mkdir(parents=True)
            for i in range(10):
                Image.new("L", (8, 6), color=i).save(root / label / f"{i}.png")
        for add in extra.values():
            add(root)
        return root

    return make


def idx(images: bytes, labels: bytes | None, suffix: str = "") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pack = gzip.compress if suffix else bytes
        (folder / f"train-images-idx3-ubyte{suffix}").write_bytes(pack(images))
        if labels is not None:
            (folder / f"train-labels-idx1-ubyte{suffix}").write_bytes(pack(labels))
        return folder

    return make


def folder_of(**files: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        root = folder / "data"
        root.mkdir()
        for name, content in files.items():
            (root / name.replace("__", ".")).write_text(content)
        return root

    return make


def damaged(make: Callable[[Path], Path], keep: float) -> Callable[[Path], Path]:
    """The same file, cut after a share of its bytes."""

    def cut(folder: Path) -> Path:
        path = make(folder)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])
        return path

    return cut


def png(path: str, size: tuple[int, int] = (8, 6), mode: str = "L") -> Callable[[Path], None]:
    def add(root: Path) -> None:
        Image.new(mode, size).save(root / path)

    return add


def cut_png(root: Path) -> None:
    packed = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (6, 8), dtype=np.uint8)).save(packed, "PNG")
    (root / "cat" / "cut.png").write_bytes(packed.getvalue()[:60])


def one_object(folder: Path) -> Path:
    np.savez(folder / "data.npz", x=np.array([{}] * 20, dtype=object), y=np.arange(20))
    return folder / "data.npz"


def cut_npz(folder: Path) -> Path:
    packed = io.BytesIO()
    np.save(packed, np.zeros((20, 3)))
    with zipfile.ZipFile(folder / "data.npz", "w") as archive:
        archive.writestr("x.npy", packed.getvalue()[:-8])
    return folder / "data.npz"


IMAGES = struct.pack(">4B3i", 0, 0, 8, 3, 20, 4, 5) + bytes(range(200)) * 2
LABELS = struct.pack(">4Bi", 0, 0, 8, 1, 20) + bytes([0, 1] * 10)
NUMBERS = {"a": list(range(60)), "b": [float(i) for i in range(60)], "label": [0, 1] * 30}
ROWS = [{"a": i, "label": "ab"[i % 2]} for i in range(60)]
HEADER = "a,b,label"

CASES = [
    # files
    Case("missing file", lambda folder: folder / "no.csv", r"source .*no.csv does not exist, but must be a file"),
    Case("empty file", raw(b"", "data.csv"), "data.csv is empty, but must hold data"),
    Case("blank file", raw(b"\n\n", "data.csv"), "data.csv is empty, but must hold a header line"),
    Case("unknown format", raw(b"hello", "data.xyz"), "data.xyz is of no known format, but must be: set ingest.format"),
    Case("too large", csv(HEADER, *GOOD), "data.csv is .* bytes, but ingest.max_bytes allows 10", {"max_bytes": 10}),
    Case("cut gzip", damaged(raw(gzip.compress("\n".join([HEADER, *GOOD]).encode()), "data.csv.gz"), 0.5), "no whole gzip"),
    Case("no gzip", raw(b"a,b\n1,2\n", "data.csv.gz"), "data.csv.gz is no whole gzip file, but must be one"),
    Case("folder of nothing usable", folder_of(notes__md="hello"), "data holds nothing usable, but must hold data"),
    Case("folder of two formats", folder_of(a__csv="a", b__jsonl="b"), "files of csv and jsonl, but must hold one format"),
    Case("single image", raw(b"\x89PNG....", "a.png"), "a.png is a single image, but must be a folder"),
    # CSV
    Case("header only", raw(b"a,b,label\n", "data.csv"), "data.csv holds a header but no rows, but must hold both"),
    Case("no header", csv("1,2,3", "4,5,6"), "line 1 of data.csv is '1,2,3', but must name the columns"),
    Case("few cells", csv(HEADER, *GOOD[:8], "1,2", *GOOD), "row 9 of data.csv has 2 cells, but must have 3 like the header"),
    Case("many cells", csv(HEADER, *GOOD, "1,2,a,4"), "row 61 of data.csv has 4 cells, but must have 3 .*'1,2,a,4'"),
    Case("same name twice", csv("a,a,label", *GOOD), "data.csv has 'a' as the name of two columns, but names must differ"),
    Case("column without a name", csv("a,,label", *GOOD), "column 2 of data.csv has no name, but must have one"),
    Case("not UTF-8", csv(HEADER, *GOOD, "1,2,\udce9t\udce9"), "line 62 of data.csv holds byte 0xe9, but must be UTF-8"),
    Case("header not UTF-8", csv("a\udce9,b,label", *GOOD), "line 1 of data.csv holds byte 0xe9, but must be UTF-8"),
    Case("UTF-16", csv(HEADER, *GOOD, encoding="utf-16"), "line 1 of data.csv holds byte 0xff, but must be UTF-8"),
    # Parquet
    Case("cut Parquet", damaged(table(**NUMBERS), 0.6), "data.parquet is no whole Parquet file .*, but must be"),
    Case("no Parquet", raw(b"hello world", "data.parquet"), "data.parquet is no whole Parquet file .*, but must be"),
    Case("Parquet without rows", table(a=pa.array([], pa.int64())), "data.parquet holds columns but no rows"),
    Case("lists", table(**NUMBERS, c=[[1]] * 60), r"feature 'c' holds list<.*>, but must hold numbers, booleans or words",
         {"target": "label"}),
    # JSON lines
    Case("bad JSON", jsonl(*ROWS, '{"a": 1,'), "line 61 of data.jsonl is no JSON .*, but must be: mend it"),
    Case("JSON list", jsonl(*ROWS, "[1, 2]"), "line 61 of data.jsonl is a JSON list, but must be an object"),
    Case("nested JSON", jsonl(*ROWS, {"a": {"b": 1}}), "column 'a' in line 61 of data.jsonl holds a JSON dict, but must"),
    Case("blank JSON lines", jsonl("", " "), "data.jsonl is empty, but must hold one JSON object a line"),
    Case("huge whole number", jsonl(*ROWS, {"a": 2**63, "label": "a"}), "column 'a' in line 61 .* must fit into 64 bits"),
    # columns
    Case("unknown target", csv(HEADER, *GOOD), "ingest.target: column 'lable' does not exist: did you mean 'label'",
         {"target": "lable"}),
    Case("unknown feature", csv(HEADER, *GOOD), "ingest.features: column 'c' does not exist: .*known: a, b, label",
         {"features": ("a", "c")}),
    Case("unknown excluded", csv(HEADER, *GOOD), "ingest.exclude: column 'c' does not exist", {"exclude": ("c",)}),
    Case("target excluded", csv(HEADER, *GOOD), "ingest.exclude holds 'b', but must not: it is in ingest.target",
         {"exclude": ("b",), "target": "b"}, ConfigError),
    Case("target as a feature", csv(HEADER, *GOOD), "ingest.features holds 'label', but must not: it is the target",
         {"features": ("a", "label")}, ConfigError),
    Case("feature twice", csv(HEADER, *GOOD), "ingest.features is .*, but must not repeat", {"features": ("a", "a")},
         ConfigError),
    Case("target alone", csv("label", "a", "b", "a"), "no column beside the target 'label', but must have features"),
    Case("times as a feature", csv("t,label", *(f"2026-11-{i % 28 + 1:02},{i % 2}" for i in range(60))),
         "feature 't' holds times .*, but must hold numbers or words: exclude it .*convert it to a number"),
    Case("many words", csv("a,w,label", *(f"{i},w{i},{i % 2}" for i in range(1500))),
         r"column 'w' holds more than 1000 distinct words, but a category .*exclude it \(ingest.exclude: \['w'\]\)"),
    Case("name of an output", csv("probabilities,w,label", *(f"{i},{'xy'[i % 2]},{i % 3}" for i in range(60))),
         "column 'probabilities' is called like a tensor of the model, but must not be"),
    # cells
    Case("empty number", csv(HEADER, *GOOD[:4], "1,,a", *GOOD, ",2,a"),
         r"column 'a' is missing in row 66 of data.csv \(1 cell in all\), but ingest.missing=error allows none"),
    Case("empty word", csv("w,b,label", *(f"{'xy'[i % 2]},{i},{i % 2}" for i in range(60)), ",1,1", ",2,0"),
         r"column 'w' is missing in row 61 of data.csv \(2 cells in all\)"),
    Case("NaN", table(**{**NUMBERS, "b": [float("nan"), *NUMBERS["b"][1:]]}), "column 'b' is missing in row 1 of data.parq"),
    Case("missing key", jsonl(*ROWS, {"label": "a"}), "column 'a' is missing in row 61 of data.jsonl"),
    Case("empty column", csv(HEADER, *(f",{i},{i % 2}" for i in range(60))), "column 'a' is empty in every row",
         {"missing": "mean"}),
    Case("all dropped", csv(HEADER, *(f"1,,{i % 2}\n,1,{i % 2}" for i in range(60))), "data.csv has no usable row",
         {"missing": "drop"}),
    Case("infinite", csv(HEADER, *GOOD, "inf,2,a"), "column 'a' is inf in row 61 of data.csv, but must be finite"),
    Case("beyond 32 bits", csv(HEADER, *GOOD, "1,-1e300,a"), "column 'b' is -1e[+]300 in row 61 .* below 3.4e38"),
    # target
    Case("missing label", csv(HEADER, *GOOD, "1,2,"), "target 'label' is missing in row 61 of data.csv .*needs a label",
         {"missing": "mean"}),
    Case("NaN label", table(a=list(range(60)), label=[float("nan"), *range(59)]), "target 'label' is missing in row 1"),
    Case("one class", csv(HEADER, *(f"{i},{i},yes" for i in range(60))), "holds one class, 'yes', but must hold at least two"),
    Case("class of one row", csv(HEADER, *GOOD, "1,2,c"), "class 'c' has a single row, but must have at least two"),
    Case("constant target", csv("a,y", *(f"{i},2.5" for i in range(60))), "target 'y' is 2.5 in every row, but must vary"),
    Case("many classes", csv("a,label", *(f"{i},w{i}" for i in range(1500))),
         "target 'label' has more than 1000 distinct values, but classes must be at most that many"),
    Case("words for regression", csv(HEADER, *GOOD), "target 'label' holds words, but regression needs numbers",
         {"task": "regression"}),
    Case("fractions for classes", csv("a,y", *(f"{i},{i}.5" for i in range(60))),
         "target 'y' holds 0.5, but classes must be words or whole numbers", {"task": "classification"}),
    Case("times as a target", csv("a,t", *(f"{i},2026-11-{i % 28 + 1:02}" for i in range(60))), "target 't' holds times"),
    # splits
    Case("too few rows", csv(HEADER, "1,2,a", "2,3,b", "3,4,a", "4,5,b"), "every split needs at least one|in the training"),
    Case("nothing held out", csv(HEADER, *GOOD), "the test split has 0 of 60 rows, .*raise ingest.test_share",
         {"test_share": 0.0}),
    Case("unknown time column", csv(HEADER, *GOOD), "ingest.time_column: column 'when' does not exist",
         {"split_by": "time", "time_column": "when"}),
    Case("unsortable time", csv("t,a,label", *(f"day{i},{i},{i % 2}" for i in range(60))),
         "time column 't' is 'day0' in row 1 of data.csv, but must be a number or an ISO 8601 time",
         {"split_by": "time", "time_column": "t"}),
    Case("missing time", csv("t,a,label", *(f"{i or ''},{i},{i % 2}" for i in range(60))),
         "time column 't' is missing in row 1 of data.csv, but split_by=time needs", {"split_by": "time", "time_column": "t"}),
    Case("no sides given", csv(HEADER, *GOOD), "data.csv is named after no split, but split_by=given needs",
         {"split_by": "given"}),
    Case("no test given", folder_of(train__csv="\n".join([HEADER, *GOOD])), "data gives no test rows, but split_by=given",
         {"split_by": "given"}),
    Case("odd side", csv("split,a,label", *(f"{('train', 'test', 'dveelop')[i % 3]},{i},{i % 2}" for i in range(60))),
         "column 'split' is 'dveelop' in row 3 of data.csv, but must be train, validation or test", {"split_by": "given"}),
    Case("different columns", folder_of(train__csv="a,label\n1,2\n", test__csv="b,label\n1,2\n"),
         "test.csv and train.csv differ in column 'a', but must have the same"),
    # images
    Case("no image", pictures(a=lambda root: (root / "cat" / "notes.txt").write_text("x")), "cat/notes.txt is no PNG or JPEG"),
    Case("other size", pictures(a=png("dog/odd.png", (9, 6))), "dog/odd.png is 9 x 6 pixels, but all must be 8 x 6 like cat/0"),
    Case("cut image", pictures(a=cut_png), "cat/cut.png is no whole image .*, but must be"),
    Case("16 bits", pictures(a=png("cat/deep.png", mode="I;16")), "cat/deep.png has more than 8 bits a channel"),
    Case("image in no class", pictures(a=png("loose.png")), "loose.png lies in no class, but every image must lie"),
    Case("empty class", pictures(a=lambda root: (root / "cow").mkdir()), "folder cow holds no image, but every class"),
    # IDX
    Case("IDX magic", idx(b"\0\0\x0d\x03" + IMAGES[4:], LABELS), "idx3-ubyte begins with 00000d03, but must begin with 0000080"),
    Case("IDX cut", idx(IMAGES[:-1], LABELS), "train-images-idx3-ubyte ends in row 20, but its header promises more"),
    Case("IDX cut, packed", idx(IMAGES[:-21], LABELS, ".gz"), "ubyte.gz ends in row 19, but its header promises more"),
    Case("IDX cut header", idx(IMAGES[:9], LABELS), "train-images-idx3-ubyte ends in its header, but must be whole"),
    Case("IDX goes on", idx(IMAGES + b"\0", LABELS), "train-images-idx3-ubyte goes on beyond the rows"),
    Case("IDX lies", idx(IMAGES[:8] + b"\x7f\xff\xff\xff" * 2, LABELS), "says it has the shape .*, but must hold images below"),
    Case("IDX labels missing", idx(IMAGES, None), "images-idx3-ubyte has no labels, but needs train-labels-idx1-ubyte"),
    Case("IDX labels short", idx(IMAGES, struct.pack(">4Bi", 0, 0, 8, 1, 19) + bytes(19)),
         "train-labels-idx1-ubyte holds 19 labels, but must hold 20, one for each image"),
    # NPZ
    Case("objects", one_object, "array 'x' of data.npz holds Python objects, but must hold numbers or strings"),
    Case("other length", npz(x=np.zeros((20, 3)), y=np.zeros(19)), r"x \(20, 3\) and y \(19,\) of data.npz differ in rows"),
    Case("unknown keys", npz(foo=np.zeros(3), bar=np.zeros(3)), "data.npz holds foo, bar, but must hold x and y"),
    Case("one-hot labels", npz(x=np.zeros((20, 3)), y=np.zeros((20, 2))), "y of data.npz is float64 .*, but must be one label"),
    Case("channels first", npz(x=np.zeros((20, 3, 32, 32), np.uint8), y=np.zeros(20)), "x of data.npz is uint8 .*transpose"),
    Case("float images", npz(x=np.zeros((20, 8, 8)), y=np.zeros(20)), "x of data.npz is float64 .*, but must be uint8 images"),
    Case("no NPZ", raw(b"PK\x03\x04 hello", "data.npz"), "data.npz is no whole NPZ archive"),
    Case("cut array", cut_npz, "array 'x' of data.npz is cut, but must be 480 bytes"),
    # text
    Case("no label", csv("a\thello world", "hello there", name="data.txt"), "line 2 of data.txt is 'hello there', but must be a "
         "label, a tab and a text"),
    Case("no text", csv("a hello", "b", name="data.txt"), "line 2 of data.txt is 'b', but must be a label, a blank and a text"),
    Case("text not UTF-8", csv("a gr\udcfcn", "b blau", name="data.txt"), "line 1 of data.txt holds byte 0xfc, but must be"),
    Case("blank text file", raw(b"\n \n", "data.txt"), "data.txt is empty, but must hold 'label text' lines"),
    Case("empty text", csv("a\thello world", "b\t", *["a\tx", "b\ty"] * 20, name="data.txt"),
         "column 'text' is missing in row 2 of data.txt"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_refuses_in_one_line_and_leaves_nothing(case: Case, tmp_path: Path) -> None:
    place = tmp_path / "source"
    place.mkdir()
    source = case.make(place)
    with pytest.raises(case.error, match=case.words) as caught:
        build_dataset(source, tmp_path / "splits", **case.choices)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 300
    assert not (tmp_path / "splits").exists() or not list((tmp_path / "splits").iterdir())
