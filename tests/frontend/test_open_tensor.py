"""Sizes that are known only at run time: how they are written, and where they may stand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from luthier.frontend.program import Call, OpenTensor, Program
from luthier.frontend.program.verify import verify
from luthier.schedules import ModelError, Tensor, Workload, node
from luthier.schedules.ir.core import IRError
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Size
from luthier.schedules.ir.symbol import Symbol

TOKENS, PAST = Symbol("tokens", 1, 512), Symbol("past", 0, 63)
T, P = Size.named("tokens"), Size.named("past")
SYMBOLS = {"tokens": TOKENS, "past": PAST}


@pytest.mark.parametrize(
    "text",
    [
        "float32[tokens,768]",
        "int64[]",
        "bool[past+1,2*tokens]",
        "float16[3*tokens-2,1,past]",
        "float32[past*tokens,(past+tokens+1)//2]",
    ],
)
def test_a_type_reads_back(text: str) -> None:
    tensor = OpenTensor.parse(text, SYMBOLS)
    assert str(tensor) == text
    assert OpenTensor.parse(str(tensor), SYMBOLS) == tensor


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("float32", "is not a tensor type such as"),
        ("float8[tokens]", "is not a tensor type such as"),
        ("float32[tokens][2]", "is not a tensor type such as"),
        ("float32[,1]", "is not a size such as"),
        ("float32[-1]", "is not a size such as"),
        ("float32[heads]", "nobody says which sizes 'heads' may have"),
        ("float32[past-1]", "may be negative: past=0..63"),
    ],
)
def test_an_invalid_type_is_refused(text: str, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        OpenTensor.parse(text, SYMBOLS)


def test_types_of_sizes() -> None:
    tensor = OpenTensor((2 * T, P + 1, 7), "float32")
    assert tensor.at({"tokens": 3, "past": 5}) == Tensor((6, 6, 7))
    assert tensor.most(SYMBOLS) == Tensor((1024, 64, 7))
    assert len(set(tensor.corners(SYMBOLS))) == 2
    assert len(set(OpenTensor((2 * T, 64 - P), "float32").corners(SYMBOLS))) == 4


MOST, FLAT = Tensor((512, 8)), Tensor((4096,))
TANH = Workload((FLAT,), (False,), (node("tanh", (0,), FLAT),))
OPEN_FLAT = Tensor((8 * T,))
OPEN = OpenWorkload(Workload((OPEN_FLAT,), (False,), (node("tanh", (0,), OPEN_FLAT),)))
PROGRAM = Program(
    "open",
    (MOST, FLAT, FLAT),
    (("x", 0),),
    (("y", 2),),
    {},
    {1: 0},
    (Call(TANH, (1,), 2, open=OPEN),),
    symbols=(TOKENS,),
    open={
        0: OpenTensor((T, 8), "float32"),
        1: OpenTensor((8 * T,), "float32"),
        2: OpenTensor((8 * T,), "float32"),
    },
)


def test_a_program_prints_each_range_once() -> None:
    assert str(PROGRAM) == (
        "program open\n"
        "  size tokens=1..512\n"
        "  %0 = input 'x': float32[tokens,8]\n"
        "  %1 = view of %0: float32[8*tokens]\n"
        f"  %2 = {TANH.key}(%1): tanh(float32[8*tokens]) -> float32[8*tokens]\n"
        "  output 'y' = %2"
    )


def test_open_values_keep_their_sizes_when_numbers_change() -> None:
    spare = replace(PROGRAM, values=(*PROGRAM.values, FLAT), views={1: 0, 3: 0})
    assert spare.compact() == PROGRAM


class TestInvalidProgram:
    def refuse(self, match: str, open_: dict[int, OpenTensor]) -> None:
        verify(PROGRAM)
        with pytest.raises(IRError, match=match):
            verify(replace(PROGRAM, open={**PROGRAM.open, **open_}))

    def test_too_little_room(self) -> None:
        self.refuse("the room for it is another", {2: OpenTensor((9 * T,), "float32")})

    def test_a_size_that_has_no_range(self) -> None:
        self.refuse("nobody says which sizes 'past'", {2: OpenTensor((65 * P + 1,), "float32")})

    def test_a_size_that_may_be_negative(self) -> None:
        self.refuse("less than no", {2: OpenTensor((10 * T - 1024,), "float32")})

    def test_a_view_that_has_other_bytes_where_the_size_is_small(self) -> None:
        self.refuse("has not the bytes", {1: OpenTensor((7 * T + 512,), "float32")})

    def test_a_call_whose_sizes_are_not_its_arguments(self) -> None:
        other = 8 * T + (T - 1) * (T - 512)  # the same at both ends
        self.refuse("its arguments are", {1: OpenTensor((other,), "float32")})


def test_corners_of_many_sizes() -> None:
    symbols = {f"n{i}": Symbol(f"n{i}", 0, 9) for i in range(40)}
    some = Size.named("n0")
    for name in symbols:
        some += Size("min", Size.named(name), 5)
    tensor = OpenTensor((some, 4), "int64")
    assert tensor.most(symbols) == Tensor((209, 4), "int64")
    assert set(tensor.corners(symbols)) == {Tensor((0, 4), "int64"), Tensor((209, 4), "int64")}
