"""Passes in their order, what is true of every graph between them, and how one is printed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from graph_building import Sketch
from onnx.helper import make_node
from onnx_models import TARGET, floats, model

from luthier.frontend import import_graph, import_model
from luthier.frontend.graph import Graph, Op
from luthier.frontend.graph.verify import verify
from luthier.frontend.passes import PASSES, Property
from luthier.schedules import Tensor, UsageError, node
from luthier.schedules.ir.core import IRError


def small():
    nodes = [
        make_node("MatMul", ["x", "w"], ["p"], name="product"),
        make_node("Relu", ["p"], ["y"], name="bend"),
    ]
    weights = {"w": np.ones((3, 2), np.float32)}
    return model(nodes, {"x": floats(4, 3)}, ["y"], weights)


def sketch() -> Graph:
    b = Sketch()
    x = b.x(2, 3)
    return b.graph(b.emit("relu", b.emit("add", x, b.const(1, 3))))


def test_the_requirements_of_a_pass_were_ensured_before() -> None:
    known: set[Property] = set()
    for each in PASSES:
        assert each.requires <= known, each.name
        known |= each.ensures
    assert known == set(Property)


def test_each_pass_leaves_a_graph() -> None:
    seen: list[str] = []
    import_graph(small(), watch=lambda name, graph: (seen.append(name), verify(graph)))
    assert seen == ["import", *(each.name for each in PASSES)]


def test_a_graph_is_printed_a_value_a_line() -> None:
    assert str(import_graph(small())) == (
        "graph small\n"
        "  %0 = input 'x': float32[4,3]\n"
        "  %1 = constant: float32[3,2]\n"
        "  %2 = matmul(%0, %1) transpose_b=False: float32[4,2]  # MatMul 'product'\n"
        "  %3 = relu(%2): float32[4,2]  # Relu 'bend'\n"
        "  output 'y' = %3"
    )


class TestInvalidGraph:
    def refuse(self, graph: Graph, match: str, **changes: object) -> None:
        verify(graph)
        with pytest.raises(IRError, match=match):
            verify(dataclasses.replace(graph, **changes))

    def test_an_operator_before_its_arguments(self) -> None:
        graph = sketch()
        self.refuse(graph, r"%3 = relu\(.*: it reads what comes later", ops=graph.ops[::-1])

    def test_an_operator_twice(self) -> None:
        graph = sketch()
        self.refuse(graph, "its value is taken", ops=(*graph.ops, graph.ops[0]))

    def test_a_type_that_the_operator_does_not_give(self) -> None:
        graph = sketch()
        add, relu = graph.ops
        other = Op(node("relu", relu.node.args, Tensor((3, 2))), relu.result)
        values = (*graph.values[:-1], Tensor((3, 2)))
        self.refuse(graph, "it is .*, not", ops=(add, other), values=values)

    def test_arguments_that_do_not_fit(self) -> None:
        graph = sketch()
        add, relu = graph.ops
        constants = {1: np.ones((1, 4), np.float32)}
        values = (graph.values[0], Tensor((1, 4)), *graph.values[2:])
        self.refuse(graph, "its arguments do not fit", constants=constants, values=values)
        several = Op(node("relu", (0, 1), relu.node.out), relu.result)
        self.refuse(graph, "it has 2 arguments", ops=(add, several))

    def test_a_constant_of_another_type(self) -> None:
        graph = sketch()
        self.refuse(graph, "the constant %1 is", constants={1: np.ones((1, 3), np.int32)})

    def test_a_value_from_nowhere(self) -> None:
        graph = sketch()
        self.refuse(graph, "a value comes from nowhere", values=(*graph.values, Tensor((1,))))
        self.refuse(graph, "a result comes from nowhere", outputs=(("y", 17),))

    def test_two_inputs_of_one_name(self) -> None:
        graph = sketch()
        extra = (("x", 0), ("x", len(graph.values)))
        values = (*graph.values, Tensor((1,)))
        self.refuse(graph, "an input's name is taken", inputs=extra, values=values)


class TestDump:
    def test_each_pass_in_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tmp_path / "new" / "dump"
        monkeypatch.setenv("LUTHIER_DUMP", str(folder))
        import_model(small(), TARGET)
        names = ["import", *(each.name for each in PASSES), "conv_planes", "program"]
        assert sorted(path.name for path in folder.iterdir()) == [
            f"{number:02}-{name}.txt" for number, name in enumerate(names)
        ]
        assert "matmul(%0, %1)" in (folder / "00-import.txt").read_text()
        assert "(%0, %1): matmul" in (folder / f"{len(names) - 1}-program.txt").read_text()

    def test_a_folder_that_cannot_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("LUTHIER_DUMP", str(tmp_path / "file"))
        with pytest.raises(UsageError, match=r"LUTHIER_DUMP=.*: cannot write there"):
            import_model(small(), TARGET)
