"""What every operator means, in NumPy: folds constants and is the reference that tests compare to.

Written for clarity; only data movement is cheap. ``relax.*`` operators are not covered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from luthier.schedules import Node, Workload, ops

from . import evaluate_norm
from .evaluate_cast import cast

Array = NDArray[Any]


def evaluate(node: Node, args: Sequence[Array]) -> Array:
    """The node's result, in the node's dtype; float64 arguments in place of float32 keep theirs.

    float16 is computed in float32 and rounded once, as kernels do.
    """
    if node.op not in ops.MOVEMENT:
        args = [a.astype(np.float32) if a.dtype == np.float16 else a for a in args]
    with np.errstate(all="ignore"):
        result = np.asarray(_RULES[node.op](node, *args))
        wide = result.dtype == np.float64 and node.out.dtype == "float32" and node.op != "cast"
        if not (wide and _any_double(args)):
            result = result.astype(node.out.dtype, copy=False)
    if node.op in ops.ELEMENTWISE:
        result = np.broadcast_to(result, node.out.shape)
    return result


def run(workload: Workload, inputs: Sequence[Array]) -> Array:
    """The workload's output; float64 inputs in place of float32 ones give a float64 result."""
    values = list(inputs)
    for node in workload.nodes:
        values.append(evaluate(node, [values[a] for a in node.args]))
    return values[-1]


def can_evaluate(op: str) -> bool:
    """Whether ``evaluate`` knows the operator."""
    return op in _RULES


def _any_double(args: Sequence[Array]) -> bool:
    return any(a.dtype == np.float64 for a in args)


def _windows(x: Array, node: Node, kernel: tuple[int, int], fill: float) -> Array:
    """[N, OH, OW, C, KH, KW] of the padded input; places beyond the pads hold ``fill`` too."""
    top, left, *_ = node.attr("pads")
    (sh, sw), (dh, dw) = node.attr("strides"), node.attr("dilations")
    _, rows, columns, _ = node.out.shape
    high = (rows - 1) * sh + (kernel[0] - 1) * dh + 1
    wide = (columns - 1) * sw + (kernel[1] - 1) * dw + 1
    below, right = max(0, high - top - x.shape[1]), max(0, wide - left - x.shape[2])
    padded = np.pad(
        x, ((0, 0), (top, below), (left, right), (0, 0)), constant_values=_fill(x, fill)
    )
    padded = padded[:, :high, :wide]
    span = ((kernel[0] - 1) * dh + 1, (kernel[1] - 1) * dw + 1)
    view = sliding_window_view(padded, span, axis=(1, 2))
    return view[:, ::sh, ::sw, :, ::dh, ::dw]


def _fill(x: Array, fill: float) -> Any:
    if x.dtype.kind == "f" or math.isfinite(fill):
        return fill
    return np.iinfo(x.dtype).min


def _conv2d(node: Node, x: Array, w: Array) -> Array:
    groups = node.attr("groups")
    o, kh, kw, i = w.shape
    windows = _windows(x, node, (kh, kw), 0.0)
    n, rows, columns = windows.shape[:3]
    parts = []
    for g in range(groups):
        patch = windows[:, :, :, g * i : (g + 1) * i].transpose(0, 1, 2, 4, 5, 3)
        weights = w[g * (o // groups) : (g + 1) * (o // groups)]
        flat = patch.reshape(n * rows * columns, kh * kw * i)
        parts.append(flat @ weights.reshape(o // groups, -1).T)
    return np.concatenate(parts, axis=1).reshape(n, rows, columns, o)


def _conv2d_transpose(node: Node, x: Array, w: Array) -> Array:
    groups = node.attr("groups")
    (sh, sw), (dh, dw) = node.attr("strides"), node.attr("dilations")
    top, left, *_ = node.attr("pads")
    n, h, wide, c = x.shape
    _, kh, kw, o = w.shape
    _, rows, columns, _ = node.out.shape
    full_h = max(rows + top, (h - 1) * sh + (kh - 1) * dh + 1)
    full_w = max(columns + left, (wide - 1) * sw + (kw - 1) * dw + 1)
    full = np.zeros((n, full_h, full_w, o * groups), np.result_type(x, w))
    per = c // groups
    for g in range(groups):
        into = full[..., g * o : (g + 1) * o]
        part = x[..., g * per : (g + 1) * per]
        for i in range(kh):
            for j in range(kw):
                rows_at = slice(i * dh, i * dh + (h - 1) * sh + 1, sh)
                columns_at = slice(j * dw, j * dw + (wide - 1) * sw + 1, sw)
                into[:, rows_at, columns_at] += part @ w[g * per : (g + 1) * per, i, j]
    return full[:, top : top + rows, left : left + columns]


def _matmul(node: Node, a: Array, b: Array) -> Array:
    return np.asarray(np.matmul(a, b.swapaxes(-1, -2) if node.attr("transpose_b") else b))


def _max_pool2d(node: Node, x: Array) -> Array:
    return np.asarray(_windows(x, node, node.attr("kernel"), -math.inf).max(axis=(4, 5)))


def _avg_pool2d(node: Node, x: Array) -> Array:
    total = _windows(x, node, node.attr("kernel"), 0.0).sum(axis=(4, 5))
    if node.attr("count_include_pad"):
        return np.asarray(total / math.prod(node.attr("kernel")))
    ones = np.ones((1, *x.shape[1:3], 1), x.dtype)
    taps = _windows(ones, node, node.attr("kernel"), 0.0).sum(axis=(4, 5))
    return np.asarray(total / taps)


def _reduce(function: Callable[..., Any]) -> Callable[..., Array]:
    def apply(node: Node, x: Array) -> Array:
        return np.asarray(function(x, axis=node.attr("axes"), keepdims=node.attr("keepdims")))

    return apply


def _slice(node: Node, x: Array) -> Array:
    index = []
    for begin, step, count in zip(
        node.attr("begin"), node.attr("steps"), node.out.shape, strict=True
    ):
        end = begin + step * count
        index.append(slice(begin, None if end < 0 else end, step))
    return x[tuple(index)]


def _pad(node: Node, x: Array) -> Array:
    before, mode = node.attr("before"), node.attr("mode")
    width = [(b, o - b - i) for b, o, i in zip(before, node.out.shape, x.shape, strict=True)]
    if mode == "constant":
        return np.pad(x, width, constant_values=_number(node.attr("value"), x))
    return np.pad(x, width, mode=mode)


def _take(node: Node, x: Array, indices: Array) -> Array:
    axis = node.attr("axis")
    size = x.shape[axis]
    from_start = np.where(indices < 0, indices + size, indices)
    return np.take(x, np.clip(from_start, 0, size - 1), axis=axis)


def _window_mean(node: Node, x: Array) -> Array:
    axis, size, before = node.attr("axis"), node.attr("size"), node.attr("before")
    width = [(0, 0)] * x.ndim
    width[axis] = (before, size - 1 - before)
    x = x.astype(np.float32) if x.dtype == np.float16 else x
    windows = sliding_window_view(np.pad(x, width), size, axis=axis)
    return np.asarray(windows.sum(axis=-1) / size)


def _iota(node: Node) -> Array:
    start, step = node.attr("start"), node.attr("step")
    return np.asarray(start + step * np.arange(node.out.shape[0]))


def _const(node: Node) -> Array:
    value = node.attr("value")
    return np.asarray(float(value) if isinstance(value, str) else value, node.out.dtype)


def _number(value: Any, like: Array) -> Any:
    number = float(value) if isinstance(value, str) else value
    if like.dtype.kind in "iu":
        info = np.iinfo(like.dtype)
        number = int(min(max(number, info.min), info.max))
    return like.dtype.type(number)


def _clip(node: Node, x: Array) -> Array:
    low, high = _number(node.attr("min"), x), _number(node.attr("max"), x)
    x = np.where(x < low, low, x)
    return np.where(x > high, high, x)


def _erf(node: Node, x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x), x.dtype)


def _divide(node: Node, a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":  # C's division: towards zero
        down, rest = np.divmod(a, b)  # by zero both are 0
        return np.asarray(down + ((rest != 0) & ((a < 0) != (b < 0))))
    return np.asarray(a / b)


def _floor_divide(node: Node, a: Array, b: Array) -> Array:
    # NumPy's own differs for infinite floats.
    return np.asarray(np.floor(a / b) if a.dtype.kind == "f" else a // b)


def _power(node: Node, a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu" and not (b.size == 1 and b.item() in (1, 2, 3)):
        return cast(np.power(a.astype(np.float64), b.astype(np.float64)), node.out.dtype)
    # Where all exponents are one number in memory, NumPy takes square roots: wrong for -0 and -inf.
    return np.asarray(np.power(*map(np.copy, np.broadcast_arrays(a, b))))


def _leaky_relu(node: Node, x: Array) -> Array:
    return np.where(x > 0, x, x * x.dtype.type(node.attr("alpha")))


def _hard_sigmoid(node: Node, x: Array) -> Array:
    alpha, beta = x.dtype.type(node.attr("alpha")), x.dtype.type(node.attr("beta"))
    return np.asarray(np.clip(x * alpha + beta, 0, 1))


def _elementwise(function: Callable[..., Any]) -> Callable[..., Array]:
    return lambda node, *args: np.asarray(function(*args))


_SIMPLE: Mapping[str, Callable[..., Any]] = {
    "negative": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "relu": lambda x: np.where(x < 0, x.dtype.type(0), x),
    "logical_not": np.logical_not,
    "bitwise_not": np.bitwise_not,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.round,
    "trunc": np.trunc,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "mod": np.fmod,
    "floor_mod": np.mod,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "left_shift": np.left_shift,
    "right_shift": np.right_shift,
    "where": np.where,
}

_RULES: dict[str, Callable[..., Array]] = {
    **{name: _elementwise(function) for name, function in _SIMPLE.items()},
    "conv2d": _conv2d,
    "conv2d_transpose": _conv2d_transpose,
    "matmul": _matmul,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "sum": _reduce(np.sum),
    "mean": _reduce(np.mean),
    "max": _reduce(np.max),
    "min": _reduce(np.min),
    "prod": _reduce(np.prod),
    "softmax": evaluate_norm.softmax,
    "log_softmax": evaluate_norm.log_softmax,
    "layer_norm": evaluate_norm.layer_norm,
    "attention": evaluate_norm.attention,
    "rms_norm": evaluate_norm.rms_norm,
    "group_norm": evaluate_norm.group_norm,
    "const": _const,
    "clip": _clip,
    "cast": lambda node, x: cast(x, node.out.dtype),
    "erf": _erf,
    "divide": _divide,
    "floor_divide": _floor_divide,
    "power": _power,
    "leaky_relu": _leaky_relu,
    "hard_sigmoid": _hard_sigmoid,
    "reshape": lambda node, x: x.reshape(node.out.shape),
    "transpose": lambda node, x: x.transpose(node.attr("axes")),
    "broadcast_to": lambda node, x: np.broadcast_to(x, node.out.shape),
    "slice": _slice,
    "pad": _pad,
    "concat": lambda node, *args: np.concatenate(args, axis=node.attr("axis")),
    "take": _take,
    "window_mean": _window_mean,
    "iota": _iota,
}
