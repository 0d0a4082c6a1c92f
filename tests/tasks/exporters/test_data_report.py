"""The page about the data of a run."""

from pathlib import Path

from tasks.contracts.artifacts import Artifact
from tasks.contracts.dataset import DatasetManifest, Quarantine
from tasks.datasets.build import BuiltDataset, build_dataset
from tasks.datasets.guard import Terms
from tasks.exporters.data_report import data_report, far_off
from tasks.stores.contracts import contract_from


def manifest(built: BuiltDataset) -> DatasetManifest:
    file = Artifact(uri="s3://b/blobs/sha256/aa", sha256="aa", size_bytes=1, chunks=("aa",))
    held = built.held
    quarantine = Quarantine(file=file, rows=held.rows, read=held.read, breaks=held.breaks) if held else None
    return DatasetManifest(
        schema_=built.schema, encoding=built.encoding, profile=built.profile, splits=dict.fromkeys(built.files, file),
        rows=built.rows, warnings=built.warnings, categories=built.categories, quarantine=quarantine,
    )  # fmt: skip


def source(folder: Path, *more: str, factor: float = 1) -> Path:
    path = folder / "data.csv"
    rows = [f"{factor * (i * 7 % 80) + 0.5},{'x|<b>'[:: 2 - i % 2]},{i // 2 % 2}" for i in range(80)]
    path.write_text("\n".join(["a,w`|,label", *rows, *more]) + "\n")
    return path


def test_the_page_holds_schema_rows_and_that_there_was_no_contract(tmp_path):
    page = data_report(manifest(build_dataset(source(tmp_path), tmp_path / "out")), "s3://b/data.csv")
    assert "80 rows of `s3://b/data.csv`" in page and "| train |" in page and "| a | number | no | 0 |" in page
    assert "| w'\\| | category |" in page and "<b>" not in page and "None: there was no champion" in page


def test_the_page_holds_the_breaks_with_counts_and_where_the_rows_lie(tmp_path):
    first = contract_from(manifest(build_dataset(source(tmp_path), tmp_path / "one")), "3", "s3://b/d")
    built = build_dataset(source(tmp_path, "old,x|<b>,0"), tmp_path / "two", terms=Terms(first, "quarantine"))
    page = data_report(manifest(built), "data.csv", first)
    assert "**1 of 81 rows break it** and are in quarantine: `s3://b/blobs/sha256/aa`" in page
    assert "| a | number | 1 | row 81 of data.csv |" in page and "The schema of version 3" in page


def test_numbers_far_outside_of_what_the_champion_saw_are_told_but_not_refused(tmp_path):
    champion = manifest(build_dataset(source(tmp_path), tmp_path / "one"))
    contract = contract_from(champion, "3")
    assert far_off(champion, contract) == () == far_off(champion, None)
    metres = manifest(build_dataset(source(tmp_path, factor=1000), tmp_path / "two", terms=Terms(contract)))
    (told,) = far_off(metres, contract)
    assert told.startswith("column 'a' lies between") and told.endswith("is it the same unit?")
    assert told in data_report(metres, "data.csv", contract).replace("\\", "")
