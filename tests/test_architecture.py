"""Imports point one way, and no room runs what it reads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
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
UPWARDS = {  # what a room is divided into, and what lies beside it for all
    "autotune": ["records", "measure", "search"],
    "luthier": ["arguments", "inputs", "correctness", "records", "machine", "tuning", "building"],
    "schedules": ["ir", "target", "tir", "ops", "emit", "templates"],
}
FILES = [path for room in BELOW for path in sorted((ROOT / room).rglob("*.py"))]
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "shelve"}
MOST_LINES = 350
STRANGERS = {  # what a room has no business with
    "schedules": {"onnx", "onnxruntime", "xgboost"},
    "frontend": {"xgboost"},
    "autotune": {"onnx", "onnxruntime"},
    "deploy": {"onnx", "onnxruntime", "xgboost"},
    "luthier": set(),
}
RUNS_TEXT = {"eval", "exec", "compile", "__import__", "marshal.loads", "marshal.load"}


Trees = dict[Path, ast.Module]


@pytest.fixture(scope="module")
def trees() -> Trees:
    return {path: ast.parse(path.read_text()) for path in FILES}


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _highest_relative_import(tree: ast.AST) -> int:
    """How many packages up the file reaches with dots; 1 is its own."""
    levels = (node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return max(levels, default=0)


def test_a_room_imports_only_what_it_stands_on(trees: Trees) -> None:
    for path, tree in trees.items():
        room = path.relative_to(ROOT).parts[0]
        for module in _imports(tree):
            parts = module.split(".")
            if parts[0] == "luthier" and room != "luthier":
                assert len(parts) == 1 or parts[1] in BELOW[room] | {room}, f"{path}: {module}"


def test_rooms_are_imported_by_their_public_names(trees: Trees) -> None:
    for path, tree in trees.items():
        room, *folders, _ = path.relative_to(ROOT).parts
        level = _highest_relative_import(tree)
        assert level <= 1 + len(folders), f"{path}: dots lead out of the room"
        top = {module.split(".")[0] for module in _imports(tree)}
        assert not top & (BELOW.keys() - {"luthier"}), f"{path}: rooms live under luthier"
        assert not top & STRANGERS[room], path


@pytest.mark.parametrize(("room", "inner"), [(r, i) for r in UPWARDS for i in UPWARDS[r]])
def test_a_room_in_a_room_imports_only_those_below(room: str, inner: str, trees: Trees) -> None:
    above = set(UPWARDS[room][UPWARDS[room].index(inner) + 1 :])
    for path in sorted((ROOT / room / inner).rglob("*.py")):
        depth = len(path.relative_to(ROOT / room).parts)  # dots that lead to the outer room
        for node in ast.walk(trees[path]):
            if isinstance(node, ast.ImportFrom) and node.level == depth:
                names = [node.module] if node.module else [alias.name for alias in node.names]
                assert not above & {name.split(".")[0] for name in names}, path


def _imports_at_once(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run while the module is imported itself."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _imports_at_once(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for field in ("body", "handlers", "orelse", "finalbody"):
                yield from _imports_at_once(getattr(node, field, []))


def test_no_module_imports_itself_through_others(trees: Trees) -> None:
    parts = {path: ("luthier", *path.relative_to(ROOT).with_suffix("").parts) for path in FILES}
    parts |= {path: name[1:] for path, name in parts.items() if name[1] == "luthier"}
    modules = {".".join(name).removesuffix(".__init__"): path for path, name in parts.items()}
    imports: dict[str, set[str]] = {module: set() for module in modules}
    for module, path in modules.items():
        for node in _imports_at_once(trees[path].body):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                package = parts[path][: -node.level] if node.level else ()
                base = ".".join([*package, *([node.module] if node.module else [])])
                inner = [f"{base}.{name}" for name in names]
                names = [name if name in modules else base for name in inner]
            imports[module] |= modules.keys() & names
    TopologicalSorter(imports).prepare()  # a CycleError names the modules in turn


def test_nothing_is_unpickled_or_evaluated(trees: Trees) -> None:
    for path, tree in trees.items():
        assert not FORBIDDEN.intersection(m.split(".")[0] for m in _imports(tree)), path
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & RUNS_TEXT, path


def test_every_file_says_what_it_is_for(trees: Trees) -> None:
    assert not [path for path, tree in trees.items() if not ast.get_docstring(tree)]


def test_files_are_short() -> None:
    assert not [path for path in FILES if len(path.read_text().splitlines()) > MOST_LINES]


def test_tvm_is_imported_where_it_is_first_used() -> None:
    """Logs, the search, the cost model, counts and importing a model work without."""
    modules = [
        "luthier.autotune.search.features",
        "luthier.autotune.search.model",
        "luthier.autotune.search.proposals",
        "luthier.cli",
        "luthier.deploy",
        "luthier.frontend",
        "luthier.logs",
        "luthier.schedules.ops.counts",
        "luthier.schedules.ops.evaluate",
        "luthier.schedules.templates.registry",
    ]
    digits = ROOT / "examples" / "digits" / "digits.onnx"
    code = f"""
import sys, {", ".join(modules)}
from luthier.schedules.target import parse
assert luthier.frontend.import_model({str(digits)!r}, parse("x86-64-v3")).calls
assert not {{'tvm', 'tvm_ffi'}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_runs_a_library_or_reads_logs_imports_no_importer() -> None:
    code = """
import sys, luthier.deploy, luthier.logs, luthier.machine.target
assert not {'onnx', 'luthier.frontend.importing'} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command_line_starts_at_once() -> None:
    """What takes a tenth of a second to import is imported by the command that needs it."""
    slow = "{'numpy', 'onnx', 'rich', 'sqlalchemy', 'tvm', 'xgboost'}"
    code = f"import sys, luthier.cli\nassert not {slow} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
