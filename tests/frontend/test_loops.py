"""Loops and branches: which are steps of a program, and how they are printed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from luthier.frontend.lowering.join_depthwise import join_depthwise
from luthier.frontend.program import Branch, Call, Loop, Program, Step
from luthier.frontend.program.verify import verify
from luthier.schedules import Target, Tensor, Workload, node
from luthier.schedules.ir.core import IRError, Region

X, COUNT, TRUTH = Tensor((4,)), Tensor((), "int64"), Tensor((), "bool")


def workload(op: str, *inputs: Tensor, out: Tensor = X, constant: bool = False) -> Workload:
    constants = (False,) * (len(inputs) - constant) + (True,) * constant
    return Workload(inputs, constants, (node(op, tuple(range(len(inputs))), out),))


TANH, ADD, SCALE = workload("tanh", X), workload("add", X, X), workload("add", X, X, constant=True)

# The sum of x and tanh(x), again while a condition holds, each tanh kept; all share a weight.
LOOP = Loop(
    Region((10, 11), (Call(TANH, (11,), 12), Call(ADD, (11, 12), 13)), (2, 13, 12)),
    carried=(0,),
    results=(14, 15),
    trips=1,
    condition=2,
    source="Loop 'again'",
)
KEPT = Tensor((5, 4))
LOOPING = Program(
    "looping",
    (X, COUNT, TRUTH, COUNT, X, X, X, KEPT),
    (("x", 0), ("most", 1), ("go", 2)),
    (("y", 6), ("all", 7)),
    {},
    {},
    (LOOP.renumbered({0: 0, 1: 1, 2: 2, 10: 3, 11: 4, 12: 5, 13: 8, 14: 6, 15: 7}),),
)
LOOPING = replace(LOOPING, values=(*LOOPING.values, X))

BRANCHING = Program(
    "branching",
    (X, TRUTH, X, X, X, X),
    (("x", 0), ("positive", 1)),
    (("y", 5),),
    {2: np.ones(4, np.float32)},
    {},
    (
        Branch(
            1,
            Region((), (Call(SCALE, (0, 2), 3),), (3,)),
            Region((), (Call(TANH, (0,), 4),), (4,)),
            (5,),
        ),
    ),
)


def test_a_loop_is_printed_with_its_body() -> None:
    assert str(LOOPING) == (
        "program looping\n"
        "  %0 = input 'x': float32[4]\n"
        "  %1 = input 'most': int64[]\n"
        "  %2 = input 'go': bool[]\n"
        "  %6, %7 = loop[trips %1, condition %2](%0)  # Loop 'again'\n"
        "    region(%3: int64[], %4: float32[4])\n"
        f"      %5 = {TANH.key}(%4): {TANH}\n"
        f"      %8 = {ADD.key}(%4, %5): {ADD}\n"
        "      yield %2, %8, %5\n"
        "  output 'y' = %6\n"
        "  output 'all' = %7"
    )


def test_a_branch_is_printed_with_both_its_regions() -> None:
    text = str(BRANCHING).split("\n")
    assert text[4:] == [
        "  %5 = branch(%1)",
        "    region()",
        f"      %3 = {SCALE.key}(%0, %2): {SCALE}",
        "      yield %3",
        "    region()",
        f"      %4 = {TANH.key}(%0): {TANH}",
        "      yield %4",
        "  output 'y' = %5",
    ]


def test_a_step_reads_what_its_regions_read_around_them() -> None:
    (branch,) = BRANCHING.steps
    assert set(branch.reads) == {0, 1, 2}
    (loop,) = LOOPING.steps
    assert set(loop.reads) == {0, 1, 2}


def test_the_calls_of_a_program_are_those_of_inner_regions_too() -> None:
    assert [call.workload for call in BRANCHING.calls] == [SCALE, TANH]
    assert [call.result for call in LOOPING.calls] == [5, 8]


@pytest.mark.parametrize("program", [LOOPING, BRANCHING], ids=lambda p: p.name)
def test_passes_leave_them_as_they_are(program: Program) -> None:
    verify(program)
    spare = replace(program, values=(*program.values, X), views={len(program.values): 0})
    assert spare.compact() == program
    assert join_depthwise(program, Target("x86-64-v3", "x86-64-v3", 1)) == program


class TestInvalidLoop:
    def refuse(self, match: str, **changes: object) -> None:
        verify(LOOPING)
        (loop,) = LOOPING.steps
        other = replace(LOOPING, steps=(replace(loop, **changes),), outputs=(("y", 6),))
        with pytest.raises(IRError, match=match):
            verify(other)

    def body(self, **changes: object) -> Region[Step]:
        (loop,) = LOOPING.steps
        assert isinstance(loop, Loop)
        return replace(loop.body, **changes)

    def test_a_loop_that_nothing_ends(self) -> None:
        self.refuse("nothing ends it", trips=None, condition=None)

    def test_a_number_of_trips_of_another_type(self) -> None:
        self.refuse("it runs %0 times", trips=0)

    def test_an_invalid_condition(self) -> None:
        self.refuse("%0 is not a condition", condition=0)
        self.refuse("%8 is not a condition", body=self.body(results=(8, 8, 5)))
        self.refuse("does not say whether to go on", body=self.body(results=()))

    def test_a_body_that_takes_something_else(self) -> None:
        self.refuse("its body takes", carried=(0, 0))
        self.refuse(r"its body takes .*, not a number and bool\[\]", carried=(2,))

    def test_a_body_that_leaves_something_else(self) -> None:
        self.refuse("its body leaves", body=self.body(results=(2, 3, 5)))
        self.refuse("its body leaves nothing", body=self.body(results=(2,)))

    def test_results_that_are_not_those_of_its_body(self) -> None:
        self.refuse(r"it ends with float32\[5,4\]", results=(7, 6))
        self.refuse("it gives nothing for", results=(6,))
        self.refuse("for nothing of each iteration", body=self.body(results=(2, 8)))

    def test_a_body_whose_values_are_read_outside(self) -> None:
        with pytest.raises(IRError, match="a result comes from nowhere"):
            verify(replace(LOOPING, outputs=(("y", 5),)))
        after = Call(TANH, (5,), 9)
        program = replace(LOOPING, steps=(*LOOPING.steps, after), values=(*LOOPING.values, X))
        with pytest.raises(IRError, match=r"%9 = .* it reads what comes later"):
            verify(program)

    def test_a_body_that_defines_a_value_again(self) -> None:
        again = (Call(TANH, (4,), 5), Call(ADD, (4, 5), 0))
        self.refuse("its value is taken", body=self.body(statements=again, results=(2, 0, 5)))

    def test_an_invalid_call_inside(self) -> None:
        broken = (Call(TANH, (4,), 5), Call(ADD, (4, 3), 8))
        self.refuse("its arguments are", body=self.body(statements=broken))


class TestInvalidBranch:
    def refuse(self, match: str, **changes: object) -> None:
        verify(BRANCHING)
        (branch,) = BRANCHING.steps
        with pytest.raises(IRError, match=match):
            verify(replace(BRANCHING, steps=(replace(branch, **changes),)))

    def test_an_invalid_condition(self) -> None:
        self.refuse("%0 is not a condition", condition=0)

    def test_regions_of_other_results(self) -> None:
        self.refuse(r"a region gives bool\[\], not float32\[4\]", otherwise=Region((), (), (1,)))
        self.refuse("a region gives nothing", then=Region((), (), ()))

    def test_regions_with_parameters(self) -> None:
        taking = Region((4,), (), (4,))
        self.refuse("its regions have no parameters", otherwise=taking)

    def test_a_region_that_reads_what_the_other_one_defines(self) -> None:
        self.refuse("a result comes from nowhere", otherwise=Region((), (), (3,)))
