"""The runtime's loops and branches in a C program, under sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_models import SmallModel, compile_c, kernel

from luthier.deploy.library import POOL, RUNTIME, RUNTIME_SOURCES
from luthier.deploy.tables import kernel_symbol
from luthier.frontend.program import Branch, Call, Loop, Program
from luthier.frontend.program.verify import verify
from luthier.schedules import Tensor, Workload, node
from luthier.schedules.ir.core import Region

HERE = Path(__file__).parent
SANITIZERS = ("-fsanitize=address,undefined", "-fsanitize=thread")
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


@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_loops_in_c(loops: SmallModel, tmp_path: Path, c_compiler: str, sanitizer: str) -> None:
    loops.write_sources(tmp_path)
    command = [c_compiler, "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-g"]
    command += [sanitizer, "-fno-sanitize-recover=all", "-I.", f"-I{RUNTIME}", f"-I{POOL}"]
    command += [str(HERE / "c_loops.c"), *map(str, RUNTIME_SOURCES)]
    command += ["tables.c", "weights.s", "kernels.o", "-o", "program", "-lpthread"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(
        [tmp_path / "program"], capture_output=True, text=True, timeout=60, env={}, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
