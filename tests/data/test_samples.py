import hashlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FOLDER = Path(__file__).parents[2] / "data"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
SAMPLES = ("digits.parquet", "diabetes.csv", "messages.tsv")


@pytest.fixture(scope="module")
def make() -> ModuleType:
    pytest.importorskip("sklearn", reason="scikit-learn holds the originals of digits and diabetes")
    spec = importlib.util.spec_from_file_location("make_samples", FOLDER / "make.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SAMPLES)
def test_the_readme_names_the_digest_of_the_file(name: str) -> None:
    written = re.search(rf"^([0-9a-f]{{64}})  {re.escape(name)}$", README, re.MULTILINE)
    assert written and written[1] == hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()


@pytest.mark.parametrize("name", SAMPLES)
def test_the_readme_names_rows_and_bytes(name: str) -> None:
    cells = next(line for line in README.splitlines() if line.startswith(f"| `{name}`")).split("|")
    content = (FOLDER / name).read_bytes()
    rows = {
        "digits.parquet": lambda: pq.read_metadata(FOLDER / name).num_rows,
        "diabetes.csv": lambda: content.count(b"\n") - 1,
        "messages.tsv": lambda: content.count(b"\n"),
    }[name]()
    assert (cells[3].strip(), cells[5].strip()) == (f"{rows:,}", f"{len(content):,}")


def test_the_samples_take_less_than_a_megabyte() -> None:
    assert sum((FOLDER / name).stat().st_size for name in SAMPLES) < 1_000_000


def test_the_script_makes_the_same_bytes_again(make: ModuleType, tmp_path: Path) -> None:
    written_by = pq.read_metadata(FOLDER / "digits.parquet").created_by
    if written_by != f"parquet-cpp-arrow version {pa.__version__}":
        pytest.skip(f"digits.parquet was written by {written_by}, here is pyarrow {pa.__version__}")
    for path in make.make(tmp_path):
        assert path.read_bytes() == (FOLDER / path.name).read_bytes(), path.name


def test_no_message_stands_twice() -> None:
    texts = [line.split("\t")[1] for line in (FOLDER / "messages.tsv").read_text(encoding="utf-8").splitlines()]
    assert len(set(texts)) == len(texts) == 1500
