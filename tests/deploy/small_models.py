"""Small programs with kernels written in C, so that these tests need neither frontend nor TVM."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from luthier.deploy import Manifest, assemble
from luthier.deploy.building import describe, lay_out
from luthier.deploy.interface import model_header
from luthier.deploy.layout import AnyKernel
from luthier.deploy.tables import WEIGHTS_SOURCE, emit, kernel_symbol
from luthier.deploy.weights import WeightPool
from luthier.frontend.program import Call, Library, Program
from luthier.schedules import Kernel, Packing, Phase, Schedule, Target, Tensor, Workload, node

TARGET = Target(level="x86-64-v2", cpu="x86-64-v2", threads=2)
ROWS, COLUMNS = 37, 11  # odd, so that rows lie at any alignment


@dataclass(frozen=True)
class SmallModel:
    """A program, its kernels and their machine code."""

    program: Program
    kernels: tuple[AnyKernel, ...]
    code: bytes

    def build(self, out: Path, **options: object) -> Manifest:
        library = Library.of(self.program)
        return assemble(library, out, TARGET, self.kernels, [self.code], **options)  # type: ignore[arg-type]

    def write_sources(self, folder: Path) -> None:
        """What ``assemble`` links, and the header: tables.c, weights.s, weights.bin, kernels.o."""
        library = Library.of(self.program)
        with (folder / "weights.bin").open("wb") as file:
            tables = lay_out(library, library.name, self.kernels, TARGET, WeightPool(file))
        (folder / "tables.c").write_text(emit(tables))
        (folder / "model.h").write_text(model_header(library.name, describe(tables)))
        (folder / "weights.s").write_text(WEIGHTS_SOURCE)
        (folder / "kernels.o").write_bytes(self.code)


def compile_c(source: str, *flags: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kernels.o"
        command = ["cc", "-O2", "-fPIC", "-Wall", "-Werror", *flags, "-x", "c", "-", "-c"]
        subprocess.run([*command, "-o", str(out)], input=source, text=True, check=True)
        return out.read_bytes()


def kernel(
    workload: Workload,
    chunks: tuple[int, ...],
    packings: tuple[Packing | None, ...] | None = None,
    temps: tuple[int, ...] = (),
    scratch: int = 0,
) -> Kernel:
    return Kernel(
        workload=workload,
        schedule=Schedule("c", 1, (("rows", 1),)),
        phases=tuple(Phase(None, n) for n in chunks),
        packings=packings or (None,) * len(workload.inputs),
        temps=temps,
        scratch=scratch,
    )


MATRIX, ROW = Tensor((ROWS, COLUMNS)), Tensor((COLUMNS,))

# (x * w) by rows through a temp and a scratch row; w comes reversed. Then the negative of a matrix.
SCALE = Workload((MATRIX, ROW), (False, True), (node("multiply", (0, 1), MATRIX),))
NEGATE = Workload((MATRIX,), (False,), (node("negative", (0,), MATRIX),))
CODE = f"""
#include <stdint.h>
#include <string.h>
enum {{ COLUMNS = {COLUMNS} }};
/* As kernels of vectors may, but on every machine; callers need not align better than malloc. */
#define NEED(p, bytes) do {{ if ((uintptr_t)(p) % (bytes)) __builtin_trap(); }} while (0)
void {kernel_symbol(0)}_0(void *const *b, void *scratch, int32_t begin, int32_t end) {{
    const float *x = b[0], *reversed = b[1];
    float *temp = b[2], *row = scratch;
    NEED(x, 16); NEED(reversed, 64); NEED(temp, 64); NEED(row, 64);
    for (int32_t i = begin; i < end; i++) {{
        for (int32_t j = 0; j < COLUMNS; j++)
            row[j] = x[i * COLUMNS + j] * reversed[COLUMNS - 1 - j];
        memcpy(temp + i * COLUMNS, row, COLUMNS * sizeof(float));
    }}
}}
void {kernel_symbol(0)}_1(void *const *b, void *scratch, int32_t begin, int32_t end) {{
    (void)scratch, (void)begin, (void)end;
    NEED(b[3], 16);
    memcpy(b[3], b[2], {MATRIX.nbytes});
}}
void {kernel_symbol(1)}_0(void *const *b, void *scratch, int32_t begin, int32_t end) {{
    const float *x = b[0];
    float *y = b[1];
    (void)scratch;
    NEED(x, 16); NEED(y, 16);
    for (int32_t i = begin * COLUMNS; i < end * COLUMNS; i++)
        y[i] = -x[i];
}}
"""


def two_inputs(name: str = "small", weight: float = 2.0) -> SmallModel:
    """Outputs of every kind: scaled = x * w, minus = -(-(x * w) * w), again, flat, y, weights."""
    w = (np.arange(COLUMNS, dtype=np.float32) + 1) * weight
    flat = Tensor((ROWS * COLUMNS,))
    program = Program(
        name=name,
        values=(MATRIX, MATRIX, ROW, MATRIX, MATRIX, MATRIX, MATRIX, flat, MATRIX),
        inputs=(("x", 0), ("y", 1)),
        outputs=(
            ("scaled", 3),
            ("minus", 6),
            ("again", 6),
            ("flat", 7),
            ("y", 1),
            ("weights", 2),
        ),
        constants={2: w},
        views={7: 5, 8: 7},
        steps=(
            Call(SCALE, (0, 2), 3, "first"),
            Call(NEGATE, (3,), 4, "second"),
            Call(SCALE, (4, 2), 5, "third"),
            Call(NEGATE, (8,), 6, "fourth"),
        ),
    )
    reverse = Packing((COLUMNS,), lambda a: a[::-1])
    kernels = (
        kernel(SCALE, (ROWS, 1), (None, reverse), (MATRIX.nbytes,), ROW.nbytes),
        kernel(NEGATE, (ROWS,)),
    )
    return SmallModel(program, kernels, compile_c(CODE))


def expected(x: np.ndarray, y: np.ndarray, weight: float = 2.0) -> dict[str, np.ndarray]:
    w = (np.arange(COLUMNS, dtype=np.float32) + 1) * np.float32(weight)
    minus = x * w * w
    return {
        "scaled": x * w,
        "minus": minus,
        "again": minus,
        "flat": -minus.reshape(-1),
        "y": y,
        "weights": w,
    }
