"""What generated C computes never overflows, and never divides by zero."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import open_models
import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_models import BATCH, KERNELS, TOKENS

from luthier.deploy.bounds import MOST, bounds
from luthier.deploy.building import lay_out
from luthier.deploy.tables import emit
from luthier.deploy.weights import WeightPool
from luthier.frontend.program import Library
from luthier.schedules import ModelError, Tensor, Workload
from luthier.schedules.ir.kernel import Alternative
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Size, simplified, value
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.ir.workload import node
from luthier.schedules.templates.open_kernels import instantiate_open

SYMBOLS = {"a": Symbol("a", 0, 6), "b": Symbol("b", 1, 5)}
SIZE_A, SIZE_B = Size.named("a"), Size.named("b")
LEAVES = st.one_of(st.integers(0, 9), st.sampled_from([SIZE_A, SIZE_B]))
SIZES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        simplified, st.sampled_from(["+", "-", "*", "min", "max"]), inner, inner
    ),
    max_leaves=6,
)


@given(SIZES, st.integers(0, 6), st.integers(1, 5))
def test_every_size_is_within_its_bounds(size: int | Size, a: int, b: int) -> None:
    least, most = bounds(size, SYMBOLS)
    assert least <= value(size, {"a": a, "b": b}) <= most


@given(st.integers(0, 6), st.integers(1, 5), st.integers(1, 4))
def test_of_divisions(a: int, b: int, n: int) -> None:
    sizes = {"a": a, "b": b}
    for size in (SIZE_A // SIZE_B, SIZE_A % SIZE_B, (SIZE_A + 7) // n, SIZE_A * SIZE_B % n):
        least, most = bounds(size, SYMBOLS)
        assert least <= value(size, sizes) <= most


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (SIZE_B // SIZE_A, "b//a may divide by zero: a=0..6, b=1..5"),
        (SIZE_B % (SIZE_B - 1), "b%(b-1) may divide by zero"),
        ((SIZE_A - 3) // 2, "(a-3)//2 may divide a negative number"),
        (SIZE_A * (MOST // 6 + 1), "too large for a=0..6, b=1..5"),
        (SIZE_A * SIZE_B * (MOST // 5), "too large"),
    ],
)
def test_what_is_refused(size: Size, words: str) -> None:
    with pytest.raises(ModelError, match=re.escape(words)):
        bounds(size, SYMBOLS)


def test_chunks_of_many_elements_are_not_taken_for_more_than_there_are() -> None:
    """Of a detector's places, of which a run finds up to four million."""
    places: Any = SIZE_A
    tensor = Tensor((1, places), "int64")
    workload = Workload((tensor,), (False,), (node("negative", (0,), tensor),))
    many = (Symbol("a", 0, 1 << 22),)
    kernel = instantiate_open(OpenWorkload(workload), many, open_models.TARGET)
    for alternative in kernel.alternatives:
        for phase in alternative.kernel.phases:
            assert bounds(phase.chunks, {"a": Symbol("a", 1, 1 << 22)})[1] <= 1 << 23


def test_tables_are_held_to_it() -> None:
    """Chunks and conditions, too, which kernels bring."""
    library = open_models.library()
    negate = KERNELS[1]
    for spoilt in (BATCH // TOKENS, TOKENS * MOST, TOKENS * 2**28):
        kernel = negate.alternatives[0].kernel  # type: ignore[union-attr]
        phases = (replace(kernel.phases[0], chunks=spoilt),)
        broken = replace(negate, alternatives=(Alternative((), replace(kernel, phases=phases)),))
        refuse(library, (KERNELS[0], broken, *KERNELS[2:]))


def refuse(library: Library, kernels: tuple[open_models.AnyKernel, ...]) -> None:
    tables = lay_out(library, "open", kernels, open_models.TARGET, WeightPool(io.BytesIO()))
    with pytest.raises(ModelError, match=r"divide by zero|too large"):
        emit(tables)


def test_what_is_left_of_a_size_is_never_less_than_nothing() -> None:
    """Of one size all are asked for where the bounds of its parts say too little."""
    half = simplified("-", SIZE_A * 4, (SIZE_A // 2) * 4)
    assert bounds(half // 3, SYMBOLS) == (0, 4)
    with pytest.raises(ModelError, match="may divide a negative number"):
        bounds((SIZE_A - SIZE_B) // 3, SYMBOLS)
    with pytest.raises(ModelError, match="may divide a negative number"):
        bounds((SIZE_A - 1) // 3, SYMBOLS)
