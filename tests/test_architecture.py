"""Imports point one way, and no room runs what it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BELOW = {
    "schedules": set(),
    "frontend": {"schedules"},
    "autotune": {"schedules"},
    "deploy": {"schedules", "frontend"},
    "luthier": {"schedules", "frontend", "autotune", "deploy"},
}
FILES = [path for room in BELOW for path in sorted((ROOT / room).rglob("*.py"))]
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "shelve"}
RUNS_TEXT = {"eval", "exec", "compile", "__import__", "marshal.loads", "marshal.load"}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_room_imports_only_what_it_stands_on(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    for module in _imports(ast.parse(path.read_text())):
        parts = module.split(".")
        if parts[0] == "luthier" and room != "luthier":
            assert len(parts) == 1 or parts[1] in BELOW[room] | {room}, module


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not FORBIDDEN.intersection(m.split(".")[0] for m in _imports(tree))
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not calls & RUNS_TEXT


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_every_file_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
