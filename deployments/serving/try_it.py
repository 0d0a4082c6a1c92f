"""The form to try a model: a canvas for pictures, a field for each column, a box for text; examples are golden rows.

A model whose columns are the pixels of a square picture by their names (`pixel_0_0` ..., or `pixel0` ...) is drawn
for, too. The browser gets what it needs as data in an attribute, never as code.
"""

import re
from html import escape
from math import isqrt, prod
from typing import Any

import orjson

from deployments.serving.library import Served
from deployments.serving.named_features import item_shape, keys_of, named
from deployments.serving.refusal import clipped
from tasks.contracts.signature import Signature

_LARGEST_EXAMPLES = 32 * 1024
"""Values of all examples together: photos as examples would bury the page."""
_LARGEST_CANVAS = 512
_SMALLEST_GRID = 4
_TOPS = (1, 16, 255)
"""Full light, as data sets have it: shares, 4-bit scans, bytes."""
_TWO_NUMBERS = re.compile(r"(.*?)(\d+)[_x-](\d+)")
_ONE_NUMBER = re.compile(r"(.*?)(\d+)")

Json = dict[str, Any]


def try_form(served: Served, number: int) -> str:
    """The form of one model.

    Args:
        served: Who answers.
        number: Of the model on this page, for ids that no name can break.
    """
    signature = served.manifest.signature
    rows = example_rows(served)
    canvas = canvas_of(signature, rows)
    facts = orjson.dumps({"rows": rows, "canvas": canvas}).decode()
    inputs = _drawing(canvas, number) if canvas else _fields(signature, rows, number)
    return (
        f'<form class="try" data-model="{escape(served.model)}" data-try="{escape(facts)}" novalidate>{inputs}'
        f'<div class="examples" role="group" aria-label="Examples"></div><p class="bad" data-error role="alert"></p>'
        f"<p><button>Ask</button></p></form>"
        '<div class="answer" aria-live="polite"></div><noscript><p>The form needs JavaScript; '
        '<a href="/docs">the API</a> does not.</p></noscript>'
    )


def example_rows(served: Served) -> list[Json]:
    """The golden rows as `/predict` takes them; none where they would be too large for a page."""
    inputs = served.manifest.signature.inputs
    golden = served.manifest.golden.inputs
    count = len(next(iter(golden.values()), []))
    if count * sum(prod(tensor.shape[1:]) for tensor in inputs) > _LARGEST_EXAMPLES:
        return []
    return [named(inputs, {tensor.name: golden[tensor.name][row] for tensor in inputs}) for row in range(count)]


def canvas_of(signature: Signature, rows: list[Json]) -> Json | None:
    """What to draw on, if the model takes a picture: size, full light, and where its pixels go in a row."""
    tensor = signature.inputs[0]
    if len(signature.inputs) > 1 or tensor.datatype == "BYTES":
        return None
    shape = item_shape(tensor)
    size = _size(shape)
    if size is not None:
        small = max(size) <= _LARGEST_CANVAS
        facts = {"key": tensor.name, "shape": shape, "height": size[0], "width": size[1], "top": 255}
        return facts if small and tensor.datatype == "UINT8" else None
    places = None if shape else square_of(tensor.columns)
    top = None if places is None else _top(rows)
    if places is None or top is None:
        return None
    side = isqrt(len(places))
    return {"columns": places, "height": side, "width": side, "top": top}


def _size(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Height and width of (H, W), (C, H, W) or (H, W, C)."""
    if len(shape) == 2:
        return shape[0], shape[1]
    if len(shape) == 3 and shape[0] in (1, 3):
        return shape[1], shape[2]
    if len(shape) == 3 and shape[2] in (1, 3):
        return shape[0], shape[1]
    return None


def square_of(columns: tuple[str, ...]) -> list[str] | None:
    """The columns line by line, if their names say that they are the pixels of a square picture.

    >>> square_of(("p_0_0", "p_0_1", "p_1_0", "p_1_1"))  # too small to draw on
    >>> square_of(tuple(f"pixel{n}" for n in range(1, 17)))[:2]
    ['pixel1', 'pixel2']
    """
    side = isqrt(len(columns))
    if side < _SMALLEST_GRID or side * side != len(columns):
        return None
    places = [(row, column) for row in range(side) for column in range(side)]
    for pattern, wanted in ((_TWO_NUMBERS, places), (_ONE_NUMBER, [(number,) for number in range(side * side)])):
        found = [pattern.fullmatch(name) for name in columns]
        matches = [match for match in found if match is not None and len(match[0]) < 64]
        if len(matches) == len(columns) and len({match[1] for match in matches}) == 1:
            numbers = {tuple(map(int, match.groups()[1:])): match[0] for match in matches}
            first = min(numbers)[0]  # counted from 0 or from 1
            counted = [tuple(number + first for number in place) for place in wanted]
            if first in (0, 1) and numbers.keys() == set(counted):
                return [numbers[place] for place in counted]
    return None


def _top(rows: list[Json]) -> int | None:
    """Full light, as far as the examples tell it; None if they are no picture."""
    values = [value for row in rows for value in row.values()]
    if not values or any(type(value) not in (int, float) or value < 0 for value in values):
        return None
    return next((top for top in _TOPS if max(values) <= top), None)


def _drawing(canvas: Json, number: int) -> str:
    height, width = canvas["height"], canvas["width"]
    return (
        f'<div class="drawing"><div><p id="draw-{number}">Draw with mouse or finger; or move with the arrow keys and '
        'paint with the space bar.</p><canvas class="pad" tabindex="0" role="application" '
        f'aria-label="Drawing area, {height} by {width} pixels" aria-describedby="draw-{number}"></canvas>'
        '<p><button type="button" data-clear>Clear</button></p></div>'
        '<figure><canvas class="seen" role="img" aria-label="The picture as the model gets it"></canvas>'
        f"<figcaption>What the model gets: {height} x {width}</figcaption></figure></div>"
    )


def _fields(signature: Signature, rows: list[Json], number: int) -> str:
    first = rows[0] if rows else {}
    parts: list[str] = []
    for tensor in signature.inputs:
        for place, key in enumerate(keys_of(tensor)):
            nullable = place < len(tensor.nullable) and tensor.nullable[place]
            kind = "json" if item_shape(tensor) else "text" if tensor.datatype == "BYTES" else "number"
            alone = len(signature.inputs) == 1 and kind == "text"
            identity = f"try-{number}-{len(parts)}"
            parts.append(_field(key, first.get(key), identity, kind="prose" if alone else kind, nullable=nullable))
    wide = " wide" if len(parts) == 1 else ""
    return f'<div class="fields{wide}">{"".join(parts)}</div>'


def _field(key: str, value: Any, identity: str, *, kind: str, nullable: bool) -> str:
    shown = "" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()
    facts = (
        f'id="{identity}" data-key="{escape(key)}" data-kind="{kind}" aria-describedby="{identity}-e" '
        'autocomplete="off" spellcheck="false"'
    )
    if kind in ("prose", "json"):
        control = f'<textarea {facts} rows="4">\n{escape(shown)}</textarea>'
    elif kind == "number":
        control = f'<input {facts} type="number" step="any" value="{escape(shown)}">'
    else:
        control = f'<input {facts} type="text" value="{escape(shown)}">'
    missing = ' <small class="soft">may be empty</small>' if nullable else ""
    return (
        f'<div class="field"><label for="{identity}"><bdi>{escape(clipped(key))}</bdi>{missing}</label>{control}'
        f'<p class="bad" id="{identity}-e" role="alert"></p></div>'
    )
