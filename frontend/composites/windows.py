"""Convolutions and pooling, channels first as in most models, of the graph's channels-last ones.

Each gets a transpose before and after it; ``channels_last`` moves those on until they meet
and cancel. One dimension is one row of two, as is a column; three are many images (``volumes``,
``pools``).
"""

from __future__ import annotations

from collections.abc import Sequence

from luthier.schedules import Tensor

from ..graph.emitter import Emitter
from . import pools, volumes
from .window import Window

TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)


def conv(t: Emitter, x: int, w: int, window: Window, groups: int, op: str = "conv2d") -> int:
    """``x`` [n, c, ...], ``w`` [k, c / groups, ...]."""
    rank = len(window.kernel)
    if rank == 1:
        row = conv(t, _with_row(t, x), _with_row(t, w), window.as_row(), groups, op)
        return _without_row(t, row)
    if rank == 3:
        return volumes.conv(t, x, w, window, groups, op)
    if _is_column(t, x, window):
        turned = _turned(t, x), _turned(t, w)
        return _turned(t, conv(t, *turned, window.along((1, 0)), groups, op))
    last = (t.transpose(value, TO_NHWC) for value in (x, w))
    y = t.emit(op, *last, groups=groups, **window.geometry)
    return t.transpose(y, TO_NCHW)


def conv_transpose(
    t: Emitter, x: int, w: int, window: Window, groups: int, more: Sequence[int]
) -> int:
    """``x`` [n, c, ...], ``w`` [c, k / groups, ...]; ``more`` elements at the end are computed."""
    rank = len(window.kernel)
    if rank == 1:
        rows = _with_row(t, x), _with_row(t, w)
        return _without_row(t, conv_transpose(t, *rows, window.as_row(), groups, (0, *more)))
    if _is_column(t, x, window) and more[1] == 0:
        turned = _turned(t, x), _turned(t, w)
        back = (more[1], more[0])
        return _turned(t, conv_transpose(t, *turned, window.along((1, 0)), groups, back))
    n, _, *sizes = t.shape(x)
    strides, pads = window.strides, window.pads
    found = (
        (d - 1) * s + span - a - b + m
        for d, s, span, a, b, m in zip(
            sizes, strides, window.spans, pads[:rank], pads[rank:], more, strict=True
        )
    )
    out = (n, t.shape(w)[1] * groups, *found)
    if rank == 3:
        return volumes.conv_transpose(t, x, w, window, groups, out[2:])
    last = (t.transpose(value, TO_NHWC) for value in (x, w))
    moved = _channels_last(Tensor(out, t.dtype(x)))
    y = t.emit("conv2d_transpose", *last, out=moved, groups=groups, **window.geometry)
    return t.transpose(y, TO_NCHW)


def max_pool(t: Emitter, x: int, window: Window, *, ceil: bool) -> int:
    """``x`` [n, c, ...]; what is outside does not count."""
    out = (*t.shape(x)[:2], *window.places(t.shape(x)[2:], ceil=ceil))
    return _pool(t, "max_pool2d", x, window, out)


def avg_pool(t: Emitter, x: int, window: Window, *, ceil: bool, include: bool) -> int:
    """``x`` [n, c, ...]; ``include`` counts padding, but not what a cut window sees beyond it."""
    out = (*t.shape(x)[:2], *window.places(t.shape(x)[2:], ceil=ceil))
    along = [i for i, size in enumerate(window.kernel) if size > 1]
    plain = set(window.strides) == set(window.dilations) == {1}
    if len(window.kernel) == 3 and plain and include and len(along) == 1 and out == t.shape(x):
        axis, before = 2 + along[0], window.pads[along[0]]  # channels that are told by a dimension
        return t.emit("window_mean", x, axis=axis, size=window.kernel[along[0]], before=before)
    return _pool(t, "avg_pool2d", x, window, out, include=include)


def _pool(
    t: Emitter, op: str, x: int, window: Window, out: tuple[int, ...], *, include: bool = False
) -> int:
    if len(window.kernel) == 3:
        y = pools.of_volumes(
            t, op, t.transpose(x, (0, 2, 3, 4, 1)), window, out[2:], include=include
        )
        return t.transpose(y, (0, 4, 1, 2, 3))
    sizes = out[2:]
    if len(window.kernel) == 1:
        x, window, sizes = _with_row(t, x), window.as_row(), (1, *sizes)
    elif _is_column(t, x, window):
        x, window, sizes = _turned(t, x), window.along((1, 0)), sizes[::-1]
    y = pools.of_images(t, op, t.transpose(x, TO_NHWC), window, sizes, include=include)
    return t.reshape(t.transpose(y, TO_NCHW), out)


def _is_column(t: Emitter, x: int, window: Window) -> bool:
    """Whether an image is one element wide, and all that a window sees lies in its column.

    Kernels have neighbours of a row in registers: a column is computed as a row.
    """
    return len(window.kernel) == 2 and t.shape(x)[3] == 1 < window.kernel[0] and window.is_still(1)


def _turned(t: Emitter, x: int) -> int:
    """An image of one row or column as the other."""
    return t.reshape(x, (*t.shape(x)[:2], t.shape(x)[3], t.shape(x)[2]))


def _with_row(t: Emitter, x: int) -> int:
    n, c, width = t.shape(x)
    return t.reshape(x, (n, c, 1, width))


def _without_row(t: Emitter, x: int) -> int:
    n, c, _, width = t.shape(x)
    return t.reshape(x, (n, c, width))


def _channels_last(out: Tensor) -> Tensor:
    return Tensor(tuple(out.shape[i] for i in TO_NHWC), out.dtype)
