"""The result types of operators, where arguments and attributes tell them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from luthier.schedules import Tensor
from luthier.schedules.ops import ELEMENTWISE

_BOOL = frozenset(
    """
        isnan isinf equal not_equal less less_equal greater greater_equal logical_and
        logical_or logical_xor logical_not
    """.split()
)
_SAME = ("softmax", "log_softmax", "layer_norm", "rms_norm", "group_norm", "window_mean")
_REDUCTIONS = ("sum", "mean", "max", "min", "prod")

Attrs = Mapping[str, Any]


def infer(op: str, args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    """Type of ``op``'s result; shapes are taken to fit.

    ``reshape``, ``broadcast_to``, ``cast``, ``slice``, ``pad``, ``iota``, ``const``, pooling and
    ``conv2d_transpose`` keep their result in the node alone, so they are not inferred.
    """
    if op in _RULES:
        return _RULES[op](args, attrs)
    if op in _SAME:
        return args[0]
    if op in _REDUCTIONS:
        return _reduction(args, attrs)
    if op in ELEMENTWISE and op not in ("cast", "const"):
        dtype = "bool" if op in _BOOL else args[-1].dtype
        return Tensor(np.broadcast_shapes(*(a.shape for a in args)), dtype)
    raise AssertionError(f"the result of {op} must be given")


def window(size: int, kernel: int, stride: int, dilation: int, pads: int) -> int:
    """Number of places of a sliding window."""
    return (size + pads - dilation * (kernel - 1) - 1) // stride + 1


def _conv2d(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    (n, h, w, _), (o, kh, kw, _) = args[0].shape, args[1].shape
    top, left, bottom, right = attrs["pads"]
    (sh, sw), (dh, dw) = attrs["strides"], attrs["dilations"]
    rows = window(h, kh, sh, dh, top + bottom)
    columns = window(w, kw, sw, dw, left + right)
    return Tensor((n, rows, columns, o), args[0].dtype)


def _matmul(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    a, b = args[0].shape, args[1].shape
    columns = b[-2] if attrs.get("transpose_b") else b[-1]
    batch = np.broadcast_shapes(a[:-2], b[:-2])
    return Tensor((*batch, a[-2], columns), args[0].dtype)


def _reduction(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    axes, keep = attrs["axes"], attrs["keepdims"]
    shape = args[0].shape
    kept = tuple(1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes)
    return Tensor(kept, args[0].dtype)


def _transpose(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    return Tensor(tuple(args[0].shape[i] for i in attrs["axes"]), args[0].dtype)


def _concat(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    axis = attrs["axis"]
    shape = list(args[0].shape)
    shape[axis] = sum(a.shape[axis] for a in args)
    return Tensor(tuple(shape), args[0].dtype)


def _take(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    axis, shape = attrs["axis"], args[0].shape
    return Tensor((*shape[:axis], *args[1].shape, *shape[axis + 1 :]), args[0].dtype)


_RULES: dict[str, Callable[[Sequence[Tensor], Attrs], Tensor]] = {
    "conv2d": _conv2d,
    "matmul": _matmul,
    "transpose": _transpose,
    "concat": _concat,
    "take": _take,
}
