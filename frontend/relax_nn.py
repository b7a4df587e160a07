"""How Relax's neural network operators are spelled in the graph.

Convolutions and pooling are channels-last there, so each gets a transpose before and after it;
``layout`` moves those through the graph until they meet and cancel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from luthier.schedules import Tensor

from .relax_fallback import encode
from .relax_math import matmul
from .translation import Converter, Translation

TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)


def _pair(values: Any) -> tuple[int, int]:
    first, second = (int(v) for v in values)
    return first, second


def _layouts(t: Translation, attrs: Any, wanted: Sequence[tuple[str, str]]) -> None:
    for field, layout in wanted:
        if str(getattr(attrs, field)) != layout:
            raise t.unsupported(f"the layout {getattr(attrs, field)}")


def _convolution(t: Translation, x: int, w: int, attrs: Any, rank: int) -> dict[str, Any]:
    padding = tuple(int(p) for p in attrs.padding)
    strides = tuple(int(s) for s in attrs.strides)
    dilations = tuple(int(d) for d in attrs.dilation)
    if rank == 1:  # one row
        padding, strides, dilations = (0, padding[0], 0, padding[1]), (1, *strides), (1, *dilations)
    return {
        "strides": strides,
        "pads": padding,
        "dilations": dilations,
        "groups": int(attrs.groups),
    }


def _conv2d(t: Translation, call: Any) -> int:
    _layouts(t, call.attrs, [("data_layout", "NCHW"), ("kernel_layout", "OIHW")])
    x, w = t.value(call.args[0]), t.value(call.args[1])
    attrs = _convolution(t, x, w, call.attrs, 2)
    y = t.emit("conv2d", t.transpose(x, TO_NHWC), t.transpose(w, TO_NHWC), **attrs)
    return t.transpose(y, TO_NCHW)


def _conv1d(t: Translation, call: Any) -> int:
    _layouts(t, call.attrs, [("data_layout", "NCW"), ("kernel_layout", "OIW")])
    x, w = (_with_row(t, t.value(a)) for a in call.args)
    attrs = _convolution(t, x, w, call.attrs, 1)
    y = t.emit("conv2d", t.transpose(x, TO_NHWC), t.transpose(w, TO_NHWC), **attrs)
    return t.reshape(t.transpose(y, TO_NCHW), t.out(call).shape)


def _with_row(t: Translation, x: int) -> int:
    n, c, width = t.type(x).shape
    return t.reshape(x, (n, c, 1, width))


def _conv2d_transpose(t: Translation, call: Any) -> int:
    _layouts(t, call.attrs, [("data_layout", "NCHW"), ("kernel_layout", "IOHW")])
    x, w = t.value(call.args[0]), t.value(call.args[1])
    return _transposed(t, x, w, _convolution(t, x, w, call.attrs, 2), t.out(call))


def _conv1d_transpose(t: Translation, call: Any) -> int:
    _layouts(t, call.attrs, [("data_layout", "NCW"), ("kernel_layout", "IOW")])
    x, w = (_with_row(t, t.value(a)) for a in call.args)
    out = t.out(call)
    n, c, width = out.shape
    attrs = _convolution(t, x, w, call.attrs, 1)
    y = _transposed(t, x, w, attrs, Tensor((n, c, 1, width), out.dtype))
    return t.reshape(y, out.shape)


def _transposed(t: Translation, x: int, w: int, attrs: dict[str, Any], out: Tensor) -> int:
    args = t.transpose(x, TO_NHWC), t.transpose(w, TO_NHWC)
    y = t.emit("conv2d_transpose", *args, out=_channels_last(out), **attrs)
    return t.transpose(y, TO_NCHW)


def _channels_last(out: Tensor) -> Tensor:
    return Tensor(tuple(out.shape[i] for i in TO_NHWC), out.dtype)


def _pool(op: str, rank: int) -> Converter:
    def convert(t: Translation, call: Any) -> int:
        attrs, x, out = call.attrs, t.value(call.args[0]), t.out(call)
        _layouts(t, attrs, [("layout", "NCHW" if rank == 2 else "NCW")])
        fields = [tuple(int(v) for v in f) for f in (attrs.pool_size, attrs.strides)]
        kernel, strides = fields
        dilations = tuple(int(d) for d in attrs.dilation)
        pads = tuple(int(p) for p in attrs.padding)
        shape = out.shape
        if rank == 1:
            x, shape = _with_row(t, x), (*shape[:2], 1, shape[2])
            kernel, strides, dilations = (1, *kernel), (1, *strides), (1, *dilations)
            pads = (0, pads[0], 0, pads[1])
        x = t.transpose(x, TO_NHWC)
        out_type = _channels_last(Tensor(shape, out.dtype))
        geometry = {"kernel": kernel, "strides": strides, "dilations": dilations}
        if op == "avg_pool2d":
            y = _average(t, x, out_type, pads, geometry, bool(attrs.count_include_pad))
        else:
            y = t.emit(op, x, out=out_type, pads=pads, **geometry)
        return t.reshape(t.transpose(y, TO_NCHW), out.shape)

    return convert


def _average(
    t: Translation,
    x: int,
    out: Tensor,
    pads: tuple[int, ...],
    geometry: dict[str, Any],
    include: bool,
) -> int:
    """Padding counts, but not what a rounded-up last window sees beyond it."""
    include = include and any(pads)
    if include and _overhangs(t.type(x), out, pads, geometry):
        n, h, w, c = t.type(x).shape
        top, left, bottom, right = pads
        padded = Tensor((n, h + top + bottom, w + left + right, c), out.dtype)
        before = (0, top, left, 0)
        x = t.emit("pad", x, out=padded, before=before, value=0.0, mode="constant")
        pads, include = (0, 0, 0, 0), False
    return t.emit("avg_pool2d", x, out=out, pads=pads, count_include_pad=include, **geometry)


def _overhangs(x: Tensor, out: Tensor, pads: tuple[int, ...], geometry: dict[str, Any]) -> bool:
    for i in (0, 1):
        span = geometry["dilations"][i] * (geometry["kernel"][i] - 1) + 1
        reach = (out.shape[1 + i] - 1) * geometry["strides"][i] + span
        if reach > x.shape[1 + i] + pads[i] + pads[2 + i]:
            return True
    return False


def _avg_pool3d(t: Translation, call: Any) -> int:
    """A mean of neighbours along one dimension (as in LRN) stays in the vocabulary."""
    attrs, x, out = call.attrs, t.value(call.args[0]), t.out(call)
    kernel, pads = [int(k) for k in attrs.pool_size], [int(p) for p in attrs.padding]
    axes = [i for i, k in enumerate(kernel) if k > 1]
    plain = all(int(s) == 1 for s in (*attrs.strides, *attrs.dilation))
    if not (plain and attrs.count_include_pad and len(axes) == 1 and out == t.type(x)):
        return fallback(t, call)
    return t.emit("window_mean", x, axis=2 + axes[0], size=kernel[axes[0]], before=pads[axes[0]])


def _adaptive_avg_pool2d(t: Translation, call: Any) -> int:
    x, out = t.value(call.args[0]), t.out(call)
    if out.shape[2:] == (1, 1):
        return t.emit("mean", x, axes=(2, 3), keepdims=True)
    return fallback(t, call)


def _softmax(op: str) -> Converter:
    def convert(t: Translation, call: Any) -> int:
        x = t.value(call.args[0])
        return t.emit(op, x, axis=int(call.attrs.axis) % len(t.type(x).shape))

    return convert


def _relu(t: Translation, call: Any) -> int:
    return t.emit("relu", t.value(call.args[0]))


def _leaky_relu(t: Translation, call: Any) -> int:
    x = t.value(call.args[0])
    return t.emit("leaky_relu", x, alpha=float(call.attrs.alpha))


def _prelu(t: Translation, call: Any) -> int:
    x, slope = t.value(call.args[0]), t.value(call.args[1])
    shape = [1] * len(t.type(x).shape)
    if t.type(slope).size > 1:
        shape[int(call.attrs.axis) % len(shape)] = t.type(slope).size
    scaled = t.emit("multiply", x, t.reshape(slope, shape))
    return t.emit("where", t.emit("greater", x, t.scalar(0, x)), x, scaled)


def _silu(t: Translation, call: Any) -> int:
    x = t.value(call.args[0])
    return t.emit("multiply", x, t.emit("sigmoid", x))


def gelu(t: Translation, x: int) -> int:
    """Hendrycks and Gimpel 2016, exact form: ``x * (1 + erf(x / sqrt 2)) / 2``."""
    scaled = t.emit("multiply", x, t.scalar(1 / math.sqrt(2), x))
    one = t.emit("add", t.emit("erf", scaled), t.scalar(1, x))
    return t.emit("multiply", t.emit("multiply", x, t.scalar(0.5, x)), one)


def _gelu(t: Translation, call: Any) -> int:
    return gelu(t, t.value(call.args[0]))


def _gelu_tanh(t: Translation, call: Any) -> int:
    """The tanh form of the same paper."""
    x = t.value(call.args[0])
    cube = t.emit("multiply", x, t.emit("multiply", x, x))
    inner = t.emit("add", x, t.emit("multiply", cube, t.scalar(0.044715, x)))
    bent = t.emit("tanh", t.emit("multiply", inner, t.scalar(math.sqrt(2 / math.pi), x)))
    one = t.emit("add", bent, t.scalar(1, x))
    return t.emit("multiply", t.emit("multiply", x, t.scalar(0.5, x)), one)


def _selu(t: Translation, call: Any) -> int:
    """Klambauer et al. 2017, with their constants."""
    x = t.value(call.args[0])
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    below = t.emit("subtract", t.emit("exp", x), t.scalar(1, x))
    bent = t.emit("multiply", below, t.scalar(alpha, x))
    kept = t.emit("where", t.emit("greater", x, t.scalar(0, x)), x, bent)
    return t.emit("multiply", kept, t.scalar(scale, x))


def _softplus(t: Translation, call: Any) -> int:
    """``max(x, 0) + log(1 + exp(-|x|))``, which does not overflow."""
    x, beta = t.value(call.args[0]), float(call.attrs.beta)
    scaled = t.emit("multiply", x, t.scalar(beta, x)) if beta != 1 else x
    small = t.emit("exp", t.emit("negative", t.emit("abs", scaled)))
    log = t.emit("log", t.emit("add", small, t.scalar(1, x)))
    total = t.emit("add", t.emit("relu", scaled), log)
    return t.emit("divide", total, t.scalar(beta, x)) if beta != 1 else total


def _batch_norm(t: Translation, call: Any) -> tuple[int, ...]:
    x, gamma, beta, mean, variance = (t.value(a) for a in call.args)
    shape = [1] * len(t.type(x).shape)
    shape[int(call.attrs.axis)] = t.type(gamma).size
    epsilon = float(call.attrs.epsilon)
    spread = t.emit("sqrt", t.emit("add", variance, t.scalar(epsilon, x)))
    scale = t.emit("divide", gamma, spread) if call.attrs.scale else t.emit("rsqrt", spread)
    shift = t.emit("negative", t.emit("multiply", mean, scale))
    if call.attrs.center:
        shift = t.emit("add", beta, shift)
    scaled = t.emit("multiply", x, t.reshape(scale, shape))
    return t.emit("add", scaled, t.reshape(shift, shape)), mean, variance


def _dropout(t: Translation, call: Any) -> tuple[int, ...]:
    x = t.value(call.args[0])
    ones = np.broadcast_to(np.asarray(1, t.type(x).dtype), t.type(x).shape)
    return x, t.builder.constant(ones)


def _standardise(t: Translation, x: int, axes: tuple[int, ...], epsilon: float) -> int:
    """Mean zero and variance one over ``axes``."""
    centred = t.emit("subtract", x, t.emit("mean", x, axes=axes, keepdims=True))
    square = t.emit("multiply", centred, centred)
    variance = t.emit("mean", square, axes=axes, keepdims=True)
    scale = t.emit("rsqrt", t.emit("add", variance, t.scalar(epsilon, x)))
    return t.emit("multiply", centred, scale)


def _affine(t: Translation, x: int, gamma: int, beta: int, shape: Sequence[int]) -> int:
    scaled = t.emit("multiply", x, t.reshape(gamma, shape))
    return t.emit("add", scaled, t.reshape(beta, shape))


def _axes(t: Translation, call: Any, x: int) -> tuple[int, ...]:
    rank = len(t.type(x).shape)
    return tuple(sorted(int(a) % rank for a in call.attrs.axes))


def _layer_norm(t: Translation, call: Any) -> int:
    x, gamma, beta = (t.value(a) for a in call.args)
    axes, epsilon = _axes(t, call, x), float(call.attrs.epsilon)
    shape = t.type(x).shape
    if axes == tuple(range(len(shape) - len(axes), len(shape))):
        spans = [t.reshape(v, [shape[a] for a in axes]) for v in (gamma, beta)]
        return t.emit("layer_norm", x, *spans, epsilon=epsilon)
    spread = [d if i in axes else 1 for i, d in enumerate(shape)]
    return _affine(t, _standardise(t, x, axes, epsilon), gamma, beta, spread)


def _group_norm(t: Translation, call: Any) -> int:
    x, gamma, beta = (t.value(a) for a in call.args)
    shape, axis = t.type(x).shape, int(call.attrs.channel_axis)
    groups = int(call.attrs.num_groups)
    rank = len(shape)
    axis %= rank
    split = (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
    over = {int(a) % rank for a in call.attrs.axes} | {axis}
    axes = tuple(sorted(a + 1 if a >= axis else a for a in over))
    even = _standardise(t, t.reshape(x, split), axes, float(call.attrs.epsilon))
    along = [d if i == axis else 1 for i, d in enumerate(shape)]
    return _affine(t, t.reshape(even, shape), gamma, beta, along)


def _instance_norm(t: Translation, call: Any) -> int:
    x, gamma, beta = (t.value(a) for a in call.args)
    shape, axis = t.type(x).shape, int(call.attrs.channel_axis)
    even = _standardise(t, x, _axes(t, call, x), float(call.attrs.epsilon))
    along = [d if i == axis % len(shape) else 1 for i, d in enumerate(shape)]
    return _affine(t, even, gamma, beta, along)


def _rms_norm(t: Translation, call: Any) -> int:
    x, weight = t.value(call.args[0]), t.value(call.args[1])
    mean = t.emit("mean", t.emit("multiply", x, x), axes=_axes(t, call, x), keepdims=True)
    scale = t.emit("rsqrt", t.emit("add", mean, t.scalar(float(call.attrs.epsilon), x)))
    return t.emit("multiply", t.emit("multiply", x, scale), weight)


def _attention(t: Translation, call: Any) -> int:
    """Scaled dot products of [batch, length, heads, width] tensors (Vaswani et al. 2017)."""
    attrs = call.attrs
    if attrs.causal_mask is not None or attrs.window_size is not None:
        raise t.unsupported("a causal or windowed mask inside it")
    q, k, v = (t.transpose(t.value(a), (0, 2, 1, 3)) for a in call.args[:3])
    width = t.type(q).shape[-1]
    scale = float(attrs.scale.value) if attrs.scale is not None else 1 / math.sqrt(width)
    scores = matmul(t, q, t.transpose(k, (0, 1, 3, 2)))
    scores = t.emit("multiply", scores, t.scalar(scale, q))
    if len(call.args) > 3:
        scores = t.emit("add", scores, t.value(call.args[3]))
    mixed = matmul(t, t.emit("softmax", scores, axis=3), v)
    return t.transpose(mixed, (0, 2, 1, 3))


def _resize2d(t: Translation, call: Any) -> int:
    """Left to Relax, in channels-last."""
    _layouts(t, call.attrs, [("layout", "NCHW")])
    op, args, attrs = encode(t, call)
    attrs["layout"] = "NHWC"
    out = _channels_last(t.out(call))
    return t.transpose(t.emit(op, t.transpose(args[0], TO_NHWC), out=out, **attrs), TO_NCHW)


def fallback(t: Translation, call: Any) -> int:
    """Left to Relax as it is."""
    op, args, attrs = encode(t, call)
    return t.emit(op, *args, out=t.out(call), **attrs)


def _argument_of(t: Translation, call: Any) -> int:
    if call.attrs.axis is None:
        raise t.unsupported("a search over all axes at once")
    return fallback(t, call)


FALLBACKS = """
    relax.nn.conv3d relax.nn.conv3d_transpose relax.nn.max_pool3d relax.nn.adaptive_avg_pool1d
    relax.nn.adaptive_avg_pool3d relax.image.grid_sample relax.image.resize3d relax.cumsum
    relax.cumprod relax.gather_elements relax.gather_nd relax.scatter_elements
    relax.scatter_nd relax.reverse_sequence relax.vision.roi_align relax.vision.roi_pool
    relax.image.affine_grid
""".split()

TABLE: dict[str, Converter] = {
    **dict.fromkeys(FALLBACKS, fallback),
    "relax.argmax": _argument_of,
    "relax.argmin": _argument_of,
    "relax.image.resize2d": _resize2d,
    "relax.nn.conv1d": _conv1d,
    "relax.nn.conv2d": _conv2d,
    "relax.nn.conv1d_transpose": _conv1d_transpose,
    "relax.nn.conv2d_transpose": _conv2d_transpose,
    "relax.nn.max_pool1d": _pool("max_pool2d", 1),
    "relax.nn.max_pool2d": _pool("max_pool2d", 2),
    "relax.nn.avg_pool1d": _pool("avg_pool2d", 1),
    "relax.nn.avg_pool2d": _pool("avg_pool2d", 2),
    "relax.nn.avg_pool3d": _avg_pool3d,
    "relax.nn.adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "relax.nn.softmax": _softmax("softmax"),
    "relax.nn.log_softmax": _softmax("log_softmax"),
    "relax.nn.relu": _relu,
    "relax.nn.leakyrelu": _leaky_relu,
    "relax.nn.prelu": _prelu,
    "relax.nn.silu": _silu,
    "relax.nn.gelu": _gelu,
    "relax.nn.gelu_tanh": _gelu_tanh,
    "relax.nn.selu": _selu,
    "relax.nn.softplus": _softplus,
    "relax.nn.batch_norm": _batch_norm,
    "relax.nn.dropout": _dropout,
    "relax.nn.layer_norm": _layer_norm,
    "relax.nn.group_norm": _group_norm,
    "relax.nn.instance_norm": _instance_norm,
    "relax.nn.rms_norm": _rms_norm,
    "relax.nn.attention": _attention,
    "relax.nn.attention_bias": _attention,
}
