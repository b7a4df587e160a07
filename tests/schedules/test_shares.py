"""Which chunks are one thread's."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from caller import TARGETS
from tvm.sym import Analyzer

from luthier.schedules.templates.shares import by_rows, place, taken_back

ONE = replace(TARGETS["x86-64-v3"], threads=1)
TWO = replace(ONE, threads=2)


def known(value: Any) -> int:
    """The number that an expression of numbers is."""
    return value if isinstance(value, int) else int(Analyzer().simplify(value))


BUILDER = SimpleNamespace(let=known)


def places(rows: int, others: int, parts: int) -> list[tuple[int, int]]:
    """Of all chunks in the order of their numbers."""
    found = (place(BUILDER, chunk, rows, others, parts) for chunk in range(rows * others))
    return [(known(row), known(other)) for row, other in found]


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8, 9, 131])
@pytest.mark.parametrize("others", [1, 2, 7])
def test_each_chunk_has_a_place_of_its_own(rows: int, others: int, parts: int) -> None:
    found = places(rows, others, parts)
    assert sorted(found) == [(row, other) for row in range(rows) for other in range(others)]


@pytest.mark.parametrize(("rows", "threads"), [(8, 2), (9, 3), (132, 4)])
def test_threads_have_neighbouring_rows(rows: int, threads: int) -> None:
    found = places(rows, 6, threads)
    for thread in range(threads):  # as the pool shares them
        mine = found[len(found) * thread // threads : len(found) * (thread + 1) // threads]
        own = range(rows * thread // threads, rows * (thread + 1) // threads)
        assert {row for row, _ in mine} == set(own)


def test_an_odd_row_is_shared() -> None:
    found = places(5, 6, 2)
    assert {row for row, _ in found[:15]} == {0, 1, 2}
    assert sum(row > 2 for row, _ in found[15:]) == 12


def test_columns_of_few_rows_are_shared() -> None:
    assert places(1, 4, 2) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert places(2, 3, 2) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert places(2, 3, 1) == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]


def test_what_weights_cost_decides() -> None:
    small, large = TWO.l2 // 4, 64 * TWO.l2
    assert by_rows(small, small, TWO)
    assert by_rows(large, large, TWO)
    assert not by_rows(large, 4 * large, TWO)
    assert not by_rows(small, large, TWO)
    assert not by_rows(small, small, ONE)


def test_one_thread_takes_nothing_back() -> None:
    assert taken_back(1000, ONE) == 0.0 < taken_back(1000, TWO)
