"""Which columns of a source a contract speaks of, and what of it no row can mend."""

from collections.abc import Sequence

from tasks.contracts.contract import Contract
from tasks.contracts.errors import ConfigError, DataError
from tasks.datasets.facts import ColumnFacts
from tasks.datasets.labels import as_label
from tasks.datasets.schema import Columns
from tasks.datasets.source import Source

CHANGE = "set ingest.contract to ignore to change the schema on purpose"


def check_form(contract: Contract, *, target: str, task: str, features: Sequence[str], exclude: Sequence[str]) -> None:
    """The form asks for nothing else than the contract.

    Raises:
        ConfigError: naming the field.
    """
    schema = contract.schema_
    wanted = {feature.name for feature in schema.features}
    if target not in ("", schema.target):
        raise ConfigError(
            f"ingest.target is {target!r}, but {contract.called} predicts {schema.target!r}: "
            f"leave it empty, or {CHANGE}"
        )
    if task not in ("auto", schema.task):
        raise ConfigError(f"ingest.task is {task}, but {contract.called} is {schema.task}: set it to auto, or {CHANGE}")
    odd = sorted(set(features) ^ wanted) if features else []
    if odd:
        part = "holds" if odd[0] in features else "lacks"
        raise ConfigError(
            f"ingest.features {part} {odd[0]!r}, but must be the columns of {contract.called}: "
            f"leave it empty, or {CHANGE}"
        )
    gone = [name for name in exclude if name in wanted or name == schema.target]
    if gone:
        raise ConfigError(
            f"ingest.exclude holds {gone[0]!r}, but {contract.called} has that column: drop it there, or {CHANGE}"
        )


def check_source(contract: Contract, source: Source, reserved: Sequence[str]) -> None:
    """The source has all columns, and rows of that kind.

    Raises:
        DataError: naming the column that is missing, or the shape that is another.
    """
    schema = contract.schema_
    if (schema.kind == "images") != (source.kind == "images"):
        raise DataError(
            f"{source.name} holds {source.kind}, but {contract.called} is for {schema.kind}: choose another source, or "
            f"{CHANGE}"
        )
    shape = schema.features[0].shape
    if source.shape != shape:
        raise DataError(
            f"images of {source.name} are {_by(source.shape)}, but {contract.called} takes {_by(shape)}: resize them, "
            f"or {CHANGE}"
        )
    for name in (*(feature.name for feature in schema.features), schema.target):
        if name not in source.columns.names:
            part = "target" if name == schema.target else "column"
            raise DataError(
                f"{part} {name!r} is missing in {source.name}, but {contract.called} needs it: add it, or {CHANGE}"
            )
    if schema.target in reserved:
        raise ConfigError(
            f"ingest.time_column is {schema.target!r}, but must be another column: {contract.called} predicts it"
        )


def agreed(contract: Contract, found: Columns) -> tuple[Columns, tuple[str, ...]]:
    """The columns that the contract names, and those that it does not know.

    A model does not grow inputs because a source grew columns: who calls it could not fill them in.
    """
    schema = contract.schema_
    names = tuple(feature.name for feature in schema.features)
    new = tuple(name for name in found.features if name not in names and name != schema.target)
    left_out = tuple(name for name in found.left_out if name not in names)
    return Columns(names, schema.target, text=schema.kind == "text", left_out=left_out), new


def check_labels(contract: Contract, target: ColumnFacts, rows: str) -> None:
    """Every class of the contract occurs.

    Args:
        contract: The champion's.
        target: What its column holds.
        rows: In which rows of what: words for the message.

    Raises:
        DataError: naming the one that does not: the network would have fewer answers than its callers know.
    """
    seen = {as_label(value) for value in target.values or ()}
    absent = [label for label in contract.schema_.labels if label not in seen]
    if absent:
        raise DataError(
            f"class {absent[0]!r} is in no row of {rows}, but {contract.called} has it: add rows of it, or {CHANGE}"
        )


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "none"
