"""Convolutions and pooling at their edges: windows that hang out, strides that skip, odd sizes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from caller import RUNNABLE, draw, verify
from hypothesis import given
from hypothesis import strategies as st
from workloads import conv, conv_planes, conv_transpose, pool, separable

from luthier.schedules import ScheduleError, Target
from luthier.schedules.target.named import parse
from luthier.schedules.templates.conv_planes.downwards import Downwards
from luthier.schedules.templates.conv_planes.form import ConvPlanes
from luthier.schedules.templates.window import Axis, column_tiles, even_widths

CONVOLUTIONS = {
    "one pixel": conv((1, 1, 1, 1), 1, (1, 1)),
    "one output of a large kernel": conv((1, 5, 7, 3), 9, (5, 7)),
    "a kernel larger than the image": conv((1, 2, 3, 4), 5, (5, 5), pads=(3, 2, 2, 3)),
    "outputs that see only padding": conv((1, 2, 2, 3), 8, (2, 2), pads=(4, 0, 3, 5)),
    "a stride beyond the kernel": conv((1, 11, 12, 5), 7, (2, 1), strides=(4, 5)),
    "unlike strides and dilations": conv(
        (2, 12, 13, 3), 10, (3, 2), strides=(1, 3), dilations=(2, 5), pads=(2, 0, 1, 4)
    ),
    "a row": conv((1, 1, 40, 6), 11, (1, 5), pads=(0, 4, 0, 0)),
    "a column": conv((1, 40, 1, 6), 11, (5, 1), pads=(0, 0, 4, 0)),
    "groups of one output": conv((1, 6, 6, 12), 4, (3, 3), groups=4, pads=(1, 1, 1, 1)),
    "groups of odd sizes": conv((2, 6, 7, 15), 51, (3, 3), groups=3, after="scaled"),
    "groups of eight": conv((1, 6, 13, 24), 24, (3, 3), groups=3, pads=(1, 1, 1, 1), after="clip"),
    "a pointwise one with strides": conv((1, 9, 9, 10), 18, (1, 1), strides=(2, 2)),
    "a pointwise one with pads": conv((1, 4, 5, 10), 18, (1, 1), pads=(1, 0, 0, 2), after="bias"),
    "a pointwise one in groups": conv((1, 4, 5, 10), 6, (1, 1), groups=2),
    "a long kernel": conv((2, 1, 90, 5), 19, (1, 65), pads=(0, 32, 0, 32), after="bias_relu"),
    "a long kernel in groups, dilated": conv(
        (1, 3, 80, 6), 10, (2, 33), groups=2, dilations=(1, 2), pads=(0, 20, 1, 31)
    ),
    "a kernel longer than the row": conv(
        (2, 1, 9, 4), 3, (1, 70), strides=(1, 2), pads=(0, 70, 0, 66)
    ),
}
CONV_PLANES = {
    "one place": conv_planes((1, 1, 1, 1), 1, (1, 1)),
    "a batch of short rows": conv_planes(
        (3, 5, 6, 7), 17, (3, 3), pads=(1, 1, 1, 1), after="bias_relu"
    ),
    "every other place": conv_planes(
        (1, 9, 21, 45), 19, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1), after="residual"
    ),
    "a large kernel": conv_planes(
        (1, 3, 30, 41), 20, (7, 7), strides=(2, 2), pads=(3, 3, 3, 3), after="clip"
    ),
    "patches": conv_planes((1, 3, 36, 64), 24, (4, 4), strides=(4, 4)),
    "unlike strides and dilations": conv_planes(
        (2, 3, 22, 33),
        10,
        (3, 2),
        strides=(1, 3),
        dilations=(2, 5),
        pads=(2, 0, 1, 4),
        after="gelu",
    ),
    "strides that share a factor with dilations": conv_planes(
        (1, 4, 19, 50), 5, (3, 3), strides=(2, 4), dilations=(4, 2), pads=(1, 3, 2, 1)
    ),
    "every sixth": conv_planes((1, 2, 13, 99), 6, (2, 3), strides=(3, 6), pads=(1, 2, 0, 1)),
    "strides beyond the kernel": conv_planes((1, 5, 11, 40), 7, (2, 1), strides=(4, 5)),
    "a kernel larger than the image": conv_planes((1, 4, 2, 3), 5, (5, 5), pads=(3, 8, 2, 9)),
    "outputs that see only padding": conv_planes((1, 3, 2, 2), 8, (2, 2), pads=(4, 20, 3, 5)),
    "a long row": conv_planes((1, 6, 1, 999), 11, (1, 15), pads=(0, 7, 0, 7), after="clip"),
    "a long row of strides": conv_planes((2, 1, 1, 1600), 9, (1, 10), strides=(1, 5)),
    "a long kernel": conv_planes((1, 4, 1, 120), 6, (1, 65), groups=2, pads=(0, 32, 0, 32)),
    "groups of odd sizes": conv_planes(
        (2, 15, 6, 17), 51, (3, 3), groups=3, pads=(1, 1, 1, 1), after="swish"
    ),
    "channels by themselves": conv_planes(
        (1, 37, 14, 18), 37, (3, 3), groups=37, pads=(1, 1, 1, 1)
    ),
    "every other, by themselves": conv_planes(
        (1, 20, 29, 31), 20, (5, 5), groups=20, strides=(2, 2), pads=(2, 2, 2, 2), after="residual"
    ),
    "several outputs of a channel": conv_planes((1, 7, 9, 33), 21, (3, 3), groups=7),
    "one output of several channels": conv_planes(
        (2, 12, 17, 21), 4, (3, 3), groups=4, dilations=(2, 1), after="scaled"
    ),
    "columns by themselves": conv_planes(
        (1, 5, 40, 19), 5, (9, 1), groups=5, strides=(3, 2), dilations=(2, 1), pads=(4, 0, 9, 1)
    ),
    "large ones by themselves": conv_planes(
        (1, 3, 23, 45), 3, (7, 7), groups=3, pads=(3, 3, 3, 3), after="clip"
    ),
    "strides beyond the kernel, by themselves": conv_planes(
        (1, 4, 30, 34), 4, (2, 3), groups=4, strides=(4, 4)
    ),
    "by themselves, dilated by more than a tile": conv_planes(
        (1, 3, 70, 20), 3, (3, 2), groups=3, dilations=(20, 3), strides=(2, 1), pads=(0, 0, 7, 2)
    ),
}
DOTS = {
    "three of many": conv((1, 6, 13, 32), 3, (3, 3), pads=(1, 1, 1, 1), after="scaled"),
    "one": conv((2, 5, 40, 16), 1, (2, 4), strides=(2, 3), pads=(0, 3, 1, 0)),
    "groups and dilations": conv((1, 7, 11, 64), 6, (3, 2), groups=2, dilations=(1, 3)),
    "a long kernel": conv((1, 1, 60, 16), 2, (1, 41), pads=(0, 20, 0, 20), after="gelu"),
}
WINOGRAD = {
    "one tile": conv((1, 3, 3, 1), 1, (3, 3)),
    "tiles that end outside": conv((1, 8, 9, 5), 17, (3, 3), after="residual"),
    "a batch": conv((3, 5, 6, 4), 20, (3, 3), pads=(1, 1, 1, 1), after="scaled"),
    "pads beyond the kernel": conv((1, 4, 4, 3), 6, (3, 3), pads=(3, 4, 2, 3), after="gelu"),
    "a flat image": conv((1, 1, 30, 9), 33, (3, 3), pads=(1, 1, 1, 1)),
    "groups": conv((2, 7, 6, 15), 48, (3, 3), pads=(1, 1, 1, 1), groups=3, after="scaled"),
    "5x5": conv((1, 9, 11, 7), 19, (5, 5), pads=(2, 2, 2, 1), after="residual"),
    "7x7, inside": conv((1, 9, 8, 5), 17, (7, 7), after="gelu"),
    "dilated beyond the image": conv((1, 4, 7, 6), 9, (3, 3), pads=(5,) * 4, dilations=(5, 4)),
}
LINES = {
    "a row": conv((2, 3, 31, 9), 20, (1, 3), pads=(0, 1, 0, 1), after="swish"),
    "a column": conv((1, 17, 5, 9), 20, (7, 1), pads=(3, 0, 3, 0), after="residual"),
    "dilated, groups": conv(
        (2, 2, 40, 14), 32, (1, 5), pads=(0, 12, 0, 3), dilations=(9, 3), groups=2
    ),
    "one of each image that a dilation makes": conv(
        (1, 1, 3, 4), 8, (1, 3), pads=(0, 2, 0, 2), dilations=(1, 2)
    ),
}
DEPTHWISE = {
    f"{kernel}x{kernel}, stride {stride}, dilation {dilation}": conv(
        (1, 13, 15, channels),
        channels,
        (kernel, kernel),
        strides=(stride, stride),
        dilations=(dilation, dilation),
        pads=(kernel // 2, kernel // 2 + 1, kernel // 2, 0),
        groups=channels,
        after=after,
    )
    for (kernel, stride, dilation), (channels, after) in zip(
        [(3, 2, 1), (3, 1, 2), (5, 2, 2), (7, 1, 1)],
        itertools.cycle([(7, "clip"), (32, "swish"), (67, "residual")]),
        strict=False,
    )
}
SEVERAL = {
    "two of a channel": conv((1, 9, 15, 11), 22, (3, 3), groups=11, pads=(1, 1, 1, 1)),
    "four of a channel, strides": conv(
        (2, 9, 14, 5), 20, (5, 3), strides=(2, 2), groups=5, pads=(2, 1, 2, 0), after="scaled"
    ),
    "two of many, a long row": conv((1, 1, 70, 24), 48, (1, 45), groups=24, pads=(0, 30, 0, 14)),
}
GROUPS = {
    "four channels": conv((1, 9, 15, 12), 12, (3, 3), groups=3, pads=(1, 1, 1, 1)),
    "two, strides and dilations": conv(
        (2, 13, 31, 10), 10, (3, 5), strides=(2, 3), dilations=(2, 3), groups=5, pads=(2, 6, 1, 4),
        after="scaled",
    ),
    "more outputs": conv((1, 8, 21, 14), 28, (2, 3), groups=7, pads=(0, 2, 1, 1), after="residual"),
    "one tap": conv((1, 4, 9, 20), 20, (1, 1), groups=5, strides=(1, 2), after="swish"),
    "a long row": conv((2, 1, 70, 12), 12, (1, 45), groups=3, pads=(0, 30, 0, 14)),
    "outputs that see only padding": conv((1, 2, 2, 8), 8, (2, 2), groups=2, pads=(4, 0, 3, 5)),
}  # fmt: skip
SEPARABLE = {
    "what the activation makes of zero": separable(
        (1, 7, 9, 5), 20, (3, 3), pads=(1, 1, 1, 1), between="bias", after="clip"
    ),
    "one pixel": separable((1, 1, 1, 1), 2, (1, 1), between="swish"),
    "a batch and strides": separable(
        (3, 9, 10, 4), 35, (3, 3), strides=(2, 2), pads=(0, 0, 1, 1), between="swish"
    ),
    "dilations": separable(
        (1, 13, 12, 8), 19, (3, 5), dilations=(3, 2), pads=(3, 1, 2, 4), between="gelu"
    ),
    "strides beyond the kernel": separable(
        (1, 11, 15, 3), 7, (2, 1), strides=(4, 5), pads=(0, 1, 1, 2), between="bias_relu"
    ),
    "outputs that see only padding": separable(
        (1, 2, 2, 3), 8, (2, 2), pads=(4, 0, 3, 5), between="bias", after="residual"
    ),
    "a window larger than the image": separable(
        (1, 3, 4, 17), 33, (7, 7), pads=(3, 3, 3, 3), between="residual", after="swish"
    ),
}
TRANSPOSED = {
    "one pixel": conv_transpose((1, 1, 1, 3), 5, (3, 2)),
    "strides beyond the kernel": conv_transpose((1, 3, 4, 5), 6, (2, 1), strides=(3, 4)),
    "strides that share no factor with dilations": conv_transpose(
        (1, 4, 5, 3), 9, (3, 2), strides=(2, 3), dilations=(3, 2), pads=(1, 2, 0, 1)
    ),
    "strides that share a factor with dilations": conv_transpose(
        (1, 4, 5, 3), 9, (3, 3), strides=(2, 4), dilations=(4, 2), pads=(1, 0, 2, 1)
    ),
    "groups and output padding": conv_transpose(
        (2, 3, 4, 6), 9, (3, 3), strides=(2, 3), groups=3, output_padding=(1, 2), after="scaled"
    ),
    "pads that leave one output": conv_transpose((1, 2, 2, 4), 3, (2, 2), pads=(1, 1, 1, 1)),
}
TRANSPOSED_DOTS = {
    "three of many": conv_transpose(
        (1, 5, 6, 32), 3, (4, 4), strides=(2, 2), pads=(1, 1, 1, 1), after="bias_relu"
    ),
    "strides beyond the kernel": conv_transpose((2, 3, 4, 16), 2, (2, 1), strides=(3, 4)),
}
POOLS = {
    "the whole image": pool("max_pool2d", (2, 7, 9, 5), (7, 9)),
    "strides that skip": pool("max_pool2d", (1, 9, 9, 20), (2, 2), strides=(3, 4)),
    "dilations": pool("max_pool2d", (1, 9, 9, 3), (2, 3), dilations=(3, 2), pads=(1, 1, 2, 2)),
    "means with padding": pool(
        "avg_pool2d", (1, 6, 7, 9), (3, 3), pads=(1, 2, 2, 0), count_include_pad=True
    ),
    "means without padding": pool(
        "avg_pool2d", (1, 6, 7, 70), (3, 4), strides=(2, 1), pads=(2, 1, 0, 3),
        count_include_pad=False, after="bias_relu",
    ),
    "a long window": pool("max_pool2d", (1, 2, 90, 11), (1, 41), pads=(0, 20, 0, 20)),
    "a long mean": pool(
        "avg_pool2d", (1, 1, 60, 19), (1, 37), pads=(0, 18, 0, 18), count_include_pad=False
    ),
    "a long mean without padding": pool(
        "avg_pool2d", (1, 1, 99, 3), (1, 50), strides=(1, 7), count_include_pad=True
    ),
}  # fmt: skip
PLANES = {
    "one column": pool("max_pool2d", (3, 5, 1, 1), (2, 1)),
    "the whole image": pool("avg_pool2d", (2, 7, 9, 1), (7, 9), count_include_pad=False),
    "neighbours": pool("max_pool2d", (5, 7, 33, 1), (3, 3), pads=(1, 1, 1, 1), after="bias_relu"),
    "every other column": pool(
        "max_pool2d", (3, 13, 45, 1), (3, 3), strides=(2, 2), pads=(1, 1, 1, 1)
    ),
    "every third": pool(
        "avg_pool2d", (2, 9, 41, 1), (3, 3), strides=(2, 3), pads=(1, 2, 1, 1),
        count_include_pad=False,
    ),
    "every sixth, dilations": pool(
        "max_pool2d", (2, 20, 50, 1), (2, 3), strides=(3, 6), dilations=(3, 2), pads=(1, 1, 2, 2)
    ),
    "columns behind the last window": pool("max_pool2d", (2, 4, 40, 1), (2, 2), strides=(4, 4)),
    "padding that counts": pool(
        "avg_pool2d", (4, 9, 20, 1), (2, 3), pads=(1, 1, 1, 1), count_include_pad=True
    ),
    "windows that see only padding": pool("max_pool2d", (2, 3, 17, 1), (2, 2), pads=(3, 4, 3, 2)),
    "a long mean": pool(
        "avg_pool2d", (3, 9, 140, 1), (1, 99), pads=(0, 49, 0, 49), count_include_pad=False
    ),
}  # fmt: skip
MAXIMA = {
    "signs, padding": pool("max_pool2d", (2, 7, 9, 37), (3, 2), pads=(1, 1, 1, 0), dtype="int8"),
    "strides": pool("max_pool2d", (1, 9, 9, 70), (3, 3), strides=(2, 3), dtype="uint8"),
}
LONG_DEPTHWISE = {
    "a row": conv((2, 1, 70, 11), 11, (1, 45), groups=11, pads=(0, 30, 0, 14), after="swish"),
    "dilated": conv((1, 2, 99, 20), 20, (2, 33), groups=20, dilations=(1, 3), pads=(1, 48, 0, 48)),
}
CASES = {
    f"{family}: {name}": (template, workload)
    for family, template, workloads in (
        ("convolution", None, CONVOLUTIONS),
        ("winograd", "winograd", WINOGRAD),
        ("winograd of lines", "winograd_line", LINES),
        ("depthwise", "channelwise", DEPTHWISE),
        ("several outputs of a channel", "channelwise", SEVERAL),
        ("few channels in a group", "channelwise", GROUPS),
        ("expansion and depthwise", "separable", SEPARABLE),
        ("long and depthwise", "channelwise", LONG_DEPTHWISE),
        ("planes", "conv_planes", CONV_PLANES),
        ("dots", "conv_dots", DOTS),
        ("transposed", "conv_transpose", TRANSPOSED),
        ("transposed dots", "conv_transpose_dots", TRANSPOSED_DOTS),
        ("pooling", "channelwise", POOLS),
        ("pooling of planes", "pool_planes", PLANES),
        ("pooling of bytes", "pool_integer", MAXIMA),
    )
    for name, workload in workloads.items()
}


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("name", CASES)
def test_edges(name, level):
    template, workload = CASES[name]
    verify(
        workload, level, samples={"winograd": 0, "separable": 4}.get(template, 1), template=template
    )


@pytest.mark.parametrize("level", RUNNABLE)
def test_maxima_of_pools_keep_nan_and_infinity(level):
    workload = pool("max_pool2d", (1, 6, 7, 19), (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    (x,) = draw(workload)
    x[0, 2, 3, :4], x[0, 5, 0, ::2], x[0, 0, 0, 4:9] = np.nan, np.inf, -np.inf
    x[..., 9], x[..., 10], x[..., 18] = np.nan, -np.inf, np.inf
    verify(workload, level, inputs=[x], samples=1)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("group", [2, 4])
def test_no_group_sees_what_another_one_holds(group, level):
    workload = conv((1, 5, 14, 24), 24, (3, 2), groups=24 // group, pads=(1, 0, 1, 1))
    x, weights, *rest = draw(workload)
    x[..., ::8], x[0, 2, 3, 5], x[..., 23] = np.nan, np.inf, -0.0
    weights[9], weights[10, 1, 0, 0] = -0.0, np.inf  # which no padding meets
    with np.errstate(invalid="ignore"):
        verify(workload, level, inputs=[x, weights, *rest], samples=1, template="channelwise")


@pytest.mark.parametrize("level", RUNNABLE)
def test_maxima_of_planes_keep_nan_and_infinity(level):
    workload = pool("max_pool2d", (1, 9, 40, 1), (3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    (x,) = draw(workload)
    x[0, 2, 3], x[0, 5, ::7], x[0, 0, 8:19], x[0, 4, 39] = np.nan, np.inf, -np.inf, np.nan
    verify(workload, level, inputs=[x], samples=1)


@pytest.mark.parametrize("level", RUNNABLE)
def test_a_convolution_with_weights_known_only_at_run_is_refused(level):
    with pytest.raises(ScheduleError, match="no template computes"):
        verify(conv((1, 5, 5, 4), 4, (3, 3), constant=False), level)


@given(
    size=st.integers(1, 30),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    pads=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    width=st.integers(1, 9),
)
def test_tiles_cover_every_output_with_the_taps_it_has(size, kernel, stride, dilation, pads, width):
    out = (size + sum(pads) - (kernel - 1) * dilation - 1) // stride + 1
    if out < 1:
        return
    axis = Axis(size, out, kernel, stride, pads[0], dilation)
    seen = []
    widths = even_widths(out, width)
    assert max(widths) - min(widths) <= 1
    assert len(widths) == -(-out // width)
    for tile in column_tiles(axis, widths):
        for number in range(tile.count):
            first = tile.first + number * tile.width
            seen += range(first, first + tile.width)
            for tap, outputs in enumerate(tile.taps):
                reads = [(first + p) * stride - pads[0] + tap * dilation for p in range(tile.width)]
                assert list(outputs) == [p for p, at in enumerate(reads) if 0 <= at < size]
            assert tile.inside == all(len(outputs) == tile.width for outputs in tile.taps)
    assert seen == list(range(out))


@given(
    kernel=st.integers(1, 9),
    stride=st.integers(1, 5),
    dilation=st.integers(1, 6),
    rows=st.integers(1, 12),
)
def test_rows_below_each_other_load_what_they_see_once(
    kernel: int, stride: int, dilation: int, rows: int
) -> None:
    axis = Axis(1000, 100, kernel, stride, 0, dilation)
    seen = {row * stride + tap * dilation for row in range(rows) for tap in range(kernel)}
    assert Downwards(axis).loads(rows) == len(seen)
    taps = [tap for some in Downwards(axis).turns.values() for tap, _ in some]
    assert sorted(taps) == list(range(kernel))


PLAIN_PLANES = [w for w in CONV_PLANES.values() if w.nodes[0].attr("groups") == 1]


@pytest.mark.parametrize("name", ["x86-64-v2", "x86-64-v3", "haswell", "x86-64-v4", "znver4"])
def test_no_tile_of_planes_waits_for_loads_where_another_does_not(name: str) -> None:
    """A weight for all lanes is a load as a vector is, of which two start in a cycle."""

    def cycles(channels: int, vectors: int, target: Target) -> tuple[float, float]:
        costs = target.costs
        return channels * vectors / costs.multiply_adds, vectors / costs.loads + channels / 2

    target = parse(name, 1)
    for workload in PLAIN_PLANES:
        form = ConvPlanes.match(workload, target)
        assert form is not None
        chosen = form.default()
        if form.per_group < 4 or form.lines(chosen).vectors < 2:
            continue
        added, loaded = cycles(min(chosen.channels, form.per_group), chosen.vectors, target)
        assert loaded <= max(added, target.costs.latency), (workload, chosen)
