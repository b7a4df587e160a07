"""What is true of every program, and how one is printed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from luthier.frontend.program import Call, Part, Program
from luthier.frontend.program.verify import verify
from luthier.schedules import Tensor, Workload, node
from luthier.schedules.ir.core import IRError
from luthier.schedules.ir.placement import DENSE, Placement

ROWS, WHOLE, FLAT = Tensor((2, 3)), Tensor((2, 8)), Tensor((16,))
LEFT, RIGHT, APART = ROWS, Tensor((2, 5)), Placement(output=8)


def unary(op: str, given: Tensor, out: Tensor, **attrs: object) -> Workload:
    return Workload((given,), (False,), (node(op, (0,), out, **attrs),))


ADD = Workload((ROWS, ROWS), (False, True), (node("add", (0, 1), LEFT),))
WIDE = unary("pad", ROWS, RIGHT, before=(0, 2), mode="constant", value=0.0)
TANH = unary("tanh", FLAT, FLAT)

# x + w and a padded x lie side by side in %4, of which the hyperbolic tangent is taken, flat.
PROGRAM = Program(
    "sides",
    (ROWS, ROWS, LEFT, RIGHT, WHOLE, FLAT, FLAT),
    (("x", 0),),
    (("y", 6), ("sides", 4)),
    {1: np.ones((2, 3), np.float32)},
    {5: 4},
    (
        Call(ADD, (0, 1), 2, "Add 'a'", APART),
        Call(WIDE, (0,), 3, placement=APART),
        Call(TANH, (5,), 6),
    ),
    {2: Part(4, 0, 8), 3: Part(4, 3, 8)},
)


def test_it_is_printed_a_value_a_line() -> None:
    assert str(PROGRAM) == (
        "program sides\n"
        "  %0 = input 'x': float32[2,3]\n"
        "  %1 = constant: float32[2,3]\n"
        "  %5 = view of %4: float32[16]\n"
        "  %2 in %4 from 0 on, 8 apart: float32[2,3]\n"
        "  %3 in %4 from 3 on, 8 apart: float32[2,5]\n"
        f"  %2 = {ADD.key}(%0, %1): {ADD} [out:8]  # Add 'a'\n"
        f"  %3 = {WIDE.key}(%0): {WIDE} [out:8]\n"
        f"  %6 = {TANH.key}(%5): {TANH}\n"
        "  output 'y' = %6\n"
        "  output 'sides' = %4"
    )


def test_the_parts_of_a_value() -> None:
    assert PROGRAM.made_of(5) == PROGRAM.made_of(4) == {2, 3}
    assert PROGRAM.made_of(0) == {0}


def test_a_compact_program_has_the_values_that_calls_name() -> None:
    spare = replace(PROGRAM, values=(*PROGRAM.values, FLAT), views={**PROGRAM.views, 7: 4})
    assert spare.compact() == PROGRAM


class TestInvalidProgram:
    def refuse(self, match: str, program: Program = PROGRAM, **changes: object) -> None:
        verify(program)
        with pytest.raises(IRError, match=match):
            verify(replace(program, **changes))

    def other(self, value: int, tensor: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor if v == value else t for v, t in enumerate(PROGRAM.values))

    def test_a_call_before_its_arguments(self) -> None:
        add, wide, tanh = PROGRAM.calls
        self.refuse("%6 = .* it reads what comes later", steps=(add, tanh, wide))
        self.refuse("%6 = .* it reads what comes later", steps=(add, tanh))

    def test_a_value_from_two_places(self) -> None:
        calls = (*PROGRAM.calls, PROGRAM.calls[0])
        self.refuse("its value is taken", steps=calls)
        self.refuse("a value comes from two places", views={5: 4, 6: 5})

    def test_a_value_from_nowhere(self) -> None:
        self.refuse("a value comes from nowhere", values=(*PROGRAM.values, ROWS))
        self.refuse("a result comes from nowhere", outputs=(("y", 17),))

    def test_arguments_of_other_types(self) -> None:
        add, wide, tanh = PROGRAM.calls
        self.refuse("its arguments are", steps=(add, wide, replace(tanh, args=(4,))))
        self.refuse("its arguments are", steps=(add, replace(wide, args=(0, 0)), tanh))

    def test_a_result_of_another_type(self) -> None:
        self.refuse("its result is", values=self.other(6, WHOLE))

    def test_an_invalid_workload(self) -> None:
        add, wide, _ = PROGRAM.calls
        broken = Call(unary("tanh", FLAT, WHOLE), (5,), 6)
        self.refuse("it is .*, not", steps=(add, wide, broken))

    def test_an_invalid_constant(self) -> None:
        inputs = (("x", 0), ("w", 1))
        self.refuse("it wants a constant", inputs=inputs, constants={})

    def test_a_constant_of_another_type(self) -> None:
        self.refuse("the constant %1 is", constants={1: np.ones((2, 3))})

    def test_a_view_of_other_bytes(self) -> None:
        self.refuse("the view %5 has not the bytes", values=self.other(5, Tensor((15,))))

    def test_an_invalid_place(self) -> None:
        self.refuse("lies in itself", views={5: 6, 6: 5})
        self.refuse("lies in itself", parts={2: Part(4, 0), 3: Part(4, 3), 4: Part(2, 0)})
        self.refuse("%5 in %9: a value comes from nowhere", views={5: 9})

    def test_parts_that_overlap_or_leave_gaps(self) -> None:
        self.refuse("it lies where another", parts={2: Part(4, 0, 8), 3: Part(4, 2, 8)})
        self.refuse("it ends outside", parts={2: Part(4, 0, 8), 3: Part(4, 4, 8)})
        gap = self.other(3, Tensor((2, 4)))
        self.refuse("the parts of %4 leave gaps", values=gap)

    def test_a_call_that_writes_its_rows_otherwise(self) -> None:
        add, wide, tanh = PROGRAM.calls
        self.refuse("its tensors lie otherwise", steps=(replace(add, placement=DENSE), wide, tanh))

    def test_parts_of_another_element_type(self) -> None:
        self.refuse("%2 in %4 .*: it is int32", values=self.other(2, Tensor((2, 3), "int32")))

    def test_two_inputs_of_one_name(self) -> None:
        inputs = (("x", 0), ("x", 7))
        self.refuse("an input's name", inputs=inputs, values=(*PROGRAM.values, ROWS))
