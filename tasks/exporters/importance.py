"""What drives the winner's answers, by the method that fits its rows.

| rows | method | asks | at most |
|---|---|---|---|
| tables | permutation importance | the ONNX file that is published | 2,000 rows, 5 repeats, 20 s |
| images, text | integrated gradients | the torch network it was made from | 128 rows, 32 steps, 20 s |
| images without gradients | permutation of nine regions | the ONNX file | 2,000 rows, 5 repeats, 20 s |
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from tasks.contracts.errors import GraphError, ModelError
from tasks.contracts.explanation import Example, Explanation, Influence
from tasks.contracts.schema import Encoding, ImageEncoding, Schema, TextEncoding
from tasks.contracts.signature import signature_of
from tasks.datasets.nodes import FIRST_WORD
from tasks.datasets.reader import Rows
from tasks.exporters import attributions
from tasks.runtime import importance
from tasks.runtime.session import load
from tasks.runtime.slices import run_in_slices

MOST_ATTRIBUTED = 128
MOST_MAPS = 10
MOST_WORDS = 200
MOST_EXAMPLES, LONGEST_EXAMPLE = 4, 40
SHARE = "share of an image's absolute attribution, in per cent"
LOGIT = "what a word adds to the logit of the class that is answered"


@dataclass(frozen=True)
class Winner:
    """The model to explain, in both its forms."""

    content: bytes
    """The ONNX file."""
    module: nn.Module
    schema: Schema
    encoding: Encoding


@dataclass(frozen=True)
class Explained:
    """An explanation, and images to draw: each with its attributions (H, W) and what it is taken for."""

    explanation: Explanation
    images: tuple[tuple[np.ndarray, np.ndarray, str], ...] = ()


def explain(winner: Winner, rows: Rows, encoded: np.ndarray, seed: int) -> Explained:
    """Explain a model; where nothing can be told the note says why.

    Args:
        winner: The model.
        rows: Raw rows that it did not learn from.
        encoded: The first of them, encoded: at most `MOST_ATTRIBUTED` are used.
        seed: Of the shuffling.
    """
    encoded = encoded[:MOST_ATTRIBUTED]
    try:
        if not len(rows):
            return Explained(Explanation(method="none", note="The validation split is empty."))
        if winner.schema.kind == "text":
            return Explained(_words(winner, encoded))
        if winner.schema.kind == "tabular":
            return Explained(_columns(winner, rows, seed))
        try:
            return _pixels(winner, rows, encoded)
        except ModelError as error:
            return Explained(_regions(winner, rows, seed, str(error)))
    except (GraphError, ModelError) as error:
        return Explained(Explanation(method="none", note=f"Not explained: {error}."))


def rows_wanted(schema: Schema, available: int) -> int:
    """How many raw rows are worth fetching."""
    return importance.rows_for(len(schema.features) if schema.kind == "tabular" else len(importance.GRID), available)


def _columns(winner: Winner, rows: Rows, seed: int) -> Explanation:
    parts = importance.columns_of(signature_of(winner.schema))
    together = importance.related(parts, rows.inputs)
    found = _permuted(winner, rows, [*parts, *together], seed)
    alone, joined = found[: len(parts)], found[len(parts) :]
    left = alone.count(None)
    notes = [f"{left} of {len(parts)} columns were not reached in time."] if left else []
    if together:
        notes.append(
            f"Columns joined by + have a rank correlation of {importance.RELATED:g} or more and are shuffled as one: "
            "alone, each can look idle because another one says the same."
        )
    return Explanation(
        method="permutation",
        unit=_rise(winner.schema),
        rows=len(rows),
        influences=importance.ranked(alone),
        together=importance.ranked(joined),
        note=" ".join(notes),
    )


def _regions(winner: Winner, rows: Rows, seed: int, reason: str) -> Explanation:
    name, (height, width, *_) = signature_of(winner.schema).inputs[0].name, winner.schema.features[0].shape
    found = _permuted(winner, rows, importance.regions_of(name, height, width), seed)
    note = f"Regions of the image were shuffled: {reason}."
    return Explanation(
        method="permutation", unit=_rise(winner.schema), rows=len(rows), influences=importance.ranked(found), note=note
    )


def _permuted(winner: Winner, rows: Rows, parts: Sequence[importance.Part], seed: int) -> list[Influence | None]:
    session = load(winner.content)
    return importance.permutation(
        lambda inputs: run_in_slices(session, inputs), rows.inputs, rows.target, winner.schema.labels, parts, seed=seed
    )


def _pixels(winner: Winner, rows: Rows, encoded: np.ndarray) -> Explained:
    encoding = winner.encoding.features[0]
    assert isinstance(encoding, ImageEncoding)
    mean, scale = (np.asarray(each, dtype=np.float32)[:, None, None] for each in (encoding.mean, encoding.scale))
    black = np.broadcast_to(-mean / scale, encoded.shape[1:]).copy()
    found, classes = attributions.of_images(winner.module, encoded, black, classes=bool(winner.schema.labels))
    absolute = np.abs(found).sum(1)
    explanation = Explanation(
        method="integrated gradients",
        unit=SHARE,
        rows=len(found),
        influences=tuple(_shares(absolute)),
        heat_maps={"all": attributions.pooled(absolute.mean(0)), **_maps(absolute, classes, winner.schema.labels)},
        note=_of_the_network(found),
    )
    raw = next(iter(rows.inputs.values()))
    answered = [_label(winner.schema, each) for each in classes]
    return Explained(explanation, tuple(zip(raw[:MOST_EXAMPLES], found.sum(1)[:MOST_EXAMPLES], answered, strict=False)))


def _shares(absolute: np.ndarray) -> list[Influence]:
    """The share of each region of the image."""
    totals = np.maximum(absolute.sum((1, 2)), np.finfo(np.float32).tiny)
    shares = []
    for region in importance.regions_of("image", *absolute.shape[1:]):
        ((_, (down, across)),) = region.places
        shares.append(importance.influence(region.name, 100 * absolute[:, down, across].sum((1, 2)) / totals))
    return sorted(shares, key=lambda each: -each.mean)


def _maps(
    absolute: np.ndarray, classes: np.ndarray, labels: Sequence[object]
) -> dict[str, tuple[tuple[float, ...], ...]]:
    there = [(place, label) for place, label in enumerate(labels) if (classes == place).any()][:MOST_MAPS]
    return {str(label): attributions.pooled(absolute[classes == place].mean(0)) for place, label in there}


def _words(winner: Winner, tokens: np.ndarray) -> Explanation:
    encoding = winner.encoding.features[0]
    assert isinstance(encoding, TextEncoding)
    vocabulary = len(encoding.words) + FIRST_WORD
    labels = winner.schema.labels
    scores, classes = attributions.of_texts(winner.module, tokens, vocabulary, classes=bool(labels))
    tokens = tokens[: len(classes)]
    found = attributions.by_word(tokens, scores, classes, encoding.words)
    often = {key: values for key, values in found.items() if len(values) > 1} or found
    influences = [
        importance.influence(word, values, _label(winner.schema, place)) for (word, place), values in often.items()
    ]
    return Explanation(
        method="integrated gradients",
        unit=LOGIT if labels else f"what a word adds to the answer, in standard deviations of {winner.schema.target}",
        rows=len(tokens),
        influences=tuple(sorted(influences, key=lambda each: -abs(each.mean))[:MOST_WORDS]),
        examples=tuple(
            _example(winner.schema, encoding, *each)
            for each in zip(tokens[:MOST_EXAMPLES], scores[:MOST_EXAMPLES], classes[:MOST_EXAMPLES], strict=True)
        ),
        note=_of_the_network(scores),
    )


def _example(schema: Schema, encoding: TextEncoding, tokens: np.ndarray, scores: np.ndarray, place: int) -> Example:
    at = np.flatnonzero(tokens)[:LONGEST_EXAMPLE]
    names = ["", "(unknown)", *encoding.words]
    words = tuple(names[token] for token in tokens[at])
    return Example(label=_label(schema, place), words=words, scores=tuple(float(f"{scores[i]:.4g}") for i in at))


def _of_the_network(found: np.ndarray) -> str:
    if not np.isfinite(found).all() or not found.any():
        raise ModelError("no gradient comes through the network (all are zero, or no numbers)")
    return "Asked was the torch network that the winner was made from, before it was quantized."


def _rise(schema: Schema) -> str:
    what = "percentage points of accuracy lost" if schema.labels else f"RMSE gained, in the unit of {schema.target}"
    return f"{what} when the input is shuffled among the rows"


def _label(schema: Schema, place: int) -> str:
    return str(schema.labels[place]) if schema.labels else ""
