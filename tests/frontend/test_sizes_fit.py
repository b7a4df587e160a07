"""Numbers told by what they are at some sizes: the rule, or that there is none."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.frontend.sizes.fit import Points, UndecidedError
from luthier.schedules.ir.size import Size, value
from luthier.schedules.ir.symbol import Symbol

SYMBOLS = (Symbol("h", 32, 64), Symbol("w", 64, 128))
POINTS = (
    {"h": 32, "w": 64},
    {"h": 33, "w": 65},
    {"h": 34, "w": 66},
    {"h": 63, "w": 127},
    {"h": 50, "w": 90},
    {"h": 41, "w": 70},
    {"h": 32, "w": 128},
    {"h": 64, "w": 64},
    {"h": 45, "w": 111},
    {"h": 39, "w": 77},
    {"h": 64, "w": 128},
)


def fitted(
    rule: Callable[[int, int], int], *before: Callable[[int, int], int]
) -> int | Size | None:
    """With more points for as long as these do not decide."""
    chosen = list(POINTS)
    while len(chosen) < 64:
        points = Points(SYMBOLS, tuple(chosen))
        try:
            for each in (*before, rule):
                found = points.fit([each(**p) for p in chosen])
        except UndecidedError as error:
            chosen.append(dict(error.sizes))
        else:
            return found
    raise AssertionError(chosen)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (lambda h, w: 7, "7"),
        (lambda h, w: h, "h"),
        (lambda h, w: 3 * w - 5, "3*w-5"),
        (lambda h, w: h * w, "h*w"),
        (lambda h, w: 2 * h * w + 4 * h + 1, "2*h*w+4*h+1"),
        (lambda h, w: h * h, "h*h"),
        (lambda h, w: (h + 1) // 2, "(h+1)//2"),
        (lambda h, w: h // 14, "h//14"),
        (lambda h, w: (w - 3) // 32, "(w-3)//32"),
        (lambda h, w: (3 * h) // 2, "3*h//2"),
        (lambda h, w: min(h, 40), "min(h,40)"),
        (lambda h, w: 4 * min(w, 100) + 3, "4*min(w,100)+3"),
        (lambda h, w: min(h, 63), "min(h,63)"),
        (lambda h, w: min(h, 33), "min(h,33)"),
    ],
)
def test_a_rule(rule: Callable[[int, int], int], text: str) -> None:
    assert str(fitted(rule)) == text


def test_products_of_quotients_that_were_met() -> None:
    rows, columns = (lambda h, w: (h + 1) // 2), (lambda h, w: (w + 3) // 4)
    found = fitted(lambda h, w: 5 * rows(h, w) * columns(h, w) + 1, rows, columns)
    assert str(found) == "5*((h+1)//2)*((w+3)//4)+1"
    assert str(fitted(lambda h, w: h * columns(h, w), columns)) == "((w+3)//4)*h"


def test_products_of_a_size_and_two_of_many_quotients() -> None:
    """As the tokens of each stage of a SegFormer of several images."""
    symbols = (Symbol("b", 1, 8), Symbol("h", 64, 512), Symbol("w", 64, 512))
    more = {4: (3,), 8: (7,), 16: (15,), 32: (3, 7, 15, 31)}
    parts = [(d, rest) for d, rests in more.items() for rest in rests]
    spread = random.Random(2)
    chosen = [{s.name: spread.randint(s.least, s.most) for s in symbols} for _ in range(12)]
    chosen.append({s.name: s.most for s in symbols})
    for _ in range(24):
        points, undecided = Points(symbols, tuple(chosen)), dict[str, int]()
        for (divisor, rest), name in itertools.product(parts, "hw"):
            try:
                points.fit([(p[name] + rest) // divisor for p in chosen])
            except UndecidedError as error:
                undecided.setdefault(name, error.sizes[name])
        if not undecided:
            break
        chosen.append({"b": 8, "h": 512, "w": 512} | undecided)
    for divisor, rest in parts:
        rows, columns = ([(p[name] + rest) // divisor for p in chosen] for name in "hw")
        ones = [p["b"] * r * c for p, r, c in zip(chosen, rows, columns, strict=True)]
        terms = "*".join(f"((n+{rest})//{divisor})".replace("n", n) for n in "hw")
        assert str(points.fit(ones)) in (f"b*{terms}", f"{terms}*b")


def test_what_is_padded_to_a_multiple() -> None:
    assert str(fitted(lambda h, w: 32 * ((h + 31) // 32))) == "32*((h+31)//32)"
    up, padded = (lambda h, w: (h + 6) // 7), (lambda h, w: 7 * ((h + 6) // 7) - h)
    assert str(fitted(padded, up)) == "7*((h+6)//7)-h"


@pytest.mark.parametrize("rule", [lambda h, w: h % 3, lambda h, w: max(h, 40), lambda h, w: h ^ w])
def test_no_rule(rule: Callable[[int, int], int]) -> None:
    assert fitted(rule) is None


def test_sums_and_products_of_the_best_so_many() -> None:
    some, others = (lambda h, w: 2 * min(h, 40)), (lambda h, w: min(w, 90))
    found = fitted(lambda h, w: min(h, 40) + 3 * min(w, 90) + w + 5, some, others)
    assert str(found) == "min(h,40)+3*min(w,90)+w+5"
    assert str(fitted(lambda h, w: min(h, 40) * min(w, 90), some, others)) == "min(h,40)*min(w,90)"


def test_a_sum_of_many_sizes_is_told_by_more_points_than_these() -> None:
    names = [f"n{i:02}" for i in range(20)]
    symbols = tuple(Symbol(name, 2, 100) for name in names)
    spread = random.Random(1)
    some = [{name: spread.randint(2, 100) for name in names} for _ in range(48)]
    points = Points(symbols, (*some, dict.fromkeys(names, 100)))
    for name in names:
        points.fit([min(each[name], 30) for each in points.sizes])
    found = points.fit([sum(min(each[name], 30) for name in names) for each in points.sizes])
    assert str(found) == "+".join(f"min({name},30)" for name in names)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.integers(2, 64), st.integers(0, 63))
def test_any_quotient_is_right_at_every_size(factor: int, divisor: int, more: int) -> None:
    def rule(h: int, w: int) -> int:
        return (factor * h + more) // divisor

    found = fitted(rule)
    assert found is not None
    for h in range(32, 65):
        assert value(found, {"h": h, "w": 64}) == rule(h, 64)


def test_a_range_of_two_sizes_is_told_by_both() -> None:
    symbol = Symbol("n", 1, 2)
    points = Points((symbol,), ({"n": 1}, {"n": 2}))
    assert str(points.fit([1, 2])) == "n"
    assert str(points.fit([3, 5])) == "2*n+1"


@pytest.mark.parametrize(("step", "window"), [(160, 512), (320, 400), (1024, 1024), (65, 1)])
def test_windows_of_sound_are_far_apart(step: int, window: int) -> None:
    symbol = Symbol("n", window, 16000)
    sizes = [16000, window, window + 1, 4000, 15999]
    for _ in range(16):
        points = Points((symbol,), tuple({"n": n} for n in sizes))
        try:
            found = points.fit([(n - window) // step + 1 for n in sizes])
            break
        except UndecidedError as undecided:
            sizes.append(undecided.sizes["n"])
    assert found is not None
    numbers = [int(value(found, {"n": n})) for n in range(window, 16001)]
    assert numbers == [(n - window) // step + 1 for n in range(window, 16001)]
