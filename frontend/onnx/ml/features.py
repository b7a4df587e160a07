"""ONNX-ML's operators that prepare features."""

from __future__ import annotations

import math

from luthier.schedules import ModelError

from ...composites import movement
from ...graph import Array
from ..node import OnnxNode, Operator
from . import attributes


def _scaler(node: OnnxNode) -> int:
    """(x - offset) * scale, in the input's type where that is float64."""
    t, dtype = node.t, node.wide
    x = t.cast(node.x, dtype)
    offset = _each(node, "offset", attributes.floats(node, "offset", dtype))
    scale = _each(node, "scale", attributes.floats(node, "scale", dtype))
    centred = t.emit("subtract", x, t.constant(offset))
    return t.cast(t.emit("multiply", centred, t.constant(scale)), "float32")


def _each(node: OnnxNode, name: str, given: Array) -> Array:
    """A number for all columns, or one for each."""
    columns = node.shape[-1] if node.rank else 1
    if given.size not in (1, columns):
        raise ModelError(f"{node.label}: '{name}' has {given.size} numbers for {columns} columns")
    return given.reshape(()) if given.size == 1 else given


def _normalizer(node: OnnxNode) -> int:
    """Divided by a norm of the row, where that is not 0."""
    t = node.t
    kind = attributes.chosen(node, "norm", "MAX", ("MAX", "L1", "L2"))
    if node.rank not in (1, 2):
        raise ModelError(f"{node.label}: its input has {node.rank} dimensions, not 2")
    x = t.cast(node.x, "float32")
    axes = (node.rank - 1,)
    if kind == "MAX":
        norm = t.emit("max", x, axes=axes, keepdims=True)
    elif kind == "L1":
        norm = t.emit("sum", t.emit("abs", x), axes=axes, keepdims=True)
    else:
        norm = t.emit("sum", t.emit("multiply", x, x), axes=axes, keepdims=True)
        norm = t.emit("sqrt", norm)
    zero, one = t.number(0, "float32"), t.number(1, "float32")
    divisor = t.emit("where", t.emit("equal", norm, zero), one, norm)
    return t.emit("divide", x, divisor)


def _imputer(node: OnnxNode) -> int:
    """A value that stands for a missing one is replaced."""
    t, whole = node.t, node.element.is_whole
    kind = "int64" if whole else "float"
    given = (
        attributes.ints(node, "imputed_value_int64s")
        if whole
        else attributes.floats(node, "imputed_value_floats", node.dtype)
    )
    if not given.size:
        raise ModelError(f"{node.label}: it has no values of {node.dtype} in place of missing ones")
    other = t.constant(_each(node, f"imputed_value_{kind}s", given).astype(node.dtype))
    missing = node.attr(f"replaced_value_{kind}", 0)
    if not whole and math.isnan(missing):
        found = t.emit("isnan", node.x)
    else:
        found = t.emit("equal", node.x, node.number(missing))
    return t.emit("where", found, t.broadcast(other, node.shape), node.x)


def _binarizer(node: OnnxNode) -> int:
    t = node.t
    above = t.emit("greater", node.x, node.number(node.attr("threshold", 0.0)))
    return t.cast(above, node.dtype)


def _feature_vectorizer(node: OnnxNode) -> int:
    """The inputs' columns beside one another, filled with zeros or cut to what is said."""
    t, sizes = node.t, attributes.ints(node, "inputdimensions").tolist()
    if len(sizes) != len(node.inputs) or min(sizes, default=0) < 1:
        raise ModelError(f"{node.label}: 'inputdimensions' has {len(sizes)} sizes")
    parts = []
    for x, size in zip(node.every, sizes, strict=True):
        shape = t.shape(x)
        flat = t.reshape(x, (1, *shape) if len(shape) == 1 else (shape[0], math.prod(shape[1:])))
        columns = t.shape(flat)[1]
        fitted = movement.pad(t, flat, [(0, 0), (0, size - columns)])
        parts.append(t.cast(fitted, "float32"))
    return movement.concat(t, parts, 1)


def _array_feature_extractor(node: OnnxNode) -> int:
    """Columns, of which a row has one at least."""
    t, indices = node.t, node.given(1)
    if not node.rank:
        raise ModelError(f"{node.label}: its input has no dimensions")
    count = t.type(indices).size
    flat = t.reshape(indices, (count,))
    known = t.known(flat)
    size = node.shape[-1]
    if known is not None and not 0 <= known.min() <= known.max() < size:
        raise ModelError(f"{node.label}: it asks for a column outside of {size}")
    x = t.reshape(node.x, (1, size)) if node.rank == 1 else node.x
    return movement.take(t, x, flat, len(t.shape(x)) - 1)


def _one_hot_encoder(node: OnnxNode) -> int:
    """One where the input is a category; of what is none, all are zero."""
    t = node.t
    if node.attrs.get("cats_strings"):
        raise node.unsupported("categories that are texts")
    categories = attributes.ints(node, "cats_int64s")
    if not categories.size:
        raise ModelError(f"{node.label}: it has no categories")
    count = categories.size
    node.check_table(count)
    x = t.reshape(t.cast(node.x, "int64"), (*node.shape, 1))
    same = t.emit("equal", x, t.constant(categories))
    return t.cast(same, "float32")


OPERATORS: dict[str, Operator] = {
    "ArrayFeatureExtractor": Operator(_array_feature_extractor),
    "Binarizer": Operator(_binarizer),
    "FeatureVectorizer": Operator(_feature_vectorizer),
    "Imputer": Operator(_imputer, of_floats=False),
    "Normalizer": Operator(_normalizer),
    "OneHotEncoder": Operator(_one_hot_encoder),
    "Scaler": Operator(_scaler),
}
