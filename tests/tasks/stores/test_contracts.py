"""The contract that a dataset's manifest holds for the next run, also one that an earlier program wrote."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from tasks.contracts.artifacts import Dataset, DatasetManifest, Run
from tasks.contracts.config import IngestConfig
from tasks.contracts.contract import Contract
from tasks.contracts.record import canonical_json, sha256_hex
from tasks.datasets.build import build_dataset
from tasks.datasets.guard import Terms, terms_of
from tasks.stores.contracts import contract_from, contract_of
from tasks.stores.datasets import manifest_of, put_dataset
from tasks.stores.s3 import Store

RUN = Run(model_name="none", seed=0, config_digest="", code_digest="", mlflow_run_id="")


def source(folder: Path, *more: str) -> Path:
    path = folder / "data.csv"
    path.write_text("\n".join(["a,w,label", *(f"{i},{'xy'[i % 2]},{i // 2 % 2}" for i in range(80)), *more]) + "\n")
    return path


def test_the_contract_of_a_dataset_is_its_schema_its_words_and_what_numbers_it_saw(tmp_path):
    store = Store.from_environment(f"file://{tmp_path / 's3'}")
    dataset = put_dataset(store, build_dataset(source(tmp_path), tmp_path / "out"))
    manifest = manifest_of(store, dataset)
    contract = contract_from(manifest, "3", dataset.uri)
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
    dataset = Dataset(uri="", sha256=digest, task="classification", kind="tabular", rows={})
    found = manifest_of(store, dataset)
    assert found == now.model_copy(update={"categories": {}})
    terms = Terms(contract_from(found))
    assert isinstance(found, DatasetManifest)
    again = build_dataset(source(tmp_path, "5,new,1"), tmp_path / "again", terms=terms)
    assert again.categories == {"w": ("new", "x", "y")}


def test_a_model_without_champion_has_no_contract_and_a_form_may_ignore_one(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"file://{tmp_path / 's3'}")
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    assert contract_of(IngestConfig(contract="ignore"), RUN) is None
    built = build_dataset(source(tmp_path), tmp_path / "out")
    contract = Contract(schema_=built.schema)
    assert terms_of(None, IngestConfig()) is None and terms_of(contract, IngestConfig(contract="ignore")) is None
    assert terms_of(contract, IngestConfig(contract="quarantine")) == Terms(contract, "quarantine", 0.1)
