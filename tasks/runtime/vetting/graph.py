"""One ONNX file before it is loaded: whole, within its folder, of operators that are known.

The walk goes through every message of the file rather than through the places where nodes and tensors usually are:
so it also finds those in attributes, branches, sparse tensors, functions and training graphs.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.contracts.errors import GraphError, IntegrityError
from tasks.runtime.vetting.external_data import check_external
from tasks.runtime.vetting.files import size_of_plain_file
from tasks.runtime.vetting.operators import allowed_operators, written

LARGEST_BYTES = 2**31 - 1
"""Of a protobuf message."""
MOST_NODES = 200_000


def vet_graph(path: Path, allowed: frozenset[str] | None = None, max_bytes: int = LARGEST_BYTES) -> Counter[str]:
    """Refuses a file that ONNX Runtime must not see.

    Args:
        path: The ONNX file; what it refers to lies in the same folder.
        allowed: Operators as `domain::Operator`; None takes `allowed_operators`.
        max_bytes: Largest file.

    Returns:
        How often each operator is used.

    Raises:
        IntegrityError: If it is a link, no ONNX file, or leans on something outside its folder.
        GraphError: If it uses an operator that is not allowed.
    """
    model = _parsed(path, max_bytes)
    known = allowed_operators() if allowed is None else allowed
    if model.functions:
        named = ", ".join(written(each.domain, each.name) for each in list(model.functions)[:3])
        raise GraphError(
            f"{path.name} defines functions of its own ({named}), but must not: write them out with "
            "onnx.inliner.inline_local_functions"
        )
    used: Counter[str] = Counter()
    for message in list(_messages(model)):  # all text is checked before any of it is used
        if message.DESCRIPTOR.name == "TensorProto":
            check_external(message, path.parent)
        elif message.DESCRIPTOR.name == "NodeProto":
            used[_operator(message, known)] += 1
            if used.total() > MOST_NODES:
                raise GraphError(f"{path.name} has more than {MOST_NODES} nodes, but may not: export it optimized")
    if not used:
        raise IntegrityError(f"{path.name} has no nodes, but must be an ONNX graph: fetch it again")
    return used


def _parsed(path: Path, max_bytes: int) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    size = size_of_plain_file(path, path.name)
    if size > max_bytes:
        raise IntegrityError(f"{path.name} has {size} bytes, but may have {max_bytes}: keep its weights beside it")
    try:
        return ModelProto.FromString(path.read_bytes())
    except (DecodeError, RecursionError) as error:
        raise IntegrityError(f"{path.name} is no ONNX graph, or is nested too deeply: fetch it again") from error


def _messages(top: Any) -> Iterator[Any]:
    """Every message within a message, itself first; on a stack of its own, so depth costs no recursion."""
    waiting = [top]
    while waiting:
        message = waiting.pop()
        yield message
        for field, value in message.ListFields():
            if field.type == field.TYPE_STRING:
                _check_text(field.name, value)
            elif field.message_type is not None:
                waiting.extend([value] if hasattr(value, "ListFields") else value)


def _check_text(field: str, value: Any) -> None:
    """Refuses text that is no UTF-8: the library hands it on as bytes, and others may read it as they like."""
    for each in [value] if isinstance(value, str | bytes) else value:
        if not isinstance(each, str):
            raise IntegrityError(f"a {field} of the graph is {each[:50]!r}, but must be UTF-8: fetch it again")


def _operator(node: Any, allowed: frozenset[str]) -> str:
    operator = written(node.domain, node.op_type)
    if operator not in allowed:
        name = node.name or next(iter(node.output), "")
        raise GraphError(
            f"node {name[:100]!r} is a {operator[:200]}, but must be an operator of the allow-list: "
            "export it with standard operators, or add this one to INGOT_ALLOWED_OPERATORS if you trust it"
        )
    return operator
