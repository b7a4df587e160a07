"""Graphs made by hand, and what they compute."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx_models import compute

from luthier.frontend.graph import Builder, Graph
from luthier.frontend.lowering.lower import lower
from luthier.frontend.program import Program
from luthier.frontend.program.verify import verify
from luthier.schedules import Tensor
from luthier.schedules.ops.evaluate import evaluate

Arrays = Mapping[str, np.ndarray]
CONVOLUTION = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "groups": 1}
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


class Sketch(Builder):
    """A builder with the few operators that these tests need, spelled shortly."""

    def __init__(self) -> None:
        super().__init__("sketch")

    def x(self, *shape: int, name: str = "x") -> int:
        return self.input(name, Tensor(shape))

    def const(self, *shape: int, seed: int = 1) -> int:
        return self.constant(array(*shape, seed=seed))

    def reshape(self, value: int, *shape: int) -> int:
        return self.emit("reshape", value, out=Tensor(shape, self.values[value].dtype))

    def conv(self, value: int, channels: int, size: int = 3) -> int:
        """As the importer writes it: channels first, with constant weights."""
        inside = self.emit("transpose", value, axes=TO_NHWC)
        weights = self.const(channels, size, size, self.values[value].shape[1])
        attrs = CONVOLUTION | {"pads": (size // 2,) * 4}
        outside = self.emit("conv2d", inside, weights, **attrs)
        return self.emit("transpose", outside, axes=TO_NCHW)

    def bias(self, value: int, seed: int = 3) -> int:
        channels = self.values[value].shape[1]
        rank = len(self.values[value].shape)
        shape = (1, channels, *(1,) * (rank - 2))
        return self.emit("add", value, self.const(*shape, seed=seed))

    def graph(self, *outputs: int) -> Graph:
        return self.finish([(f"y{i}", v) for i, v in enumerate(outputs)])


def outputs(graph: Graph, inputs: Arrays) -> dict[str, np.ndarray]:
    """The graph's outputs, operator by operator."""
    values = {v: inputs[n] for n, v in graph.inputs} | dict(graph.constants)
    for op in graph.ops:
        values[op.result] = evaluate(op.node, [values[a] for a in op.node.args])
    return {n: values[v] for n, v in graph.outputs}


def inputs(graph: Graph, seed: int = 9) -> dict[str, np.ndarray]:
    """Random numbers, in the inputs' dtypes."""
    tensors = {n: (graph.values[v], seed + v) for n, v in graph.inputs}
    return {
        n: (array(*t.shape, seed=s) * (4 if "int" in t.dtype else 1)).astype(t.dtype)
        for n, (t, s) in tensors.items()
    }


def same(before: Graph, after: Graph, tolerance: float = 1e-4) -> None:
    """Both graphs have the same interface and compute the same."""
    given = inputs(before)
    assert [(n, before.values[v]) for n, v in before.outputs] == [
        (n, after.values[v]) for n, v in after.outputs
    ]
    old, new = outputs(before, given), outputs(after, given)
    for name, value in old.items():
        np.testing.assert_allclose(new[name], value, rtol=tolerance, atol=tolerance)


def lowered(graph: Graph) -> Program:
    """The graph's program, which computes what the graph does."""
    program = lower(graph)
    verify(program)
    given = inputs(graph)
    for name, value in outputs(graph, given).items():
        ours = compute(program, given)[name]
        np.testing.assert_allclose(ours, value, rtol=1e-4, atol=1e-4)
    return program


def names(graph: Graph) -> list[str]:
    """The operators, literals left out."""
    return [op.node.op for op in graph.ops if op.node.op != "const"]


def kernels(program: Program) -> list[list[str]]:
    """The operators of each call, literals left out."""
    return [[n.op for n in c.workload.nodes if n.op != "const"] for c in program.calls]
