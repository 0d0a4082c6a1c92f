"""Programs of torch.export (.pt2), cleaned before torch reads them.

torch 2.13 loads such an archive with open doors: tensors and objects marked `use_pickle` by an unrestricted torch.load,
sample inputs likewise where the restricted one fails, targets of nodes as any attribute of `torch` (`torch.os.system`
is one), symbolic sizes by sympy's eval, guards by exec, compiled models as shared libraries. So only what a program
needs is copied into a new archive, its graph without guards and metadata, and whatever else could run is refused.
Source: torch/export/pt2_archive/_package.py, torch/_export/serde/serialize.py.
"""

import ast
import io
import json
import logging
import re
import zipfile
from typing import Any

import torch

from tasks.contracts.errors import ModelError
from tasks.models.pretrained.formats import entries, not_whole
from tasks.models.pretrained.frozen import Opened
from tasks.models.pretrained.reading import Wanted

GRAPH, INPUTS = "models/model.json", "data/sample_inputs/model.pt"
KEPT = re.compile(
    r"models/model\.json|archive_format|archive_version|byteorder|\.data/version"
    r"|data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
)
TARGET = re.compile(r"torch\.ops\.(aten|prims|higher_order)\.\w+(\.\w+)?|_operator\.\w+|math\.\w+|torch\.sym_\w+")
TOUCHES_FILES = re.compile(r"\.(save|from_file)\b")
SYMBOL = re.compile(r"[a-z]+\d+")
CALLS = (
    *("Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Mod", "PythonMod", "Max", "Min", "FloorDiv"),
    *("CleanDiv", "CeilDiv", "IntTrueDiv", "FloatTrueDiv", "ToFloat", "TruncToInt", "CeilToInt", "FloorToInt"),
    *("PowByNatural", "Equality", "Unequality", "Eq", "Ne", "StrictLessThan", "LessThan", "StrictGreaterThan"),
    *("GreaterThan", "And", "Or", "Not", "Where", "Identity"),
)
"""What torch writes into the size of a tensor."""
LITERALS = (
    ast.Expression,
    ast.Constant,
    ast.Name,
    ast.Load,
    ast.keyword,
    ast.UnaryOp,
    ast.USub,
    ast.BinOp,
    ast.operator,
)


def checked(content: bytes, name: str) -> bytes:
    """The program in a new archive, without anything that could run code while it is read.

    Raises:
        ModelError: It is no program of torch.export, or cannot be had without pickles or foreign operators.
    """
    found = {each.partition("/")[2]: value for each, value in entries(content, name).items()}
    if GRAPH not in found:
        raise ModelError(f"train.source {name} holds no {GRAPH}, but must be saved by torch.export.save: save it anew")
    kept = {each: value for each, value in found.items() if KEPT.fullmatch(each)}
    try:
        for each in ("weights", "constants"):
            _refuse_pickled(json.loads(kept[f"data/{each}/model_{each}_config.json"]), name)
        graph = json.loads(kept[GRAPH])
        graph["guards_code"] = []
        _clean(graph, name)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise not_whole(name, "file of torch.export", error) from error
    return _archive({**kept, GRAPH: json.dumps(graph).encode(), INPUTS: b""})


def opened(content: bytes) -> Opened:
    """The program as a module."""
    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what goes wrong is raised
    try:
        program = torch.export.load(io.BytesIO(content))
        module = program.module(check_guards=False)
    except Exception as error:  # torch raises whatever its own parts do
        raise not_whole("", "file of torch.export", error) from error
    finally:
        logger.setLevel(level)
    parameters = sum(int(value.count_nonzero()) for value in program.state_dict.values())
    return Opened(module, parameters, _wanted(program))


def _wanted(program: torch.export.ExportedProgram) -> Wanted:
    names = program.graph_signature.user_inputs
    values = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    if len(values) != 1 or not isinstance(values[0], torch.Tensor):
        raise ModelError(f"it takes {len(values)} inputs, but must take one tensor: wrap it")
    (value,) = values
    if isinstance(value.shape[0], int):
        raise ModelError(
            f"its batch axis is pinned to {value.shape[0]}, but must be free: "
            "export it anew with dynamic_shapes=({0: torch.export.Dim('batch')},)"
        )
    shape = tuple(size if isinstance(size, int) else None for size in value.shape[1:])
    return Wanted(shape, value.dtype, not value.dtype.is_floating_point)


def _refuse_pickled(config: dict[str, Any], name: str) -> None:
    for each, payload in config["config"].items():
        if payload["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", payload["path_name"]):
            raise ModelError(
                f"train.source {name} holds {each!r} as a pickle, which runs code when it is read: "
                "export it with plain tensors alone"
            )


def _clean(part: Any, name: str) -> None:
    """Of a graph and all that it holds: metadata emptied, operators and sizes looked at."""
    if isinstance(part, list):
        for each in part:
            _clean(each, name)
    if not isinstance(part, dict):
        return
    if isinstance(part.get("metadata"), dict):
        part["metadata"] = {}
    for key, value in part.items():
        if key == "target" and isinstance(value, str):
            _refuse_target(value, name)
        elif key == "expr_str":
            _refuse_expression(str(value), name)
        elif isinstance(value, str) and ("__enum__" in value or "default_factory" in value):
            raise ModelError(f"train.source {name} takes more than tensors, but must take one: wrap it")
        else:
            _clean(value, name)


def _refuse_target(target: str, name: str) -> None:
    if "__" in target or not TARGET.fullmatch(target) or TOUCHES_FILES.search(target):
        raise ModelError(
            f"train.source {name} calls {target[:60]!r}, but may call torch's own operators alone: export it to ONNX"
        )


def _refuse_expression(expression: str, name: str) -> None:
    """Only arithmetic of symbols: sympy evaluates what it is given."""
    for node in ast.walk(ast.parse(expression, mode="eval")):
        known = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS
        if isinstance(node, ast.Name):
            known = node.id in CALLS or bool(SYMBOL.fullmatch(node.id))
        elif isinstance(node, ast.Constant):
            known = not isinstance(node.value, str) or bool(SYMBOL.fullmatch(node.value))
        elif isinstance(node, LITERALS):
            known = True
        if not known:
            raise ModelError(
                f"train.source {name} has a size {expression[:60]!r}, but sizes must be arithmetic: export it anew"
            )


def _archive(found: dict[str, bytes]) -> bytes:
    """The same bytes for the same entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for each in sorted(found):
            archive.writestr(zipfile.ZipInfo(f"archive/{each}"), found[each])
    return buffer.getvalue()
