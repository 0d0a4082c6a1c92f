"""A task is a door, not a room."""

import ast
from pathlib import Path

import pytest
from prefect import Task

import tasks.appoint
import tasks.compare
import tasks.convert
import tasks.evaluate
import tasks.explain
import tasks.export
import tasks.finetune
import tasks.ingest
import tasks.promote
import tasks.prune
import tasks.publish
import tasks.quantize
import tasks.reconcile
import tasks.survey
import tasks.train
import tasks.watch

VERBS = [
    "ingest",
    "train",
    "prune",
    "finetune",
    "survey",
    "export",
    "quantize",
    "evaluate",
    "explain",
    "convert",
    "publish",
    "promote",
    "appoint",
    "reconcile",
    "compare",
    "watch",
]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_one_public_task_of_at_most_a_hundred_lines(verb):
    module = getattr(tasks, verb)
    source = Path(module.__file__).read_text()
    public = [n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
    assert public == [verb]
    assert isinstance(getattr(module, verb), Task) and getattr(module, verb).name == verb
    assert len(source.splitlines()) <= 100
