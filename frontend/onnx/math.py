"""ONNX operators of linear algebra, and those that sum along an axis."""

from __future__ import annotations

from functools import partial

import numpy as np

from luthier.schedules import Tensor

from ..composites import indexing, movement
from ..composites import math as composite
from .element_types import dtype_name
from .node import OnnxNode, Operator


def _gemm(node: OnnxNode) -> int:
    """C is not read where its factor is 0, as in BLAS: NaN would stay NaN."""
    t = node.t
    alpha, beta = node.attr("alpha", 1.0), node.attr("beta", 1.0)
    for name, factor in (("alpha", alpha), ("beta", beta)):
        if not node.element.is_float and factor != int(factor):
            raise node.unsupported(f"{name}={factor:g} of integers")
    a, b, c = node.x, node.given(1), node.input(2)
    a, b = (
        _turned(node, x) if node.attr(name, 0) else x for x, name in ((a, "transA"), (b, "transB"))
    )
    if 0 in t.shape(a):  # what is known of each product: a sum of nothing
        shape = t.shape(a)[0], t.shape(b)[1]
        product = composite.filled(t, 0.0, Tensor(shape, node.dtype))
    else:
        product = composite.matmul(t, a, b)
    if alpha != 1.0:  # of the product, since A times alpha may overflow
        product = t.emit("multiply", product, node.number(alpha))
    if c is None or beta == 0.0:
        return product
    return t.emit("add", product, c if beta == 1.0 else t.emit("multiply", c, node.number(beta)))


def _turned(node: OnnxNode, x: int) -> int:
    """A matrix with its rows as columns."""
    t = node.t
    if t.type(x).size:
        return t.transpose(x, (1, 0))
    return t.constant(np.zeros(t.shape(x)[::-1], t.dtype(x)))


def _cumulated(op: str, node: OnnxNode) -> int:
    axis = node.constant(1, "an axis")
    if axis is None or axis.size != 1:
        raise node.unsupported("an axis that is not a single number")
    exclusive, reverse = (bool(node.attr(name, 0)) for name in ("exclusive", "reverse"))
    along = node.axis(axis.item())
    return node.t.emit(op, node.x, axis=along, exclusive=exclusive, reverse=reverse)


def _one_hot(node: OnnxNode) -> int:
    t = node.t
    depth, values = node.constant(1, "a depth"), node.given(2)
    if depth is None or depth.size != 1:
        raise node.unsupported("a depth that is not a single number")
    count = int(depth.item())
    node.check_table(count)
    axis = node.axis(node.attr("axis", -1), node.rank + 1)
    wrapped = indexing.wrapped(t, t.cast(node.x, "int64"), count)
    on, off = (movement.take(t, values, t.number(i, "int64"), 0) for i in (1, 0))
    out = Tensor((*node.shape[:axis], count, *node.shape[axis:]), t.dtype(values))
    return composite.one_hot(t, wrapped, on, off, axis, out)


def _eye_like(node: OnnxNode) -> int:
    elem_type = node.attr("dtype", 0)
    dtype = dtype_name(elem_type, f"{node.label}: its result") if elem_type else node.dtype
    rows, columns = node.shape
    node.check_table(rows * columns)
    return node.t.constant(np.eye(rows, columns, node.attr("k", 0)).astype(dtype))


def _triangle(node: OnnxNode) -> int:
    t, upper = node.t, bool(node.attr("upper", 1))
    k = node.input(1)
    known = np.zeros((), np.int64) if k is None else t.known(k)
    if known is not None:
        return composite.triangle(t, node.x, int(known.item()), upper=upper)
    assert k is not None
    rows, columns = node.shape[-2:]
    node.check_table(rows * columns)
    diagonal = np.arange(columns)[None, :] - np.arange(rows)[:, None]
    side = "greater_equal" if upper else "less_equal"
    mask = t.emit(side, t.constant(diagonal), t.reshape(t.cast(k, "int64"), ()))
    return t.emit("where", t.broadcast(mask, node.shape), node.x, node.number(0))


OPERATORS: dict[str, Operator] = {
    "CumProd": Operator(partial(_cumulated, "cumprod"), build_time=(1,), in_steps=True),
    "CumSum": Operator(partial(_cumulated, "cumsum"), build_time=(1,), in_steps=True),
    "EyeLike": Operator(_eye_like, any_type=True),
    "Gemm": Operator(_gemm, in_steps=True),
    "MatMul": Operator(lambda node: composite.matmul(node.t, node.x, node.given(1))),
    "OneHot": Operator(_one_hot, build_time=(1,)),
    "Trilu": Operator(_triangle),
}
