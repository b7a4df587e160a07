"""Pools of what lies channels first, on both sides, are pools of planes."""

from __future__ import annotations

import pytest
from graph_building import Sketch, names, same

from luthier.frontend.passes.pool_planes import pool_planes
from luthier.schedules import Tensor

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
GEOMETRY = {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1), "dilations": (1, 1)}


def pooled(g: Sketch, value: int, op: str = "max_pool2d", **more: object) -> int:
    n, high, wide, c = g.values[value].shape
    out = Tensor((n, (high + 1) // 2, (wide + 1) // 2, c))
    return g.emit(op, value, out=out, **GEOMETRY, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("op", ["max_pool2d", "avg_pool2d"])
def test_transposes_on_both_sides_go(op: str) -> None:
    g = Sketch()
    more = {"count_include_pad": False} if op == "avg_pool2d" else {}
    moved = g.emit("transpose", g.x(2, 3, 9, 17), axes=TO_NHWC)
    before = g.graph(g.emit("transpose", pooled(g, moved, op, **more), axes=TO_NCHW))
    after = pool_planes(before)
    same(before, after)
    assert names(after) == ["reshape", op, "reshape"]


def test_one_that_gives_channels_last_stays() -> None:
    g = Sketch()
    before = g.graph(pooled(g, g.emit("transpose", g.x(2, 3, 9, 17), axes=TO_NHWC)))
    assert names(pool_planes(before)) == names(before)


def test_one_that_is_read_twice_stays() -> None:
    g = Sketch()
    y = pooled(g, g.emit("transpose", g.x(2, 3, 9, 17), axes=TO_NHWC))
    before = g.graph(g.emit("transpose", y, axes=TO_NCHW), g.emit("relu", y))
    assert names(pool_planes(before)) == names(before)


def test_short_rows_stay() -> None:
    g = Sketch()
    moved = g.emit("transpose", g.x(2, 3, 9, 9), axes=TO_NHWC)
    before = g.graph(g.emit("transpose", pooled(g, moved), axes=TO_NCHW))
    assert names(pool_planes(before)) == names(before)
