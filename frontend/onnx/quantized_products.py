"""ONNX's products and convolutions of quantised numbers, exact until they are rescaled."""

from __future__ import annotations

import math

from luthier.schedules import Tensor

from ..composites import quantized
from ..composites.math import filled
from .node import OnnxNode, Operator
from .windows import checked_window


def _rows(node: OnnxNode, value: int | None) -> int | None:
    """Of a left operand a number for all, or a vector with one for each row."""
    return None if value is None else _laid(node, value, node.x, (-2, -1))


def _columns(node: OnnxNode, value: int | None, b: int) -> int | None:
    """Of a right operand a number for all, or a vector with one for each column."""
    return None if value is None else _laid(node, value, b, (-1, -2))


def _laid(node: OnnxNode, value: int, operand: int, axes: tuple[int, int]) -> int:
    """What has the operand's dimensions already stays as it is; axes: its own, the other one."""
    t, shape, operand_shape = node.t, node.t.shape(value), node.t.shape(operand)
    if math.prod(shape) == 1:
        return t.reshape(value, ())
    own, other = axes
    if len(operand_shape) > 1:
        if len(shape) == 1 and shape[0] == operand_shape[own]:
            return t.reshape(value, (*shape, 1) if own == -2 else shape)
        alone = len(shape) == len(operand_shape) and shape[other] == 1
        if alone and shape[own] == operand_shape[own]:
            batches = zip(shape[:-2], operand_shape[:-2], strict=True)
            if all(d in (1, n) for d, n in batches):
                return value
    raise node.unsupported(f"a number of the shape {list(shape)} for {list(operand_shape)}")


def _matmul_integer(node: OnnxNode) -> int:
    t, b = node.t, node.given(1)
    if node.shape[-1:] == (0,) and len(t.shape(b)) == node.rank == 2:  # a sum of nothing
        return filled(t, 0.0, Tensor((node.shape[0], t.shape(b)[1]), "int32"))
    left = quantized.centred(t, node.x, _rows(node, node.input(2)))
    right = quantized.centred(t, b, _columns(node, node.input(3), b))
    return quantized.matmul(t, left, right)


def _quantized_matmul(node: OnnxNode) -> int:
    """Inputs: a, its scale and zero point, the same of b, those of the result."""
    t, b = node.t, node.given(3)
    left = quantized.centred(t, node.x, _rows(node, node.given(2)))
    right = quantized.centred(t, b, _columns(node, node.given(5), b))
    total = quantized.matmul(t, left, right)
    scales = [_rows(node, node.given(1)), _columns(node, node.given(4), b)]
    return _rescaled(node, total, [t.cast(s, "float32") for s in scales if s is not None], 6)


def _rescaled(node: OnnxNode, total: int, scales: list[int], first: int) -> int:
    """By the operands' ``scales`` and the result's, the input ``first``; then its zero point."""
    t = node.t
    for index in (first, first + 1):
        if t.type(node.given(index)).size != 1:
            shape = list(t.shape(node.given(index)))
            raise node.unsupported(f"a scale or zero point of the shape {shape} for the result")
    own = t.reshape(t.cast(node.given(first), "float32"), ())
    zero = t.reshape(node.given(first + 1), ())
    factor = t.emit("divide", t.emit("multiply", *scales), own)
    return quantized.rescaled(t, total, factor, zero, t.dtype(zero))


def _convolved(node: OnnxNode, w: int, x_zero: int | None, w_zero: int | None) -> int:
    """Zero points are of the whole input, and of the weights or of each of their channels."""
    t, window = node.t, checked_window(node, w)
    if x_zero is not None:
        if t.type(x_zero).size != 1:
            raise node.unsupported(f"zero points of the shape {list(t.shape(x_zero))}")
        x_zero = t.reshape(x_zero, ())
    w_zero = None if w_zero is None else _by_channel(node, w_zero, w, 0)
    x, weights = quantized.centred(t, node.x, x_zero), quantized.centred(t, w, w_zero)
    return quantized.conv(t, x, weights, window, node.attr("group", 1))


def _by_channel(node: OnnxNode, value: int, w: int, axis: int) -> int:
    """One number, or one for each of the weights' channels, laid along an axis."""
    t, channels = node.t, node.t.shape(w)[0]
    if t.type(value).size == 1:
        return t.reshape(value, ())
    if t.shape(value) != (channels,):
        shape = list(t.shape(value))
        raise node.unsupported(f"numbers of the shape {shape} for {channels} channels")
    return t.reshape(value, [channels if i == axis else 1 for i in range(node.rank)])


def _conv_integer(node: OnnxNode) -> int:
    return _convolved(node, node.given(1), node.input(2), node.input(3))


def _quantized_conv(node: OnnxNode) -> int:
    """Inputs: x, its scale and zero point, the same of w, those of the result, the bias."""
    t, w = node.t, node.given(3)
    total = _convolved(node, w, node.given(2), node.given(5))
    bias = node.input(8)
    if bias is not None:
        total = t.emit("add", total, _by_channel(node, bias, w, 1))
    x_scale = t.reshape(t.cast(node.given(1), "float32"), ())
    w_scale = _by_channel(node, t.cast(node.given(4), "float32"), w, 1)
    return _rescaled(node, total, [x_scale, w_scale], 6)


OPERATORS: dict[str, Operator] = {
    "ConvInteger": Operator(_conv_integer),
    "MatMulInteger": Operator(_matmul_integer),
    "QLinearConv": Operator(_quantized_conv),
    "QLinearMatMul": Operator(_quantized_matmul),
}
