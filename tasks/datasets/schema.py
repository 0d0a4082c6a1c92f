"""Which columns are predicted from, which one is predicted, and what kind each is."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import pyarrow as pa

from tasks.contracts.errors import ConfigError, DataError, unknown_name
from tasks.contracts.schema import Feature, FeatureKind, Schema, TaskKind
from tasks.datasets.column_types import is_number, is_time, is_words
from tasks.datasets.facts import MOST_VALUES, ColumnFacts
from tasks.datasets.labels import as_label
from tasks.datasets.source import Source

MOST_WHOLE_CLASSES = 100
"""Whole numbers with more distinct values than this are amounts, not classes."""
TEXT_NAMES = {"text", "sentence", "question"}
TaskChoice = Literal["auto", "classification", "regression"]


class Columns(NamedTuple):
    """The columns of a source by the part they play."""

    features: tuple[str, ...]
    target: str
    text: bool = False
    """Whether the only feature is known to be text by its name."""
    left_out: tuple[str, ...] = ()
    """Columns beside a text feature that nobody excluded."""


def choose_columns(
    source: Source,
    *,
    target: str,
    features: Sequence[str],
    exclude: Sequence[str],
    reserved: Sequence[str],
) -> Columns:
    """Who plays which part.

    Args:
        source: The opened source.
        target: The column to predict; empty takes 'label', else 'target', else the last.
        features: The columns to predict from; empty takes all others.
        exclude: Columns to leave out.
        reserved: Columns that order or assign the rows: no features unless named as such.

    Raises:
        DataError: if a name is unknown, or no feature is left.
        ConfigError: if a column plays two parts.
    """
    names = source.columns.names
    for field, wanted in (("target", [target] if target else []), ("features", features), ("exclude", exclude)):
        for name in wanted:
            if name not in names:
                raise DataError(f"ingest.{field}: {unknown_name('column', name, names)}")
    free = [name for name in names if name not in exclude and name not in reserved]
    goal = target or _usual_target(free)
    _refuse_double_parts(goal, features, exclude, reserved)
    chosen = tuple(features) or tuple(name for name in free if name != goal)
    if not chosen:
        raise DataError(
            f"{source.name} has no column beside the target {goal!r}, but must have features: add columns, "
            "or exclude less"
        )
    return _text_alone(source, goal, chosen, explicit=bool(features))


def _usual_target(names: Sequence[str]) -> str:
    if not names:
        raise ConfigError("ingest.exclude leaves no column, but must leave a target and features: exclude less")
    return next((name for name in ("label", "target") if name in names), names[-1])


def _refuse_double_parts(target: str, features: Sequence[str], exclude: Sequence[str], reserved: Sequence[str]) -> None:
    for name in (target, *features):
        if name in exclude:
            part = "target" if name == target else "features"
            raise ConfigError(
                f"ingest.exclude holds {name!r}, but must not: it is in ingest.{part}, so drop it from one"
            )
    if target in features:
        raise ConfigError(f"ingest.features holds {target!r}, but must not: it is the target, so drop it from one")
    if target in reserved:
        raise ConfigError(f"ingest.target is {target!r}, but must be another column: that one assigns rows to splits")
    if len(set(features)) < len(features):
        raise ConfigError(f"ingest.features is {list(features)}, but must not repeat a column: name each once")


def _text_alone(source: Source, target: str, features: tuple[str, ...], *, explicit: bool) -> Columns:
    if source.kind != "table":
        return Columns(features, target, text=source.kind == "text")
    texts = [name for name in features if name.lower() in TEXT_NAMES and is_words(source.columns.field(name).type)]
    if len(texts) != 1 or (explicit and len(features) > 1):
        return Columns(features, target)
    return Columns((texts[0],), target, text=True, left_out=tuple(name for name in features if name != texts[0]))


def infer_schema(
    source: Source, columns: Columns, facts: Mapping[str, ColumnFacts], *, task: TaskChoice, nullable: bool
) -> Schema:
    """The schema of rows with these facts.

    Raises:
        DataError: naming the column that can be neither a number nor a category, or the target that fits no task.
    """
    kind = _task(facts[columns.target], task)
    labels = _labels(facts[columns.target]) if kind == "classification" else ()
    features = tuple(
        Feature(
            name=name,
            kind=_kind(source, columns, facts[name]),
            shape=source.shape,
            nullable=nullable and source.kind != "images",
        )
        for name in columns.features
    )
    return Schema(task=kind, features=features, target=columns.target, labels=labels)


def _kind(source: Source, columns: Columns, facts: ColumnFacts) -> FeatureKind:
    if source.kind == "images":
        return "image"
    if is_number(facts.type) or pa.types.is_boolean(facts.type):
        return "number"
    return "text" if columns.text or _reads_like_text(columns, facts) else "category"


def _reads_like_text(columns: Columns, facts: ColumnFacts) -> bool:
    """A single string feature, most of whose values differ and are of several words."""
    if len(columns.features) > 1:
        return False
    if facts.values is None:
        return facts.spaced > MOST_VALUES / 2
    several = sum(" " in str(value).strip() for value in facts.values)
    return len(facts.values) > facts.rows / 2 and several > len(facts.values) / 2


def _task(target: ColumnFacts, choice: TaskChoice) -> TaskKind:
    numeric = is_number(target.type)
    if choice == "regression":
        if not numeric:
            raise DataError(
                f"target {target.name!r} holds {_noun(target.type)}, but regression needs numbers: "
                "set ingest.task to classification"
            )
        return "regression"
    if choice == "classification":
        if target.fraction is not None:
            raise DataError(
                f"target {target.name!r} holds {target.fraction!r}, but classes must be words or whole numbers: "
                "set ingest.task to regression"
            )
        return "classification"
    if not numeric:
        return "classification"
    whole = target.fraction is None and target.values is not None and len(target.values) <= MOST_WHOLE_CLASSES
    return "classification" if whole else "regression"


def _labels(target: ColumnFacts) -> tuple[int, ...] | tuple[str, ...]:
    if target.values is None:
        raise DataError(
            f"target {target.name!r} has more than {MOST_VALUES} distinct values, but classes must be "
            "at most that many: choose another target, or set ingest.task to regression"
        )
    named = {as_label(value) for value in target.values}
    whole = [name for name in named if isinstance(name, int)]
    return tuple(sorted(whole)) if len(whole) == len(named) else tuple(sorted(str(name) for name in named))


def _noun(kind: pa.DataType) -> str:
    return "booleans" if pa.types.is_boolean(kind) else "times" if is_time(kind) else "words"
