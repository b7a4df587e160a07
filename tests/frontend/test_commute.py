"""1x1 convolutions before enlargements: less arithmetic, the same result."""

from __future__ import annotations

import numpy as np
import pytest
from graph_building import Sketch, names, same

from luthier.frontend.graph import Graph
from luthier.frontend.passes.commute_resizes import commute_resizes

PLAIN = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "groups": 1}


def convolution(g: Sketch, value: int, channels: int, **changed: object) -> int:
    weights = g.const(channels, 1, 1, g.values[value].shape[3])
    return g.emit("conv2d", value, weights, **{**PLAIN, **changed})  # type: ignore[arg-type]


def enlarged(g: Sketch, value: int, size: int) -> int:
    """Bilinear, as the importer writes it: two neighbours, weighed, along each axis."""
    for axis in (1, 2):
        old = g.values[value].shape[axis]
        place = (np.arange(size) + 0.5) * old / size - 0.5
        low = np.floor(place).astype(np.int64)
        share = (place - low).astype(np.float32)
        shape = [1] * 4
        shape[axis] = size
        parts = []
        for index, weight in ((low, 1 - share), (low + 1, share)):
            taken = g.emit("take", value, g.constant(np.clip(index, 0, old - 1)), axis=axis)
            parts.append(g.emit("multiply", taken, g.constant(weight.reshape(shape))))
        value = g.emit("add", *parts)
    return value


def sizes(graph: Graph) -> list[tuple[int, ...]]:
    """Of the convolutions' results."""
    return [op.node.out.shape for op in graph.ops if op.node.op == "conv2d"]


def test_a_1x1_convolution_moves_before_an_enlargement() -> None:
    g = Sketch()
    before = g.graph(convolution(g, enlarged(g, g.x(2, 3, 3, 5), 8), 6))
    after = commute_resizes(before)
    same(before, after)
    assert sizes(after) == [(2, 3, 3, 6)]


def test_parts_of_a_concatenation_are_convolved_apart() -> None:
    g = Sketch()
    large = [g.x(1, 8, 8, 4, name="a"), g.x(1, 8, 8, 3, name="b")]
    small = [enlarged(g, g.x(1, n, n, 5, name=f"s{n}"), 8) for n in (2, 4)]
    joined = g.emit("concat", small[0], large[0], small[1], large[1], axis=3)
    before = g.graph(convolution(g, joined, 6))
    after = commute_resizes(before)
    same(before, after)
    assert sorted(sizes(after)) == [(1, 2, 2, 6), (1, 4, 4, 6), (1, 8, 8, 6)]


@pytest.mark.parametrize(
    "changed", [{"strides": (2, 2)}, {"pads": (1, 1, 1, 1)}], ids=["strides", "pads"]
)
def test_other_convolutions_stay(changed: dict[str, object]) -> None:
    g = Sketch()
    before = g.graph(convolution(g, enlarged(g, g.x(1, 3, 3, 5), 8), 6, **changed))
    assert names(commute_resizes(before)) == names(before)


def test_a_value_with_other_readers_stays() -> None:
    g = Sketch()
    large = enlarged(g, g.x(1, 3, 3, 5), 8)
    before = g.graph(convolution(g, large, 6), large)
    assert sizes(commute_resizes(before)) == [(1, 8, 8, 6)]


def test_a_small_enlargement_stays() -> None:
    g = Sketch()
    before = g.graph(convolution(g, enlarged(g, g.x(1, 7, 7, 5), 8), 6))
    assert sizes(commute_resizes(before)) == [(1, 8, 8, 6)]


def test_weights_that_differ_between_channels_do_not_commute() -> None:
    g = Sketch()
    x = g.x(1, 3, 3, 5)
    taken = g.emit("take", x, g.constant(np.arange(8) // 3), axis=1)
    weighed = g.emit("multiply", taken, g.const(1, 1, 1, 5))
    before = g.graph(convolution(g, weighed, 6))
    assert sizes(commute_resizes(before)) == [(1, 8, 3, 6)]
