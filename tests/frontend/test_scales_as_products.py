"""Depthwise convolutions of one tap that moves nothing are products."""

from __future__ import annotations

import pytest
from graph_building import Sketch, names, same

from luthier.frontend.graph import Graph
from luthier.frontend.passes.scales_as_products import scales_as_products
from luthier.schedules import Tensor


def convolved(
    channels: int,
    groups: int,
    *,
    kernel: tuple[int, int] = (1, 1),
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    constant: bool = True,
    repeats: int = 1,
) -> Graph:
    """Of an image of 5 x 7."""
    g = Sketch()
    x = g.x(2, 5, 7, channels)
    shape = (channels * repeats, *kernel, channels // groups)
    sides = zip((5, 7), kernel, strides, pads[:2], pads[2:], strict=True)
    sizes = [(n + a + b - k) // s + 1 for n, k, s, a, b in sides]
    w = g.const(*shape) if constant else g.x(*shape, name="w")
    y = g.emit(
        "conv2d", x, w, out=Tensor((2, *sizes, channels * repeats)), strides=strides, pads=pads,
        dilations=(1, 1), groups=groups,
    )  # fmt: skip
    return g.graph(y)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (convolved(6, 6), ["multiply"]),
        (convolved(1, 1), ["multiply"]),
        (convolved(6, 6, constant=False), ["reshape", "multiply"]),
    ],
)
def test_it_is_a_product_with_a_number_for_each_channel(before: Graph, after: list[str]) -> None:
    found = scales_as_products(before)
    same(before, found)
    assert names(found) == after


@pytest.mark.parametrize(
    "before",
    [
        convolved(6, 3),
        convolved(6, 6, repeats=2),
        convolved(6, 6, kernel=(1, 3)),
        convolved(6, 6, strides=(1, 2)),
        convolved(6, 6, pads=(0, 1, 0, 0)),
    ],
)
def test_others_stay(before: Graph) -> None:
    assert names(scales_as_products(before)) == names(before)
