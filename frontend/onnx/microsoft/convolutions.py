"""Convolutions of ONNX Runtime's domain that read on from an earlier run, or lie otherwise."""

from __future__ import annotations

from .gates import silu
from .products import channels_first, channels_last, window_attributes
from .spelling import Operators, Results, Spelled, Spelling, attributes

_FLOAT, _TYPED_POOLS = 1, 12  # since this operator set MaxPool takes whole numbers


def _causal(call: Spelling) -> Results:
    """Of each channel by itself, of what is and was; the rows for the next run are given back."""
    if call.attr("ndim", 1) != 1 or call.attr("state_window", 0):
        raise call.unsupported("more than one dimension, or a window of states,")
    last, dilation = call.attr("channels_last", 0), call.count("dilation", 1)
    kind = call.attr("activation", "none")
    if kind not in ("", "none", "silu", "swish"):
        raise call.unsupported(f"activation='{kind}'")
    shape = call.shape(call.x)
    x, past = call.x, call.input(3)
    if last:
        x = _rows_last(call, x)
        past = past and _rows_last(call, past)
    batch, channels, rows = call.shape(x)
    taps = call.shape(call.given(1))[-1]
    kept = (taps - 1) * dilation
    if kept:
        if not past:
            past = call.emit("Expand", call.number(0, x), call.sizes(batch, channels, kept))
        whole = call.emit("Concat", past, x, axis=2)
    else:
        whole = x
    weights = call.reshape(call.given(1), channels, 1, taps)
    inputs = [whole, weights, *([call.input(2)] if call.input(2) else [])]
    y = call.emit("Conv", *inputs, group=channels, dilations=[dilation], kernel_shape=[taps])
    y = silu(call, y) if kind in ("silu", "swish") else y
    state = call.slice(whole, 2, rows, rows + kept) if call.wants(1) else ""
    if last:
        y = call.reshape(call.transpose(y, 0, 2, 1), *shape)
        state = state and call.reshape(call.transpose(state, 0, 2, 1), shape[0], kept, *shape[2:])
    return y, state


def _rows_last(call: Spelling, x: str) -> str:
    """[batch, rows, ...] as [batch, channels, rows]."""
    shape = call.shape(x)
    return call.transpose(call.reshape(x, shape[0], shape[1], -1), 0, 2, 1)


def _max_pool(call: Spelling) -> Results:
    x = channels_first(call, call.x)
    names = attributes("auto_pad ceil_mode dilations kernel_shape pads strides")
    attrs = window_attributes(call, names)
    if call.opset >= _TYPED_POOLS:
        return channels_last(call, call.emit("MaxPool", x, **attrs))
    y = call.emit("MaxPool", call.cast(x, _FLOAT), **attrs)
    return channels_last(call, call.cast(y, call.dtype(call.x)))


def _transposed(call: Spelling) -> Results:
    """Pads are an input, which must be known."""
    pads = call.array(call.input(2)) if call.input(2) else None
    if pads is None and call.input(2):
        raise call.unsupported("pads that are computed at run time")
    names = attributes("auto_pad dilations group kernel_shape output_padding strides")
    attrs = window_attributes(call, names)
    if pads is not None:
        attrs["pads"] = [int(n) for n in pads.ravel()]
    inputs = [call.x, call.given(1), *([call.input(3)] if call.input(3) else [])]
    return call.emit("ConvTranspose", *inputs, **attrs)


OPERATORS: Operators = {
    "CausalConvWithState": Spelled(
        _causal,
        4,
        attributes("activation channels_last dilation ndim state_window"),
        in_steps=True,
    ),
    "ConvTransposeWithDynamicPads": Spelled(
        _transposed,
        4,
        attributes("auto_pad dilations group kernel_shape output_padding strides"),
        in_steps=True,
    ),
    "NhwcMaxPool": Spelled(
        _max_pool,
        1,
        attributes("auto_pad ceil_mode dilations kernel_shape pads storage_order strides"),
        since=10,
    ),
}
