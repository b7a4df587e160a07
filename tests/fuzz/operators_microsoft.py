"""Rules of some of ONNX Runtime's own operators, one or more of each kind of spelling."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import MICROSOFT
from .draft import Draft, Growth, Rule, UnfitError


def _draft(op: str, inputs: list[str], outputs: int = 1, **attrs: Any) -> Draft:
    return Draft(op, inputs, attrs, outputs, MICROSOFT)


def _activation(op: str) -> Rule:
    """Of a sum with a bias of its last dimension, where it takes one."""

    def rule(g: Growth) -> Draft:
        x = g.any(("float32",), 1, 4)
        biased = op == "BiasGelu" or (op == "FastGelu" and g.chance(0.5))
        bias = [g.new("float32", g.shape(x)[-1:], "normal", 0.8)] if biased else []
        attrs = {"alpha": g.pick((0.5, 1.702))} if op == "QuickGelu" and g.chance(0.6) else {}
        return _draft(op, [x, *bias], **attrs)

    return rule


def _fused_matmul(g: Growth) -> Draft:
    a = g.any(("float32",), 2, 3)
    attrs: dict[str, Any] = {k: 1 for k in ("transA", "transB") if g.chance(0.4)}
    if g.chance(0.5):
        attrs["alpha"] = g.pick((0.5, 2.0, -1.0))
    *batch, rows, columns = g.shape(a)
    depth, wide = rows if "transA" in attrs else columns, g.rng.choice((1, 3, 8, 17))
    sides = (wide, depth) if "transB" in attrs else (depth, wide)
    return _draft("FusedMatMul", [a, g.new("float32", (*batch, *sides), constant=0.6)], **attrs)


def _skip_norm(op: str) -> Rule:
    def rule(g: Growth) -> Draft:
        x = g.any(("float32",), 3, 3)
        width = g.shape(x)[-1:]
        given = [x, g.like(x, g.shape(x)), g.new("float32", width, "normal", 0.8)]
        if op == "SkipLayerNormalization" and g.chance(0.7):
            given.append(g.new("float32", width, "normal", 0.8))
        if len(given) == 4 and g.chance(0.5):
            given.append(g.new("float32", width, "normal", 0.8))
        return _draft(op, given, epsilon=g.pick((1e-5, 1e-3)))

    return rule


def _attention(g: Growth) -> Draft:
    batch, heads = g.rng.choice((1, 2)), g.rng.choice((1, 2, 3))
    rows, columns = g.rng.choice((1, 3, 9)), g.rng.choice((1, 4, 17))
    depth, width = g.rng.choice((2, 4, 8)), g.rng.choice((2, 8))
    shapes = [(rows, depth), (columns, depth), (columns, width)]
    inputs = [g.new("float32", (batch, n, heads * d), "normal", 0.0) for n, d in shapes]
    if g.chance(0.3):
        total = heads * (2 * depth + width)
        inputs.append(g.new("float32", (total,), "normal", 1.0))
    attrs: dict[str, Any] = {"num_heads": heads}
    if g.chance(0.3):
        attrs["scale"] = g.pick((0.5, 1.0))
    if g.chance(0.3) and rows == columns:
        attrs["unidirectional"] = 1
    return _draft("MultiHeadAttention", inputs, **attrs)


def _few_bits(g: Growth) -> Draft:
    """A matrix of 4 bits, in blocks with scales, and zero points or none."""
    block, columns, blocks = 16, g.rng.choice((1, 3, 8, 17)), g.rng.choice((1, 2, 3))
    depth = blocks * block
    x = g.new("float32", (*g.some_shape(1, 2), depth), constant=0.0)
    if g.array(x).size > 2000:
        raise UnfitError
    codes = g.numbers.integers(0, 256, (columns, blocks, block // 2))
    scales = g.numbers.uniform(0.01, 0.3, columns * blocks)
    given = [x, g.known(codes, "uint8"), g.known(scales, "float32")]
    if g.chance(0.4):
        zeros = g.numbers.integers(0, 256, columns * ((blocks + 1) // 2))
        given.append(g.known(zeros, "uint8"))
    return _draft("MatMulNBits", given, K=depth, N=columns, bits=4, block_size=block)


def _distances(g: Growth) -> Draft:
    columns = g.rng.choice((1, 3, 8))
    pair = [g.new("float32", (g.rng.choice((1, 4, 9)), columns)) for _ in range(2)]
    return _draft("CDist", pair, metric=g.pick(("euclidean", "sqeuclidean")))


def _unfold(g: Growth) -> Draft:
    x = g.any(("float32", "int32"), 1, 4)
    axis = g.axis(len(g.shape(x)))
    size = g.rng.randint(1, g.shape(x)[axis])
    return _draft("UnfoldTensor", [x], dim=axis, size=size, step=g.rng.choice((1, 2)))


def _expand_dims(g: Growth) -> Draft:
    x = g.any(("float32", "int64"), 0, 4)
    rank = len(g.shape(x))
    return _draft("ExpandDims", [x, g.known(np.array(g.rng.randint(-rank - 1, rank)), "int32")])


RULES: dict[str, Rule] = {
    f"{MICROSOFT}.{op}": rule
    for op, rule in {
        **{op: _activation(op) for op in ("BiasGelu", "FastGelu", "QuickGelu")},
        **{
            op: _skip_norm(op)
            for op in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
        },
        "CDist": _distances,
        "ExpandDims": _expand_dims,
        "FusedMatMul": _fused_matmul,
        "MatMulNBits": _few_bits,
        "MultiHeadAttention": _attention,
        "UnfoldTensor": _unfold,
    }.items()
}
