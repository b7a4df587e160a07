"""Products of quantised numbers of ONNX Runtime's domain, exact until they are rescaled."""

from __future__ import annotations

import math
from typing import Any

from .products import channels_first, channels_last, window_attributes
from .quantized import numbers, single
from .spelling import Operators, Results, Spelled, Spelling, attributes

_FLOAT, _UINT8, _INT32, _UINT32 = 1, 2, 6, 12
_QUANTIZED = 8  # inputs before the bias of ONNX's own convolution


def scaled_product(
    call: Spelling, a: tuple[str, str, str], b: tuple[str, str, str], bias: str
) -> str:
    """Of factors with scale and zero point each, in floats."""
    zeros = [single(call, a[2]), _columns(call, b[2])]
    while zeros and not zeros[-1]:
        zeros.pop()
    total = call.cast(call.emit("MatMulInteger", a[0], b[0], *zeros), _FLOAT)
    scale = call.emit("Mul", single(call, a[1]), _columns(call, b[1]))
    y = call.emit("Mul", total, scale)
    return call.emit("Add", y, bias) if bias else y


def _columns(call: Spelling, value: str) -> str:
    """One number, or one for each column."""
    return single(call, value) if value and math.prod(call.shape(value)) == 1 else value


def _matmul_to_float(call: Spelling) -> Results:
    a, b = (call.x, call.given(2), call.input(4)), (call.given(1), call.given(3), call.input(5))
    return scaled_product(call, a, b, call.input(6))


def _dynamic_matmul(call: Spelling) -> Results:
    quantized = call.several("DynamicQuantizeLinear", [call.x], 3)
    b = (call.given(1), call.given(2), call.input(3))
    return scaled_product(call, (quantized[0], quantized[1], quantized[2]), b, call.input(4))


def _gemm(call: Spelling) -> Results:
    """C is of whole numbers, in the scale of the product; without one of its own it is floats."""
    a, b = call.x, call.given(3)
    a = call.transpose(a, 1, 0) if call.attr("transA", 0) else a
    b = call.transpose(b, 1, 0) if call.attr("transB", 0) else b
    zeros = single(call, call.given(2)), _columns(call, call.given(5))
    total = call.emit("MatMulInteger", a, b, *zeros)
    if call.input(6):
        total = call.emit("Add", total, call.input(6))
    scale = call.emit("Mul", single(call, call.given(1)), _columns(call, call.given(4)))
    alpha = call.attr("alpha", 1.0)
    if alpha != 1:
        scale = call.emit("Mul", scale, call.constant(alpha, "float32"))
    if not call.input(7):
        return call.emit("Mul", call.cast(total, _FLOAT), scale)
    scale = call.emit("Div", scale, single(call, call.input(7)))
    y = call.emit("Mul", call.cast(total, _FLOAT), scale)
    zero = single(call, call.input(8)) or call.constant(0, "uint8")
    return numbers(call, y, call.constant(1, "float32"), zero)


def _conv(call: Spelling) -> Results:
    last = call.attr("channels_last", 0)
    x = channels_first(call, call.x) if last else call.x
    inputs = [x, *(call.given(i) for i in range(1, _QUANTIZED))]
    if call.input(_QUANTIZED):
        inputs.append(call.input(_QUANTIZED))
    y = call.emit("QLinearConv", *inputs, **window_attributes(call))
    return channels_last(call, y) if last else y


def _multiplied(call: Spelling) -> Results:
    """Element by element, zero points taken away."""
    parts = []
    for index in (0, 2):
        x = call.cast(call.given(index), _INT32)
        zero = single(call, call.input(index + 1))
        parts.append(call.emit("Sub", x, call.cast(zero, _INT32)) if zero else x)
    return call.emit("Mul", *parts)


def _summed(call: Spelling) -> Results:
    axes = [int(a) for a in call.attr("axes", ())]
    if not axes:
        raise call.unsupported("a sum over no axes")
    x = call.cast(call.x, _UINT32 if call.dtype(call.x) == _UINT8 else _INT32)
    return call.reduce("ReduceSum", x, axes, call.attr("keepdims", 1))


_WINDOW: Any = attributes("auto_pad channels_last dilations group kernel_shape pads strides")


def _matmul_16(call: Spelling) -> Results:
    """Of numbers of 16 bits; sums wrap around, as in ONNX Runtime."""
    return call.emit("MatMul", *(call.cast(call.given(i), _INT32) for i in (0, 1)))


OPERATORS: Operators = {
    "DynamicQuantizeMatMul": Spelled(_dynamic_matmul, 5, since=11),
    "MatMulInteger16": Spelled(_matmul_16, 2, since=9),
    "MatMulIntegerToFloat": Spelled(_matmul_to_float, 7, since=10),
    "MulInteger": Spelled(_multiplied, 4),
    "QGemm": Spelled(_gemm, 9, attributes("alpha transA transB"), since=10),
    "QLinearConv": Spelled(_conv, 9, _WINDOW, since=10),
    "ReduceSumInteger": Spelled(_summed, 1, attributes("axes keepdims")),
}
