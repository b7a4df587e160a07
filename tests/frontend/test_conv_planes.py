"""1x1 convolutions of what lies channels first, on both sides, are products of planes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import TO_NCHW, TO_NHWC, Sketch, array, names, outputs, same

from luthier.frontend.passes.channels_last import channels_last
from luthier.frontend.passes.conv_planes import conv_planes
from luthier.schedules import Target

TARGET = Target("x86-64-v4", "emeraldrapids", 1, l1=48 << 10, l2=2 << 20)
POINT = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "groups": 1}


def moved(g: Sketch, *shape: int, name: str = "x") -> int:
    return g.emit("transpose", g.x(*shape, name=name), axes=TO_NHWC)


def conv(g: Sketch, value: int, channels: int, **more: object) -> int:
    weights = g.const(channels, 1, 1, g.values[value].shape[-1], seed=channels)
    return g.emit("conv2d", value, weights, **(POINT | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("sizes", [(16, 16), (4, 7), (1, 100)])
def test_transposes_on_both_sides_go(images: int, sizes: tuple[int, int]) -> None:
    g = Sketch()
    y = conv(g, moved(g, images, 6, *sizes), 5)
    before = g.graph(g.emit("transpose", y, axes=TO_NCHW))
    after = conv_planes(before, TARGET)
    same(before, after)
    assert names(after) == ["reshape", "matmul", "reshape"]


def test_what_is_elementwise_between_them_is_of_planes() -> None:
    g = Sketch()
    y = conv(g, moved(g, 2, 6, 4, 8), 5)
    y = g.emit("add", y, g.const(5))
    y = g.emit("multiply", y, g.emit("sigmoid", y))  # reads it twice
    y = g.emit("add", y, moved(g, 2, 5, 4, 8, name="residual"))
    y = g.emit("multiply", y, g.x(2, 1, 1, 5, name="scale"))
    y = g.emit("add", y, g.const(4, 8, 5, seed=4))
    y = g.emit("multiply", y, g.x(2, 4, 8, 1, name="mask"))
    y = g.emit("minimum", y, g.scalar(0.5))
    before = g.graph(g.emit("transpose", y, axes=TO_NCHW))
    after = conv_planes(before, TARGET)
    same(before, after)
    assert "transpose" not in names(after)
    assert "conv2d" not in names(after)


def test_two_convolutions_that_meet_are_both_of_planes() -> None:
    g = Sketch()
    y = g.emit("add", conv(g, moved(g, 1, 6, 4, 8), 5), conv(g, moved(g, 1, 7, 4, 8, name="z"), 5))
    before = g.graph(g.emit("transpose", y, axes=TO_NCHW))
    after = conv_planes(before, TARGET)
    same(before, after)
    assert names(after).count("matmul") == 2


def test_rows_and_volumes_have_planes_too() -> None:
    g = Sketch()
    rows = g.emit("transpose", g.reshape(g.x(2, 6, 40), 2, 6, 1, 40), axes=TO_NHWC)
    row = g.emit("relu", g.reshape(conv(g, rows, 5), 2, 40, 5))
    volumes = g.emit("transpose", g.x(2, 6, 2, 3, 8, name="v"), axes=(0, 2, 3, 4, 1))
    volume = g.reshape(conv(g, g.reshape(volumes, 2, 2, 24, 6), 7), 2, 2, 3, 8, 7)
    before = g.graph(
        g.emit("transpose", row, axes=(0, 2, 1)),
        g.emit("transpose", g.emit("relu", volume), axes=(0, 4, 1, 2, 3)),
    )
    after = conv_planes(before, TARGET)
    same(before, after)
    assert "transpose" not in names(after)


def kept(g: Sketch, *values: int) -> bool:
    before = g.graph(*values)
    after = conv_planes(before, TARGET)
    same(before, after)
    return names(before) == names(after)


def test_one_that_gives_channels_last_stays() -> None:
    g = Sketch()
    assert kept(g, conv(g, moved(g, 1, 6, 8, 8), 5))


def test_one_that_reads_channels_last_stays() -> None:
    g = Sketch()
    assert kept(g, g.emit("transpose", conv(g, g.x(1, 8, 8, 6), 5), axes=TO_NCHW))


def test_one_that_is_read_in_both_orders_stays() -> None:
    g = Sketch()
    y = conv(g, moved(g, 1, 6, 8, 8), 5)
    assert kept(g, g.emit("transpose", y, axes=TO_NCHW), g.emit("relu", y))


def test_one_with_another_operand_that_would_be_moved_stays() -> None:
    g = Sketch()
    y = g.emit("add", conv(g, moved(g, 1, 6, 8, 8), 5), g.x(1, 8, 8, 5, name="other"))
    assert kept(g, g.emit("transpose", y, axes=TO_NCHW))


@pytest.mark.parametrize(
    "more",
    [{"strides": (2, 2)}, {"pads": (1, 1, 1, 1)}, {"strides": (1, 2), "dilations": (3, 2)}],
    ids=str,
)
@pytest.mark.parametrize("kernel", [(1, 1), (2, 3)])
def test_windows_slide_over_planes(kernel: tuple[int, int], more: dict[str, object]) -> None:
    g = Sketch()
    x = moved(g, 2, 6, 20, 21)
    y = g.emit("conv2d", x, g.const(9, *kernel, 6), **(POINT | more))  # type: ignore[arg-type]
    y = g.emit("relu", g.emit("add", y, g.const(9)))
    before = g.graph(g.emit("transpose", y, axes=TO_NCHW))
    after = conv_planes(before, TARGET)
    same(before, after)
    assert names(after) == ["conv2d_planes", "add", "relu"]


@pytest.mark.parametrize("groups", [2, 6])
def test_groups_are_of_planes(groups: int) -> None:
    g = Sketch()
    x = moved(g, 1, 6, 16, 16)
    weights = g.const(12, 3, 3, 6 // groups)
    y = g.emit("conv2d", x, weights, **(POINT | {"groups": groups}))  # type: ignore[arg-type]
    before = g.graph(g.emit("transpose", y, axes=TO_NCHW))
    after = conv_planes(before, TARGET)
    same(before, after)
    assert names(after) == ["conv2d_planes"]


def test_one_that_winograds_method_suits_stays() -> None:
    g = Sketch()
    weights = g.const(64, 3, 3, 64)
    x = moved(g, 1, 64, 28, 28)
    y = g.emit("conv2d", x, weights, **(POINT | {"pads": (1, 1, 1, 1)}))  # type: ignore[arg-type]
    assert kept(g, g.emit("transpose", y, axes=TO_NCHW))


def test_whether_one_is_of_planes_follows_the_target() -> None:
    """Zen 4 moves an element in half of the time."""
    g = Sketch()
    x = moved(g, 1, 96, 7, 7)
    more = {"strides": (2, 2), "pads": (2, 2, 2, 2), "groups": 96}
    y = g.emit("conv2d", x, g.const(96, 5, 5, 1), **(POINT | more))  # type: ignore[arg-type]
    before = g.graph(g.emit("transpose", y, axes=TO_NCHW))
    slow = replace(TARGET, measured=replace(TARGET.costs, moved=9.0))
    fast = replace(TARGET, measured=replace(TARGET.costs, moved=0.1))
    assert names(conv_planes(before, slow)) == ["conv2d_planes"]
    assert names(conv_planes(before, fast)) == names(before)
    # Threads that read what others wrote take longer to move it.
    between = replace(TARGET, measured=replace(TARGET.costs, moved=0.4))
    assert names(conv_planes(before, between)) == names(before)
    assert names(conv_planes(before, replace(between, threads=2))) == ["conv2d_planes"]


def test_padding_that_takes_away_stays() -> None:
    g = Sketch()
    x = moved(g, 1, 6, 20, 20)
    y = g.emit("conv2d", x, g.const(9, 2, 2, 6), **(POINT | {"pads": (0, -1, 0, 0)}))  # type: ignore[arg-type]
    before = g.graph(g.emit("transpose", y, axes=TO_NCHW))
    assert "conv2d_planes" not in names(conv_planes(before, TARGET))


def test_many_idle_lanes_of_much_work_stay() -> None:
    g = Sketch()
    y = conv(g, moved(g, 1, 512, 7, 7), 512)
    assert kept(g, g.emit("transpose", y, axes=TO_NCHW))


def test_few_places_stay() -> None:
    g = Sketch()
    assert kept(g, g.emit("transpose", conv(g, moved(g, 1, 6, 3, 5), 5), axes=TO_NCHW))


def test_extreme_numbers_pass_through() -> None:
    g = Sketch()
    y = conv(g, moved(g, 1, 2, 4, 4), 3)
    before = g.graph(g.emit("transpose", g.emit("relu", y), axes=TO_NCHW))
    x = array(1, 2, 4, 4)
    x[0, :, 0] = np.nan
    x[0, 0, 1], x[0, 0, 2], x[0, 1, 2] = np.inf, -np.inf, -0.0
    found = outputs(conv_planes(before, TARGET), {"x": x})["y0"]
    np.testing.assert_allclose(found, outputs(before, {"x": x})["y0"], rtol=1e-5)


def test_as_importers_write_it() -> None:
    g = Sketch()
    weights = g.const(5, 1, 1, 6)
    inside = g.emit("transpose", g.x(1, 6, 4, 8), axes=TO_NHWC)
    y = g.emit("transpose", g.emit("conv2d", inside, weights, **POINT), axes=TO_NCHW)
    before = g.graph(g.emit("relu", g.bias(y)))
    after = conv_planes(channels_last(before), TARGET)
    same(before, after)
    assert "transpose" not in names(after)
