"""Parts that are the same at several sizes are imported once, and the programs are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import onnx
import pytest
from control_models import OPEN_MODELS
from onnx import helper
from onnx_models import TARGET, floats
from sized_models import decided, opened

from luthier.frontend import Entry, import_entry, read_model
from luthier.frontend.control.once import Noted, Once
from luthier.frontend.control.parts import Straight
from luthier.frontend.graph.across import Across
from luthier.frontend.graph.arrays import equal
from luthier.frontend.lowering.lower import lower
from luthier.frontend.onnx.notes import PartNotes
from luthier.frontend.program import Program
from luthier.schedules import Tensor

N = helper.make_node
EMPTY = Program("a part", (), (), (), {}, {}, ())


def two_slices() -> onnx.ModelProto:
    """Two sizes that a run finds, each of parts of its own, over weights that are large."""
    nodes = [
        N("Slice", ["x", "first", "last"], ["some"]),
        N("MatMul", ["some", "w"], ["a"]),
        N("Slice", ["y", "first", "last"], ["others"]),
        N("MatMul", ["others", "w"], ["b"]),
    ]
    inputs: dict[str, Any] = {"x": ((9, 40), "float32"), "y": ((7, 40), "float32")}
    inputs |= {"first": ((1,), "int64"), "last": ((1,), "int64")}
    return opened(nodes, inputs, {"a": "float32", "b": "float32"}, {"w": floats(40, 48)})


def rows_found() -> onnx.ModelProto:
    nodes = [
        N("NonZero", ["x"], ["places"]),
        N("Transpose", ["places"], ["rows"], perm=[1, 0]),
        N("GatherND", ["x", "rows"], ["values"]),
    ]
    return opened(nodes, {"x": (("b", 6), "float32")}, {"values": "float32"})


MODELS: Mapping[str, tuple[onnx.ModelProto, Mapping[str, Any]]] = {
    "two slices": (two_slices(), {}),
    "rows": (rows_found(), {"b": range(1, 30)}),
    "a branch on a size": (decided(), {"tokens": range(1, 33)}),
    "a scan": (OPEN_MODELS["a scan"], {"rows": range(1, 9), "steps": range(1, 7)}),
}


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> list[onnx.ModelProto]:
    """The parts that were imported."""
    found: list[onnx.ModelProto] = []
    of = Once.of

    def counted(
        self: Once, straight: Noted, notes: list[PartNotes], across: Across | None
    ) -> Straight:
        def imported(part: onnx.ModelProto, given: Mapping[str, Any], here: Across | None) -> Any:
            found.append(part)
            return straight(part, given, here)

        return of(self, imported, notes, across)

    monkeypatch.setattr(Once, "of", counted)
    return found


def entry_of(name: str) -> Entry:
    proto, shapes = MODELS[name]
    return import_entry(read_model(proto, shapes), TARGET)


@pytest.mark.parametrize("name", MODELS)
def test_programs_are_those_of_parts_that_are_imported_each_time(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ours, of = entry_of(name), Once.of
    monkeypatch.setattr(Once, "of", lambda self, *given: of(Once(), *given))
    wanted = entry_of(name)
    for one, other in zip(ours.variants, wanted.variants, strict=True):
        assert str(one) == str(other)
        assert one.symbols == other.symbols
        assert one.constants.keys() == other.constants.keys()
        assert all(equal(one.constants[v], other.constants[v]) for v in one.constants)


def test_a_part_is_imported_for_the_sizes_that_it_has(
    imports: list[onnx.ModelProto], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for those of the other size, which takes most of the time where there are several."""
    entry_of("two slices")
    shared = len(imports)
    of = Once.of
    monkeypatch.setattr(Once, "of", lambda self, *given: of(Once(), *given))
    entry_of("two slices")
    assert len(imports) - shared > 3 * shared


def test_parts_over_other_weights_are_others() -> None:
    once, calls, part = Once(), list[Any](), onnx.ModelProto(ir_version=8)

    def straight(part: onnx.ModelProto, given: Mapping[str, Any], here: Across | None) -> Any:
        calls.append(given)
        return EMPTY, PartNotes()

    weights = [np.ones((3, 2000), np.float32), np.zeros((3, 2000), np.float32)]
    views = [*weights, weights[0][:2], weights[0].reshape(2000, 3), weights[0]]
    for view in views:
        once.of(straight, [], None)(part, {"w": view})
    assert len(calls) == 4


def test_equal_parts_of_one_import_stay_two() -> None:
    """Their constants, of which no two are one for that."""
    once, part = Once(), onnx.ModelProto(ir_version=8)
    made = replace(EMPTY, values=(Tensor((2,), "int64"),), constants={0: np.arange(2)})
    imported = once.of(lambda part, given, here: (made, PartNotes()), [], None)
    first, second = (imported(part, {}).constants[0] for _ in range(2))
    assert first is not second
    assert np.array_equal(first, second)


def named_part(x: str, y: str) -> onnx.ModelProto:
    """An operator of such an input and output."""
    nodes = [N("Slice", [x, "first", "last"], [f"{y} cut"]), N("Neg", [f"{y} cut"], [y])]
    ends = {name: np.array([n]) for name, n in (("first", 0), ("last", 3))}
    graph = opened(nodes, {x: ((3, 4), "float32")}, {y: "float32"}, ends)
    for output in graph.graph.output:
        output.type.tensor_type.ClearField("shape")
    return graph


def test_parts_that_are_alike_but_for_names_are_imported_once() -> None:
    parts, notes, calls = [named_part("x", "y"), named_part("y", "1/y")], list[PartNotes](), 0
    across = Across(kept=frozenset({("Slice 'y cut'", "cut")}))
    made, once = import_module("luthier.frontend.importing")._straight_graph, Once()

    def straight(part: onnx.ModelProto, given: Mapping[str, Any], here: Across | None) -> Any:
        nonlocal calls
        calls += 1
        noted = PartNotes()
        graph = made(part, given, lambda name, graph: None, (), (), noted, here)
        return lower(graph), noted

    def programs(across: Across) -> list[Program]:
        imported = once.of(straight, notes, across)
        return [imported(part, {}) for part in parts]

    first, second = programs(Across())
    assert calls == 1
    assert [name for name, _ in (*first.inputs, *first.outputs)] == ["x", "y"]
    assert [name for name, _ in (*second.inputs, *second.outputs)] == ["y", "1/y"]
    assert [call.source for call in second.calls] == ["Neg '1/y'"]
    assert [note.outputs for note in notes[1].nodes] == [("1/y cut",), ("1/y",)]
    assert notes[1].shapes["1/y cut"] == (3, 4)
    # What is kept for other sizes is kept in the part that has it.
    first, second = programs(across)
    assert calls == 2
    assert [len(program.calls) for program in (first, second)] == [1, 1]
    assert "Slice" in first.calls[0].source
    assert "Slice" not in second.calls[0].source
