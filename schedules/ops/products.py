"""Sums of products: convolutions of images, channels last but for planes, and matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..ir.dtype import DTYPES
from ..ir.workload import Node, Tensor
from .operator import Anchor, Array, Attrs, Evaluate, Infer
from .windows import places, windows

OF_BFLOAT16 = "of_bfloat16"
"""An attribute of products and convolutions whose operands hold numbers of bfloat16 alone. Where an
operand lies in memory as bfloat16, it is one of that type, and the result one of float32."""


class Product(Anchor):
    """Sums of products of its arguments' elements."""


def _infer_conv2d(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    (n, h, w, _), (o, kh, kw, _) = args[0].shape, args[1].shape
    top, left, bottom, right = attrs["pads"]
    (sh, sw), (dh, dw) = attrs["strides"], attrs["dilations"]
    rows = places(h, kh, sh, dh, top + bottom)
    columns = places(w, kw, sw, dw, left + right)
    return Tensor((n, rows, columns, o), args[0].element.computed.name)


def _infer_conv2d_planes(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    n, c, h, w = args[0].shape
    n, rows, columns, o = _infer_conv2d((Tensor((n, h, w, c)), args[1]), attrs).shape
    return Tensor((n, o, rows, columns), args[0].dtype)


def _infer_matmul(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    a, b = args[0].shape, args[1].shape
    columns = b[-2] if attrs.get("transpose_b") else b[-1]
    batch = np.broadcast_shapes(a[:-2], b[:-2])
    return Tensor((*batch, a[-2], columns), args[0].element.computed.name)


def _conv2d(node: Node, x: Array, w: Array) -> Array:
    groups = node.attr("groups")
    o, kh, kw, i = w.shape
    patches = windows(x, node, (kh, kw), node.attr("pad_value", 0))
    n, rows, columns = patches.shape[:3]
    parts = []
    for g in range(groups):
        patch = patches[:, :, :, g * i : (g + 1) * i].transpose(0, 1, 2, 4, 5, 3)
        weights = w[g * (o // groups) : (g + 1) * (o // groups)]
        flat = patch.reshape(n * rows * columns, kh * kw * i)
        parts.append(flat @ weights.reshape(o // groups, -1).T)
    return np.concatenate(parts, axis=1).reshape(n, rows, columns, o)


def _conv2d_planes(node: Node, x: Array, w: Array) -> Array:
    n, o, rows, columns = node.out.shape
    last = replace(node, out=Tensor((n, rows, columns, o), node.out.dtype))
    return _conv2d(last, x.transpose(0, 2, 3, 1), w).transpose(0, 3, 1, 2)


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


def _widened(evaluate: Evaluate) -> Evaluate:
    """The same of operands that may be in bfloat16."""

    def computed(node: Node, *args: Array) -> Array:
        wide = (a.astype(DTYPES[a.dtype.name].computed.numpy, copy=False) for a in args)
        return np.asarray(evaluate(node, *wide))

    return computed


def _of_whole(evaluate: Evaluate) -> Evaluate:
    """The same of whole numbers, each as wide as the result before it is multiplied."""
    return lambda node, *args: evaluate(node, *(a.astype(node.out.dtype) for a in args))


def _whole_matmul(node: Node, a: Array, b: Array) -> Array:
    zero_a, zero_b = node.attr("zeros", (0, 0))
    wide = (x.astype(node.out.dtype) for x in (a, b))
    return _matmul(node, *(x - zero for x, zero in zip(wide, (zero_a, zero_b), strict=True)))


def _to_int32(infer: Infer) -> Infer:
    return lambda args, attrs: Tensor(infer(args, attrs).shape, "int32")


def _count_conv2d(node: Node, args: Sequence[Tensor]) -> int:
    return math.prod(args[1].shape[1:]) * node.out.size * 2


def _count_conv2d_transpose(node: Node, args: Sequence[Tensor]) -> int:
    return math.prod(args[1].shape[1:]) * args[0].size * 2


def _count_matmul(node: Node, args: Sequence[Tensor]) -> int:
    return node.out.size * args[0].shape[-1] * 2


OPERATORS = (
    # x[N,H,W,C], w[O,KH,KW,C/groups]; strides, pads, dilations, groups
    Product("conv2d", 2, _widened(_conv2d), _infer_conv2d, count=_count_conv2d),
    # x[N,C,H,W], w[O,KH,KW,C/groups] to [N,O,OH,OW]; the same
    Product("conv2d_planes", 2, _conv2d_planes, _infer_conv2d_planes, count=_count_conv2d),
    # x[N,H,W,C], w[C,KH,KW,O/groups]; the same (output padding shows in the output's shape)
    Product("conv2d_transpose", 2, _widened(_conv2d_transpose), count=_count_conv2d_transpose),
    # a[...,M,K], b[...,K,N], NumPy's batching; transpose_b: b is [...,N,K]
    Product("matmul", 2, _widened(_matmul), _infer_matmul, count=_count_matmul),
    # The same two of whole numbers of 8 or 16 bits, each argument of its own type: int32, exactly.
    # pad_value, 0 without: what a convolution sees outside of the image, a number of x's type
    Product("conv2d_integer", 2, _of_whole(_conv2d), _to_int32(_infer_conv2d), count=_count_conv2d),
    # zeros, none without: what is taken from each number of either, which only ``legalize`` has
    Product("matmul_integer", 2, _whole_matmul, _to_int32(_infer_matmul), count=_count_matmul),
)
