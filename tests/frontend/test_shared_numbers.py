"""What neighbours share moves as a tensor's elements do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier.frontend.passes.shared_numbers import Shared, combined, together
from luthier.schedules import Tensor, node, ops
from luthier.schedules.ops.evaluate import evaluate


def of_blocks(shape: tuple[int, ...], each: tuple[int, ...]) -> Shared:
    counts = tuple(-(-n // e) for n, e in zip(shape, each, strict=True))
    values = np.arange(1, 1 + math.prod(counts), dtype=np.float32).reshape(counts)
    return Shared(values, shape, each)


@st.composite
def blocks(draw: st.DrawFn) -> Shared:
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 6, 8, 12]), min_size=1, max_size=3)))
    return of_blocks(shape, tuple(draw(st.integers(1, n)) for n in shape))


@st.composite
def movements(draw: st.DrawFn) -> tuple[Shared, ops.Node]:
    shared = draw(blocks())
    shape = shared.shape
    kind = draw(st.sampled_from(["reshape", "transpose", "slice", "broadcast_to"]))
    if kind == "reshape":
        left, new = math.prod(shape), []
        while left > 1 and len(new) < 4:
            new.append(draw(st.sampled_from([n for n in range(1, left + 1) if left % n == 0])))
            left //= new[-1]
        out = Tensor((*new, left))
        return shared, node(kind, (0,), out)
    if kind == "transpose":
        axes = tuple(draw(st.permutations(range(len(shape)))))
        return shared, node(kind, (0,), Tensor(tuple(shape[a] for a in axes)), axes=axes)
    if kind == "broadcast_to":
        wide = tuple(draw(st.integers(1, 4)) if n == 1 else n for n in shape)
        return shared, node(kind, (0,), Tensor((draw(st.integers(1, 3)), *wide)))
    begin = tuple(draw(st.integers(0, n - 1)) for n in shape)
    steps = tuple(draw(st.integers(1, 2)) for _ in shape)
    sizes = tuple(
        draw(st.integers(1, -(-(n - b) // s))) for n, b, s in zip(shape, begin, steps, strict=True)
    )
    return shared, node(kind, (0,), Tensor(sizes), begin=begin, steps=steps)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(movements())
def test_movements(case: tuple[Shared, ops.Node]) -> None:
    shared, how = case
    operator = ops.of(how)
    assert isinstance(operator, ops.Movement)
    found = shared.moved(how, operator)
    np.testing.assert_array_equal(found.dense, evaluate(how, [shared.dense]))
    counts = tuple(-(-n // e) for n, e in zip(found.shape, found.each, strict=True))
    assert found.values.shape == counts


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_two_together(data: st.DataObject) -> None:
    some = data.draw(blocks())
    other = of_blocks(some.shape, tuple(data.draw(st.integers(1, n)) for n in some.shape))
    np.testing.assert_array_equal(
        combined(np.multiply, some, other).dense, some.dense * other.dense
    )
    left, _, each = together(some, other)
    assert all(n in (1, -(-s // e)) for n, s, e in zip(left.shape, some.shape, each, strict=True))


@pytest.mark.parametrize(
    ("shape", "each", "new"),
    [
        ((7, 5, 32), (1, 1, 32), (7, 160)),  # MatMulNBits
        ((7, 160), (1, 32), (7, 5, 32)),
        ((5, 32, 7), (1, 32, 1), (160, 7)),  # blocks of columns
        ((160, 7), (32, 1), (160, 1, 7)),
    ],
)
def test_what_exporters_write_stays_few(shape: tuple, each: tuple, new: tuple) -> None:
    shared = of_blocks(shape, each)
    how = node("reshape", (0,), Tensor(new))
    operator = ops.of(how)
    assert isinstance(operator, ops.Movement)
    found = shared.moved(how, operator)
    assert found.values.size == 35
    np.testing.assert_array_equal(found.dense, shared.dense.reshape(new))
