"""How Relax's operators that only move elements are spelled in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from luthier.schedules.tvm_late import relax

from .graph import literal
from .translation import Converter, Translation


def _reshape(t: Translation, call: Any) -> int:
    return t.reshape(t.value(call.args[0]), t.out(call).shape)


def _permute_dims(t: Translation, call: Any) -> int:
    x = t.value(call.args[0])
    rank = len(t.type(x).shape)
    axes = call.attrs.axes
    order = [int(a) % rank for a in axes] if axes is not None else range(rank)[::-1]
    return t.transpose(x, list(order))


def _broadcast_to(t: Translation, call: Any) -> int:
    return t.broadcast(t.value(call.args[0]), t.out(call).shape)


def _concat(t: Translation, call: Any) -> int:
    parts = t.values(call.args[0])
    if len(parts) == 1:
        return parts[0]
    return t.emit("concat", *parts, axis=int(call.attrs.axis or 0) % len(t.type(parts[0]).shape))


def _stack(t: Translation, call: Any) -> int:
    parts, out = t.values(call.args[0]), t.out(call)
    axis = int(call.attrs.axis or 0) % len(out.shape)
    shape = [1 if i == axis else d for i, d in enumerate(out.shape)]
    raised = [t.reshape(p, shape) for p in parts]
    return t.emit("concat", *raised, axis=axis) if len(raised) > 1 else raised[0]


def _split(t: Translation, call: Any) -> int | tuple[int, ...]:
    x = t.value(call.args[0])
    if isinstance(call.ty, relax.TensorType):  # into one part
        return x
    shape = t.type(x).shape
    axis = int(call.attrs.axis) % len(shape)
    parts, begin = [], 0
    for field in call.ty.fields:
        size = int(field.shape[axis])
        start = [begin if i == axis else 0 for i in range(len(shape))]
        part = [size if i == axis else d for i, d in enumerate(shape)]
        parts.append(t.slice(x, start, part, [1] * len(shape)))
        begin += size
    return tuple(parts)


def _strided_slice(t: Translation, call: Any) -> int:
    x, out = t.value(call.args[0]), t.out(call)
    shape = t.type(x).shape
    begin, steps = [0] * len(shape), [1] * len(shape)
    axes = t.ints(call.args[1])
    starts = t.ints(call.args[2])
    strides = t.ints(call.args[4]) if len(call.args) > 4 else (1,) * len(axes)
    for axis, start, step in zip(axes, starts, strides, strict=True):
        size = shape[axis]
        first = start + size if start < 0 else start
        begin[axis] = min(max(first, 0), size - 1 if step < 0 else size)
        steps[axis] = step
    return t.slice(x, begin, out.shape, steps)


def _take(t: Translation, call: Any) -> int:
    x, indices, out = t.value(call.args[0]), t.value(call.args[1]), t.out(call)
    shape = t.type(x).shape
    axis = int(call.attrs.axis) % len(shape) if call.attrs.axis is not None else 0
    if call.attrs.axis is None:
        x = t.reshape(x, (t.type(x).size,))
        shape = t.type(x).shape
    known = t.known(indices)
    if known is not None and known.size == 1:
        index = int(known.item()) % shape[axis]
        begin = [index if i == axis else 0 for i in range(len(shape))]
        part = [1 if i == axis else d for i, d in enumerate(shape)]
        return t.reshape(t.slice(x, begin, part, [1] * len(shape)), out.shape)
    if known is not None:
        from_start = np.where(known < 0, known + shape[axis], known).astype(known.dtype)
        indices = t.builder.constant(from_start)
    return t.emit("take", x, indices, axis=axis)


def _pad(t: Translation, call: Any) -> int:
    x, out = t.value(call.args[0]), t.out(call)
    mode = str(call.attrs.pad_mode)
    widths = [int(w) for w in call.attrs.pad_width]
    if mode not in ("constant", "reflect", "edge", "replicate"):
        raise t.unsupported(f"the padding mode '{mode}'")
    if any(w < 0 for w in widths):
        sides = zip(t.type(x).shape, widths[::2], widths[1::2], strict=True)
        if any(d + min(a, 0) + min(b, 0) < 1 for d, a, b in sides):  # nothing of it is left
            if mode != "constant":
                raise t.unsupported("padding of nothing by its edge")
            filled = t.builder.constant(np.asarray(call.attrs.pad_value, out.dtype))
            return t.broadcast(filled, out.shape)
        x = _crop(t, x, widths)
        widths = [max(w, 0) for w in widths]
    if not any(widths):
        return x
    value = literal(call.attrs.pad_value, out.dtype) if mode == "constant" else 0
    mode = "edge" if mode == "replicate" else mode
    return t.emit("pad", x, out=out, before=tuple(widths[::2]), value=value, mode=mode)


def _crop(t: Translation, x: int, widths: list[int]) -> int:
    shape = t.type(x).shape
    begin = [max(-w, 0) for w in widths[::2]]
    end = [max(-w, 0) for w in widths[1::2]]
    part = [d - b - e for d, b, e in zip(shape, begin, end, strict=True)]
    return t.slice(x, begin, part, [1] * len(shape))


def _tile(t: Translation, call: Any) -> int:
    x, out = t.value(call.args[0]), t.out(call)
    shape = (1,) * (len(out.shape) - len(t.type(x).shape)) + t.type(x).shape
    split = [d for size in shape for d in (1, size)]
    spread = [d for size, o in zip(shape, out.shape, strict=True) for d in (o // size, size)]
    return t.reshape(t.broadcast(t.reshape(x, split), spread), out.shape)


def _flip(t: Translation, call: Any) -> int:
    x = t.value(call.args[0])
    shape = t.type(x).shape
    axis = int(call.attrs.axis) % len(shape)
    begin = [d - 1 if i == axis else 0 for i, d in enumerate(shape)]
    return t.slice(x, begin, shape, [-1 if i == axis else 1 for i in range(len(shape))])


def _shape_to_tensor(t: Translation, call: Any) -> int:
    return t.value(t.resolve(call.args[0]))


TABLE: dict[str, Converter] = {
    "relax.shape_to_tensor": _shape_to_tensor,
    **dict.fromkeys(["relax.reshape", "relax.squeeze", "relax.expand_dims"], _reshape),
    "relax.permute_dims": _permute_dims,
    "relax.broadcast_to": _broadcast_to,
    "relax.concat": _concat,
    "relax.stack": _stack,
    "relax.split": _split,
    "relax.strided_slice": _strided_slice,
    "relax.take": _take,
    "relax.nn.pad": _pad,
    "relax.tile": _tile,
    "relax.flip": _flip,
}
