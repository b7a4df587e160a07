"""ONNX's operators that take lengths of vectors: the p-th root of the sum of p-th powers."""

from __future__ import annotations

import math
from dataclasses import replace

from ..composites import math as composite
from ..composites import windows
from .node import OnnxNode, Operator
from .windows import pool_window


def _power(node: OnnxNode, x: int) -> int:
    """Of the absolute value."""
    p = node.attr("p", 2)
    if p < 1:
        raise node.unsupported(f"p={p:g}")
    if p == 2:
        return node.t.emit("multiply", x, x)
    size = node.t.emit("abs", x)
    return size if p == 1 else node.t.emit("power", size, node.number(p))


def _root(node: OnnxNode, total: int) -> int:
    p = node.attr("p", 2)
    if p == 1:
        return total
    return node.t.emit("sqrt", total) if p == 2 else node.t.emit("power", total, node.number(1 / p))


def _normalization(node: OnnxNode) -> int:
    """A vector of length 0 stays as it is."""
    t, axis = node.t, node.axis(node.attr("axis", -1))
    if node.attr("p", 2) not in (1, 2):
        raise node.unsupported(f"p={node.attr('p', 2)}")
    total = composite.reduce(t, "sum", _power(node, node.x), [axis], keepdims=True)
    length = _root(node, total)
    nothing = t.emit("equal", length, node.number(0))
    quotient = t.emit("divide", node.x, t.emit("where", nothing, node.number(1), length))
    return t.emit("where", nothing, node.number(0), quotient)


def _global_pool(node: OnnxNode) -> int:
    if node.rank < 3:
        raise node.unsupported(f"an input of {node.rank} dimensions")
    over = range(2, node.rank)
    total = composite.reduce(node.t, "sum", _power(node, node.x), over, keepdims=True)
    return _root(node, total)


def _pool(node: OnnxNode) -> int:
    """Sums in windows are their averages, padding included, as often as they have elements."""
    window, ceil = pool_window(node)
    sizes, count = node.shape[2:], node.rank - 2
    places = window.places(sizes, ceil=ceil)
    after = [
        max(b, (n - 1) * step + span - size - a)
        for n, step, span, size, a, b in zip(
            places,
            window.strides,
            window.spans,
            sizes,
            window.pads[:count],
            window.pads[count:],
            strict=True,
        )
    ]
    window = replace(window, pads=(*window.pads[:count], *after))
    mean = windows.avg_pool(node.t, _power(node, node.x), window, ceil=False, include=True)
    elements = node.t.number(math.prod(window.kernel), node.t.dtype(mean))
    return _root(node, node.t.emit("multiply", mean, elements))


OPERATORS: dict[str, Operator] = {
    "GlobalLpPool": Operator(_global_pool, in_steps=True, of_floats=True),
    "LpNormalization": Operator(_normalization, in_steps=True, of_floats=True),
    "LpPool": Operator(_pool, in_steps=True, of_floats=True),
}
