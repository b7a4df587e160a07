"""Every family of kernels, on odd shapes and every level, against float64; see ``caller``."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from attentions import odd_sizes, separate
from caller import RUNNABLE, TARGETS, verify
from recurrences import layer
from workloads import (
    EPILOGUES,
    Builder,
    Pads,
    Value,
    conv,
    conv_transpose,
    group_norm,
    matmul,
    pool,
    separable,
)

from luthier.schedules import Workload
from luthier.schedules.templates.registry import TEMPLATES, spaces

AFTER = tuple(EPILOGUES)


def _odd(rng: random.Random, most: int, least: int = 1) -> int:
    return rng.randint(least, most)


def _window(rng: random.Random, size: int, kernel: int) -> tuple[int, Pads]:
    """A dilation, and pads with which a window fits into ``size``."""
    dilation = rng.choice([1, 1, 2])
    span = (kernel - 1) * dilation + 1
    short = max(0, span - size)
    top, left = (short + rng.randint(0, 2) for _ in range(2))
    return dilation, (top, left, rng.randint(0, 2), rng.randint(0, 2))


def direct(rng: random.Random) -> Workload:
    groups = rng.choice([1, 1, 2, 3])
    kernel = (_odd(rng, 5), _odd(rng, 5))
    size = _odd(rng, 17, 5)
    dilation, pads = _window(rng, size, max(kernel))
    return conv(
        (_odd(rng, 2), size, size + 2, groups * _odd(rng, 13)),
        groups * _odd(rng, 35),
        kernel,
        strides=(_odd(rng, 3), _odd(rng, 3)),
        pads=pads,
        dilations=(dilation, dilation),
        groups=groups,
        after=rng.choice(AFTER),
    )


def first_layer(rng: random.Random) -> Workload:
    size = _odd(rng, 40, 23)
    pads = (3, 3, 3, 3)
    after = rng.choice(AFTER)
    return conv((1, size, size + 3, 3), 37, (7, 7), strides=(2, 2), pads=pads, after=after)


def pointwise(rng: random.Random) -> Workload:
    shape = (_odd(rng, 2), _odd(rng, 13), _odd(rng, 13), _odd(rng, 70))
    return conv(shape, _odd(rng, 70), (1, 1), after=rng.choice(AFTER))


def winograd(rng: random.Random) -> Workload:
    pads = (_odd(rng, 2, 0), _odd(rng, 2, 0), _odd(rng, 2, 0), _odd(rng, 2, 0))
    shape = (_odd(rng, 2), _odd(rng, 19, 6), _odd(rng, 19, 6), _odd(rng, 40, 3))
    return conv(shape, _odd(rng, 40, 3), (3, 3), pads=pads, after=rng.choice(AFTER))


def depthwise(rng: random.Random) -> Workload:
    channels, kernel = _odd(rng, 70), rng.choice([3, 5, 7])
    size = _odd(rng, 20, 7)
    dilation, pads = _window(rng, size, kernel)
    return conv(
        (_odd(rng, 2), size, size + 1, channels),
        channels * rng.choice([1, 1, 2]),
        (kernel, kernel),
        strides=(_odd(rng, 2), _odd(rng, 2)),
        pads=pads,
        dilations=(dilation, dilation),
        groups=channels,
        after=rng.choice(AFTER),
    )


def expanded_depthwise(rng: random.Random) -> Workload:
    kernel = rng.choice([3, 5, 7])
    size = _odd(rng, 20, 7)
    dilation, pads = _window(rng, size, kernel)
    return separable(
        (_odd(rng, 2), size, size + 1, _odd(rng, 40)),
        _odd(rng, 70, 2),
        (kernel, kernel),
        strides=(_odd(rng, 2), _odd(rng, 2)),
        pads=pads,
        dilations=(dilation, dilation),
        # Of "scaled", which negates, the caller does not know how large the sums are.
        between=rng.choice([a for a in AFTER if a != "scaled"]),
        after=rng.choice(AFTER),
    )


def transposed(rng: random.Random) -> Workload:
    groups = rng.choice([1, 1, 2])
    strides = (_odd(rng, 3), _odd(rng, 3))
    return conv_transpose(
        (_odd(rng, 2), _odd(rng, 9, 3), _odd(rng, 9, 3), groups * _odd(rng, 9)),
        groups * _odd(rng, 20),
        (_odd(rng, 4, 2), _odd(rng, 4, 2)),
        strides=strides,
        pads=(rng.randint(0, 1), rng.randint(0, 1), rng.randint(0, 1), rng.randint(0, 1)),
        groups=groups,
        output_padding=(rng.randint(0, strides[0] - 1), rng.randint(0, strides[1] - 1)),
        after=rng.choice(AFTER),
    )


def gemm(rng: random.Random) -> Workload:
    m, n, k = rng.choice([1, 2, _odd(rng, 50)]), _odd(rng, 90), _odd(rng, 70)
    transpose_b = rng.random() < 0.5
    b = (n, k) if transpose_b else (k, n)
    return matmul(
        (m, k),
        b,
        transpose_b=transpose_b,
        constant=rng.random() < 0.7,
        after=rng.choice([a for a in AFTER if a != "scaled"]),
    )


def batched_gemm(rng: random.Random) -> Workload:
    m, n, k = _odd(rng, 20), _odd(rng, 40), _odd(rng, 30)
    transpose_b = rng.random() < 0.5
    batch = rng.choice([(), (1,), (3,), (2, 1)])
    b = (*batch, n, k) if transpose_b else (*batch, k, n)
    return matmul((2, 3, m, k), b, transpose_b=transpose_b, constant=False, after=rng.choice(AFTER))


def pooling(rng: random.Random) -> Workload:
    op = rng.choice(["max_pool2d", "avg_pool2d"])
    kernel = _odd(rng, 4, 2)
    size, stride = _odd(rng, 15, 5), _odd(rng, 3)
    edge = rng.randint(0, kernel - 1)
    attrs = {"count_include_pad": rng.random() < 0.5} if op == "avg_pool2d" else {}
    return pool(
        op,
        (_odd(rng, 2), size, size + 1, _odd(rng, 40)),
        (kernel, kernel),
        strides=(stride, stride),
        pads=(edge, edge, edge, edge),
        after=rng.choice(["nothing", "bias_relu"]),
        **attrs,
    )


def reduction(rng: random.Random) -> Workload:
    shape = tuple(_odd(rng, 19) for _ in range(rng.randint(1, 4)))
    axes = tuple(sorted(rng.sample(range(len(shape)), rng.randint(1, len(shape)))))
    keepdims = rng.random() < 0.5
    kept = tuple(1 if i in axes else d for i, d in enumerate(shape) if keepdims or i not in axes)
    b = Builder()
    op = rng.choice(["sum", "mean", "max", "min"])
    b.add(op, b.input(shape), shape=kept, axes=axes, keepdims=keepdims)
    return b.workload


def normalisation(rng: random.Random) -> Workload:
    shape = (_odd(rng, 4), _odd(rng, 9), _odd(rng, 70))
    b = Builder()
    x = b.input(shape)
    op = rng.choice(["softmax", "log_softmax", "layer_norm", "rms_norm"])
    if op in ("layer_norm", "rms_norm"):
        given = [b.input(shape[-1:], constant=True) for _ in range(2 if op == "layer_norm" else 1)]
        b.add(op, x, *given, shape=shape, epsilon=1e-5)
    else:
        b.add(op, x, axis=rng.randint(0, 2))
    return b.workload


def group_normalisation(rng: random.Random) -> Workload:
    groups = _odd(rng, 9)
    shape = (_odd(rng, 3), _odd(rng, 9), _odd(rng, 9), groups * _odd(rng, 20))
    return group_norm(shape, groups, rng.choice(AFTER))


def transposition(rng: random.Random) -> Workload:
    shape = tuple(_odd(rng, 37) for _ in range(rng.randint(2, 4)))
    axes = list(range(len(shape)))
    rng.shuffle(axes)
    b = Builder()
    b.add("transpose", b.input(shape), shape=tuple(shape[a] for a in axes), axes=tuple(axes))
    return b.workload


def moved_columns(rng: random.Random) -> Workload:
    """Of any type, with a short axis or without, and something before and after."""
    dtype = rng.choice(["uint8", "float16", "float32", "int64"])
    rows, columns = rng.choice([(rng.randint(2, 8), _odd(rng, 70)), (_odd(rng, 70), _odd(rng, 70))])
    if rng.random() < 0.5:
        rows, columns = columns, rows
    shape = (_odd(rng, 3), rows, columns)
    b = Builder()
    x = b.input(shape, dtype)
    if rng.random() < 0.5:
        x = b.add("maximum", x, b.input((rows, 1), dtype))
    x = b.add("transpose", x, shape=(shape[0], columns, rows), axes=(0, 2, 1))
    if rng.random() < 0.5:
        x = b.add("cast", x, shape=x.tensor.shape, dtype="float32")
        b.add("subtract", x, b.input(rng.choice([(rows,), (columns, 1), x.tensor.shape])))
    return b.workload


def gathered_rows(rng: random.Random) -> Workload:
    """An enlargement along the last two axes, or columns of whole numbers."""
    b = Builder()
    shape = (_odd(rng, 5), _odd(rng, 9, 3), _odd(rng, 40))
    if rng.random() < 0.4:
        shape = (40, *shape[1:])
        x = b.add("negative", b.input(shape, "int32"))
        out = (*shape[:2], _odd(rng, 50))
        columns = b.input(out[2:], "int64", constant=True)
        b.add("take", x, columns, shape=out, dtype="int32", axis=2)
        return b.workload
    out = (shape[0], 2 * shape[1] + 11, _odd(rng, 50))
    x = _weighed(b, b.input(shape), (*out[:2], shape[2]), 1)
    x = b.add("add", _weighed(b, x, out, 2), b.input((1,)))
    if rng.random() < 0.5:
        b.add("multiply", b.add("relu", x), b.input(rng.choice([out, out[1:], out[2:]])))
    return b.workload


def _weighed(b: Builder, x: Value, out: tuple[int, ...], axis: int) -> Value:
    """A sum of two elements along an axis."""
    count, weights = (out[axis],), tuple(out[axis] if i == axis else 1 for i in range(3))
    parts = []
    for _ in range(2):
        columns = b.input(count, "int64", constant=True)
        part = b.add("take", x, columns, shape=out, dtype="float32", axis=axis)
        parts.append(b.add("multiply", part, b.input(weights, constant=True)))
    return b.add("add", *parts)


def fused_attention(rng: random.Random) -> Workload:
    return separate(odd_sizes(rng), heads_first=rng.random() < 0.5)


def few_queries(rng: random.Random) -> Workload:
    batch, heads, _, *rest = odd_sizes(rng)
    return separate((batch, heads, 1, *rest), heads_first=rng.random() < 0.5)


def recurrent(rng: random.Random) -> Workload:
    """Of few steps: weights are random, and errors grow from step to step."""
    cell = rng.choice(["lstm", "gru", "rnn"])
    sizes = (rng.randint(1, 2), _odd(rng, 9), _odd(rng, 40))
    reverse = rng.choice([(False,), (True,), (False, True)])
    return layer(cell, sizes, reverse=reverse, constant=rng.random() < 0.7)


def few_rows(rng: random.Random) -> Workload:
    b = (_odd(rng, 90), 4 * _odd(rng, 20))
    a, after = (1, b[1]), rng.choice([a for a in AFTER if a != "scaled"])
    return matmul(a, b, transpose_b=True, constant=rng.random() < 0.5, after=after)


FAMILIES: dict[str, tuple[Callable[[random.Random], Workload], int]] = {
    "direct convolution": (direct, 8),
    "first layer": (first_layer, 2),
    "pointwise convolution": (pointwise, 4),
    "winograd": (winograd, 5),
    "depthwise": (depthwise, 6),
    "expansion and depthwise": (expanded_depthwise, 8),
    "transposed convolution": (transposed, 5),
    "matrix product": (gemm, 8),
    "batched product": (batched_gemm, 5),
    "pooling": (pooling, 6),
    "reduction": (reduction, 8),
    "normalisation": (normalisation, 6),
    "group normalisation": (group_normalisation, 5),
    "attention": (fused_attention, 4),
    "attention of a query": (few_queries, 3),
    "product of a row": (few_rows, 3),
    "transposition": (transposition, 5),
    "transposition of any type": (moved_columns, 16),
    "gathered rows": (gathered_rows, 6),
    "recurrent layer": (recurrent, 5),
}


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("family", FAMILIES)
def test_random_workloads_of_a_family_are_right(family: str, level: str) -> None:
    make, count = FAMILIES[family]
    for seed in range(count):
        rng = random.Random(f"{family} {seed}")
        verify(make(rng), level, samples=1, relative=1e-5, of_sum=2e-6, absolute=2e-6)


@pytest.mark.parametrize("level", TARGETS)
def test_every_template_has_a_family(level: str) -> None:
    """Those of what is not anchored have random graphs (``test_fusion``); TVM's own, searches,
    sorts and trees have tests of their own."""
    used = set()
    for family, (make, count) in FAMILIES.items():
        for seed in range(count):
            workload = make(random.Random(f"{family} {seed}"))
            used |= {space.template for space in spaces(workload, TARGETS[level])}
    others = {"pointwise", "relax", "nonzero", "suppression", "sort", "distinct", "scan", "trees"}
    others |= {"elimination", "coupling"}  # see test_matrices
    others |= {"conv_dots", "conv_transpose_dots"}  # see test_windows
    others |= {"texts", "images", "warping"}  # which have tests of their own
    others |= {"few_bits", "few_bits_gemm", "few_bits_integer"}  # see test_few_bits
    # see test_whole_products
    others |= {"channelwise_integer", "conv_integer", "gemm_integer", "winograd_integer"}
    others |= {"winograd_line", "conv_planes", "pool_integer", "pool_planes"}  # see test_windows
    others |= {"attention_integer"}  # see test_attention_integer
    others |= {"place", "scatter"}  # see test_place, test_scatter
    others |= {f"{of}_bfloat16" for of in ("attention", "conv", "gemm", "rows", "separable")}
    others |= {"conv_transpose_bfloat16", "patches_bfloat16"}  # see test_bfloat16
    assert used | others == {template.name for template in TEMPLATES}
