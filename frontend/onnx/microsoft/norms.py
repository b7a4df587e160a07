"""Normalisations of ONNX Runtime's domain, and those that it writes into old operator sets."""

from __future__ import annotations

from collections.abc import Callable

from .spelling import Operators, Results, Spelled, Spelling, attributes

_LAYER_SINCE, _RMS_SINCE = 17, 23  # ONNX's own


def layer_norm(
    call: Spelling, x: str, scale: str, shift: str, epsilon: float, axis: int = -1
) -> str:
    """Over the dimensions from ``axis`` on (Ba et al. 2016), by ONNX's operator where it is one."""
    if call.opset >= _LAYER_SINCE:
        inputs = [x, scale, shift] if shift else [x, scale]
        return call.emit("LayerNormalization", *inputs, axis=axis, epsilon=epsilon)
    axes = _last(call, x, axis)
    centred = call.emit("Sub", x, call.reduce("ReduceMean", x, axes))
    variance = call.reduce("ReduceMean", call.emit("Mul", centred, centred), axes)
    spread = call.emit("Sqrt", call.emit("Add", variance, call.number(epsilon, x)))
    y = call.emit("Mul", call.emit("Div", centred, spread), scale)
    return call.emit("Add", y, shift) if shift else y


def rms_norm(call: Spelling, x: str, scale: str, epsilon: float, axis: int = -1) -> str:
    """The same without a mean (Zhang and Sennrich 2019)."""
    if call.opset >= _RMS_SINCE:
        return call.emit("RMSNormalization", x, scale, axis=axis, epsilon=epsilon)
    mean = call.reduce("ReduceMean", call.emit("Mul", x, x), _last(call, x, axis))
    spread = call.emit("Sqrt", call.emit("Add", mean, call.number(epsilon, x)))
    return call.emit("Mul", call.emit("Div", x, spread), scale)


def _last(call: Spelling, x: str, axis: int) -> list[int]:
    """The dimensions from ``axis`` on, counted from the end."""
    first = axis if axis < 0 else axis - call.rank(x)
    if not -call.rank(x) <= first < 0:
        raise call.unsupported(f"the axis {axis}")
    return list(range(first, 0))


def _layer(call: Spelling) -> Results:
    axis, epsilon = call.attr("axis", -1), call.attr("epsilon", 1e-5)
    y = layer_norm(call, call.x, call.given(1), call.input(2), epsilon, axis)
    return y, *_statistics(call, call.x, epsilon, axis)


def _simplified(call: Spelling) -> Results:
    axis, epsilon = call.attr("axis", -1), call.attr("epsilon", 1e-5)
    y = rms_norm(call, call.x, call.given(1), epsilon, axis)
    return y, _inverse(call, call.x, epsilon, _last(call, call.x, axis)) if call.wants(1) else ""


def _statistics(call: Spelling, x: str, epsilon: float, axis: int = -1) -> tuple[str, str]:
    """The mean and the inverse deviation, which training wants."""
    if not (call.wants(1) or call.wants(2)):
        return "", ""
    axes = _last(call, x, axis)
    mean = call.reduce("ReduceMean", x, axes)
    return mean, _inverse(call, call.emit("Sub", x, mean), epsilon, axes)


def _inverse(call: Spelling, centred: str, epsilon: float, axes: list[int]) -> str:
    """Of the root of the mean square."""
    square = call.reduce("ReduceMean", call.emit("Mul", centred, centred), axes)
    shifted = call.emit("Add", square, call.number(epsilon, square))
    return call.emit("Reciprocal", call.emit("Sqrt", shifted))


def _sum(call: Spelling, bias: int) -> str:
    """Of the input, what skips layers, and a bias, where there is one."""
    total = call.emit("Add", call.x, call.given(1))
    return call.emit("Add", total, call.input(bias)) if call.input(bias) else total


def _skip_layer(call: Spelling) -> Results:
    total, epsilon = _sum(call, 4), call.attr("epsilon", 1e-12)
    y = layer_norm(call, total, call.given(2), call.input(3), epsilon)
    return y, *_statistics(call, total, epsilon), total


def _skip_simplified(call: Spelling) -> Results:
    """The mean, about which nothing is taken, is 0."""
    total, epsilon = _sum(call, 3), call.attr("epsilon", 1e-12)
    mean, inverse = "", _inverse(call, total, epsilon, [-1]) if call.wants(2) else ""
    if call.wants(1):
        mean = call.emit("Expand", call.number(0, total), call.sizes(*call.shape(total)[:-1], 1))
    return rms_norm(call, total, call.given(2), epsilon), mean, inverse, total


def _embed_layer(call: Spelling) -> Results:
    """The numbers of places may be given."""
    total = embedded(call, call.input(8), lambda index, rows: rows)
    y = layer_norm(call, total, call.given(5), call.given(6), call.attr("epsilon", 1e-12))
    return y, lengths(call, call.input(7)), total


def embedded(call: Spelling, numbers: str, floats: Callable[[int, str], str]) -> str:
    """Words, places and segments, looked up in inputs 2 to 4 and added.

    ``floats`` makes floats of rows of such a table.
    """
    ids, segments, words, places, kinds = (call.input(i) for i in range(5))
    if call.rank(call.x) != 2:
        raise call.unsupported(f"words of {call.rank(call.x)} dimensions")
    total = floats(2, call.emit("Gather", words, ids))
    if numbers:
        rows = call.emit("Gather", places, numbers)
    else:  # of the first to the last, in this order
        rows = call.slice(places, 0, 0, call.shape(ids)[-1])
    total = call.emit("Add", total, floats(3, rows))
    if segments and kinds:
        total = call.emit("Add", total, floats(4, call.emit("Gather", kinds, segments)))
    return total


def lengths(call: Spelling, mask: str) -> str:
    """How many ones a row of the mask has; 0 without a mask."""
    if not call.wants(1):
        return ""
    batch = call.shape(call.x)[0]
    if not mask:
        return call.constant([0] * batch, "int32")
    ones = call.emit("Equal", mask, call.constant(1, "int32"))
    return call.reduce("ReduceSum", call.cast(ones, 6), [1], keepdims=0)


_SKIP = attributes("epsilon")
_OLD = attributes("axis epsilon stash_type")
OPERATORS: Operators = {
    "EmbedLayerNormalization": Spelled(
        _embed_layer, 9, attributes("epsilon mask_index_type"), in_steps=True
    ),
    "LayerNormalization": Spelled(_layer, 3, _OLD, in_steps=True, statistics=(1, 2)),
    "SimplifiedLayerNormalization": Spelled(_simplified, 2, _OLD, in_steps=True, statistics=(1,)),
    "SkipLayerNormalization": Spelled(_skip_layer, 5, _SKIP, in_steps=True, statistics=(1, 2)),
    "SkipSimplifiedLayerNormalization": Spelled(
        _skip_simplified, 4, _SKIP, in_steps=True, statistics=(1, 2)
    ),
}
