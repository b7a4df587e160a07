"""Builds take time in proportion to the model: four times the nodes, about four times as long.

Every pass is run, from the file to kernels and the memory plan; what LLVM compiles grows with the
number of different kernels and is left out here.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from luthier.deploy.flow import WeightPlaces
from luthier.deploy.plan import plan
from luthier.frontend import import_model
from luthier.schedules import Target
from luthier.schedules.templates.registry import default, instantiate

TARGET = Target("x86-64-v3", "x86-64-v3", 2)
SHAPE = [4, 8]
Nodes = list[onnx.NodeProto]


def model(
    nodes: Nodes, inputs: Sequence[str], outputs: Sequence[str], **constants: np.ndarray
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "growing",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, SHAPE) for n in inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(a, n) for n, a in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def chain(
    n: int, *ops: Callable[[str, str, int], onnx.NodeProto], **constants: np.ndarray
) -> onnx.ModelProto:
    nodes = [ops[i % len(ops)](f"t{i}", f"t{i + 1}", i) for i in range(n)]
    return model(nodes, ["t0"], [f"t{n}"], **constants)


def node(op: str, *more: str, **attrs: object) -> Callable[[str, str, int], onnx.NodeProto]:
    return lambda x, y, i: helper.make_node(op, [x, *more], [y], **attrs)


def doubled(n: int) -> onnx.ModelProto:
    return chain(n, lambda x, y, i: helper.make_node("Add", [x, x], [y]))


def convolved(n: int) -> onnx.ModelProto:
    """A convolution of 1x1 that might move before what doubles its input."""
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["t0"])]
    nodes += [helper.make_node("Add", [f"t{i}", f"t{i}"], [f"t{i + 1}"]) for i in range(n)]
    nodes.append(helper.make_node("Conv", [f"t{n}", "w"], ["y"]))
    w = np.ones((4, 4, 1, 1), np.float32)
    return model(nodes, ["x"], ["y"], shape=np.asarray([1, 4, 2, 4]), w=w)


def enlarged(n: int) -> onnx.ModelProto:
    """One that does move, before an enlargement and the doubling after it."""
    made = convolved(n)
    scales = numpy_helper.from_array(np.asarray([1, 1, 2, 2], np.float32), "scales")
    resize = helper.make_node("Resize", ["small", "", "scales"], ["t0"], mode="nearest")
    made.graph.node[0].output[0] = "small"
    made.graph.node.insert(1, resize)
    made.graph.initializer.append(scales)
    return made


def elementwise(n: int) -> onnx.ModelProto:
    return chain(n, node("Relu"), node("Neg"), node("Mul", "w"), w=np.full(8, 2, np.float32))


def products(n: int) -> onnx.ModelProto:
    return chain(n, node("MatMul", "w"), node("Softmax", axis=-1), w=np.eye(8, dtype=np.float32))


def movements(n: int) -> onnx.ModelProto:
    back, flat = np.asarray(SHAPE), np.asarray([8, 4])
    ops = (node("Reshape", "flat"), node("Neg"), node("Transpose", perm=[1, 0]))
    return chain(n // 3 * 3, *ops, flat=flat, back=back)


def growing(n: int) -> onnx.ModelProto:
    return chain(n // 4, node("Concat", "t0", axis=1))


def diamonds(n: int) -> onnx.ModelProto:
    nodes: Nodes = []
    for i in range(n // 3):
        nodes.append(helper.make_node("Sigmoid", [f"t{i}"], [f"a{i}"]))
        nodes.append(helper.make_node("Tanh", [f"t{i}"], [f"b{i}"]))
        nodes.append(helper.make_node("Mul", [f"a{i}", f"b{i}"], [f"t{i + 1}"]))
    return model(nodes, ["t0"], [f"t{n // 3}"])


def ladder(n: int) -> onnx.ModelProto:
    nodes: Nodes = []
    for i in range(n // 2):
        nodes.append(helper.make_node("Sigmoid", [f"b{i}"], [f"a{i + 1}"]))
        nodes.append(helper.make_node("Add", [f"a{i}", f"b{i}"], [f"b{i + 1}"]))
    return model(nodes, ["a0", "b0"], [f"a{n // 2}", f"b{n // 2}"])


def joined(n: int) -> onnx.ModelProto:
    inputs, middle = [f"x{i}" for i in range(n)], [f"y{i}" for i in range(n)]
    nodes = [helper.make_node("Sigmoid", [x], [y]) for x, y in zip(inputs, middle, strict=True)]
    nodes.append(helper.make_node("Concat", middle, ["z"], axis=1))
    return model(nodes, inputs, ["z"])


def repeated(n: int) -> onnx.ModelProto:
    return model([helper.make_node("Concat", ["x"] * n, ["z"], axis=0)], ["x"], ["z"])


def star(n: int) -> onnx.ModelProto:
    w = np.eye(8, dtype=np.float32)
    nodes = [helper.make_node("MatMul", ["x", f"w{i}"], [f"y{i}"]) for i in range(n)]
    nodes.append(helper.make_node("Sum", [f"y{i}" for i in range(n)], ["z"]))
    return model(nodes, ["x"], ["z", "y0"], **{f"w{i}": w * (1 + i) for i in range(n)})


def split(n: int) -> onnx.ModelProto:
    parts = [f"x{i}" for i in range(n)]
    nodes = [helper.make_node("Concat", ["x"] * n, ["wide"], axis=1)]
    nodes.append(helper.make_node("MatMul", ["t", "wide"], ["product"]))
    nodes.append(helper.make_node("Split", ["product"], parts, axis=1, num_outputs=n))
    nodes.append(helper.make_node("Max", parts, ["z"]))
    t = np.ones((4, 4), np.float32)
    return model(nodes, ["x"], ["z"], t=t)


MODELS = (
    doubled,
    convolved,
    enlarged,
    elementwise,
    products,
    movements,
    growing,
    diamonds,
    ladder,
    joined,
    repeated,
    star,
    split,
)


def seconds(made: onnx.ModelProto) -> float:
    """Of this process, from a model to its kernels and memory plan."""
    gc.collect()
    gc.freeze()  # what earlier tests left would be walked again and again
    start = time.process_time()
    program = import_model(made, TARGET)
    kernels = {}
    for call in program.calls:
        if call.workload.key not in kernels:
            schedule = default(call.workload, TARGET)
            kernels[call.workload.key] = instantiate(call.workload, TARGET, schedule)
    places = {
        (time, i): 0
        for time, call in enumerate(program.calls)
        for i, value in enumerate(call.args)
        if program.base(value) in program.constants
    }
    plan(program, [kernels[c.workload.key] for c in program.calls], WeightPlaces(places, {}))
    passed = time.process_time() - start
    gc.unfreeze()
    return passed


@pytest.mark.parametrize("grow", MODELS)
def test_time_grows_with_the_model(grow: Callable[[int], onnx.ModelProto]) -> None:
    seconds(grow(40))  # imports, and what is computed once
    # What takes quadratic time is slow each time; a noisy machine is not.
    assert any(seconds(grow(2000)) < 7 * seconds(grow(500)) + 0.3 for _ in range(3))


@pytest.mark.parametrize("grow", [doubled, enlarged, elementwise, products, diamonds])
def test_a_deep_model_needs_no_deep_recursion(grow: Callable[[int], onnx.ModelProto]) -> None:
    assert import_model(grow(5000), TARGET).calls
