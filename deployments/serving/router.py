"""Paths to handlers: a tree of path segments, two or three dictionary look-ups a request."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from deployments.serving.refusal import Refusal, clipped

Handler = TypeVar("Handler")
_ANY = "{}"


@dataclass(slots=True)
class _Node(Generic[Handler]):
    children: "dict[str, _Node[Handler]]" = field(default_factory=dict)
    handlers: dict[str, Handler] = field(default_factory=dict)


class Router(Generic[Handler]):
    """Finds the handler of a method and a path.

    >>> router = Router[str]()
    >>> router.add("GET", "/v2/models/{name}", "metadata")
    >>> router.find("GET", "/v2/models/digits")
    ('metadata', ['digits'])
    """

    def __init__(self) -> None:
        self._root: _Node[Handler] = _Node()

    def add(self, method: str, pattern: str, handler: Handler) -> None:
        """Registers a handler; a segment in braces takes any one segment, and literal segments win over it."""
        node = self._root
        for segment in pattern.split("/"):
            key = _ANY if segment.startswith("{") else segment
            node = node.children.setdefault(key, _Node())
        node.handlers[method] = handler

    def find(self, method: str, path: str) -> tuple[Handler, list[str]]:
        """The handler, and what stood in the braces.

        Raises:
            Refusal: 404 for an unknown path, 405 with `Allow` for a method that this path does not have.
        """
        node, arguments = self._root, []
        for segment in path.split("/"):
            child = node.children.get(segment)
            if child is None:
                child = node.children.get(_ANY) if segment else None
                arguments.append(segment)
            if child is None:
                raise _no_path(path)
            node = child
        if not node.handlers:
            raise _no_path(path)
        handler = node.handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            raise _wrong_method(method, path, sorted(node.handlers))
        return handler, arguments


def _no_path(path: str) -> Refusal:
    return Refusal("unknown_path", f"path {clipped(path)!r} does not exist: see /docs for those that do", status=404)


def _wrong_method(method: str, path: str, allowed: list[str]) -> Refusal:
    known = ", ".join(allowed)
    message = f"method is {clipped(method)}, but must be {known} for {clipped(path)!r}: see /docs"
    return Refusal("method_not_allowed", message, status=405, headers=((b"allow", known.encode()),))
