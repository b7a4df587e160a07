"""ONNX-ML's operators that put one value in place of another."""

from __future__ import annotations

import numpy as np

from luthier.schedules import ModelError

from ...composites import movement
from ...graph import Array
from ..node import OnnxNode, Operator
from . import attributes

# By the name in attributes the element type.
_TYPES = {"int64s": "int64", "floats": "float32"}
# What stands for a key that is not there, by type.
_DEFAULTS = {"int64": ("default_int64", -1), "float32": ("default_float", -0.0)}


def _label_encoder(node: OnnxNode) -> int:
    """Of each element the value that its key has, or the default; NaN is a key as any other."""
    keys, values = _list(node, "keys"), _list(node, "values")
    if keys.size != values.size or not keys.size:
        raise ModelError(f"{node.label}: it has {keys.size} keys and {values.size} values")
    if str(keys.dtype) != node.dtype:
        raise ModelError(f"{node.label}: its keys are {keys.dtype}, and its input {node.dtype}")
    t, count = node.t, keys.size
    x = t.reshape(node.x, (*node.shape, 1))
    same = t.emit("equal", x, t.constant(keys))
    if keys.dtype.kind == "f" and np.isnan(keys).any():
        both = t.emit("logical_and", t.emit("isnan", x), t.constant(np.isnan(keys)))
        same = t.emit("logical_or", same, both)
    places = t.constant(np.arange(count, dtype=np.int32))
    found = t.emit("where", same, places, t.number(count, "int32"))
    place = t.emit("min", found, axes=(node.rank,), keepdims=False)
    return movement.take(t, t.constant(np.append(values, _default(node, values))), place, 0)


def _default(node: OnnxNode, values: Array) -> Array:
    if "default_tensor" in node.attrs:
        given = attributes.tensor_of(node, "default_tensor")
        if given.size != 1:
            raise ModelError(f"{node.label}: 'default_tensor' has {given.size} numbers, not one")
        return given.astype(values.dtype)
    name, otherwise = _DEFAULTS.get(str(values.dtype), ("", 0))
    return np.asarray([node.attr(name, otherwise)], values.dtype)


def _list(node: OnnxNode, what: str) -> Array:
    """Keys or values."""
    if node.attrs.get(f"{what}_strings") or node.attrs.get("classes_strings"):
        raise node.unsupported(f"{what} that are texts")
    if f"{what}_tensor" in node.attrs:
        return attributes.tensor_of(node, f"{what}_tensor")
    for name, dtype in _TYPES.items():
        if f"{what}_{name}" in node.attrs:
            return np.asarray(node.attrs[f"{what}_{name}"], dtype)
    raise ModelError(f"{node.label}: it has no {what}")


OPERATORS: dict[str, Operator] = {
    "LabelEncoder": Operator(_label_encoder),
}
