"""A library whose run asks whether numbers are those that it is built for, with a kernel in C.

``y``: the negative of x, of shape [3,11], where ``asked`` is 3 and 11.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from open_models import PRELUDE, negate
from small_models import COLUMNS, TARGET, compile_c, kernel

from luthier.deploy.building import describe, lay_out
from luthier.deploy.interface import model_header
from luthier.deploy.layout import AnyKernel, kernel_symbol
from luthier.deploy.tables import WEIGHTS_SOURCE, emit
from luthier.deploy.weights import WeightPool
from luthier.frontend.program import Call, Expect, Library, Program
from luthier.schedules import Tensor

ROWS = 3
KERNELS: tuple[AnyKernel, ...] = (kernel(negate(ROWS), (ROWS,)),)
CODE = f"""{PRELUDE}
PHASE({kernel_symbol(0)}_0) {{
    (void)scratch;
    NEED(0 <= begin && end <= {ROWS});
    negate(b[0], b[1], begin, end);
}}
"""


def library() -> Library:
    x, pair = Tensor((ROWS, COLUMNS)), Tensor((2,), "int64")
    program = Program(
        name="rows",
        values=(pair, x, pair, x),
        inputs=(("asked", 0), ("x", 1)),
        outputs=(("y", 3),),
        constants={2: np.array([ROWS, COLUMNS], np.int64)},
        views={},
        steps=(
            Expect(0, 2, "its result has the shape", "Reshape '\x1b\"?%d'"),
            Call(negate(ROWS), (1,), 3, "y"),
        ),
    )
    return Library.of(program)


def write_sources(folder: Path) -> None:
    """What ``assemble`` links, and the header."""
    with (folder / "weights.bin").open("wb") as file:
        tables = lay_out(library(), "rows", KERNELS, TARGET, WeightPool(file))
    (folder / "tables.c").write_text(emit(tables))
    (folder / "model.h").write_text(model_header("rows", describe(tables)))
    (folder / "weights.s").write_text(WEIGHTS_SOURCE)
    (folder / "kernels.o").write_bytes(compile_c(CODE, "-Wno-unused-function"))
