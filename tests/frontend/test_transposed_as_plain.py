"""Transposed convolutions of stride 1, or of few channels, are convolutions."""

from __future__ import annotations

import pytest
from graph_building import Sketch, names, same

from luthier.frontend.graph import Graph
from luthier.frontend.passes.transposed_as_plain import transposed_as_plain
from luthier.schedules import Tensor


def transposed(
    weights: tuple[int, ...],
    *,
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilations: tuple[int, int] = (1, 1),
    groups: int = 1,
    more: int = 0,
    constant: bool = True,
) -> Graph:
    """Of an image of 5 x 7; ``more`` rows and columns are computed at the ends."""
    g = Sketch()
    c, *kernel, per_group = weights
    x = g.x(2, 5, 7, c)
    sides = zip((5, 7), kernel, strides, dilations, pads[:2], pads[2:], strict=True)
    sizes = [(n - 1) * s + (k - 1) * d + 1 - a - b + more for n, k, s, d, a, b in sides]
    w = g.const(*weights) if constant else g.x(*weights, name="w")
    out = Tensor((2, *sizes, per_group * groups))
    y = g.emit(
        "conv2d_transpose", x, w, out=out, strides=strides, pads=pads, dilations=dilations,
        groups=groups,
    )  # fmt: skip
    return g.graph(y)


@pytest.mark.parametrize(
    "before",
    [
        transposed((6, 3, 3, 20)),
        transposed((6, 3, 2, 20), pads=(2, 0, 1, 1)),
        transposed((6, 3, 3, 4), groups=3, pads=(1, 1, 1, 1)),
        transposed((6, 3, 2, 8), dilations=(2, 3), pads=(0, 2, 3, 1)),
        transposed((6, 3, 3, 1), groups=6),
    ],
)
def test_of_stride_1_it_is_one_of_weights_in_the_opposite_order(before: Graph) -> None:
    after = transposed_as_plain(before)
    same(before, after)
    assert names(after) == ["conv2d"]


@pytest.mark.parametrize(
    "before",
    [
        transposed((6, 3, 3, 3), strides=(2, 2), pads=(1, 1, 1, 1)),
        transposed((6, 3, 3, 3), strides=(2, 2), pads=(1, 1, 1, 1), more=1),
        transposed((6, 4, 4, 4), strides=(2, 2), pads=(1, 1, 1, 1)),
        transposed((6, 2, 2, 1), strides=(2, 2)),
        transposed((6, 5, 4, 2), strides=(2, 3), pads=(2, 1, 0, 3)),
        transposed((6, 4, 3, 1), strides=(4, 3), pads=(3, 2, 2, 1)),
    ],
)
def test_of_few_channels_it_is_one_that_gives_blocks(before: Graph) -> None:
    after = transposed_as_plain(before)
    same(before, after)
    assert names(after)[:4] == ["conv2d", "reshape", "transpose", "reshape"]


@pytest.mark.parametrize(
    "before",
    [
        transposed((6, 3, 3, 3), constant=False),
        transposed((6, 3, 3, 8), strides=(2, 2)),  # many channels
        transposed((6, 1, 1, 3), strides=(2, 2)),  # zeros, most of them
        transposed((6, 3, 3, 3), strides=(2, 2), groups=2),
        transposed((6, 2, 2, 3), pads=(2, 0, 0, 0)),  # windows outside of the image alone
    ],
)
def test_others_stay(before: Graph) -> None:
    assert names(transposed_as_plain(before)) == names(before)
