"""1x1 convolutions and the depthwise ones after them: which pairs become one kernel."""

from __future__ import annotations

import numpy as np
import pytest
from graph_building import CONVOLUTION, Sketch, inputs, kernels, lowered, outputs
from onnx_models import TARGET, compute

from luthier.frontend.graph import Graph
from luthier.frontend.lowering.join_depthwise import join_depthwise
from luthier.frontend.program import Program
from luthier.schedules import Target
from luthier.schedules.templates.registry import default

POINTWISE = CONVOLUTION | {"pads": (0, 0, 0, 0)}
APART = [["conv2d", "relu"], ["conv2d", "relu"]]


def expand(g: Sketch, x: int, channels: int = 24, **attrs: object) -> int:
    weights = g.const(channels, 1, 1, g.values[x].shape[3] // attrs.get("groups", 1))
    return g.emit("relu", g.emit("conv2d", x, weights, **(POINTWISE | attrs)))


def depthwise(g: Sketch, x: int, size: int = 3, **attrs: object) -> int:
    channels = g.values[x].shape[3]
    attrs = CONVOLUTION | {"groups": channels, "pads": (size // 2,) * 4} | attrs
    return g.emit("relu", g.emit("conv2d", x, g.const(channels, size, size, 1), **attrs))


def joined(graph: Graph, target: Target = TARGET) -> Program:
    """The program with joined kernels, which computes what the graph does."""
    program = join_depthwise(lowered(graph), target)
    given = inputs(graph)
    for name, value in outputs(graph, given).items():
        np.testing.assert_allclose(compute(program, given)[name], value, rtol=1e-4, atol=1e-4)
    return program


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (5, 2), (7, 1)])
def test_a_pair_becomes_one_kernel(size: int, stride: int) -> None:
    g = Sketch()
    y = depthwise(g, expand(g, g.x(2, 9, 10, 5)), size, strides=(stride, stride))
    program = joined(g.graph(y))
    assert kernels(program) == [["conv2d", "relu", "conv2d", "relu"]]
    assert default(program.calls[0].workload, TARGET).template == "separable"


def test_equal_pairs_are_equal_workloads() -> None:
    g = Sketch()
    x = g.x(1, 9, 10, 24)
    first = depthwise(g, expand(g, x))
    program = joined(g.graph(depthwise(g, expand(g, first))))
    a, b = (call.workload for call in program.calls)
    assert a == b


def test_the_next_projection_stays_a_kernel_with_its_sum() -> None:
    g = Sketch()
    x = g.x(1, 9, 10, 5)
    wide = depthwise(g, expand(g, x))
    narrow = g.emit("conv2d", wide, g.const(5, 1, 1, 24), **POINTWISE)
    program = joined(g.graph(g.emit("add", narrow, x)))
    assert kernels(program) == [["conv2d", "relu", "conv2d", "relu"], ["conv2d", "add"]]


def test_a_value_that_both_halves_read_is_one_input() -> None:
    g = Sketch()
    x = g.x(1, 9, 10, 24)
    y = g.emit("add", depthwise(g, g.emit("add", expand(g, x), x)), x)
    (call,) = joined(g.graph(y)).calls
    assert len(call.args) == len(set(call.args)) == 3


def test_an_output_between_keeps_them_apart() -> None:
    g = Sketch()
    wide = expand(g, g.x(1, 9, 10, 5))
    assert kernels(joined(g.graph(wide, depthwise(g, wide)))) == APART


def test_another_reader_between_keeps_them_apart() -> None:
    g = Sketch()
    wide = expand(g, g.x(1, 9, 10, 5))
    two = g.emit("concat", depthwise(g, wide), wide, axis=3)
    assert kernels(joined(g.graph(two)))[:2] == APART


def test_a_sum_with_what_is_between_keeps_them_apart() -> None:
    g = Sketch()
    wide = expand(g, g.x(1, 9, 10, 5))
    program = joined(g.graph(g.emit("add", depthwise(g, wide), wide)))
    assert kernels(program) == [["conv2d", "relu"], ["conv2d", "relu", "add"]]


def test_a_view_between_keeps_them_apart() -> None:
    g = Sketch()
    wide = g.reshape(expand(g, g.x(1, 9, 10, 5)), 1, 10, 9, 24)
    assert kernels(joined(g.graph(depthwise(g, wide)))) == APART


@pytest.mark.parametrize("attrs", [{"groups": 5}, {"strides": (2, 2)}, {"pads": (1, 0, 0, 1)}])
def test_only_a_plain_1x1_convolution_is_joined(attrs: dict[str, object]) -> None:
    g = Sketch()
    y = depthwise(g, expand(g, g.x(1, 9, 10, 5), 25, **attrs))
    assert kernels(joined(g.graph(y))) == APART


@pytest.mark.parametrize("group", [1, 2, 4, 8, 12])
@pytest.mark.parametrize("repeats", [1, 2])
def test_only_a_depthwise_convolution_is_joined(group: int, repeats: int) -> None:
    """Groups of some channels share vectors where they are few: no kernel for pairs does that."""
    g = Sketch()
    wide = expand(g, g.x(1, 9, 10, 5))
    weights = g.const(24 * repeats, 3, 3, group)
    y = g.emit("relu", g.emit("conv2d", wide, weights, **(CONVOLUTION | {"groups": 24 // group})))
    together = group == repeats == 1
    assert (kernels(joined(g.graph(y))) != APART) == together


def test_more_threads_than_blocks_keep_an_expensive_pair_apart() -> None:
    """Bands of rows would compute much of a long product twice."""
    g = Sketch()
    y = depthwise(g, expand(g, g.x(1, 7, 7, 64), 8))
    many = Target("x86-64-v3", "x86-64-v3", 16)
    assert kernels(joined(g.graph(y), many)) == APART
    assert len(joined(g.graph(y)).calls) == 1


def test_a_part_of_a_concatenation_is_still_written() -> None:
    """Rows of one image are written where the whole wants them; who reads the whole needs them."""
    g = Sketch()
    wide = expand(g, g.x(1, 9, 10, 5))
    whole = g.emit("concat", wide, expand(g, g.x(1, 4, 10, 5, name="more")), axis=1)
    program = joined(g.graph(depthwise(g, wide), whole))
    assert kernels(program) == [["conv2d", "relu"]] * 3
    assert len(program.parts) == 2
