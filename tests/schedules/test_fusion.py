"""Graphs of elementwise operators and data movement, as fusion puts them into one kernel."""

from __future__ import annotations

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, draw, in_turn, schedules, verify
from graphs import random_graph
from workloads import Builder, Value

from luthier.schedules import ops
from luthier.schedules.templates.pointwise.segments import columns
from luthier.schedules.templates.registry import instantiate

SEEDS = range(32)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs(seed, level):
    verify(random_graph(seed), level, samples=1)


def test_the_random_graphs_use_every_kind_of_movement():
    used = {node.op for seed in SEEDS for node in random_graph(seed).nodes}
    assert {o.name for o in ops.OPERATORS.values() if o.is_movement} <= used


@pytest.mark.parametrize(
    ("dtype", "level"), in_turn(["float32", "float64", "int64", "int8", "bool"])
)
def test_movement_keeps_every_dtype(dtype, level):
    b = Builder()
    x = b.input((3, 4, 9), dtype)
    y = b.add("transpose", x, shape=(4, 3, 9), axes=(1, 0, 2))
    y = b.add("concat", y, b.input((4, 2, 9), dtype), shape=(4, 5, 9), axis=1)
    attrs = {"before": (0, 1, 2), "mode": "constant", "value": 1}
    y = b.add("pad", y, shape=(4, 6, 13), **attrs)
    y = b.add("slice", y, shape=(2, 6, 13), begin=(3, 0, 12), steps=(-2, 1, -1))
    y = b.add("reshape", y, shape=(12, 13))
    b.add("take", y, b.input((5,), "int32"), shape=(12, 5), dtype=dtype, axis=1)
    verify(b.workload, level)


def padded(x: Value, b: Builder, mode: str) -> Value:
    shape = tuple(n + 3 for n in x.tensor.shape)
    attrs = {"before": (1,) * len(shape), "mode": mode, "value": -2.0}
    return b.add("pad", x, shape=shape, **attrs)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("width", [4, 8, 37, 5000])
@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_padding_reads_nothing_outside(mode, width, level):
    """The caller's traps are at both ends of the input."""
    b = Builder()
    padded(b.input((4, width)), b, mode)
    verify(b.workload, level)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_windows_read_nothing_outside(size, level):
    """Local response normalisation, shorter and longer than the window."""
    for channels in (3, 16, 70):
        b = Builder()
        x = b.input((2, channels))
        square = b.add("multiply", x, x)
        mean = b.add("window_mean", square, axis=1, size=size, before=size // 2)
        scale = b.add("power", b.add("add", mean, b.const(1.0)), b.const(-0.75))
        b.add("multiply", x, scale)
        verify(b.workload, level, samples=0)


@pytest.mark.parametrize("level", RUNNABLE)
def test_negative_indices_count_from_the_end_and_others_are_clipped_however_large(level):
    indices = np.array([[0, 6, 7, 2**31, 2**32 + 3], [-1, -7, -8, -(2**31), -(2**40)]])
    wanted = np.array([[0, 6, 6, 6, 6], [6, 0, 0, 0, 0]])
    table = np.arange(14, dtype=np.float32).reshape(7, 2)
    b = Builder()
    rows, ids = b.input((7, 2)), b.input(indices.shape, "int64")
    b.add("take", rows, ids, shape=(2, 5, 2), dtype="float32", axis=0)
    verify(b.workload, level, inputs=[table, indices])
    for dtype in ("int32", "uint32"):
        b = Builder()
        rows, ids = b.input((7, 2)), b.input(indices.shape, dtype)
        b.add("take", rows, ids, shape=(2, 5, 2), dtype="float32", axis=0)
        near = wanted if dtype == "uint32" else indices.clip(-9, 9)
        verify(b.workload, level, inputs=[table, near.astype(dtype)])


@pytest.mark.parametrize(("axis", "level"), in_turn([0, 1, 2]))
def test_pieces_get_what_follows_a_concatenation(axis, level):
    """Larger operands are seen through slices; those that broadcast, as they are."""
    shapes = [
        tuple(n + 3 * i if d == axis else n for d, n in enumerate((2, 3, 5))) for i in (0, 1, 4)
    ]
    b = Builder()
    pieces = [b.input(s) for s in shapes]
    whole = tuple(sum(s[d] for s in shapes) if d == axis else n for d, n in enumerate((2, 3, 5)))
    y = b.add("concat", *pieces, shape=whole, axis=axis)
    y = b.add("add", y, b.input(whole))
    thin = tuple(n if d == (axis + 1) % 3 else 1 for d, n in enumerate(whole))
    y = b.add("multiply", y, b.input(thin))
    y = b.add("maximum", y, b.const(-0.5))
    b.add("add", b.add("relu", y), y)
    verify(b.workload, level)
    (phase,) = instantiate_default(b).phases
    text = phase.func.script()
    assert "if_then_else" not in text, "each piece has loops of its own"
    assert not any(line.lstrip().startswith("if ") for line in text.splitlines())


@pytest.mark.parametrize("level", RUNNABLE)
def test_chunks_of_a_concatenation_have_whole_rows(level):
    """Some of them at a time: pieces share lines, which L1 holds from one piece to the next."""
    b = Builder()
    pieces = [b.input((403, width)) for width in (7, 300, 61)]
    b.add("concat", *pieces, shape=(403, 368), axis=1)
    verify(b.workload, level)
    (phase,) = instantiate_default(b).phases
    assert 1 < phase.chunks < 403
    script = phase.func.script()
    assert not any(line.lstrip().startswith("if ") for line in script.splitlines())
    assert script.count("for block") == 1 < script.count("for row") == len(pieces)


def instantiate_default(b: Builder):
    target = TARGETS["x86-64-v3"]
    return instantiate(b.workload, target, next(schedules(b.workload, target, 0)))


@pytest.mark.parametrize("level", RUNNABLE)
def test_positions_added_to_a_concatenation_count_from_its_start(level):
    b = Builder()
    whole = b.add("concat", b.input((30,)), b.input((20,)), shape=(50,), axis=0)
    b.add("add", whole, b.add("iota", shape=(50,), dtype="float32", start=2, step=3))
    verify(b.workload, level)


def test_rows_are_cut_where_conditions_change():
    b = Builder()
    x = b.input((6, 100))
    y = b.add("pad", x, shape=(6, 112), before=(0, 5), mode="constant", value=0.0)
    b.add("relu", y)
    assert columns(b.workload) == [(0, 5), (5, 100), (105, 7)]


def test_one_value_is_a_workload_too():
    b = Builder()
    b.add("exp", b.add("add", b.input(()), b.const(1.0)))
    for level in RUNNABLE:
        verify(b.workload, level)
    assert draw(b.workload)[0].shape == ()
