"""The contract that a dataset's manifest holds for the next run, also one that an earlier program wrote."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.contracts.artifacts import Run
from tasks.contracts.config import IngestConfig
from tasks.contracts.contract import Contract
from tasks.contracts.dataset import Dataset, DatasetManifest
from tasks.contracts.errors import InputError
from tasks.contracts.record import canonical_json, sha256_hex
from tasks.datasets.build import build_dataset
from tasks.datasets.guard import Terms, terms_of
from tasks.stores.contracts import contract_from, contract_of
from tasks.stores.datasets import manifest_of, put_dataset
from tasks.stores.garbage import named_keys
from tasks.stores.journal import Journal
from tasks.stores.s3 import Store
from tests.tasks.stores.shelf import dataset, publish

RUN = Run(model_name="none", seed=0, config_digest="", code_digest="", mlflow_run_id="")


def source(folder: Path, *more: str) -> Path:
    path = folder / "data.csv"
    path.write_text("\n".join(["a,w,label", *(f"{i},{'xy'[i % 2]},{i // 2 % 2}" for i in range(80)), *more]) + "\n")
    return path


def test_the_contract_of_a_dataset_is_its_schema_its_words_and_what_numbers_it_saw(tmp_path):
    store = Store.from_environment(f"file://{tmp_path / 's3'}")
    data = put_dataset(store, build_dataset(source(tmp_path), tmp_path / "out"))
    manifest = manifest_of(store, data)
    contract = contract_from(manifest, "3", data.uri)
    assert contract.schema_ == manifest.schema_ and contract.categories == {"w": ("x", "y")}
    assert [span.column for span in contract.spans] == ["a"] and contract.called == "the contract of version 3"


def test_what_was_put_aside_lies_in_the_store_under_its_digest(tmp_path):
    store = Store.from_environment(f"file://{tmp_path / 's3'}")
    first = manifest_of(store, put_dataset(store, build_dataset(source(tmp_path), tmp_path / "one")))
    built = build_dataset(
        source(tmp_path, "old,x,0"), tmp_path / "two", terms=Terms(contract_from(first), "quarantine")
    )
    held = manifest_of(store, put_dataset(store, built)).quarantine
    assert held is not None and (held.rows, held.read, held.breaks[0].rule) == (1, 81, "number")
    fetched = pq.read_table(store.fetch(held.file, tmp_path / "aside")).to_pylist()
    cells = json.dumps({"a": "old", "w": "x", "label": "0"}, separators=(",", ":"))
    assert fetched == [{"file": "data.csv", "row": 81, "column": "a", "rule": "number", "value": "old", "cells": cells}]


def test_a_manifest_of_an_earlier_program_is_still_read_and_is_a_contract(tmp_path):
    store = Store.from_environment(f"file://{tmp_path / 's3'}")
    now = manifest_of(store, put_dataset(store, build_dataset(source(tmp_path), tmp_path / "out")))
    old = canonical_json(now.model_dump(mode="json", exclude={"categories", "quarantine"}))
    digest = sha256_hex(old)
    store.keep(f"datasets/{digest}/dataset.json", old)
    named = Dataset(uri="", sha256=digest, task="classification", kind="tabular", rows={})
    found = manifest_of(store, named)
    assert found == now.model_copy(update={"categories": {}})
    terms = Terms(contract_from(found))
    assert isinstance(found, DatasetManifest)
    again = build_dataset(source(tmp_path, "5,new,1"), tmp_path / "again", terms=terms)
    assert again.categories == {"w": ("new", "x", "y")}


def champion(journal: Journal, uri: str, slope: float) -> None:
    made = publish(journal, slope, mlflow=False, uri=uri)
    named = {"version": made.version, "manifest": made.manifest, "run_key": made.run_key}
    journal.append(action="promote", actor="ann", reason="", **named)


def test_the_contract_is_that_of_the_champion_and_a_new_one_of_the_same_schema_is_the_same_contract(tmp_path):
    run = RUN.model_copy(update={"bucket": (tmp_path / "s3").as_uri()})
    store = Store.from_environment(run.bucket)
    journal = Journal(store, run.model_name)
    assert contract_of(IngestConfig(), run) is None
    data = dataset(store, tmp_path / "one")
    publish(journal, 1.0, mlflow=False, uri=data.uri)
    assert contract_of(IngestConfig(), run) is None
    champion(journal, data.uri, 2.0)
    first = contract_of(IngestConfig(), run)
    assert first is not None and first.version == "2" and first.schema_ == manifest_of(store, data).schema_
    champion(journal, dataset(store, tmp_path / "two", slope=3.0).uri, 3.0)
    second = contract_of(IngestConfig(), run)
    assert second is not None and second.version == "3" and second.digest == first.digest
    assert contract_of(IngestConfig(contract="ignore"), run) is None


def test_a_champion_whose_dataset_is_gone_is_refused_and_one_of_no_dataset_holds_nobody(tmp_path):
    run = RUN.model_copy(update={"bucket": (tmp_path / "s3").as_uri()})
    journal = Journal(Store.from_environment(run.bucket), run.model_name)
    champion(journal, "", 1.0)
    assert contract_of(IngestConfig(), run) is None
    champion(journal, journal.store.uri("datasets/00/dataset.json"), 2.0)
    with pytest.raises(InputError, match=r"of version 2 is not in this store.*: restore it, or set ingest.contract"):
        contract_of(IngestConfig(), run)


def test_what_is_in_quarantine_is_kept_as_long_as_its_version(tmp_path):
    store = Store.from_environment((tmp_path / "s3").as_uri())
    first = manifest_of(store, put_dataset(store, build_dataset(source(tmp_path), tmp_path / "one")))
    terms = Terms(contract_from(first), "quarantine")
    data = put_dataset(store, build_dataset(source(tmp_path, "old,x,0"), tmp_path / "two", terms=terms))
    held = manifest_of(store, data).quarantine
    champion(Journal(store, "line"), data.uri, 1.0)
    assert held is not None and f"blobs/sha256/{held.file.sha256}" in named_keys(store)


def test_a_form_says_what_becomes_of_breaks_and_may_ignore_the_contract(tmp_path):
    contract = Contract(schema_=build_dataset(source(tmp_path), tmp_path / "out").schema)
    assert terms_of(None, IngestConfig()) is None and terms_of(contract, IngestConfig(contract="ignore")) is None
    assert terms_of(contract, IngestConfig(contract="quarantine")) == Terms(contract, "quarantine", 0.1)
