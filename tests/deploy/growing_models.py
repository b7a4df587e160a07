"""A library whose loop carries values that are longer after each iteration, with kernels in C.

``growing``: of x, of shape [2,4], a row follows that is twice the last one, and of y, of shape
[3,2], a column that is one more than the last one; five times.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from small_models import TARGET, compile_c, kernel

from luthier.deploy.building import describe, lay_out
from luthier.deploy.interface import model_header
from luthier.deploy.layout import AnyKernel, kernel_symbol
from luthier.deploy.tables import WEIGHTS_SOURCE, emit
from luthier.deploy.weights import WeightPool
from luthier.frontend.program import Call, Find, Library, Loop, OpenTensor, Program
from luthier.frontend.program.library import verify_library
from luthier.schedules import Tensor, Workload, node
from luthier.schedules.ir.core import Region
from luthier.schedules.ir.kernel import Alternative, OpenKernel
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Size, simplified
from luthier.schedules.ir.symbol import Symbol

FIRST, TIMES = 2, 5
LAST = FIRST + TIMES - 1  # at the beginning of the last iteration
LENGTH = Size.named("length")
COUNT = Tensor((), "int64")
ADD = Workload((COUNT, COUNT), (False, False), (node("add", (0, 1), COUNT),))


def rows(length: int | Size) -> Workload:
    x, y = Tensor((length, 4)), Tensor((simplified("+", length, 1), 4))  # type: ignore[arg-type]
    return Workload((x,), (False,), (node("relax.rows", (0,), y),))


def columns(length: int | Size) -> Workload:
    x, y = Tensor((3, length)), Tensor((3, simplified("+", length, 1)))  # type: ignore[arg-type]
    return Workload((x,), (False,), (node("relax.columns", (0,), y),))


def open_kernel(workload: Workload, fixed: Workload, chunks: int | Size) -> OpenKernel:
    made = kernel(fixed, (chunks,))  # type: ignore[arg-type]
    return OpenKernel(OpenWorkload(workload), ("length",), (Alternative((), made),))


KERNELS: tuple[AnyKernel, ...] = (
    kernel(ADD, (1,)),
    open_kernel(rows(LENGTH), rows(LAST), simplified("+", LENGTH, 1)),
    open_kernel(columns(LENGTH), columns(LAST), 3),
)
PHASE = "(void *const *b, void *scratch, int32_t begin, int32_t end)"
CODE = f"""
#include <stdint.h>
void {kernel_symbol(0)}_0{PHASE} {{
    (void)scratch, (void)begin, (void)end;
    *(int64_t *)b[2] = *(const int64_t *)b[0] + *(const int64_t *)b[1];
}}
void {kernel_symbol(1, 0)}_0{PHASE} {{
    const int64_t *sizes = b[2];
    const float *x = b[0];
    float *y = b[1];
    (void)scratch;
    for (int32_t i = begin; i < end; i++)
        for (int32_t j = 0; j < 4; j++)
            y[4 * i + j] = i < sizes[0] ? x[4 * i + j] : 2 * x[4 * (i - 1) + j];
}}
void {kernel_symbol(2, 0)}_0{PHASE} {{
    const int64_t *sizes = b[2];
    const float *x = b[0];
    float *y = b[1];
    (void)scratch;
    for (int32_t i = begin; i < end; i++)
        for (int64_t j = 0; j <= sizes[0]; j++)
            y[i * (sizes[0] + 1) + j] = j < sizes[0] ? x[i * sizes[0] + j]
                                                     : x[i * sizes[0] + j - 1] + 1;
}}
"""


def library() -> Library:
    longer = simplified("+", LENGTH, 1)
    end = FIRST + TIMES
    values = {
        0: Tensor((FIRST, 4)), 1: Tensor((3, FIRST)), 2: COUNT, 3: COUNT, 4: COUNT,
        5: Tensor((LAST, 4)), 6: Tensor((3, LAST)), 7: COUNT, 8: Tensor((end, 4)),
        9: Tensor((3, end)), 10: Tensor((end, 4)), 11: Tensor((3, end)),
    }  # fmt: skip
    body = (
        Call(ADD, (4, 3), 7, "length"),
        Find("length", 7, "the loop"),
        Call(rows(LAST), (5,), 8, "rows", open=OpenWorkload(rows(LENGTH))),
        Call(columns(LAST), (6,), 9, "columns", open=OpenWorkload(columns(LENGTH))),
    )
    loop = Loop(Region((4, 5, 6), body, (8, 9)), (0, 1), (10, 11), 2, None, "the loop", (0, 1))
    program = Program(
        name="growing",
        values=tuple(values[i] for i in range(len(values))),
        inputs=(("x", 0), ("y", 1)),
        outputs=(("rows", 10), ("columns", 11)),
        constants={2: np.array(TIMES), 3: np.array(FIRST)},
        views={},
        steps=(loop,),
        open={
            5: OpenTensor((LENGTH, 4), "float32"), 6: OpenTensor((3, LENGTH), "float32"),
            8: OpenTensor((longer, 4), "float32"), 9: OpenTensor((3, longer), "float32"),
        },
        symbols=(Symbol("length", 0, LAST),),
    )  # fmt: skip
    made = Library.of(program)
    verify_library(made)
    return made


def write_sources(folder: Path) -> None:
    """What a build links, and the header."""
    with (folder / "weights.bin").open("wb") as file:
        tables = lay_out(library(), "growing", KERNELS, TARGET, WeightPool(file))
    (folder / "tables.c").write_text(emit(tables))
    (folder / "model.h").write_text(model_header("growing", describe(tables)))
    (folder / "weights.s").write_text(WEIGHTS_SOURCE)
    (folder / "kernels.o").write_bytes(compile_c(CODE))
