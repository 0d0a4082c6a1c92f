"""The page at `/docs`: the OpenAPI document in readable form, with every operation to try."""

from html import escape
from typing import Any

import orjson

from deployments.serving.page import framed
from deployments.serving.reply import Reply


def page(document: dict[str, Any]) -> Reply:
    """The documentation page.

    Args:
        document: As `openapi.document` makes it.
    """
    info = document["info"]
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if operation.get("parameters"):
                continue  # the same as its neighbour, for a version that is named
            groups.setdefault(operation["tags"][0], []).append(_operation(path, method.upper(), operation))
    sections = "".join(
        f'<section id="{escape(tag)}"><h2>{escape(tag)}</h2>{"".join(parts)}</section>' for tag, parts in groups.items()
    )
    head = (
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])} "
        '<a href="/openapi.json">OpenAPI document</a></p>'
    )
    return framed(f"{info['title']}: API", head + sections, here="/docs", scripts=("docs.js",))


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    request = operation.get("requestBody", {}).get("content", {}).get("application/json")
    answer = next(iter(operation["responses"]["200"]["content"].values()))
    opened = " open" if path.startswith("/predict/") else ""
    parts = [_body(request), _schema("Request schema", request), _schema("Answer schema", answer)] if request else []
    return (
        f'<details{opened}><summary><b class="{method.lower()}">{method}</b> <code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</summary>"
        f'<form data-method="{method}" data-path="{escape(path)}">'
        f"{''.join(parts)}<button>Send</button><pre hidden></pre></form></details>"
    )


def _body(content: dict[str, Any]) -> str:
    return f'<textarea aria-label="Request body" spellcheck="false" rows="8">{escape(_example(content))}</textarea>'


def _schema(title: str, content: dict[str, Any]) -> str:
    text = orjson.dumps(content["schema"], option=orjson.OPT_INDENT_2).decode()
    return f"<details><summary>{title}</summary><pre>{escape(text)}</pre></details>"


def _example(content: dict[str, Any]) -> str:
    return laid_out(content["example"]) if "example" in content else ""


def laid_out(value: Any, indent: str = "") -> str:
    """JSON for people: what nests gets lines of its own, a row of pixels stays in one.

    >>> print(laid_out({"image": [[0, 1], [2, 3]]}))
    {
      "image": [
        [0, 1],
        [2, 3]
      ]
    }
    """
    inner = indent + "  "
    if isinstance(value, dict):
        parts = [f"{inner}{orjson.dumps(key).decode()}: {laid_out(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return "[\n" + ",\n".join(inner + laid_out(item, inner) for item in value) + f"\n{indent}]"
    if isinstance(value, list):
        return "[" + ", ".join(orjson.dumps(item).decode() for item in value) + "]"
    return orjson.dumps(value).decode()
