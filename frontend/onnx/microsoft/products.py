"""Products and convolutions of ONNX Runtime's domain, fused with what is around them."""

from __future__ import annotations

from typing import Any

from .activations import activated
from .spelling import Operators, Results, Spelled, Spelling, attributes


def _operand(call: Spelling, index: int, side: str) -> str:
    """A factor, its first dimension moved behind the batches', then its last two swapped."""
    x = call.given(index)
    swap, batches = (call.attr(f"{name}{side}", 0) for name in ("trans", "transBatch"))
    if not swap and not batches:
        return x
    rank = call.rank(x)
    if rank < 2:  # of a vector there is nothing to swap
        return x
    axes = list(range(rank))
    if batches:
        axes = [*axes[1 : rank - 1], 0, rank - 1]
    if swap:
        axes = [*axes[:-2], axes[-1], axes[-2]]
    return call.transpose(x, *axes)


def _matmul(call: Spelling) -> Results:
    y = call.emit("MatMul", _operand(call, 0, "A"), _operand(call, 1, "B"))
    alpha = call.attr("alpha", 1.0)
    return y if alpha == 1 else call.emit("Mul", y, call.number(alpha, y))


def _of_sparse(call: Spelling) -> Results:
    """The first factor is one of the model's own sparse tensors, which are written out."""
    whole = call.dtype(call.given(1)) not in _FLOATS
    if whole and call.attr("alpha", 1.0) != 1:
        raise call.unsupported(f"alpha={call.attr('alpha', 1.0)} of whole numbers")
    return _matmul(call)


def _gemm(call: Spelling) -> Results:
    inputs = [call.x, call.given(1), *([call.input(2)] if call.input(2) else [])]
    attrs: dict[str, Any] = {n: call.attr(n, 0) for n in ("transA", "transB")}
    attrs |= {n: call.attr(n, 1.0) for n in ("alpha", "beta")}
    if len(inputs) < 3 and call.opset < 11:
        inputs.append(call.number(0, call.x))
    y = call.emit("Gemm", *inputs, **attrs)
    given = [call.attr(f"activation_{each}", None) for each in ("alpha", "beta", "gamma")]
    values = tuple(value for value in given if value is not None)
    return activated(call, y, call.attr("activation", ""), values)


_WINDOW = attributes("auto_pad dilations group kernel_shape pads strides")


def window_attributes(call: Spelling, names: frozenset[str] = _WINDOW) -> dict[str, Any]:
    """Those of a convolution or pool that are given, as they are."""
    found = {}
    for attribute in call.node.attribute:
        if attribute.name in names:
            number = attribute.name in ("group", "ceil_mode", "count_include_pad")
            default: Any = "" if attribute.name == "auto_pad" else 0 if number else ()
            value = call.attr(attribute.name, default)
            found[attribute.name] = value if isinstance(value, str | int) else list(value)
    return found


def _conv(call: Spelling) -> Results:
    """Something may be added before the activation."""
    inputs = [call.x, call.given(1), *([call.input(2)] if call.input(2) else [])]
    y = call.emit("Conv", *inputs, **window_attributes(call))
    if call.input(3):
        y = call.emit("Add", y, call.input(3))
    given = tuple(call.attr("activation_params", ()))
    return activated(call, y, call.attr("activation", ""), given)


def channels_first(call: Spelling, x: str) -> str:
    """An image that has its channels last, as ONNX wants it."""
    rank = call.rank(x)
    return call.transpose(x, 0, rank - 1, *range(1, rank - 1))


def channels_last(call: Spelling, x: str) -> str:
    """The opposite."""
    rank = call.rank(x)
    return call.transpose(x, 0, *range(2, rank), 1)


def _conv_channels_last(call: Spelling) -> Results:
    """Of images alone: weights lie as ONNX's."""
    x = channels_first(call, call.x)
    inputs = [x, call.given(1), *([call.input(2)] if call.input(2) else [])]
    y = call.emit("Conv", *inputs, **window_attributes(call))
    if call.input(3):
        y = call.emit("Add", y, channels_first(call, call.input(3)))
    given = tuple(call.attr("activation_params", ()))
    return channels_last(call, activated(call, y, call.attr("activation", ""), given))


_FLOATS = (1, 11)
_TRANSPOSED = attributes("alpha transA transB")
_FUSED = attributes("activation activation_params")
OPERATORS: Operators = {
    "FusedConv": Spelled(_conv, 4, _WINDOW | _FUSED, in_steps=True),
    "FusedGemm": Spelled(
        _gemm,
        3,
        _TRANSPOSED
        | attributes("beta activation activation_alpha activation_beta activation_gamma"),
        in_steps=True,
    ),
    "FusedMatMul": Spelled(
        _matmul, 2, _TRANSPOSED | attributes("transBatchA transBatchB"), in_steps=True
    ),
    "NhwcConv": Spelled(_conv_channels_last, 3, _WINDOW, in_steps=True),
    "NhwcFusedConv": Spelled(_conv_channels_last, 4, _WINDOW | _FUSED, in_steps=True),
    "SparseToDenseMatMul": Spelled(_of_sparse, 2, _TRANSPOSED),
    "TransposeMatMul": Spelled(_matmul, 2, _TRANSPOSED, in_steps=True),
}
