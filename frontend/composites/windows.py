"""Convolutions and pooling, channels first as in most models, of the graph's channels-last ones.

Each gets a transpose before and after it; ``channels_last`` moves those on until they meet
and cancel. One dimension is one row of two. Of three dimensions, a maximum is one of two dimensions
and then one of the third; other operators are left to Relax.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from luthier.schedules import Tensor
from luthier.schedules.ir.workload import Attr
from luthier.schedules.ops.windows import places

from ..graph.emitter import Emitter
from .movement import pad

TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)


@dataclass(frozen=True)
class Window:
    """How a kernel moves over the dimensions after the channels, one number for each of them.

    ``pads`` are those before, then those after.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]

    @property
    def geometry(self) -> dict[str, Any]:
        """Its attributes in the graph, but for the kernel's sizes."""
        return {"strides": self.strides, "pads": self.pads, "dilations": self.dilations}

    @property
    def spans(self) -> tuple[int, ...]:
        """What the dilated kernel reaches."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def as_row(self) -> Window:
        """The same over one row of an image."""
        before, after = self.pads
        return Window(
            (1, *self.kernel), (1, *self.strides), (1, *self.dilations), (0, before, 0, after)
        )

    def places(self, sizes: Sequence[int], *, ceil: bool = False) -> tuple[int, ...]:
        """How many there are along dimensions of these sizes; ``ceil`` counts one that is cut.

        But not one that begins in the padding after the last element, or beyond.
        """
        count, found = len(sizes), []
        for i, size in enumerate(sizes):
            stride, before = self.strides[i], self.pads[i]
            more = before + self.pads[count + i] + (stride - 1 if ceil else 0)
            number = places(size, self.kernel[i], stride, self.dilations[i], more)
            found.append(number - (ceil and (number - 1) * stride >= size + before))
        return tuple(found)


def conv(t: Emitter, x: int, w: int, window: Window, groups: int, op: str = "conv2d") -> int:
    """``x`` [n, c, ...], ``w`` [k, c / groups, ...]."""
    rank = len(window.kernel)
    if rank == 1:
        row = conv(t, _with_row(t, x), _with_row(t, w), window.as_row(), groups, op)
        return _without_row(t, row)
    if rank == 3:
        out = (t.shape(x)[0], t.shape(w)[0], *window.places(t.shape(x)[2:]))
        return _conv3d(t, x, w, window, groups, out)
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
        return _conv3d(t, x, w, window, groups, out, output_padding=tuple(more))
    last = (t.transpose(value, TO_NHWC) for value in (x, w))
    moved = _channels_last(Tensor(out, t.dtype(x)))
    y = t.emit("conv2d_transpose", *last, out=moved, groups=groups, **window.geometry)
    return t.transpose(y, TO_NCHW)


def _conv3d(
    t: Emitter, x: int, w: int, window: Window, groups: int, out: tuple[int, ...], **more: Attr
) -> int:
    """Left to Relax; ``output_padding`` is of a transposed one."""
    transposed = "output_padding" in more
    return t.emit(
        "relax.nn.conv3d_transpose" if transposed else "relax.nn.conv3d",
        x,
        w,
        out=Tensor(out, t.dtype(x)),
        attrs=f"relax.attrs.Conv3D{'Transpose' if transposed else ''}Attrs",
        strides=window.strides,
        padding=window.pads,
        dilation=window.dilations,
        groups=groups,
        data_layout="NCDHW",
        kernel_layout="IODHW" if transposed else "OIDHW",
        out_layout="NCDHW",
        **more,
    )


def max_pool(t: Emitter, x: int, window: Window, *, ceil: bool) -> int:
    """``x`` [n, c, ...]; what is outside does not count."""
    out = (*t.shape(x)[:2], *window.places(t.shape(x)[2:], ceil=ceil))
    if len(window.kernel) == 3:
        return _max_pool3d(t, x, window, out)
    return _pool(t, "max_pool2d", x, window, out)


def avg_pool(t: Emitter, x: int, window: Window, *, ceil: bool, include: bool) -> int:
    """``x`` [n, c, ...]; ``include`` counts padding, but not what a cut window sees beyond it."""
    out = (*t.shape(x)[:2], *window.places(t.shape(x)[2:], ceil=ceil))
    if len(window.kernel) == 3:
        along = [i for i, size in enumerate(window.kernel) if size > 1]
        plain = set(window.strides) == set(window.dilations) == {1}
        if plain and include and len(along) == 1 and out == t.shape(x):  # a mean of neighbours
            axis, before = 2 + along[0], window.pads[along[0]]
            size = window.kernel[along[0]]
            return t.emit("window_mean", x, axis=axis, size=size, before=before)
        return t.emit(
            "relax.nn.avg_pool3d",
            x,
            out=Tensor(out, t.dtype(x)),
            attrs="relax.attrs.Pool3DAttrs",
            pool_size=window.kernel,
            strides=window.strides,
            padding=window.pads,
            dilation=window.dilations,
            ceil_mode=ceil,
            count_include_pad=include,
            layout="NCDHW",
            out_layout="NCDHW",
        )
    return _pool(t, "avg_pool2d", x, window, out, include=include)


def _pool(
    t: Emitter, op: str, x: int, window: Window, out: tuple[int, ...], *, include: bool = False
) -> int:
    shape = out
    if len(window.kernel) == 1:
        x, window, shape = _with_row(t, x), window.as_row(), (*out[:2], 1, out[2])
    x = t.transpose(x, TO_NHWC)
    last = _channels_last(Tensor(shape, t.dtype(x)))
    include = include and any(window.pads)
    if include and _overhangs(t.type(x), last, window):
        top, left, bottom, right = window.pads
        x = pad(t, x, ((0, 0), (top, bottom), (left, right), (0, 0)))
        window, include = replace(window, pads=(0, 0, 0, 0)), False
    more = {"count_include_pad": include} if op == "avg_pool2d" else {}
    y = t.emit(op, x, out=last, kernel=window.kernel, **window.geometry, **more)
    return t.reshape(t.transpose(y, TO_NCHW), out)


def _max_pool3d(t: Emitter, x: int, window: Window, out: tuple[int, ...]) -> int:
    """TVM's own has the lowest finite number for an empty maximum, and loses NaN."""
    k, s, d, p = window.kernel, window.strides, window.dilations, window.pads
    plane = Window(k[1:], s[1:], d[1:], (*p[1:3], *p[4:]))
    column = Window((k[0], 1), (s[0], 1), (d[0], 1), (p[0], 0, p[3], 0))
    x = t.transpose(x, (0, 2, 3, 4, 1))
    n, depth, *sizes, c = t.shape(x)
    _, _, new_depth, *new_sizes = out
    planes = _max_pool2d(t, t.reshape(x, (n * depth, *sizes, c)), plane, new_sizes)
    size = math.prod(new_sizes)
    y = _max_pool2d(t, t.reshape(planes, (n, depth, size, c)), column, (new_depth, size))
    return t.transpose(t.reshape(y, (n, new_depth, *new_sizes, c)), (0, 4, 1, 2, 3))


def _max_pool2d(t: Emitter, x: int, window: Window, sizes: Sequence[int]) -> int:
    """Of ``x`` [n, h, w, c]."""
    n, *_, c = t.shape(x)
    out = Tensor((n, *sizes, c), t.dtype(x))
    return t.emit("max_pool2d", x, out=out, kernel=window.kernel, **window.geometry)


def _overhangs(x: Tensor, out: Tensor, window: Window) -> bool:
    """Whether a window reaches beyond the padding."""
    return any(
        (out.shape[1 + i] - 1) * window.strides[i] + window.spans[i]
        > x.shape[1 + i] + window.pads[i] + window.pads[2 + i]
        for i in (0, 1)
    )


def _with_row(t: Emitter, x: int) -> int:
    n, c, width = t.shape(x)
    return t.reshape(x, (n, c, 1, width))


def _without_row(t: Emitter, x: int) -> int:
    n, c, _, width = t.shape(x)
    return t.reshape(x, (n, c, width))


def _channels_last(out: Tensor) -> Tensor:
    return Tensor(tuple(out.shape[i] for i in TO_NHWC), out.dtype)
