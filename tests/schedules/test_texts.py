"""Operators on texts, against Python's own: of all lengths, in bytes and in letters."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library
from open_workloads import opened
from test_open_kernels import fixed
from workloads import Builder, Value

from luthier.schedules import Tensor, Workload, node
from luthier.schedules.ir.core import IRError
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.ops.evaluate import run
from luthier.schedules.ops.texts import most_pieces, pieces, rows
from luthier.schedules.ops.verify import verify
from luthier.schedules.templates.open_kernels import instantiate_open
from luthier.schedules.templates.registry import default, instantiate

TARGET = TARGETS[RUNNABLE[-1]]
LETTERS = ("", " ", "\t", "a", "B", "z", "-", "--", "é", "Ж", "ß", "語", "😀", "ab", "x" * 30)


def texts(count: int, width: int, seed: int) -> np.ndarray:
    """Empty ones, those that fill their row, and between."""
    rng = random.Random(f"{count} {width} {seed}")
    found = []
    for _ in range(count):
        text = "".join(rng.choices(LETTERS, k=rng.randint(0, 20))).encode()
        cut = text[: rng.choice((0, 1, width // 2, width))]
        found.append(cut.decode("utf-8", "ignore").encode())
    return rows(found, (count, width))


def alone(op: str, *inputs: Tensor, out: Tensor, **attrs: object) -> Workload:
    b = Builder()
    given = [b.input(each.shape, each.dtype) for each in inputs]
    b.add(op, *given, shape=out.shape, dtype=out.dtype, **attrs)
    return b.workload


def given(*arrays: np.ndarray) -> list[Tensor]:
    return [Tensor(array.shape, str(array.dtype)) for array in arrays]


def split(op: str, x: np.ndarray, delimiter: bytes, cuts: int) -> Workload:
    count, width = x.shape
    out = Tensor((count,), "int64")
    if op == "text_pieces":
        out = Tensor((count, most_pieces(width, len(delimiter), cuts), width), "uint8")
    return alone(op, *given(x), out=out, delimiter=tuple(delimiter), cuts=cuts)


def tables(x: np.ndarray, seed: int) -> list[tuple[Workload, Sequence[np.ndarray]]]:
    """Operators that read tables, of made-up ones."""
    rng = np.random.default_rng(seed)
    count, width = x.shape
    keys = np.unique(np.concatenate([x[::2], texts(9, width, seed)]), axis=0)
    multipliers = rng.integers(1, 1 << 39, width)
    hashed = np.sum(keys * multipliers, axis=1)
    order = np.argsort(hashed)
    place = (x, keys[order], hashed[order], multipliers)
    states = 5
    match = (
        x, rng.integers(0, 7, 256, np.uint8), rng.integers(0, states, (states, 7), np.int32)
    )  # fmt: skip
    pages = rng.integers(0, 2, 1024, np.uint8)
    shifts = np.zeros((2, 64), np.int32)
    shifts[1, :32] = 32  # within a page, so that no letter takes more bytes
    return [
        (alone("text_place", *given(*place), out=Tensor((count,), "int64")), place),
        (
            alone("text_match", *given(*match), out=Tensor((count,), "bool"), states=states,
                  kinds=7, begin=3, accepts=2),
            match,
        ),
        (
            alone("text_map", *given(x, pages, shifts), out=Tensor(x.shape, "uint8"), pages=2),
            (x, pages, shifts),
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("width", [2, 3, 64])
def test_they_are_what_python_says(width: int) -> None:
    calls: list[tuple[Workload, Sequence[np.ndarray]]] = []
    for count in (1, 57):
        x, y = texts(count, width, 0), texts(count, width + 1, 1)
        calls += tables(x, count)
        joined = Tensor((count, 2 * width + 1), "uint8")
        calls.append((alone("text_join", *given(x, y), out=joined), (x, y)))
        dirty = np.random.default_rng(count).integers(0, 4, (count, width), np.uint8)
        calls.append((alone("text_clean", *given(x), out=given(x)[0]), (dirty,)))
        for delimiter, cuts in itertools.product((b"", b"-", b"--", "Ж".encode()), (-1, 0, 1, 2)):
            calls.append((split("text_pieces", x, delimiter, cuts), (x,)))
            calls.append((split("text_count", x, delimiter, cuts), (x,)))
    library = Library([instantiate(w, TARGET, default(w, TARGET)) for w, _ in calls], TARGET)
    for index, (workload, arrays) in enumerate(calls):
        got = library.run(index, arrays, random.Random(index))
        np.testing.assert_array_equal(got, run(workload, arrays), str(workload))


NUMBERS = [
    "0", "-0", "1", "-1.5", "+.5", "5.", ".", "", "e5", "1e", "1e5", "1E-5", " 12 ", "1 2", "--1",
    "inf", "-INF", "+Infinity", "nan", "-nan", "infin", "1e400", "-1e-400", "1e99999999999",
    "4.9e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "1.7976931348623157e308",
    "1.7976931348623159e308", "2.2250738585072011e-308", "9007199254740993", "1.4e-45", "7e-46",
    "7.1e-46", "3.4028235677973366e38", "3.4028235677973365e38", "16777217", "16777219.000001",
    "0.1", "0.000000000000000000000000000000000000001", "123456789012345678901234567890",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "12.99", "0x10", "1_000", "1.17549435e-38", "8.5e-39", "1" * 64, "0." + "3" * 62,
    "1.00000005960464477539062500000000000000000000000000000000000001",
    "1.000000059604644775390625", "9" * 30 + "e-30",
]  # fmt: skip


def test_numbers_are_read_to_the_nearest() -> None:
    rng = random.Random(5)
    found = list(NUMBERS)
    for _ in range(300):  # floats, and what lies just in the middle of two
        (double,) = struct.unpack("<d", rng.randbytes(8))
        (single,) = struct.unpack("<f", rng.randbytes(4))
        found += [repr(double), f"{single:.9g}", f"{single:.30e}", f"{rng.randint(-99, 99)}.25"]
    x = rows([each.encode()[:72] for each in found], (len(found), 72))
    kinds = ("float32", "float64", "int64")
    workloads = [
        alone("text_read", *given(x), out=Tensor((len(found),), kind), to=kind) for kind in kinds
    ]
    library = Library([instantiate(w, TARGET, default(w, TARGET)) for w in workloads], TARGET)
    for index, workload in enumerate(workloads):
        got = library.run(index, (x,), random.Random(index))
        want = run(workload, [x])
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(np.signbit(got) & (got == 0), np.signbit(want) & (want == 0))


def test_what_is_expected_of_numbers_is_what_python_reads() -> None:
    plain = [each for each in NUMBERS if each and "_" not in each and "x" not in each]
    x = rows([each.encode() for each in plain], (len(plain), 72))
    made = node("text_read", (0,), Tensor((len(plain),), "float64"), to="float64")
    found = run(Workload(tuple(given(x)), (False,), (made,)), [x])
    for text, number in zip(plain, found, strict=True):
        try:
            wanted = float(text)
        except ValueError:
            wanted = np.nan
        np.testing.assert_array_equal(number, wanted, text)


def test_whole_numbers_are_written() -> None:
    signed = np.array([0, 7, -7, 10, -(1 << 63), (1 << 63) - 1, 99, -100])
    unsigned = np.array([0, 9, (1 << 64) - 1, 1 << 63], np.uint64)
    cases = [(x, alone("text_write", *given(x), out=Tensor((*x.shape, 20), "uint8")))
             for x in (signed, unsigned)]  # fmt: skip
    library = Library([instantiate(w, TARGET, default(w, TARGET)) for _, w in cases], TARGET)
    for index, (x, _) in enumerate(cases):
        got = library.run(index, (x,), random.Random(index))
        assert [bytes(row).rstrip(b"\0").decode() for row in got] == [str(n) for n in x.tolist()]


def test_open_numbers_of_texts() -> None:
    def make(n: int) -> Workload:
        b = Builder()
        x: Value = b.input((n, 8), "uint8")
        b.add("text_clean", x, shape=(n, 8), dtype="uint8")
        return b.workload

    kernel = instantiate_open(opened(make, ["n"]), [Symbol("n", 1, 2000)], TARGET, names=("n",))
    for n in (1, 7, 2000):
        number = next(i for i, a in enumerate(kernel.alternatives) if a.fits({"n": n}))
        library = Library([a.kernel for a in kernel.alternatives], TARGET)
        library.kernels[number] = fixed(kernel, number, {"n": n})
        x = np.random.default_rng(n).integers(0, 9, (n, 8), np.uint8)
        got = library.run(number, [x], random.Random(1), np.array([n], np.int64))
        np.testing.assert_array_equal(got, run(make(n), [x]))


@pytest.mark.parametrize("most", [-1, 0, 1, 3])
def test_parts_are_those_of_python(most: int) -> None:
    for text in ("", " ", "a", " a  bc d ", "a,b,,c,", ",", "a, b\t,c"):
        assert pieces(text.encode(), b",", most) == text.encode().split(b",", most)
        # The standard leaves spaces at the end out of the last part, too, which Python does not.
        assert pieces(text.encode(), b"", most) == text.encode().rstrip().split(None, most)


WRONG = {
    "of numbers": ("text_clean", [Tensor((3, 4))], Tensor((3, 4)), {}),
    "of one byte": ("text_clean", [Tensor((3, 1), "uint8")], Tensor((3, 1), "uint8"), {}),
    "of no text": ("text_count", [Tensor((), "uint8")], Tensor((), "int64"),
                   {"delimiter": (), "cuts": 0}),
    "of other rows": ("text_join", [Tensor((3, 4), "uint8"), Tensor((2, 4), "uint8")],
                      Tensor((3, 8), "uint8"), {}),
    "of short keys": (
        "text_place",
        [Tensor((3, 4), "uint8"), Tensor((2, 3), "uint8"), Tensor((2,), "int64"),
         Tensor((4,), "int64")],
        Tensor((3,), "int64"), {},
    ),
    "of a state that is none": (
        "text_match",
        [Tensor((3, 4), "uint8"), Tensor((256,), "uint8"), Tensor((2, 3), "int32")],
        Tensor((3,), "bool"), {"states": 2, "kinds": 3, "begin": 2, "accepts": 0},
    ),
    "of a type that is not read": ("text_read", [Tensor((3, 4), "uint8")], Tensor((3,), "int8"),
                                   {"to": "int8"}),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_strangers_may_say_is_verified(name: str) -> None:
    op, inputs, out, attrs = WRONG[name]
    made = node(op, tuple(range(len(inputs))), out, **attrs)
    with pytest.raises(IRError):
        verify(Workload(tuple(inputs), (False,) * len(inputs), (made,)))
