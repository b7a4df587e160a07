"""Where a sum or a product leaves its type's range inside, or may in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from .reference import Engine, NoReferenceError, compute
from .values import Array

# Sums of products in any order; Mul may be part of a fused multiply-add.
SUMS = frozenset(
    """
        AffineGrid Attention AveragePool BatchNormalization BiasGelu BlackmanWindow CDist
        CausalConvWithState Col2Im Conv ConvTranspose CumProd CumSum DFT DeformConv Det Einsum
        FastGelu FusedMatMul GRU Gemm GlobalAveragePool GlobalLpPool GridSample GroupNormalization
        HammingWindow HannWindow InstanceNormalization LRN LSTM LayerNormalization
        LinearAttention LogSoftmax LpNormalization LpPool MatMul MatMulNBits Mean
        MeanVarianceNormalization Mul MultiHeadAttention NegativeLogLikelihoodLoss
        QuantizeLinear QuickGelu RMSNormalization RNN ReduceL1 ReduceL2 ReduceLogSum
        ReduceLogSumExp ReduceMean ReduceProd ReduceSum ReduceSumSquare Resize RoiAlign
        RotaryEmbedding STFT ScatterElements ScatterND SkipLayerNormalization
        SkipSimplifiedLayerNormalization Softmax SoftmaxCrossEntropyLoss Sum SwiGLU Upsample
        Winograd
    """.split()
)
# Of these, numbers on a grid give numbers on it, as long as no digit is lost.
POLYNOMIAL = frozenset(
    """
        Col2Im Conv ConvTranspose CumSum Einsum Gemm MatMul Mul ReduceL1 ReduceProd ReduceSum
        ReduceSumSquare ScatterElements ScatterND Sum
    """.split()
)
# Their weights are rounded, too: of infinity with a weight of about zero, and of numbers whose
# weighted sums overflow, anything may come.
BETWEEN = frozenset("GridSample Resize Upsample".split())
MAXIMA = frozenset("GlobalMaxPool MaxPool MaxRoiPool".split())
_ROOM = 1e-6  # of a type's range: a sum of more may overflow once it is scaled


def overflown(
    node: onnx.NodeProto,
    args: Sequence[Array | None],
    opset: int,
    truth: Sequence[Array],
    first: Engine,
) -> list[Array]:
    """Where a sum overflows inside, or may in another order of additions."""
    none = [np.zeros(t.shape, np.bool_) for t in truth]
    if node.op_type in MAXIMA:
        return [_is_open(node, args, opset, first) | (t == _lowest(t)) for t in truth[:1]]
    given = [a for a in args if a is not None and a.dtype.kind == "f"]
    if node.op_type in BETWEEN:
        vast = any(map(_is_vast, given))
        pairs = zip(truth, none, strict=True)
        return [_at_the_end(t) | vast if t.dtype.kind == "f" else n for t, n in pairs]
    if node.op_type not in SUMS or not given:
        return none
    if node.op_type == "MatMul" and any(map(_is_vast, given)):  # by scales that move into it
        return [np.ones(t.shape, np.bool_) for t in truth]
    if node.op_type == "ReduceProd":
        return [_leaves_range(node, args, opset, first)]
    return _of_sums(node, args, opset, truth, first) if any(map(_is_huge, given)) else none


def _of_sums(
    node: onnx.NodeProto,
    args: Sequence[Array | None],
    opset: int,
    truth: Sequence[Array],
    first: Engine,
) -> list[Array]:
    if node.op_type not in POLYNOMIAL:  # what it squares, and scales that move into weights
        return [np.ones(t.shape, np.bool_) for t in truth]
    try:
        sums = compute(node, [_magnitudes(a) for a in args], opset, first)
        return [~(s < np.finfo(s.dtype).max * _ROOM) for s in sums]
    except NoReferenceError:
        return [~np.isfinite(t) for t in truth]


def _leaves_range(
    node: onnx.NodeProto, args: Sequence[Array | None], opset: int, first: Engine
) -> Array:
    """Where a product of some of the factors does, though that of all may not."""
    x = np.abs(np.asarray(args[0]))
    (high,), (low,) = (
        compute(node, [limited, *args[1:]], opset, first)
        for limited in (np.maximum(x, 1), np.minimum(x, 1))
    )
    info = np.finfo(x.dtype)
    return np.asarray(~((high < info.max * _ROOM) & (low > info.tiny / _ROOM)))


def _lowest(array: Array) -> Any:
    """From where ONNX Runtime looks for a maximum, though -infinity is below."""
    return np.finfo(array.dtype).min if array.dtype.kind == "f" else np.inf


def _is_open(
    node: onnx.NodeProto, args: Sequence[Array | None], opset: int, first: Engine
) -> Array:
    """Where a window has NaN, which some let through and others do not."""
    x = np.asarray(args[0])
    (found,) = compute(node, [np.isnan(x).astype(x.dtype), *args[1:]], opset, first)
    return np.asarray(found > 0)


def _is_huge(array: Array) -> bool:
    """Whether finite numbers have squares that may overflow."""
    bound = np.sqrt(np.finfo(array.dtype).max) / 1e4
    return bool((np.isfinite(array) & (np.abs(array) > bound)).any())


def _is_vast(array: Array) -> bool:
    """Whether weighted sums of finite numbers may overflow."""
    return bool((np.isfinite(array) & _at_the_end(array)).any())


def _at_the_end(array: Array) -> Array:
    """Where numbers are near the end of their type's range or beyond, or none."""
    return np.asarray(~(np.abs(array) < np.finfo(array.dtype).max / 16))


def _magnitudes(array: Array | None) -> Array | None:
    return array if array is None or array.dtype.kind != "f" else np.abs(array)
