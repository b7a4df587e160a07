"""Sizes that are known only at run time: how they are written, and where they may stand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from luthier.frontend.program import Call, Dim, OpenTensor, Program, Symbol
from luthier.frontend.program.verify import verify
from luthier.schedules import ModelError, Tensor, Workload, node
from luthier.schedules.ir.core import IRError

TOKENS, PAST = Symbol("tokens", 1, 512), Symbol("past", 0, 63)
SYMBOLS = {"tokens": TOKENS, "past": PAST}


def test_a_range_reads_back() -> None:
    assert str(TOKENS) == "tokens=1..512"
    assert Symbol.parse("tokens=1..512") == TOKENS
    assert Symbol.parse("past=0..63") == PAST


@pytest.mark.parametrize(
    "text", ["", "tokens", "tokens=5", "tokens=5..4", "=1..2", "a b=1..2", "t=-1..2", "t=1..0x9"]
)
def test_an_invalid_range_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="is not a range of sizes such as 'tokens="):
        Symbol.parse(text)


@pytest.mark.parametrize(
    "text",
    ["float32[tokens,768]", "int64[]", "bool[past+1,2*tokens]", "float16[3*tokens-2,1,past]"],
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
        ("float32[tokens*2]", "is not a size such as"),
        ("float32[,1]", "is not a size such as"),
        ("float32[-1]", "is not a size such as"),
        ("float32[heads]", "nobody says which sizes 'heads' may have"),
        ("float32[past-1]", "'past-1' may be negative: past=0..63"),
    ],
)
def test_an_invalid_type_is_refused(text: str, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        OpenTensor.parse(text, SYMBOLS)


def test_sizes_are_computed() -> None:
    assert Dim(PAST) + 1 == Dim(PAST, 1, 1)
    assert (Dim(TOKENS) + 1) * 2 == Dim(TOKENS, 2, 2)
    tensor = OpenTensor((Dim(TOKENS, 2), Dim(PAST, 1, 1), 7), "float32")
    assert tensor.at({"tokens": 3, "past": 5}) == Tensor((6, 6, 7))
    assert (tensor.least, tensor.most) == (Tensor((2, 1, 7)), Tensor((1024, 64, 7)))


def test_a_size_out_of_its_range_is_refused() -> None:
    with pytest.raises(ModelError, match=r"the size tokens=513 is not in tokens=1..512"):
        Dim(TOKENS).at({"tokens": 513})


MOST, FLAT = Tensor((512, 8)), Tensor((4096,))
TANH = Workload((FLAT,), (False,), (node("tanh", (0,), FLAT),))
PROGRAM = Program(
    "open",
    (MOST, FLAT, FLAT),
    (("x", 0),),
    (("y", 2),),
    {},
    {1: 0},
    (Call(TANH, (1,), 2),),
    open={
        0: OpenTensor((Dim(TOKENS), 8), "float32"),
        1: OpenTensor((Dim(TOKENS, 8),), "float32"),
        2: OpenTensor((Dim(TOKENS, 8),), "float32"),
    },
)


def test_a_program_prints_each_range_once() -> None:
    assert str(PROGRAM) == (
        "program open\n"
        "  size tokens=1..512\n"
        "  %0 = input 'x': float32[tokens,8]\n"
        "  %1 = view of %0: float32[8*tokens]\n"
        f"  %2 = {TANH.key}(%1): {TANH}\n"
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
        self.refuse("the room for it is another", {2: OpenTensor((Dim(TOKENS, 9),), "float32")})

    def test_a_size_that_no_input_determines(self) -> None:
        self.refuse("no input has the size", {2: OpenTensor((Dim(PAST, 65, 1),), "float32")})

    def test_a_size_of_two_ranges(self) -> None:
        other = Symbol("tokens", 2, 512)
        self.refuse("no input has the size", {2: OpenTensor((Dim(other, 8),), "float32")})

    def test_a_size_that_may_be_negative(self) -> None:
        self.refuse("less than no", {2: OpenTensor((Dim(TOKENS, 10, -1024),), "float32")})

    def test_a_view_that_has_other_bytes_where_the_size_is_small(self) -> None:
        self.refuse("has not the bytes", {1: OpenTensor((Dim(TOKENS, 7, 512),), "float32")})
