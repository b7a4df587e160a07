"""Programs: canonical workloads, views, outputs of every kind, and an order that can run."""

from __future__ import annotations

import numpy as np
from graph_building import Sketch, kernels, lowered
from onnx.helper import make_node
from onnx_models import TARGET, compute, floats, model

from luthier.frontend import Program, import_model
from luthier.schedules import Tensor, Workload


def only(program: Program) -> Workload:
    (call,) = program.calls
    return call.workload


def block(g: Sketch, x: int, bias_first: bool = False) -> int:
    """relu(x @ w + b)"""
    product = g.emit("matmul", x, g.const(8, 8), transpose_b=False)
    bias = g.const(8)
    added = g.emit("add", bias, product) if bias_first else g.emit("add", product, bias)
    return g.emit("relu", added)


# Workloads are canonical.


def test_the_same_computation_in_two_models_is_the_same_workload() -> None:
    alone, later = Sketch(), Sketch()
    first = lowered(alone.graph(block(alone, alone.x(4, 8))))
    x, other = later.x(4, 8, name="other"), later.x(2, 2, name="unrelated")
    y = block(later, later.emit("softmax", x, axis=1))
    second = lowered(later.graph(later.emit("tanh", other), y))
    assert only(first).key in {c.workload.key for c in second.calls}


def test_the_order_of_commutative_operands_does_not_matter() -> None:
    a, b = Sketch(), Sketch()
    first = lowered(a.graph(block(a, a.x(4, 8))))
    second = lowered(b.graph(block(b, b.x(4, 8), bias_first=True)))
    assert only(first) == only(second)
    assert first.calls[0].args == second.calls[0].args or len(first.constants) == 2


def test_the_order_of_other_operands_does() -> None:
    keys = set()
    for swap in (False, True):
        g = Sketch()
        x, y = g.x(4), g.x(4, name="y")
        keys.add(only(lowered(g.graph(g.emit("subtract", *((y, x) if swap else (x, y)))))).key)
    assert len(keys) == 1  # inputs are numbered as the expression names them
    g = Sketch()
    x = g.x(4)
    half = g.scalar(0.5)
    left = only(lowered(g.graph(g.emit("subtract", x, half))))
    right = only(lowered(g.graph(g.emit("subtract", half, x))))
    assert left.key != right.key


def test_the_anchors_arguments_come_first_and_constants_are_marked() -> None:
    g = Sketch()
    x = g.x(4, 8)
    residual = g.x(4, 8, name="residual")
    product = g.emit("matmul", x, g.const(8, 8), transpose_b=False)
    workload = only(lowered(g.graph(g.emit("add", residual, product))))
    assert [n.op for n in workload.nodes] == ["matmul", "add"]
    assert workload.constants == (False, True, False)
    assert workload.nodes[0].args == (0, 1)


def test_a_literal_is_part_of_the_workload() -> None:
    keys = set()
    for number in (0.5, 0.25):
        g = Sketch()
        keys.add(only(lowered(g.graph(g.emit("multiply", g.x(4), g.scalar(number))))).key)
    assert len(keys) == 2


def test_names_are_not_part_of_the_workload() -> None:
    def key(prefix: str) -> str:
        node = make_node("Gemm", [prefix + "x", prefix + "w"], [prefix + "y"], name=prefix)
        given, weights = {prefix + "x": floats(2, 3)}, {prefix + "w": floats(3, 4)}
        made = model([node], given, [prefix + "y"], weights, name=prefix)
        return only(import_model(made, TARGET)).key

    assert key("a") == key("b")


def test_calls_say_which_nodes_of_the_model_they_compute() -> None:
    nodes = [make_node("Gemm", ["x", "w"], ["g"], name="fc"), make_node("Relu", ["g"], ["y"])]
    made = model(nodes, {"x": floats(2, 3)}, ["y"], {"w": floats(3, 4)})
    (call,) = import_model(made, TARGET).calls
    assert call.source == "Gemm 'fc' + Relu 'y'"


# Outputs of every kind.


def test_outputs_that_are_inputs_constants_views_and_twice_the_same() -> None:
    g = Sketch()
    x = g.x(2, 6)
    table, y = g.const(3), g.emit("relu", x)
    view = g.reshape(x, 3, 4)
    program = lowered(g.graph(x, table, y, y, view, g.reshape(view, 12)))
    assert len(program.calls) == 1
    values = dict(program.outputs)
    assert values["y0"] == program.inputs[0][1]
    assert values["y1"] in program.constants
    assert values["y2"] == values["y3"]
    assert program.base(values["y5"]) == values["y0"]


def test_inputs_that_nothing_reads_stay() -> None:
    g = Sketch()
    g.x(5, name="idle")
    program = lowered(g.graph(g.emit("relu", g.x(3))))
    assert [n for n, _ in program.inputs] == ["idle", "x"]


def test_values_that_no_output_needs_are_not_computed() -> None:
    g = Sketch()
    x = g.x(3)
    g.emit("exp", x)
    assert kernels(lowered(g.graph(g.emit("relu", x)))) == [["relu"]]


def test_a_variable_may_be_called_like_one_of_the_importers() -> None:
    """TVM names its own variables lv, lv1, gv, ...: a model's names may be the same."""
    nodes = [
        make_node("Relu", ["lv"], ["gv"]),
        make_node("Neg", ["gv"], ["lv1"]),
        make_node("Sub", ["lv1", "lv"], ["lv2"]),
        make_node("Mul", ["lv2", "gv1"], ["lv3"]),
    ]
    inputs = {"lv": floats(5), "gv1": floats(5, seed=1)}
    program = import_model(model(nodes, inputs, ["lv3"]), TARGET)
    a, b = inputs["lv"], inputs["gv1"]
    wanted = (-np.maximum(a, 0) - a) * b
    np.testing.assert_allclose(compute(program, inputs)["lv3"], wanted, rtol=1e-6)


# Order.


def test_calls_come_after_what_they_read() -> None:
    g = Sketch()
    values = [g.x(8, 8)]
    rng = np.random.default_rng(0)
    for _ in range(40):
        a, b = (values[i] for i in rng.integers(0, len(values), 2))
        values.append(g.emit("matmul", a, b, transpose_b=False))
    program = lowered(g.graph(*values[-3:]))
    ready = {v for _, v in program.inputs} | set(program.constants)
    for call in program.calls:
        assert {program.base(a) for a in call.args} <= ready
        ready.add(call.result)
    assert {program.base(v) for _, v in program.outputs} <= ready


def test_branches_are_finished_one_by_one() -> None:
    """So that few large values wait at once."""
    g = Sketch()
    x = g.x(4, 64)
    ends = []
    for seed in range(4):
        wide = g.emit("matmul", x, g.const(64, 512, seed=seed), transpose_b=False)
        small = g.emit("matmul", wide, g.const(512, 4, seed=seed), transpose_b=False)
        ends.append(small)
    program = lowered(g.graph(g.emit("concat", *ends, axis=1)))
    sizes = [c.workload.output.shape[1] for c in program.calls[:8]]
    assert sizes == [512, 4] * 4


def test_values_have_the_types_of_what_they_are() -> None:
    g = Sketch()
    made = lowered(g.graph(g.reshape(block(g, g.x(4, 8)), 32)))
    for call in made.calls:
        assert [made.values[a] for a in call.args] == list(call.workload.inputs)
        assert made.values[call.result] == call.workload.output
    for value, array in made.constants.items():
        assert made.values[value] == Tensor(array.shape, str(array.dtype))
    for view, base in made.views.items():
        assert made.values[view].size == made.values[base].size
