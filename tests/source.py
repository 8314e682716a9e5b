"""The product's source as trees, so that guards can ask it questions, and a planted file beside it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = "identity_service"
ROOT = Path(__file__).parent.parent
FOLDER = ROOT / PACKAGE

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    """One file: `path` below the package, `name` with dots and without the package."""

    path: str
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def concept(self) -> str | None:
        return self.path.split("/")[0] if "/" in self.path else None

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))


def plant(path: str, code: str) -> Module:
    """Return a file that does not exist."""
    return Module(path, code, ast.parse(code))


@cache
def modules() -> tuple[Module, ...]:
    """Return every file of the product."""
    return tuple(plant(str(path.relative_to(FOLDER)), path.read_text("utf-8")) for path in sorted(FOLDER.rglob("*.py")))


def with_planted(path: str, code: str) -> list[Module]:
    """Return every file of the product, and one that does not exist in place of any with its path."""
    return [*(module for module in modules() if module.path != path), plant(path, code)]


def imports(module: Module, known: set[str]) -> Iterator[tuple[str, int]]:
    """Yield what a file imports of the product, as names without the package, with the line."""
    for base, name, line in _imported(module):
        whole = f"{base}.{name}".strip(".")
        if not base and whole not in known:
            whole = "__init__"
        # `from package.concept import actions` names a file, `from package.concept.actions import x` does too.
        is_file = whole in known or (base not in known and "." not in base)
        yield whole if is_file else base, line


@cache
def _imported(module: Module) -> list[tuple[str, str, int]]:
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            ours = [alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE]
            found += [
                (name.rpartition(".")[0].partition(".")[2], name.rpartition(".")[2], node.lineno) for name in ours
            ]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            base = (node.module or "").partition(".")[2]
            found += [(base, alias.name, node.lineno) for alias in node.names]
    return found


def frameworks(module: Module, without: frozenset[str] | set[str] = frozenset()) -> set[str]:
    """Return the top names of everything that a file imports from elsewhere, names in `without` aside."""
    found = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[0] for name in found - without} - {PACKAGE}


def called(call: ast.Call) -> str:
    """Return the last name of what is called: `execute` for `session.execute(…)`."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def enclosing(module: Module, node: ast.AST) -> str:
    """Return the name of the innermost function around a node, or `` at the top of the file."""
    around = [f for f in module.functions() if f.lineno <= node.lineno <= (f.end_lineno or 0)]  # type: ignore[attr-defined]
    return max(around, key=lambda f: f.lineno).name if around else ""
