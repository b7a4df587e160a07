"""Reductions over any axes, softmax over any axis, layer normalisation over the last ones."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library, draw, in_turn, verify
from workloads import EPILOGUES, Builder

from luthier.schedules import Target, Tensor, Workload
from luthier.schedules.ir.workload import node
from luthier.schedules.ops.evaluate import evaluate
from luthier.schedules.templates.reduction.collapse import collapsed
from luthier.schedules.templates.registry import default, instantiate

SHAPE = (3, 5, 4, 37)
AXES = [c for n in (1, 2, 3, 4) for c in itertools.combinations(range(4), n)]
OPS = ("sum", "mean", "max", "min", "prod")


def reduction(
    op: str, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool, dtype: str = "float32"
) -> Workload:
    b = Builder()
    kept = tuple(1 if i in axes else d for i, d in enumerate(shape) if keepdims or i not in axes)
    b.add(op, b.input(shape, dtype), shape=kept, axes=axes, keepdims=keepdims)
    return b.workload


@pytest.mark.parametrize(("axes", "level"), in_turn(AXES), ids=str)
def test_every_combination_of_axes(axes, level):
    op, keepdims = OPS[sum(axes) % 3], len(axes) % 2 == 0
    verify(reduction(op, SHAPE, axes, keepdims), level, samples=1, template="reduction")


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("op", OPS)
def test_every_operator_over_rows_and_columns(op, level):
    for shape, axes in [((7, 50), (1,)), ((50, 7), (0,)), ((1, 1), (0, 1)), ((), ()), ((9,), (0,))]:
        workload = reduction(op, shape, axes, keepdims=False)
        verify(workload, level, samples=0, relative=1e-5)


@pytest.mark.parametrize(
    ("dtype", "level"), in_turn(["int64", "int32", "int8", "uint8", "float64", "bool"])
)
def test_other_dtypes(dtype, level):
    """Means are of 32 bits or more, as in ONNX: they add up in their own type."""
    means = () if dtype in ("int8", "uint8", "bool") else ("mean",)
    for op in ("max", "min") if dtype == "bool" else ("sum", "max", "min", "prod", *means):
        for axes in ((0,), (1,)):
            verify(reduction(op, (5, 21), axes, True, dtype), level, samples=0)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("op", ["max", "min", "sum"])
def test_nan_and_infinity_come_through(op, level):
    for axes in ((0,), (1,)):
        workload = reduction(op, (70, 70), axes, keepdims=False)
        (x,) = draw(workload)
        np.fill_diagonal(x[:20], np.nan)
        np.fill_diagonal(x[20:40, 20:40], np.inf)
        np.fill_diagonal(x[40:60, 40:60], -np.inf)
        x[61, 63] = x[63, 61] = np.nan
        verify(workload, level, inputs=[x], samples=0)


@pytest.mark.parametrize("level", RUNNABLE)
def test_operators_before_and_after_a_reduction_are_fused(level):
    b = Builder()
    x = b.add("multiply", b.input((4, 6, 21)), b.input((6, 1)))
    x = b.add("tanh", b.add("add", x, b.const(0.25)))
    total = b.add("mean", x, shape=(4, 21), axes=(1,), keepdims=False)
    b.add("divide", total, b.add("add", b.add("abs", total), b.input((21,), constant=True)))
    inputs = draw(b.workload)
    inputs[2] += 2
    verify(b.workload, level, inputs=inputs, template="reduction")


# Rows and columns of which there are few or many, short and long ones.
FORMS = [
    ((70000,), (0,)), ((9, 8000), (1,)), ((3, 50, 600), (0, 2)), ((9000, 10), (0,)),
    ((2, 1200, 70), (1,)), ((43, 5), (1,)), ((43, 1), (1,)), ((19, 21), (1,)), ((35, 600), (1,)),
    ((5, 9, 3, 8), (1, 3)), ((1, 6, 1, 5, 4), (2, 3, 4)), ((7, 1, 9), (1,)), ((1, 1, 5), (0,)),
    ((2, 9, 10007), (1,)),
]  # fmt: skip


@pytest.mark.parametrize(("form", "level"), in_turn(FORMS), ids=str)
def test_few_and_many_short_and_long_ones(form, level):
    shape, axes = form
    for op in ("sum", "max"):
        workload = reduction(op, shape, axes, keepdims=op == "max")
        verify(workload, level, samples=0, template="reduction", relative=1e-5)
    (x,) = draw(workload)
    x[(*(n // 2 for n in shape),)] = np.nan
    verify(workload, level, inputs=[x], samples=0)


@pytest.mark.parametrize("level", RUNNABLE)
def test_dimensions_are_merged_where_operands_allow(level):
    """Before a reduction some span the first two and the last two dimensions, or one of these."""
    for before in ((1, 1, 4, 5), (2, 3, 1, 1), (4, 1), (3, 1, 5)):
        b = Builder()
        x = b.add("subtract", b.input((2, 3, 4, 5)), b.input(before))
        y = b.add("mean", x, shape=(2, 3), axes=(2, 3), keepdims=False)
        b.add("add", b.add("multiply", y, b.input((2, 1))), b.input((3,)))
        verify(b.workload, level, samples=0)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize(
    ("shape", "axis"), [((13, 37, 1), 0), ((3, 11, 5, 4), 1), ((1, 7, 1, 21), 3), ((6, 1, 9), 1)]
)
def test_what_is_subtracted_before_a_reduction_may_be_added_after_it(shape, axis, level):
    """As a logarithm of sums of exponentials does; dimensions of 1 go, and neighbours merge."""
    b = Builder()
    kept = tuple(1 if d == axis else n for d, n in enumerate(shape))
    x, least = b.input(shape), b.input(kept)
    parts = b.add("exp", b.add("subtract", x, least))
    total = b.add("sum", parts, shape=kept, axes=(axis,), keepdims=True)
    b.add("add", b.add("log", total), least)
    merged = collapsed(b.workload, 2)
    assert len(merged.inputs[0].shape) < len(shape)
    verify(b.workload, level, samples=0, template="reduction", absolute=1e-5)


PARAMETERS = {"layer_norm": 2, "rms_norm": 1}


def normalisation(op: str, shape: tuple[int, ...], axis: int, after: str = "nothing") -> Workload:
    """``axis`` is the only one of a softmax, and the first one of a normalisation."""
    b = Builder()
    x = b.input(shape)
    if op in PARAMETERS:
        given = (b.input(shape[axis:], constant=True) for _ in range(PARAMETERS[op]))
        y = b.add(op, x, *given, shape=shape, epsilon=1e-5)
    else:
        y = b.add(op, x, axis=axis)
    EPILOGUES[after](b, y)
    return b.workload


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("op", ["softmax", "log_softmax", "layer_norm", "rms_norm"])
def test_every_axis(op, level):
    for axis in range(4):
        workload = normalisation(op, SHAPE, axis, ("nothing", "residual", "gelu", "bias")[axis])
        verify(workload, level, samples=0, template="normalize", absolute=3e-6)
    for shape in ((1,), (70,), (1, 1), (9, 1), (1, 9)):
        verify(normalisation(op, shape, len(shape) - 1), level, samples=0, absolute=3e-6)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("width", [11, 15, 31, 45])
def test_rows_whose_end_is_several_parts_of_a_vector(width, level):
    """What is reduced is computed again for some before them, where nothing was kept there."""
    b = Builder()
    b.add("softmax", b.add("sin", b.input((19, width))), axis=1)
    computed_before = b.workload
    for op in ("softmax", "log_softmax", "layer_norm", "rms_norm"):
        verify(normalisation(op, (19, width), 1), level, samples=0, absolute=3e-6)
    verify(computed_before, level, samples=0, absolute=3e-6)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("width", [255, 256, 257, 513])
def test_rows_that_l1_holds_together_and_others(width, level):
    """Of 32 KiB: 256 elements of 16 rows that are read, and as many that are written."""
    for op in ("softmax", "layer_norm"):
        verify(normalisation(op, (35, width), 1, "residual"), level, samples=0)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_of_large_numbers_neither_overflows_nor_vanishes(op, axis, level):
    workload = normalisation(op, (40, 40), axis)
    x = np.random.default_rng(0).uniform(-1e4, 1e4, (40, 40)).astype(np.float32)
    verify(workload, level, inputs=[x], samples=0, absolute=1e-6)
    verify(workload, level, inputs=[x * np.float32(1e30)], samples=0, absolute=1e-6)


@pytest.mark.parametrize("level", RUNNABLE)
def test_small_shares_of_a_softmax_are_as_exact_as_large_ones(level):
    """Of 0 and x: the exponential of x is in one to the other."""
    x = -np.random.default_rng(0).uniform(0, 87, 20000).astype(np.float32)
    workload = normalisation("softmax", (20000, 2), 1)
    kernel = instantiate(workload, TARGETS[level], default(workload, TARGETS[level]))
    pairs = np.stack([np.zeros_like(x), x], 1)
    got = Library([kernel], TARGETS[level]).run(0, [pairs], random.Random(0)).astype(np.float64)
    np.testing.assert_allclose(got[:, 1] / got[:, 0], np.exp(x.astype(np.float64)), rtol=4e-7)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_of_masked_rows(axis, level):
    """Minus infinity takes no part; a row of nothing else, or with NaN, is NaN."""
    workload = normalisation("softmax", (24, 24), axis)
    (x,) = draw(workload)
    x[:, 3:7] = x[9:12, :] = -np.inf
    x[20, 21] = np.nan
    verify(workload, level, inputs=[x], samples=0)


LINES = [(3, 20000), (1, 33000), (17, 700), (16, 12), (21, 5), (8, 1), (2, 40, 5), (1, 21, 70)]


@pytest.mark.parametrize(("shape", "level"), in_turn(LINES), ids=str)
def test_softmax_of_few_and_many_short_and_long_rows_and_columns(shape, level):
    """Where minus infinity fills a part of a row, and where something is NaN, too."""
    for op in ("softmax", "log_softmax"):
        workload = normalisation(op, shape, 1)
        verify(workload, level, samples=0, template="normalize", absolute=3e-6)
    workload = normalisation("softmax", shape, 1, "residual")
    x, *others = draw(workload)
    x[0, : shape[1] // 2] = -np.inf
    verify(workload, level, inputs=[x, *others], samples=0, absolute=3e-6)
    x[-1, shape[1] // 3] = np.nan
    verify(workload, level, inputs=[x, *others], samples=0, absolute=3e-6)
    if len(shape) == 2 and shape[1] < 1000:
        for norm in PARAMETERS:
            verify(normalisation(norm, shape, 1), level, samples=0, absolute=3e-6)


@pytest.mark.parametrize("level", RUNNABLE)
def test_groups_of_channels_that_lie_before_their_places(level):
    for shape in ((2, 3, 4, 37), (1, 9, 1, 50), (3, 11, 2, 2), (2, 5, 1, 3000)):
        b = Builder()
        y = b.add("standardize", b.input(shape), shape=shape, epsilon=1e-5)
        y = b.add("multiply", y, b.input((*shape[1:3], 1), constant=True))
        b.add("relu", b.add("add", y, b.input((shape[1], 1, 1))))
        verify(b.workload, level, samples=0, template="normalize", absolute=3e-6)


@pytest.mark.parametrize("level", RUNNABLE)
def test_layer_norm_does_not_cancel(level):
    """A small spread around a large mean: the mean of squares less the square would be noise."""
    workload = normalisation("layer_norm", (5, 300), 1)
    x, gamma, beta = draw(workload)
    verify(workload, level, inputs=[x + np.float32(1000), gamma, beta], absolute=2e-4)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("op", ["softmax", "layer_norm", "rms_norm"])
def test_operators_before_a_normalisation_are_computed_once(op, level):
    b = Builder()
    x = b.add("add", b.add("multiply", b.input((3, 4, 21)), b.const(3.0)), b.input((4, 1)))
    if op in PARAMETERS:
        given = (b.input((21,)) for _ in range(PARAMETERS[op]))
        y = b.add(op, x, *given, shape=(3, 4, 21), epsilon=1e-3)
    else:
        y = b.add(op, x, axis=2)
    b.add("maximum", y, b.input((3, 4, 21)))
    verify(b.workload, level, template="normalize", absolute=3e-6)


@pytest.mark.parametrize("level", RUNNABLE)
def test_rms_norm_of_zeros_and_of_one_large_number(level):
    """Epsilon alone keeps a row of zeros from division by zero."""
    workload = normalisation("rms_norm", (3, 40), 1)
    x, gamma = draw(workload)
    x[0], x[1] = 0, 0
    x[1, 7] = 1e15
    verify(workload, level, inputs=[x, gamma], relative=1e-5)


def knobs(shape: tuple[int, ...], axes: tuple[int, ...], target: Target) -> dict[str, object]:
    b = Builder()
    x = b.input(shape)
    b.add("transpose", x, shape=tuple(shape[a] for a in axes), axes=axes)
    return dict(default(b.workload, target).knobs)


@pytest.mark.parametrize("level", ["x86-64-v3", "x86-64-v4"])
def test_rows_that_share_sets_decide_how_a_transposition_is_cut(level):
    target = TARGETS[level]
    plain = knobs((100, 48, 64), (0, 2, 1), target)
    written = knobs((4096, 64), (1, 0), target)
    assert written["lanes"] <= target.l1_ways < plain["lanes"], "few rows, a page apart, at once"
    assert written["columns"] > plain["columns"], "and far along them"
    assert written["block"] > plain["block"], "in whole lines"
    assert knobs((1, 64, 64, 64), (0, 3, 1, 2), target) == written, "planes are rows"
    assert knobs((1024, 1024), (1, 0), target)["lanes"] == written["lanes"], "though it is read so"
    read = knobs((64, 4096), (1, 0), target)
    assert read["columns"] < plain["columns"] <= read["lanes"], "few are read, and far along them"


def test_a_short_reduction_is_no_work_for_two_threads():
    target = replace(TARGETS["x86-64-v4"], threads=2)
    workload = reduction("sum", (24, 16), (1,), keepdims=False)
    kernel = instantiate(workload, target, default(workload, target))
    assert [phase.chunks for phase in kernel.phases] == [1]


MOVES = [
    ((5, 37), (1, 0)),
    ((64, 48), (1, 0)),
    ((2, 7, 33), (0, 2, 1)),
    ((3, 5, 2, 19), (3, 0, 2, 1)),
    ((1, 20, 1, 9), (3, 2, 1, 0)),
    ((4, 3, 17), (2, 1, 0)),
    ((2, 3), (1, 0)),
]


@pytest.mark.parametrize(("move", "level"), in_turn(MOVES), ids=str)
def test_transposition(move, level):
    shape, axes = move
    for dtype in ("float32", "int8", "float64"):
        b = Builder()
        x = b.input(shape, dtype)
        if dtype == "float32":
            x = b.add("multiply", b.add("relu", x), b.input(shape[-1:]))
        y = b.add("transpose", x, shape=tuple(shape[a] for a in axes), axes=axes)
        if dtype == "float32":
            b.add("add", y, b.input(y.tensor.shape[-1:]))
        verify(b.workload, level, samples=1)


@pytest.mark.parametrize(
    ("op", "dtype", "wanted"),
    [
        ("max", "float32", -np.inf),
        ("min", "float64", np.inf),
        ("max", "int8", -128),
        ("min", "uint16", 65535),
        ("max", "bool", False),
        ("min", "bool", True),
    ],
)
def test_the_extreme_of_nothing_is_the_other_end_of_the_type(op, dtype, wanted):
    none = np.zeros((2, 0, 3), dtype)
    made = node(op, (0,), Tensor((2, 3), dtype), axes=(1,), keepdims=False)
    found = evaluate(made, [none])
    assert found.dtype == dtype
    assert (found == np.full((2, 3), wanted, dtype)).all()
