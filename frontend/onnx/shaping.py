"""ONNX operators that change or return shapes, and those that make constants."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import numpy_helper

from luthier.schedules import ModelError

from . import training
from .node import OnnxNode, Operator, Values

_FLOATS, _INTS = ("value_float", "value_floats"), ("value_int", "value_ints")
_VALUES = dict.fromkeys(_FLOATS, "float32") | dict.fromkeys(_INTS, "int64")


def _constant(node: OnnxNode) -> int:
    if "value" in node.attrs:
        return node.t.constant(numpy_helper.to_array(node.attrs["value"]))
    for name, dtype in _VALUES.items():
        if name in node.attrs:
            return node.t.constant(np.asarray(node.attrs[name], dtype))
    raise node.unsupported(f"a constant by {', '.join(node.attrs) or 'nothing'}")


def _constant_of_shape(node: OnnxNode) -> int:
    """One number, broadcast: it takes no memory before something is computed of it."""
    sizes, value = node.constant(0, "a shape"), node.attr("value", None)
    shape = [] if sizes is None else [int(d) for d in sizes.reshape(-1)]
    number = np.float32(0) if value is None else numpy_helper.to_array(value).reshape(-1)[0]
    return node.t.broadcast(node.t.constant(np.asarray(number)), shape)


def _range(node: OnnxNode) -> int:
    start, limit, step = (_single(node, index) for index in range(3))
    if node.element.is_float:
        count = math.ceil(np.float64(limit - start) / np.float64(step))
        found = np.arange(max(count, 0), dtype=node.dtype) * step + start
    else:
        found = np.arange(start, limit, step, dtype=node.dtype)
    return node.t.constant(found)


def _single(node: OnnxNode, index: int) -> Any:
    known = node.constant(index, "a bound")
    if known is None or known.size != 1:
        raise node.unsupported("a bound that is not a single number")
    return known.reshape(())[()]


def _shape(node: OnnxNode) -> int:
    sizes = np.asarray(node.shape, np.int64)
    return node.t.constant(sizes[node.attr("start", 0) : node.attr("end", None)])


def _reshape(node: OnnxNode) -> int:
    """0 keeps a size, unless ``allowzero``; -1 is what is left."""
    given = node.constant(1, "a shape")
    wanted = [] if given is None else [int(d) for d in given.reshape(-1)]
    shape = list(wanted)
    if not node.attr("allowzero", 0):
        old = dict(enumerate(node.shape))
        shape = [size or old.get(i, 0) for i, size in enumerate(wanted)]
    count = math.prod(node.shape)
    if shape.count(-1) == 1:
        rest = math.prod(d for d in shape if d != -1)
        if rest > 0 and count % rest == 0:
            shape[shape.index(-1)] = count // rest
    if min(shape, default=1) < 1 or math.prod(shape) != count:
        raise ModelError(f"{node.label}: {list(node.shape)} does not reshape to {wanted}")
    return node.t.reshape(node.x, shape)


def _squeeze(node: OnnxNode) -> int:
    """Axes are an attribute until operator set 11, an input since, sometimes of rank 0."""
    given = node.setting("axes", 1)
    ones = [a for a, size in enumerate(node.shape) if size == 1]
    axes = node.axes(given.reshape(-1)) if given is not None and given.size else ones
    if not set(axes).issubset(ones):
        raise ModelError(f"{node.label}: of {list(node.shape)} the axes {axes} are not all 1")
    return node.t.reshape(node.x, [d for a, d in enumerate(node.shape) if a not in axes])


def _unsqueeze(node: OnnxNode) -> int:
    given = node.setting("axes", 1)
    if given is None:
        raise node.unsupported("axes that are left out")
    rank = node.rank + given.size
    axes = {node.axis(a, rank) for a in given.reshape(-1)}
    if len(axes) < given.size:
        raise ModelError(f"{node.label}: its axes {given.reshape(-1).tolist()} hold one twice")
    sizes = iter(node.shape)
    return node.t.reshape(node.x, [1 if a in axes else next(sizes) for a in range(rank)])


def _dropout(node: OnnxNode) -> Values:
    """Nothing is dropped but in training mode; the mask keeps all, and is 0 before operator set 12,
    which says what it means, as ONNX Runtime has it."""
    mode = node.constant(2, "a training mode")
    if mode is not None and mode.item():
        given = node.input(1)
        known = np.float32(0.5) if given is None else node.t.known(given)
        if given is not None and known is None:
            return training.dropped_by(node, given)
        ratio = 0.5 if known is None else float(known.item())
        if ratio:
            return training.dropped(node, ratio)
    if node.outputs < 2:
        return node.x
    dtype = "bool" if node.opset >= 10 else node.dtype
    return node.x, node.t.broadcast(node.t.number(int(node.opset >= 12), dtype), node.shape)


OPERATORS: dict[str, Operator] = {
    "Constant": Operator(_constant, any_type=True),
    "ConstantOfShape": Operator(_constant_of_shape, build_time=(0,), any_type=True),
    "Dropout": Operator(_dropout, build_time=(2,), any_type=True),
    "Flatten": Operator(lambda node: node.matrix(int(node.attr("axis", 1))), any_type=True),
    "Identity": Operator(lambda node: node.x, any_type=True),
    "Range": Operator(_range, build_time=(0, 1, 2)),
    "Reshape": Operator(_reshape, build_time=(1,), any_type=True),
    "Shape": Operator(_shape, any_type=True),
    "Size": Operator(lambda node: node.t.number(math.prod(node.shape), "int64"), any_type=True),
    "Squeeze": Operator(_squeeze, build_time=(1,), any_type=True),
    "Unsqueeze": Operator(_unsqueeze, build_time=(1,), any_type=True),
}
