"""What a contract demands of one column, and which cells of a batch break it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.contracts.contract import Contract
from tasks.contracts.dataset import Rule
from tasks.contracts.schema import Feature
from tasks.datasets.column_types import is_number, is_words, numbers
from tasks.datasets.conversion import as_numbers, as_truths, as_wholes
from tasks.datasets.facts import LARGEST, missing_cells
from tasks.datasets.labels import as_label, is_missing

Holds = Literal["numbers", "words", "pixels"]
TRUTHS = {"true", "false"}


@dataclass(frozen=True)
class Demand:
    """What the cells of one column must be."""

    column: str
    holds: Holds
    fillable: bool
    """Whether a cell may be empty."""
    known: tuple[str, ...] | None = None
    """The words it may be, for a category."""
    labels: tuple[int | str, ...] = ()
    """The classes it may be, for a target."""
    truths: bool = False
    """Whether true and false are the numbers 1 and 0: in a feature, never in a target."""

    def read_as(self, kind: pa.DataType) -> pa.DataType | None:
        """The type that cells of such a type are kept in; None if they can never be what is demanded."""
        if self.holds == "pixels":
            return kind
        if self.holds == "words":
            plain = is_words(kind) or (pa.types.is_boolean(kind) and set(self.labels) <= TRUTHS and bool(self.labels))
            return kind if plain else pa.string() if pa.types.is_null(kind) else None
        if is_number(kind) or (pa.types.is_boolean(kind) and self.truths):
            return kind
        return self._number if is_words(kind) or pa.types.is_null(kind) else None

    def judge(self, cells: pa.Array) -> tuple[pa.Array, list[tuple[Rule, np.ndarray]]]:
        """The cells in the type they are kept in, and a mask for each rule that some of them break."""
        kept, strange = self._converted(cells)
        rules = [("number", strange), *self._broken(kept, strange)]
        return kept, [(rule, mask) for rule, mask in rules if mask is not None and mask.any()]

    def _converted(self, cells: pa.Array) -> tuple[pa.Array, np.ndarray | None]:
        if pa.types.is_null(cells.type) and self.holds != "pixels":
            return pc.cast(cells, self._number if self.holds == "numbers" else pa.string()), None
        if self.holds == "numbers" and is_words(cells.type):
            return as_wholes(cells) if self.labels else as_numbers(cells, truths=self.truths)
        if self.labels and set(self.labels) <= TRUTHS and is_words(cells.type):
            return as_truths(cells), None
        return cells, None

    def _broken(self, cells: pa.Array, strange: np.ndarray | None) -> Iterator[tuple[Rule, np.ndarray | None]]:
        empty = missing_cells(cells)
        if empty is not None and strange is not None:
            empty &= ~strange
        if not self.fillable:
            yield "empty", empty
        if pa.types.is_floating(cells.type):
            yield "finite", np.abs(numbers(cells)) > LARGEST
        if self.known is not None:
            known = np.asarray(pc.fill_null(pc.is_in(cells, self._known), False))
            yield "category", ~known if empty is None else ~(known | empty)
        if self.labels:
            yield "label", self._no_label(cells)

    @property
    def _number(self) -> pa.DataType:
        """What words become that are to be numbers: a class is whole, and float64 would round a long one."""
        return pa.int64() if self.labels else pa.float64()

    @cached_property
    def _known(self) -> pa.Array:
        return pa.array(self.known, pa.string())

    def _no_label(self, cells: pa.Array) -> np.ndarray:
        encoded = pc.dictionary_encode(cells)
        odd = [not (is_missing(value) or _is_among(value, self.labels)) for value in encoded.dictionary.to_pylist()]
        mask: np.ndarray = np.asarray([*odd, False])[np.asarray(pc.fill_null(encoded.indices, len(odd)))]
        return mask


def demands_of(contract: Contract, missing: str = "error") -> tuple[Demand, ...]:
    """One a feature, in order, and the target's last.

    Args:
        contract: The champion's.
        missing: What the form does with empty cells: rows that are dropped break nothing.
    """
    schema, drop = contract.schema_, missing == "drop"
    features = [_demand(feature, contract.categories.get(feature.name), drop) for feature in schema.features]
    words = bool(schema.labels) and isinstance(schema.labels[0], str)
    return (*features, Demand(schema.target, "words" if words else "numbers", drop, labels=schema.labels))


def _demand(feature: Feature, known: Sequence[str] | None, drop: bool) -> Demand:
    kinds: dict[str, Holds] = {"number": "numbers", "image": "pixels"}
    known = tuple(known) if known is not None and feature.kind == "category" else None
    return Demand(feature.name, kinds.get(feature.kind, "words"), feature.nullable or drop, known, truths=True)


def _is_among(value: Any, labels: tuple[int | str, ...]) -> bool:
    whole = not isinstance(value, float) or (np.isfinite(value) and value.is_integer())
    return bool(whole) and as_label(value) in labels
