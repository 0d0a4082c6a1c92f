"""Which files a module is made of: its own, and those of every module that it imports, found without running any."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FILE = re.compile(r"([A-Za-z_]\w*)\.py")


def closure(module: str, root: Path, within: tuple[str, ...] = ()) -> frozenset[Path]:
    """The files under `root` that importing a module may run, imports inside functions included.

    Args:
        module: As it is imported: `package.module`.
        root: The folder that holds its package.
        within: Only modules of these packages count; none means all that lie under `root`.
    """
    found: set[Path] = set()
    waiting = list(_files(module, root))
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            names = (name for name in imports(path, root) if not within or name.partition(".")[0] in within)
            waiting += [file for name in names for file in _files(name, root)]
    return frozenset(found)


def imports(path: Path, root: Path) -> frozenset[str]:
    """All names that a file may import; `from a import b` may mean the module `a.b`.

    A text that reads like a module of the same package, or like a Python file beside this one, counts as well: some are
    imported by name, or run as programs. What is no Python imports nothing: whoever runs it says what is wrong.
    """
    return _imports(path.read_bytes(), path.relative_to(root).parent.parts)


@cache
def _imports(source: bytes, package: tuple[str, ...]) -> frozenset[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    return frozenset(name for node in ast.walk(tree) for name in _names(node, package))


def _names(node: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    match node:
        case ast.Import():
            yield from (each.name for each in node.names)
        case ast.ImportFrom():
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = (*above, *([node.module] if node.module else []))
            yield from (".".join(base) for _ in base[:1])
            yield from (".".join((*base, each.name)) for each in node.names)
        case ast.Call(
            func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            yield name
        case ast.Constant(value=str(text)) if file := FILE.fullmatch(text):
            yield ".".join((*package, file[1]))
        case ast.Constant(value=str(text)) if package and text.startswith(f"{package[0]}."):
            yield text


def _files(module: str, root: Path) -> Iterator[Path]:
    """The file of a module, and those of the packages that are imported on the way to it."""
    parts = module.split(".")
    if not all(part.isidentifier() for part in parts):
        return
    for length in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:length])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                yield path
