"""How Relax's data movement, convolutions and pooling are spelled in the graph."""

from __future__ import annotations

from functools import partial
from typing import Any

from luthier.schedules.tvm_late import relax

from ..composites import grids, indexing, movement, windows
from ..composites.window import Window
from .translation import Converter, Translation

# By rank: of data, of a convolution's weights and of a transposed one's.
_LAYOUTS = {3: ("NCW", "OIW", "IOW"), 4: ("NCHW", "OIHW", "IOHW"), 5: ("NCDHW", "OIDHW", "IODHW")}
_RANKS = (1, 2, 3)
_MODES = {"constant": "constant", "reflect": "reflect", "edge": "edge", "replicate": "edge"}


def _reshape(t: Translation, call: Any) -> int:
    return t.reshape(t.value(call.args[0]), t.out(call).shape)


def _permute_dims(t: Translation, call: Any) -> int:
    x = t.value(call.args[0])
    rank = len(t.shape(x))
    axes = call.attrs.axes
    order = [int(a) % rank for a in axes] if axes is not None else range(rank)[::-1]
    return t.transpose(x, list(order))


def _concat(t: Translation, call: Any) -> int:
    parts = t.fields(call.args[0])
    return movement.concat(t, parts, int(call.attrs.axis or 0) % len(t.shape(parts[0])))


def _stack(t: Translation, call: Any) -> int:
    parts, out = t.fields(call.args[0]), t.out(call)
    axis = int(call.attrs.axis or 0) % len(out.shape)
    shape = [1 if i == axis else d for i, d in enumerate(out.shape)]
    return movement.concat(t, [t.reshape(p, shape) for p in parts], axis)


def _split(t: Translation, call: Any) -> int | tuple[int, ...]:
    x = t.value(call.args[0])
    if isinstance(call.ty, relax.TensorType):  # into one part
        return x
    axis = int(call.attrs.axis) % len(t.shape(x))
    return movement.split(t, x, [int(field.shape[axis]) for field in call.ty.fields], axis)


def _strided_slice(t: Translation, call: Any) -> int:
    x = t.value(call.args[0])
    axes, starts, ends = (t.ints(arg) for arg in call.args[1:4])
    steps = t.ints(call.args[4]) if len(call.args) > 4 else (1,) * len(axes)
    bounds = [
        slice(*each).indices(t.shape(x)[axis])
        for axis, *each in zip(axes, starts, ends, steps, strict=True)
    ]
    return movement.strided_slice(t, x, axes, bounds)


def _take(t: Translation, call: Any) -> int:
    x, indices = t.args(call)
    if call.attrs.axis is None:
        return movement.take(t, t.reshape(x, (t.type(x).size,)), indices, 0)
    return movement.take(t, x, indices, int(call.attrs.axis) % len(t.shape(x)))


def _pad(t: Translation, call: Any) -> int:
    mode = str(call.attrs.pad_mode)
    if mode not in _MODES:
        raise t.unsupported(f"the padding mode '{mode}'")
    flat = [int(w) for w in call.attrs.pad_width]
    widths = list(zip(flat[::2], flat[1::2], strict=True))
    return movement.pad(t, t.value(call.args[0]), widths, _MODES[mode], call.attrs.pad_value)


def _tile(t: Translation, call: Any) -> int:
    x, out = t.value(call.args[0]), t.out(call)
    x = t.reshape(x, (1,) * (len(out.shape) - len(t.shape(x))) + t.shape(x))
    repeats = [o // size for o, size in zip(out.shape, t.shape(x), strict=True)]
    return movement.tile(t, x, repeats)


def _flip(t: Translation, call: Any) -> int:
    x = t.value(call.args[0])
    return movement.flip(t, x, int(call.attrs.axis) % len(t.shape(x)))


def _gather_elements(t: Translation, call: Any) -> int:
    x, indices = t.args(call)
    return indexing.gather_elements(t, x, indices, int(call.attrs.axis) % len(t.shape(x)))


def _gather_nd(t: Translation, call: Any) -> int:
    x, indices = t.args(call)
    return indexing.gather_nd(t, x, indices, int(call.attrs.batch_dims))


def _scatter_nd(t: Translation, call: Any) -> int:
    x, indices, updates = t.args(call)
    return indexing.scatter_nd(t, x, indices, updates, str(call.attrs.reduction))


def _grid_sample(t: Translation, call: Any) -> int:
    x, grid = t.args(call)
    rank = len(t.shape(x))
    _check(t, call.attrs, layout=_LAYOUTS[rank][0])
    last = t.transpose(grid, (0, *range(2, rank), 1))
    method, padding = str(call.attrs.method), str(call.attrs.padding_mode)
    corners = bool(call.attrs.align_corners)
    return grids.grid_sample(t, x, last, method, padding, align_corners=corners)


def _check(t: Translation, attrs: Any, **wanted: str) -> None:
    for field, layout in wanted.items():
        if str(getattr(attrs, field)) != layout:
            raise t.unsupported(f"the layout {getattr(attrs, field)}")


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(int(v) for v in values)


def _window(attrs: Any, kernel: Any) -> Window:
    strides, dilations, pads = map(_ints, (attrs.strides, attrs.dilation, attrs.padding))
    return Window(_ints(kernel), strides, dilations, pads)


def _conv(t: Translation, call: Any, *, transposed: bool) -> int:
    (x, w), attrs = t.args(call), call.attrs
    data, kernel, kernel_transposed = _LAYOUTS[len(t.shape(x))]
    _check(t, attrs, data_layout=data, kernel_layout=kernel_transposed if transposed else kernel)
    window, groups = _window(attrs, t.shape(w)[2:]), int(attrs.groups)
    if transposed:
        return windows.conv_transpose(t, x, w, window, groups, _ints(attrs.output_padding))
    return windows.conv(t, x, w, window, groups)


def _pool(t: Translation, call: Any, *, average: bool) -> int:
    x, attrs = t.value(call.args[0]), call.attrs
    _check(t, attrs, layout=_LAYOUTS[len(t.shape(x))][0])
    window, ceil = _window(attrs, attrs.pool_size), bool(attrs.ceil_mode)
    if average:
        return windows.avg_pool(t, x, window, ceil=ceil, include=bool(attrs.count_include_pad))
    return windows.max_pool(t, x, window, ceil=ceil)


TABLE: dict[str, Converter] = {
    **{f"relax.nn.conv{rank}d": partial(_conv, transposed=False) for rank in _RANKS},
    **{f"relax.nn.conv{rank}d_transpose": partial(_conv, transposed=True) for rank in _RANKS},
    **{f"relax.nn.avg_pool{rank}d": partial(_pool, average=True) for rank in _RANKS},
    **{f"relax.nn.max_pool{rank}d": partial(_pool, average=False) for rank in _RANKS},
    "relax.broadcast_to": lambda t, call: t.broadcast(t.value(call.args[0]), t.out(call).shape),
    "relax.concat": _concat,
    "relax.expand_dims": _reshape,
    "relax.flip": _flip,
    "relax.gather_elements": _gather_elements,
    "relax.gather_nd": _gather_nd,
    "relax.image.grid_sample": _grid_sample,
    "relax.nn.pad": _pad,
    "relax.permute_dims": _permute_dims,
    "relax.reshape": _reshape,
    "relax.scatter_nd": _scatter_nd,
    "relax.shape_to_tensor": lambda t, call: t.value(t.resolve(call.args[0])),
    "relax.split": _split,
    "relax.squeeze": _reshape,
    "relax.stack": _stack,
    "relax.strided_slice": _strided_slice,
    "relax.take": _take,
    "relax.tile": _tile,
}
