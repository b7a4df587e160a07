"""The runtime's loops and branches in a C program, under sanitizers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sanitized import SANITIZERS, Sanitized
from small_models import SmallModel, compile_c, kernel
from test_c_api import run

from luthier.deploy.tables import kernel_symbol
from luthier.frontend.program import Branch, Call, Loop, OpenTensor, Program, Step
from luthier.frontend.program.verify import verify
from luthier.schedules import Tensor, Workload, node
from luthier.schedules.ir.core import Region
from luthier.schedules.ir.kernel import Alternative, OpenKernel
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Size
from luthier.schedules.ir.symbol import Symbol

X, KEPT = Tensor((3, 4)), Tensor((2, 3, 4))
COUNT, TRUTH = Tensor((), "int64"), Tensor((), "bool")
FACTOR = Tensor((3, 4))

TRIPLE = Workload((X, FACTOR), (False, True), (node("multiply", (0, 1), X),))
NEGATE = Workload((X,), (False,), (node("negative", (0,), X),))
# Rows that lie one after the other are at multiples of 4 bytes alone.
CODE = f"""
#include <stdint.h>
void {kernel_symbol(0)}_0(void *const *b, void *scratch, int32_t begin, int32_t end) {{
    const float *x = b[0], *factor = b[1];
    float *y = b[2];
    (void)scratch;
    for (int32_t i = 4 * begin; i < 4 * end; i++)
        y[i] = x[i] * factor[i];
}}
void {kernel_symbol(1)}_0(void *const *b, void *scratch, int32_t begin, int32_t end) {{
    const float *x = b[0];
    float *y = b[1];
    (void)scratch;
    for (int32_t i = 4 * begin; i < 4 * end; i++)
        y[i] = -x[i];
}}
"""
COUNTED = OpenWorkload(
    Workload(
        (),
        (),
        (
            node("const", (), COUNT, value=Size.named("steps")),  # type: ignore[arg-type]
            node("broadcast_to", (0,), Tensor((1,), "int64")),
        ),
    )
)
OPEN_CODE = f"""
{CODE.replace("_0(", "_a0_0(")}
void {kernel_symbol(2, 0)}_0(void *const *b, void *scratch, int32_t begin, int32_t end) {{
    const int64_t *sizes = b[1];
    (void)scratch, (void)begin, (void)end;
    *(int64_t *)b[0] = sizes[1];
}}
"""


@pytest.fixture(scope="module")
def loops() -> SmallModel:
    """What c_loops.c says: a loop in a loop, a branch, and a loop that keeps what it carries."""

    def tripled(number: int, first: int, result: int, after: int, end: int) -> Loop:
        body = Region((number, first), (Call(TRIPLE, (first, 4), result, "triple"),), (result,))
        return Loop(body, (after,), (end,), trips=5, source="Loop 'inner'")

    outer = Region((6, 7), (tripled(8, 9, 10, 7, 11),), (2, 11))
    negated = Region((), (Call(NEGATE, (12,), 13, "negate"),), (13,))
    same = Region((), (), (12,))
    last = Region((15, 16), (Call(TRIPLE, (16, 4), 17, "keep"),), (17, 17))
    values = [X] * 20
    for value, tensor in {1: COUNT, 2: TRUTH, 3: TRUTH, 4: FACTOR, 5: COUNT, 19: KEPT}.items():
        values[value] = tensor
    for number in (6, 8, 15):
        values[number] = COUNT
    program = Program(
        "loops",
        tuple(values),
        (("x", 0), ("n", 1), ("begin", 2), ("flag", 3)),
        (("y", 14), ("kept", 19)),
        {4: np.full((3, 4), 3, np.float32), 5: np.array(2)},
        {},
        (
            Loop(outer, (0,), (12,), trips=1, condition=2, source="Loop 'outer'"),
            Branch(3, negated, same, (14,)),
            Loop(last, (14,), (18, 19), trips=5),
        ),
    )
    verify(program)
    kernels = (kernel(TRIPLE, (3,)), kernel(NEGATE, (3,)))
    return SmallModel(program, kernels, compile_c(CODE))


@pytest.fixture(scope="module")
def open_loops(loops: SmallModel) -> SmallModel:
    """The same over a number of rows, none included; and what is kept is of as many iterations as
    a size says, whose number a kernel writes."""
    rows, steps = Size.named("rows"), Size.named("steps")
    x = OpenTensor((rows, 4), "float32")

    def opened(step: Step) -> Step:
        if not isinstance(step, Call):
            return step.over(partial(map, opened)) if isinstance(step, Loop | Branch) else step
        workload = over(step.workload, rows)
        return replace(step, workload=replace(step.workload, constants=workload.constants),
                       open=OpenWorkload(workload))  # fmt: skip

    fixed = loops.program
    steps_read = Call(COUNTED.at({"steps": 2}), (), 20, "steps", open=COUNTED)
    program = replace(
        fixed,
        values=(*fixed.values, Tensor((1,), "int64")),
        constants={4: fixed.constants[4]},
        views={5: 20},
        steps=(steps_read, *map(opened, fixed.steps)),
        open={v: x for v, t in enumerate(fixed.values) if t == X}
        | {19: OpenTensor((steps, rows, 4), "float32")},
        symbols=(Symbol("rows", 0, 3), Symbol("steps", 0, 2)),
    )
    verify(program)
    at = kernel(COUNTED.at({"steps": 2}), (1,))
    alternatives = [
        (over(TRIPLE, rows), kernel(TRIPLE, (rows,))),  # type: ignore[arg-type]
        (over(NEGATE, rows), kernel(NEGATE, (rows,))),  # type: ignore[arg-type]
        (COUNTED.workload, at),
    ]
    kernels = tuple(
        OpenKernel(OpenWorkload(workload), ("rows", "steps"), (Alternative((), each),))
        for workload, each in alternatives
    )
    return SmallModel(program, kernels, compile_c(OPEN_CODE))


def over(workload: Workload, rows: Size) -> Workload:
    """Over that many rows, with no constant that was packed for the largest."""
    x = Tensor((rows, 4))  # type: ignore[arg-type]
    (one,) = workload.nodes
    inputs = (x,) * len(workload.inputs)
    return Workload(inputs, (False,) * len(inputs), (replace(one, out=x),))


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize("sizes", ["fixed", "open"])
def test_loops_in_c(
    loops: SmallModel,
    open_loops: SmallModel,
    sanitized: Sanitized,
    tmp_path: Path,
    c_compiler: str,
    sanitizer: str,
    sizes: str,
) -> None:
    (open_loops if sizes == "open" else loops).write_sources(tmp_path)
    flags = ["-DOPEN"] if sizes == "open" else []
    run(sanitized.program(c_compiler, sanitizer, "c_loops.c", tmp_path, *flags))
