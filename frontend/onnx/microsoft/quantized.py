"""Arithmetic on quantised numbers of ONNX Runtime's domain: in floats between two roundings."""

from __future__ import annotations

from functools import partial
from typing import Any

from .products import channels_first, channels_last, window_attributes
from .spelling import Operators, Results, Spelled, Spelling, attributes

_FLOAT = 1
_UINT16, _INT16, _UINT4, _INT4 = 4, 5, 21, 22
_TYPED = dict.fromkeys((_UINT16, _INT16, _UINT4, _INT4), 21)


def floats(call: Spelling, x: str, scale: str, zero: str, axis: int | None = None) -> str:
    """What quantised numbers stand for; raises UnsupportedOperator for scales of other shapes."""
    given = [x, scale, zero] if zero else [x, scale]
    return call.emit("DequantizeLinear", *given, **_along(call, axis))


def numbers(call: Spelling, x: str, scale: str, zero: str, axis: int | None = None) -> str:
    """Floats as quantised numbers."""
    given = [x, scale, zero] if zero else [x, scale]
    return call.emit("QuantizeLinear", *given, **_along(call, axis))


def _along(call: Spelling, axis: int | None) -> dict[str, Any]:
    return {} if axis is None or call.opset < 13 else {"axis": axis}


def single(call: Spelling, value: str) -> str:
    """A scale or zero point of one element, without dimensions; "" stays."""
    return value and (call.reshape(value) if call.dims(value) else value)


def taken(call: Spelling, index: int) -> str:
    """A quantised input, of which scale and zero point follow, in floats."""
    scale, zero = single(call, call.given(index + 1)), single(call, call.input(index + 2))
    return floats(call, call.given(index), scale, zero)


def given_back(call: Spelling, x: str, index: int) -> str:
    """Floats in the scale and zero point of the result, inputs ``index`` and the next."""
    scale, zero = single(call, call.given(index)), single(call, call.input(index + 1))
    if not zero:
        zero = call.constant(0, "uint8")
    return numbers(call, x, scale, zero)


def _pairwise(op: str, call: Spelling) -> Results:
    return given_back(call, call.emit(op, taken(call, 0), taken(call, 3)), 6)


def _unary(op: str, call: Spelling) -> Results:
    attrs = {"alpha": call.attr("alpha", 0.01)} if op == "LeakyRelu" else {}
    return given_back(call, call.emit(op, taken(call, 0), **attrs), 3)


def _softmax(call: Spelling) -> Results:
    """Over all dimensions from the axis on, before operator set 13, which an attribute names."""
    rank, axis = call.rank(call.x), call.attr("axis", -1)
    if not -rank <= axis < rank:
        raise call.unsupported(f"the axis {axis} of {rank} dimensions")
    x, place = taken(call, 0), axis % rank
    if call.attr("opset", 0) >= 13 and place != rank - 1:
        axes = [i for i in range(rank) if i != place] + [place]
        y = call.emit("Softmax", call.transpose(x, *axes), axis=-1)
        y = call.transpose(y, *(axes.index(i) for i in range(rank)))
    elif place == rank - 1:
        y = call.emit("Softmax", x, axis=-1)
    else:
        shape = call.shape(x)
        flat = call.reshape(x, *[1] * place, -1)
        if place:
            flat = call.reshape(x, *shape[:place], -1)
        y = call.reshape(call.emit("Softmax", flat, axis=-1), *shape)
    return given_back(call, y, 3)


def _concat(call: Spelling) -> Results:
    """Inputs are the result's scale and zero point, then each part with its own."""
    count, rest = divmod(len(call.node.input) - 2, 3)
    if count < 1 or rest:
        raise call.unsupported(f"{len(call.node.input)} inputs")
    parts = [taken(call, 2 + 3 * i) for i in range(count)]
    return given_back(call, call.emit("Concat", *parts, axis=call.attr("axis", 0)), 0)


def _where(call: Spelling) -> Results:
    chosen = call.emit("Where", call.x, taken(call, 1), taken(call, 4))
    return given_back(call, chosen, 7)


def _pool(op: str, call: Spelling) -> Results:
    x, last = taken(call, 0), call.attr("channels_last", 0)
    x = channels_first(call, x) if last else x
    names = attributes("auto_pad ceil_mode count_include_pad kernel_shape pads strides")
    y = call.emit(op, x, **window_attributes(call, names))
    return given_back(call, channels_last(call, y) if last else y, 3)


def _mean(call: Spelling) -> Results:
    axes = call.attr("axes", ())
    axes = [int(a) for a in axes] or list(range(call.rank(call.x)))
    y = call.reduce("ReduceMean", taken(call, 0), axes, call.attr("keepdims", 1))
    return given_back(call, y, 3)


def _axis(call: Spelling, scale: str) -> int | None:
    """Where each place has a scale; its default is not ONNX's in every operator set."""
    if not call.dims(scale) or call.shape(scale) == (1,):
        return None
    if call.opset < 13 and call.attr("axis", 1) != 1:
        raise call.unsupported(f"an axis in operator set {call.opset}")
    return int(call.attr("axis", 1))


def _quantize(call: Spelling) -> Results:
    scale, zero = call.given(1), call.input(2)
    axis = _axis(call, scale)
    if axis is None:
        scale, zero = single(call, scale), single(call, zero)
    return numbers(call, call.x, scale, zero, axis)


def _dequantize(call: Spelling) -> Results:
    scale, zero = call.given(1), call.input(2)
    axis = _axis(call, scale)
    if axis is None:
        scale, zero = single(call, scale), single(call, zero)
    return floats(call, call.x, scale, zero, axis)


_POOL = attributes("auto_pad ceil_mode channels_last count_include_pad kernel_shape pads strides")
OPERATORS: Operators = {
    "DequantizeLinear": Spelled(_dequantize, 3, attributes("axis"), since=10, typed=_TYPED),
    "QLinearAdd": Spelled(partial(_pairwise, "Add"), 8, since=10),
    "QLinearAveragePool": Spelled(partial(_pool, "AveragePool"), 5, _POOL, since=10),
    "QLinearConcat": Spelled(_concat, 2 + 3 * 1024, attributes("axis"), since=10),
    "QLinearGlobalAveragePool": Spelled(
        partial(_pool, "GlobalAveragePool"), 5, attributes("channels_last"), since=10
    ),
    "QLinearLeakyRelu": Spelled(partial(_unary, "LeakyRelu"), 5, attributes("alpha"), since=10),
    "QLinearMul": Spelled(partial(_pairwise, "Mul"), 8, since=10),
    "QLinearReduceMean": Spelled(_mean, 5, attributes("axes keepdims"), since=10),
    "QLinearSigmoid": Spelled(partial(_unary, "Sigmoid"), 5, since=10),
    "QLinearSoftmax": Spelled(_softmax, 5, attributes("axis opset"), since=10),
    "QLinearWhere": Spelled(_where, 9, since=10),
    "QuantizeLinear": Spelled(_quantize, 3, attributes("axis"), since=10, typed=_TYPED),
}
