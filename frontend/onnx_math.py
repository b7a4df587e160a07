"""Converters of our own for ONNX mathematics that TVM's importer refuses or gets wrong."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper

from luthier.schedules.tvm_late import ir, relax

from .element_types import dtype_name
from .onnx_node import OnnxConverter, OnnxNode, dtype_of, shape_of


def _clip(node: OnnxNode) -> Any:
    """Bounds are attributes until operator set 11, inputs since; NaN is not a bound."""
    lowest, largest = _limits(node)
    ends = []
    for i, name in enumerate(("min", "max")):
        expr = node.input(1 + i)
        if expr is not None and not isinstance(expr, ir.GenericConst):
            return _clip_at_run_time(node)
        found = node.setting(name, 1 + i)
        default = lowest if name == "min" else largest
        number = default if found is None else found.item()
        if number > np.iinfo("int64").max and node.dtype == "uint64":  # no literal of TVM's
            return _clip_at_run_time(node)
        free = -math.inf if name == "min" else math.inf
        ends.append(free if number != number else number)
    return relax.op.clip(node.x, *(relax.prim_value(e) for e in ends))


def _limits(node: OnnxNode) -> tuple[float, float]:
    """The bounds that are not given: the standard limits infinity to what the type holds."""
    if not node.dtype.startswith("float"):
        return -math.inf, math.inf
    narrow = node.opset < 11 and node.dtype == "float64"  # where they are attributes in float32
    largest = float(np.finfo("float32" if narrow else node.dtype).max)
    return -largest, largest


def _clip_at_run_time(node: OnnxNode) -> Any:
    x = node.x
    for i, limit, number in zip(
        (1, 2), (relax.op.maximum, relax.op.minimum), _limits(node), strict=True
    ):
        if node.input(i) is not None:
            x = node.emit(limit(x, relax.op.reshape(node.input(i), ())))
        elif math.isfinite(number):
            x = node.emit(limit(x, node.number(number)))
    return x


def _pow(node: OnnxNode) -> Any:
    """The exponent may have another type; the result has the base's."""
    base, exponent = node.x, node.input(1)
    kinds = [np.dtype(dtype_of(e)).kind for e in (base, exponent)]
    if kinds[0] in "iu" and kinds[1] == "f":
        power = relax.op.power(relax.op.astype(base, dtype_of(exponent)), exponent)
        return relax.op.astype(power, node.dtype)
    return relax.op.power(base, _cast(exponent, node.dtype))


def _cast(expr: Any, dtype: str) -> Any:
    return expr if dtype_of(expr) == dtype else relax.op.astype(expr, dtype)


def _cast_to(node: OnnxNode) -> Any:
    return _cast(node.x, dtype_name(node.attr("to", 0), f"{node.label}: its result"))


def _cast_like(node: OnnxNode) -> Any:
    return _cast(node.x, dtype_of(node.input(1)))


def _isinf(node: OnnxNode) -> Any:
    """Of both signs, or of one."""
    x, infinite = node.x, relax.op.isinf(node.x)
    negative, positive = node.attr("detect_negative", 1), node.attr("detect_positive", 1)
    if negative and positive:
        return infinite
    if not negative and not positive:
        return relax.op.broadcast_to(relax.const(np.bool_(False)), node.shape)
    compare = relax.op.less if negative else relax.op.greater
    return relax.op.logical_and(infinite, compare(x, node.number(0)))


def _elu(node: OnnxNode) -> Any:
    """Clevert et al. 2015: alpha (exp(x) - 1) below zero."""
    return _exponential_unit(node, node.attr("alpha", 1.0), 1.0)


def _selu(node: OnnxNode) -> Any:
    alpha = node.attr("alpha", 1.67326319217681884765625)
    return _exponential_unit(node, alpha, node.attr("gamma", 1.05070102214813232421875))


def _exponential_unit(node: OnnxNode, alpha: float, scale: float) -> Any:
    bent = relax.op.nn.relu(relax.op.subtract(node.number(1), relax.op.exp(node.x)))
    below = relax.op.multiply(bent, node.number(-alpha * scale))
    above = relax.op.nn.relu(node.x)
    if scale != 1:
        above = relax.op.multiply(above, node.number(scale))
    return relax.op.add(above, below)


def _celu(node: OnnxNode) -> Any:
    """Barron 2017: alpha (exp(x / alpha) - 1) below zero."""
    alpha = node.attr("alpha", 1.0)
    bent = relax.op.subtract(
        relax.op.exp(relax.op.divide(node.x, node.number(alpha))), node.number(1)
    )
    below = relax.op.minimum(relax.op.multiply(bent, node.number(alpha)), node.number(0))
    return relax.op.add(relax.op.nn.relu(node.x), below)


def _swish(node: OnnxNode) -> Any:
    """Ramachandran et al. 2017."""
    scaled = relax.op.multiply(node.x, node.number(node.attr("alpha", 1.0)))
    return relax.op.multiply(node.x, relax.op.sigmoid(scaled))


def _gemm(node: OnnxNode) -> Any:
    """C is not read where its factor is 0, as in BLAS: NaN would stay NaN."""
    alpha, beta = node.attr("alpha", 1.0), node.attr("beta", 1.0)
    a, b, c = node.x, node.input(1), node.input(2)
    if node.attr("transA", 0):
        a = relax.op.permute_dims(a, [1, 0])
    if node.attr("transB", 0):
        b = relax.op.permute_dims(b, [1, 0])
    product = relax.op.matmul(a, b)
    if alpha != 1.0:  # of the product, since A times alpha may overflow
        product = relax.op.multiply(node.emit(product), node.number(alpha))
    if c is None or beta == 0.0:
        return product
    return relax.op.add(product, c if beta == 1.0 else relax.op.multiply(c, node.number(beta)))


def _prelu(node: OnnxNode) -> Any:
    """A slope of fewer dimensions belongs to the last ones; the result has the input's shape."""
    slope, shape = node.input(1), shape_of(node.input(1))
    fitted = (1,) * (node.rank - len(shape)) + shape
    while len(fitted) > node.rank and fitted[0] == 1:
        fitted = fitted[1:]
    if fitted != shape:
        slope = node.emit(relax.op.reshape(slope, fitted))
    scaled = relax.op.multiply(node.x, slope)
    return relax.op.where(relax.op.greater(node.x, node.number(0)), node.x, scaled)


def _shrink(node: OnnxNode) -> Any:
    """Towards zero, in which a band ends; whole numbers are compared with its fractional ends."""
    whole = np.dtype(node.dtype).kind in "iu"
    x = node.emit(_cast(node.x, "float64")) if whole else node.x
    dtype = "float64" if whole else node.dtype
    end, bias = (relax.const(node.attr(n, d), dtype) for n, d in (("lambd", 0.5), ("bias", 0.0)))
    zero = relax.const(0, dtype)
    above = relax.op.where(relax.op.greater(x, end), relax.op.subtract(x, bias), zero)
    below = relax.op.less(x, relax.op.negative(end))
    return _cast(node.emit(relax.op.where(below, relax.op.add(x, bias), above)), node.dtype)


def _thresholded_relu(node: OnnxNode) -> Any:
    above = relax.op.greater(node.x, node.number(node.attr("alpha", 1.0)))
    return relax.op.where(above, node.x, node.number(0))


def _cumulative_sum(node: OnnxNode) -> Any:
    """Sums over spans of twice the length, log2(n) times (Hillis and Steele 1986)."""
    axis = node.constant(1, "an axis")
    if axis is None or axis.size != 1:
        raise node.unsupported("an axis that is not a single number")
    place = node.axis(axis.item())
    x = _shifted(node, node.x, place, 1) if node.attr("exclusive", 0) else node.x
    step = 1
    while step < node.shape[place]:
        x = node.emit(relax.op.add(x, _shifted(node, x, place, step)))
        step *= 2
    return x


def _shifted(node: OnnxNode, x: Any, axis: int, step: int) -> Any:
    """Elements moved along an axis, the way that the sum runs; zeros come in."""
    before, after = (-step, step) if node.attr("reverse", 0) else (step, -step)
    widths = [0] * (2 * node.rank)
    widths[2 * axis : 2 * axis + 2] = before, after
    return node.emit(relax.op.nn.pad(x, widths))


def _one_hot(node: OnnxNode) -> Any:
    depth, values = node.constant(1, "a depth"), node.input(2)
    if depth is None or depth.size != 1:
        raise node.unsupported("a depth that is not a single number")
    count = int(depth.item())
    node.check_table(count)
    axis = node.axis(node.attr("axis", -1), node.rank + 1)
    places = _cast(node.x, "int64")
    zero, size = relax.const(0, "int64"), relax.const(count, "int64")
    wrapped = relax.op.where(relax.op.less(places, zero), relax.op.add(places, size), places)
    classes = np.arange(count).reshape([-1 if i == axis else 1 for i in range(node.rank + 1)])
    hit = relax.op.equal(relax.op.expand_dims(wrapped, axis), relax.const(classes, "int64"))
    off, on = (relax.op.take(values, relax.const(i, "int64"), axis=0) for i in (0, 1))
    return relax.op.where(hit, on, off)


def _eye_like(node: OnnxNode) -> Any:
    elem_type = node.attr("dtype", 0)
    dtype = str(helper.tensor_dtype_to_np_dtype(elem_type)) if elem_type else node.dtype
    rows, columns = node.shape
    node.check_table(rows * columns)
    return relax.const(np.eye(rows, columns, node.attr("k", 0)).astype(dtype), dtype)


def _mean_variance_normalization(node: OnnxNode) -> Any:
    """The variance about the mean, since the standard's formula cancels where the mean is large."""
    if not node.dtype.startswith("float"):
        raise node.unsupported(f"a mean of {node.dtype}")
    axes = node.axes(node.attr("axes", (0, 2, 3)))
    centred = node.emit(relax.op.subtract(node.x, relax.op.mean(node.x, axes, keepdims=True)))
    variance = relax.op.mean(relax.op.multiply(centred, centred), axes, keepdims=True)
    return relax.op.divide(centred, relax.op.add(relax.op.sqrt(variance), node.number(1e-9)))


def _pairwise(combine: Callable[[Any, Any], Any]) -> OnnxConverter:
    """Any number of inputs, two by two: each step fuses with what computes its inputs."""
    return lambda node: functools.reduce(combine, node.inputs)


def _mean(node: OnnxNode) -> Any:
    total = _pairwise(relax.op.add)(node)
    return relax.op.divide(total, relax.const(len(node.inputs), node.dtype))


CONVERTERS: dict[str, OnnxConverter] = {
    "Max": _pairwise(relax.op.maximum),
    "Mean": _mean,
    "Min": _pairwise(relax.op.minimum),
    "Sum": _pairwise(relax.op.add),
    "Cast": _cast_to,
    "CastLike": _cast_like,
    "Clip": _clip,
    "Pow": _pow,
    "IsInf": _isinf,
    "Celu": _celu,
    "Div": lambda node: relax.op.divide(*node.inputs),
    "Elu": _elu,
    "Gemm": _gemm,
    "PRelu": _prelu,
    "Selu": _selu,
    "Shrink": _shrink,
    "Swish": _swish,
    "ThresholdedRelu": _thresholded_relu,
    "CumSum": _cumulative_sum,
    "OneHot": _one_hot,
    "EyeLike": _eye_like,
    "MeanVarianceNormalization": _mean_variance_normalization,
}
