"""The project's own files as Python reads them, for the rules about them."""

import ast
import re
import textwrap
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "SOURCES", "imports", "module_name", "text", "tree"]

ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = sorted([*ROOT.glob("lab/**/*.py"), *ROOT.glob("flanneld_py/**/*.py")])


@cache
def text(path: Path) -> str:
    """What stands in a file."""
    return path.read_text(encoding="utf-8")


def tree(path: Path) -> ast.Module:
    """A file as Python's parser has it. The trees of all are too much to be kept."""
    return ast.parse(text(path))


@cache
def module_name(path: Path) -> str:
    """What a file is imported as."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


# A line that begins like an import, to its end or to that of its parentheses; ruff sees that each has a
# line of its own.
IMPORT: Final = re.compile(r"^[ \t]*(?:import|from)\b[^\n(]*(?:\([^)]*\))?", re.MULTILINE)


def _import_statements(source: str) -> Iterable[ast.AST]:
    """A program's import statements, without a tree of the whole, which takes twenty times as long.

    One in a program that stands in a string counts as well. Where a line is none, but prose say, it is the
    whole tree after all.
    """
    try:
        return [node for lines in IMPORT.findall(source) for node in ast.parse(textwrap.dedent(lines)).body]
    except SyntaxError:
        return ast.walk(ast.parse(source))


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Every module that a file imports, and every name that it imports from one, wherever in it that is."""
    found: list[str] = []
    for node in _import_statements(text(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(found)
