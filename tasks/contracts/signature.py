"""The signature of a published graph: the tensors that go in and come out.

Names, datatypes and shapes are those of the Open Inference Protocol V2, so serving reads requests straight against it.
"""

from typing import Literal

from tasks.contracts.record import Record
from tasks.contracts.schema import Schema

Datatype = Literal["FP32", "INT64", "UINT8", "BYTES"]


class Tensor(Record):
    """One input or output; the first axis is the batch, written -1."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()
    """The named features this tensor carries, one for each place of its last axis, or the one it is."""
    nullable: tuple[bool, ...] = ()
    """For each column, whether a missing value may be sent (NaN for numbers, '' for strings)."""


class Signature(Record):
    """What goes in, what comes out, and the classes in the order of the probabilities."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    labels: tuple[int, ...] | tuple[str, ...] = ()


def signature_of(schema: Schema) -> Signature:
    """The signature that a graph for this schema has.

    Numbers alone travel as one matrix `features`; as soon as there is one string column, every column is a tensor of
    its own, named like the column. An image is `image`, a text is `text`. Classification answers `label` and
    `probabilities`, regression answers `value`.
    """
    return Signature(inputs=_inputs(schema), outputs=_outputs(schema), labels=schema.labels)


def _inputs(schema: Schema) -> tuple[Tensor, ...]:
    names = tuple(feature.name for feature in schema.features)
    nullable = tuple(feature.nullable for feature in schema.features)
    first = schema.features[0]
    if first.kind == "image":
        return (Tensor(name="image", datatype="UINT8", shape=(-1, *first.shape), columns=names, nullable=nullable),)
    if first.kind == "text":
        return (Tensor(name="text", datatype="BYTES", shape=(-1,), columns=names, nullable=nullable),)
    if all(feature.kind == "number" for feature in schema.features):
        return (Tensor(name="features", datatype="FP32", shape=(-1, len(names)), columns=names, nullable=nullable),)
    return tuple(
        Tensor(
            name=feature.name,
            datatype="FP32" if feature.kind == "number" else "BYTES",
            shape=(-1,),
            columns=(feature.name,),
            nullable=(feature.nullable,),
        )
        for feature in schema.features
    )


def _outputs(schema: Schema) -> tuple[Tensor, ...]:
    if schema.task == "regression":
        return (Tensor(name="value", datatype="FP32", shape=(-1,)),)
    label = "INT64" if all(isinstance(name, int) for name in schema.labels) else "BYTES"
    return (
        Tensor(name="label", datatype=label, shape=(-1,)),
        Tensor(name="probabilities", datatype="FP32", shape=(-1, len(schema.labels))),
    )
