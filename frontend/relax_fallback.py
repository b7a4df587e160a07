"""Relax operators outside the vocabulary, written into a node for TVM to compile.

The node's name is the operator's; its arguments are the call's tensors in order. Its attributes are
``attrs``, the type of the call's attribute object, the fields of that object, and ``arg<i>`` for
each call argument ``i`` that is not a tensor: a number, or a tuple of them for a shape or a tuple.
A field that is None is left out; data types are written by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from luthier.schedules.tvm_late import tirx, tvm
from luthier.schedules.workload import Attr, Tensor

from .graph import Array
from .translation import Converter, Translation


def fallback(t: Translation, call: Any) -> int:
    """Left to Relax as it is; raises where the attributes cannot be written."""
    attrs = _fields(t, call.attrs)
    args = []
    for i, arg in enumerate(call.args):
        if t.is_tensor(arg):
            args.append(t.value(arg))
        else:
            attrs[f"arg{i}"] = _argument(t, arg)
    return t.emit(call.op.name, *args, out=t.out(call), **attrs)


def _argument(t: Translation, arg: Any) -> Attr:
    arg = t.resolve(arg)
    if isinstance(arg, (tirx.IntImm, tirx.FloatImm)):
        return _plain(t, arg)
    return t.ints(arg)


def _fields(t: Translation, attrs: Any) -> dict[str, Attr]:
    if attrs is None:
        return {}
    info = type(attrs).__tvm_ffi_type_info__
    values = {field.name: getattr(attrs, field.name) for field in info.fields}
    plain = {name: _plain(t, value) for name, value in values.items() if value is not None}
    return {"attrs": info.type_key, **plain}


def _plain(t: Translation, value: Any) -> Attr:
    if isinstance(value, (bool, int, float, str)) and not isinstance(value, tvm.DataType):
        return value
    if isinstance(value, (tirx.IntImm, tirx.FloatImm)):
        number: int | float = value.value
        return number
    if isinstance(value, (tuple, list, tvm.ir.Array)):
        return tuple(_plain(t, v) for v in value)
    if "dtype" in type(value).__name__.lower() or isinstance(value, tvm.DataType):
        return str(value)
    raise t.unsupported(f"an attribute of type {type(value).__name__}")


def _gather_elements(t: Translation, call: Any) -> int:
    x, indices = (t.value(a) for a in call.args)
    sizes = t.type(x).shape[int(call.attrs.axis)]
    return _indexed(t, call, x, bounded(t, indices, np.asarray(sizes)))


def _gather_nd(t: Translation, call: Any) -> int:
    x, indices = (t.value(a) for a in call.args)
    first = int(call.attrs.batch_dims)
    sizes = t.type(x).shape[first : first + t.type(indices).shape[-1]]
    return _indexed(t, call, x, bounded(t, indices, np.asarray(sizes)))


def _scatter_nd(t: Translation, call: Any) -> int:
    x, indices, updates = (t.value(a) for a in call.args)
    shape, dtype = t.type(x).shape, t.type(x).dtype
    places = bounded(t, indices, np.asarray(shape[: t.type(indices).shape[-1]]))
    if dtype != "bool" or call.attrs.reduction == "update":
        return _indexed(t, call, x, places, updates)
    # TVM has no arithmetic of truth values: sums and products of 0 and 1 say the same.
    counts = (t.cast(x, "int32"), places, t.cast(updates, "int32"))
    fields = _fields(t, call.attrs)
    found = t.emit(call.op.name, *counts, out=Tensor(shape, "int32"), **fields)
    return t.cast(found, "bool")


def bounded(t: Translation, indices: int, sizes: Array) -> int:
    """Indices kept inside dimensions of these sizes: TVM's loops would leave the tensor."""
    dtype = t.type(indices).dtype
    last = t.builder.constant((sizes - 1).astype(dtype))
    return t.emit("minimum", t.emit("maximum", indices, t.scalar(0, indices)), last)


def _indexed(t: Translation, call: Any, *args: int) -> int:
    return t.emit(call.op.name, *args, out=t.out(call), **_fields(t, call.attrs))


TABLE: dict[str, Converter] = {
    **dict.fromkeys(
        """
            relax.nn.conv3d relax.nn.conv3d_transpose relax.image.grid_sample
        """.split(),
        fallback,
    ),
    "relax.gather_elements": _gather_elements,
    "relax.gather_nd": _gather_nd,
    "relax.scatter_nd": _scatter_nd,
}
