"""Convolutions of ONNX Runtime's domain that read on from an earlier run, or lie otherwise."""

from __future__ import annotations

from .gates import silu
from .packed import captured, history, packed
from .products import channels_first, channels_last, window_attributes
from .spelling import Operators, Results, Spelled, Spelling, attributes

_FLOAT, _TYPED_POOLS = 1, 12  # since this operator set MaxPool takes whole numbers


def _causal(call: Spelling) -> Results:
    """Of each channel by itself, of what is and was; the rows for the next run are given back."""
    if call.attr("ndim", 1) != 1 or call.attr("state_window", 0):
        raise call.unsupported("more than one dimension, or a window of states,")
    for name, default in _OF_GPUS.items():
        if call.attr(name, default) != default:
            raise call.unsupported(f"{name}={call.attr(name, default)}")
    last, dilation = call.attr("channels_last", 0), call.count("dilation", 1)
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
    y = _bent(call, y)
    state = call.slice(whole, 2, rows, rows + kept) if call.wants(1) else ""
    if last:
        y = call.reshape(call.transpose(y, 0, 2, 1), *shape)
        state = state and call.reshape(call.transpose(state, 0, 2, 1), shape[0], kept, *shape[2:])
    return y, state


def _bent(call: Spelling, y: str) -> str:
    kind = call.attr("activation", "none")
    if kind not in ("", "none", "silu", "swish"):
        raise call.unsupported(f"activation='{kind}'")
    return silu(call, y) if kind in ("silu", "swish") else y


def _packed_causal(call: Spelling) -> Results:
    """The same of sequences of several lengths, rows [rows, channels] of all of them."""
    if call.input(6) or call.input(7):
        raise call.unsupported("a convolution whose weights are of each row")
    rows, channels = call.shape(call.x)
    taps, dilation = call.shape(call.given(1))[-1], call.count("dilation", 1)
    own = packed(call, call.given(2), rows)
    known = history(call, own, call.x, call.transpose(call.given(4), 0, 2, 1))
    if known.kept != (taps - 1) * dilation:
        raise call.unsupported(f"a state of {known.kept} rows for {taps} taps")
    weights = call.split(call.reshape(call.given(1), channels, taps), 1, [1] * taps)
    y = call.input(3)
    for tap, weight in enumerate(weights):
        at = known.before(call, (taps - 1 - tap) * dilation)
        product = call.emit("Mul", at, call.reshape(weight, channels))
        y = call.emit("Add", product, y) if y else product
    last = call.given(4)
    if known.kept and call.wants(1):
        last = call.transpose(known.last(call), 0, 2, 1)
    capacity = call.attr("state_update_capacity", 0)
    update = captured(call, own, call.x, call.given(5), capacity) if call.wants(2) else ""
    return _bent(call, y), last, update


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


# What only ONNX Runtime's kernels for GPUs take, with what stands for nothing.
_OF_GPUS = {
    "input_channel_offset": 0,
    "input_channels": 0,
    "state_channels_last": -1,
    "state_length": 0,
    "state_update_capacity": 0,
}
OPERATORS: Operators = {
    "CausalConvWithState": Spelled(
        _causal,
        4,
        attributes("activation channels_last dilation ndim state_window") | _OF_GPUS.keys(),
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
    "VarlenCausalConvWithState": Spelled(
        _packed_causal,
        8,
        attributes("activation delta_offset dilation group_size state_update_capacity"),
        in_steps=True,
        since=12,
    ),
}
