"""A JSON object out of a body: strict, with every key once, at orjson's own cost.

orjson keeps the last of two equal keys and says nothing. Keys that were dropped show in a count: a body has one colon
for each key, and those inside strings. While the keys that were kept account for all of them, none was dropped; only
a body with colons in its strings is walked, and only one that still does not add up is parsed again, key by key.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from deployments.serving.refusal import Refusal, clipped

# The closing quote is optional, so that an unclosed string is passed over once and not once for each of its quotes.
_STRING_OR_NAN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|\bNaN\b', re.DOTALL)


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object from a body.

    Raises:
        Refusal: If it is not UTF-8, not JSON (NaN and Infinity are not), nested too deep, no object, or if a key stands
            twice in one object.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal("not_json", f"the body is not JSON: {_why(body, error)}") from error
    if type(value) is not dict:
        message = f"the body is a JSON {type(value).__name__}, but must be an object: see /docs for an example"
        raise Refusal("wrong_type", message)
    colons = len(body) - len(body.replace(b":", b""))  # quicker than counting, which looks at every byte in turn
    if colons != _keys_at_the_top(value) and (colons != _colons(value) or b"\\u003" in body):
        _refuse_duplicates(body)
    return value


def with_null_for_nan(body: bytes) -> bytes:
    """The body with `null` wherever it says `NaN` outside a string, as Python's json writes a gap.

    >>> with_null_for_nan(b'[1, NaN, "NaN"]')
    b'[1, null, "NaN"]'
    """
    if b"NaN" not in body:
        return body
    return _STRING_OR_NAN.sub(lambda found: b"null" if found[0] == b"NaN" else found[0], body)


def _keys_at_the_top(value: dict[str, Any]) -> int:
    """The keys of the places where requests have them; it may count too few, and never counts too many."""
    count = len(value)
    for item in value.values():
        if type(item) is dict:
            count += len(item)
        elif type(item) is list and item and type(item[0]) is dict:
            for row in item:
                if type(row) is dict:
                    count += len(row)
                    parameters = row.get("parameters")
                    if type(parameters) is dict:
                        count += len(parameters)
    return count


def _colons(value: Any) -> int:
    """The colons that a value takes if it is written without escapes."""
    count, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            count += len(item) + sum(key.count(":") for key in item)
            waiting += item.values()
        elif type(item) is list:
            kinds = set(map(type, item))
            waiting += [each for each in item if type(each) in (dict, list)] if kinds & {dict, list} else ()
            count += sum(each.count(":") for each in item if type(each) is str) if str in kinds else 0
        elif type(item) is str:
            count += item.count(":")
    return count


def _refuse_duplicates(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_once, parse_int=len, parse_float=len)
    except RecursionError as error:
        raise Refusal("not_json", "the body is not JSON for a model: it is nested deeper than any tensor") from error


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) == len(names):
        return
    name = clipped(next(_repeated(names)))
    message = f"key {name!r} stands twice in one object, but must stand once: leave out the one that is not meant"
    raise Refusal("duplicate_key", message, field=name)


def _repeated(names: list[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield name
        seen.add(name)


def _why(body: bytes, error: orjson.JSONDecodeError) -> str:
    if not body:
        return "it is empty, but must be an object: see /docs for an example"
    if any(error.doc.startswith(word, error.pos) for word in ("NaN", "Infinity", "-Infinity", "nan", "inf")):
        return f"NaN and Infinity are not numbers in JSON: send null for a missing value (char {error.pos})"
    return f"{error}: see /docs for an example"
