"""How Relax's convolutions and pooling are spelled in the graph.

They are channels-last there, so each gets a transpose before and after it; ``layout`` moves those
through the graph until they meet and cancel. Of those of three dimensions a maximum is one of two
dimensions and then one of the third; others are left to Relax.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from luthier.schedules import Tensor

from .relax_fallback import fallback
from .translation import Converter, Translation

TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)


def _layouts(t: Translation, attrs: Any, wanted: Sequence[tuple[str, str]]) -> None:
    for field, layout in wanted:
        if str(getattr(attrs, field)) != layout:
            raise t.unsupported(f"the layout {getattr(attrs, field)}")


def _convolution(t: Translation, x: int, w: int, attrs: Any, rank: int) -> dict[str, Any]:
    padding = tuple(int(p) for p in attrs.padding)
    strides = tuple(int(s) for s in attrs.strides)
    dilations = tuple(int(d) for d in attrs.dilation)
    if rank == 1:  # one row
        padding, strides, dilations = (0, padding[0], 0, padding[1]), (1, *strides), (1, *dilations)
    return {
        "strides": strides,
        "pads": padding,
        "dilations": dilations,
        "groups": int(attrs.groups),
    }


def _conv2d(t: Translation, call: Any) -> int:
    _layouts(t, call.attrs, [("data_layout", "NCHW"), ("kernel_layout", "OIHW")])
    x, w = t.value(call.args[0]), t.value(call.args[1])
    attrs = _convolution(t, x, w, call.attrs, 2)
    y = t.emit("conv2d", t.transpose(x, TO_NHWC), t.transpose(w, TO_NHWC), **attrs)
    return t.transpose(y, TO_NCHW)


def _conv1d(t: Translation, call: Any) -> int:
    _layouts(t, call.attrs, [("data_layout", "NCW"), ("kernel_layout", "OIW")])
    x, w = (_with_row(t, t.value(a)) for a in call.args)
    attrs = _convolution(t, x, w, call.attrs, 1)
    y = t.emit("conv2d", t.transpose(x, TO_NHWC), t.transpose(w, TO_NHWC), **attrs)
    return t.reshape(t.transpose(y, TO_NCHW), t.out(call).shape)


def _with_row(t: Translation, x: int) -> int:
    n, c, width = t.type(x).shape
    return t.reshape(x, (n, c, 1, width))


def _conv2d_transpose(t: Translation, call: Any) -> int:
    _layouts(t, call.attrs, [("data_layout", "NCHW"), ("kernel_layout", "IOHW")])
    x, w = t.value(call.args[0]), t.value(call.args[1])
    return _transposed(t, x, w, _convolution(t, x, w, call.attrs, 2), t.out(call))


def _conv1d_transpose(t: Translation, call: Any) -> int:
    _layouts(t, call.attrs, [("data_layout", "NCW"), ("kernel_layout", "IOW")])
    x, w = (_with_row(t, t.value(a)) for a in call.args)
    out = t.out(call)
    n, c, width = out.shape
    attrs = _convolution(t, x, w, call.attrs, 1)
    y = _transposed(t, x, w, attrs, Tensor((n, c, 1, width), out.dtype))
    return t.reshape(y, out.shape)


def _transposed(t: Translation, x: int, w: int, attrs: dict[str, Any], out: Tensor) -> int:
    args = t.transpose(x, TO_NHWC), t.transpose(w, TO_NHWC)
    y = t.emit("conv2d_transpose", *args, out=_channels_last(out), **attrs)
    return t.transpose(y, TO_NCHW)


def _channels_last(out: Tensor) -> Tensor:
    return Tensor(tuple(out.shape[i] for i in TO_NHWC), out.dtype)


def _pool(op: str, rank: int) -> Converter:
    def convert(t: Translation, call: Any) -> int:
        attrs, x, out = call.attrs, t.value(call.args[0]), t.out(call)
        _layouts(t, attrs, [("layout", "NCHW" if rank == 2 else "NCW")])
        fields = [tuple(int(v) for v in f) for f in (attrs.pool_size, attrs.strides)]
        kernel, strides = fields
        dilations = tuple(int(d) for d in attrs.dilation)
        pads = tuple(int(p) for p in attrs.padding)
        shape = out.shape
        if rank == 1:
            x, shape = _with_row(t, x), (*shape[:2], 1, shape[2])
            kernel, strides, dilations = (1, *kernel), (1, *strides), (1, *dilations)
            pads = (0, pads[0], 0, pads[1])
        x = t.transpose(x, TO_NHWC)
        out_type = _channels_last(Tensor(shape, out.dtype))
        geometry = {"kernel": kernel, "strides": strides, "dilations": dilations}
        if op == "avg_pool2d":
            y = _average(t, x, out_type, pads, geometry, bool(attrs.count_include_pad))
        else:
            y = t.emit(op, x, out=out_type, pads=pads, **geometry)
        return t.reshape(t.transpose(y, TO_NCHW), out.shape)

    return convert


def _max_pool3d(t: Translation, call: Any) -> int:
    """TVM's own has the lowest finite number for an empty maximum, and loses NaN."""
    attrs, out = call.attrs, t.out(call)
    _layouts(t, attrs, [("layout", "NCDHW")])
    kernel, strides, dilations = (
        tuple(int(v) for v in f) for f in (attrs.pool_size, attrs.strides, attrs.dilation)
    )
    pads = tuple(int(p) for p in attrs.padding)
    x = t.transpose(t.value(call.args[0]), (0, 2, 3, 4, 1))
    n, depth, *plane, c = t.type(x).shape
    _, _, new_depth, *new_plane = out.shape
    planes = t.emit(
        "max_pool2d",
        t.reshape(x, (n * depth, *plane, c)),
        out=Tensor((n * depth, *new_plane, c), out.dtype),
        kernel=kernel[1:],
        strides=strides[1:],
        pads=(*pads[1:3], *pads[4:]),
        dilations=dilations[1:],
    )
    places = math.prod(new_plane)
    y = t.emit(
        "max_pool2d",
        t.reshape(planes, (n, depth, places, c)),
        out=Tensor((n, new_depth, places, c), out.dtype),
        kernel=(kernel[0], 1),
        strides=(strides[0], 1),
        pads=(pads[0], 0, pads[3], 0),
        dilations=(dilations[0], 1),
    )
    return t.transpose(t.reshape(y, (n, new_depth, *new_plane, c)), (0, 4, 1, 2, 3))


def _average(
    t: Translation,
    x: int,
    out: Tensor,
    pads: tuple[int, ...],
    geometry: dict[str, Any],
    include: bool,
) -> int:
    """Padding counts, but not what a rounded-up last window sees beyond it."""
    include = include and any(pads)
    if include and _overhangs(t.type(x), out, pads, geometry):
        n, h, w, c = t.type(x).shape
        top, left, bottom, right = pads
        padded = Tensor((n, h + top + bottom, w + left + right, c), out.dtype)
        before = (0, top, left, 0)
        x = t.emit("pad", x, out=padded, before=before, value=0.0, mode="constant")
        pads, include = (0, 0, 0, 0), False
    return t.emit("avg_pool2d", x, out=out, pads=pads, count_include_pad=include, **geometry)


def _overhangs(x: Tensor, out: Tensor, pads: tuple[int, ...], geometry: dict[str, Any]) -> bool:
    for i in (0, 1):
        span = geometry["dilations"][i] * (geometry["kernel"][i] - 1) + 1
        reach = (out.shape[1 + i] - 1) * geometry["strides"][i] + span
        if reach > x.shape[1 + i] + pads[i] + pads[2 + i]:
            return True
    return False


def _avg_pool3d(t: Translation, call: Any) -> int:
    """A mean of neighbours along one dimension (as in LRN) stays in the vocabulary."""
    attrs, x, out = call.attrs, t.value(call.args[0]), t.out(call)
    kernel, pads = [int(k) for k in attrs.pool_size], [int(p) for p in attrs.padding]
    axes = [i for i, k in enumerate(kernel) if k > 1]
    plain = all(int(s) == 1 for s in (*attrs.strides, *attrs.dilation))
    if not (plain and attrs.count_include_pad and len(axes) == 1 and out == t.type(x)):
        return fallback(t, call)
    shape = out.shape
    axis = 2 + axes[0]
    if shape[1] == 1:  # as LRN writes it; without that dimension it fuses with what is around it
        x, axis = t.reshape(x, (shape[0], *shape[2:])), axis - 1
    mean = t.emit("window_mean", x, axis=axis, size=kernel[axes[0]], before=pads[axes[0]])
    return t.reshape(mean, shape)


TABLE: dict[str, Converter] = {
    "relax.nn.conv1d": _conv1d,
    "relax.nn.conv2d": _conv2d,
    "relax.nn.conv1d_transpose": _conv1d_transpose,
    "relax.nn.conv2d_transpose": _conv2d_transpose,
    "relax.nn.max_pool1d": _pool("max_pool2d", 1),
    "relax.nn.max_pool2d": _pool("max_pool2d", 2),
    "relax.nn.max_pool3d": _max_pool3d,
    "relax.nn.avg_pool1d": _pool("avg_pool2d", 1),
    "relax.nn.avg_pool2d": _pool("avg_pool2d", 2),
    "relax.nn.avg_pool3d": _avg_pool3d,
}
