"""How a Relax operator outside the vocabulary is written into a node, for TVM to compile it.

The node's name is the operator's; its arguments are the call's tensors in order. Its attributes are
``attrs``, the type of the call's attribute object, the fields of that object, and ``arg<i>`` for
each call argument ``i`` that is no tensor: a number, or a tuple of numbers for a shape or a tuple.
A field that is None is left out; data types are written by name.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import tirx

from luthier.schedules.workload import Attr

from .translation import Translation


def encode(t: Translation, call: Any) -> tuple[str, list[int], dict[str, Attr]]:
    """Name, tensor arguments and attributes of a call; raises where they cannot be written."""
    attrs = _fields(t, call.attrs)
    args = []
    for i, arg in enumerate(call.args):
        if t.is_tensor(arg):
            args.append(t.value(arg))
        else:
            attrs[f"arg{i}"] = _argument(t, arg)
    return call.op.name, args, attrs


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
