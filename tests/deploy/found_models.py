"""A library whose run finds a size, with kernels written in C.

``rows``: the rows of x, of shape [tokens,11], that begin with a positive number, their number, and
the negative of each.
"""

from __future__ import annotations

from pathlib import Path

from open_models import PRELUDE, negate
from small_models import COLUMNS, TARGET, compile_c, kernel

from luthier.deploy import Manifest, assemble
from luthier.deploy.building import describe, lay_out
from luthier.deploy.interface import model_header
from luthier.deploy.layout import AnyKernel, kernel_symbol
from luthier.deploy.tables import WEIGHTS_SOURCE, emit
from luthier.deploy.weights import WeightPool
from luthier.frontend.program import Call, Find, Library, OpenTensor, Program
from luthier.schedules import Tensor, Workload, node
from luthier.schedules.ir.kernel import Alternative, OpenKernel
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Size
from luthier.schedules.ir.symbol import Symbol

NAMES = ("found", "tokens")  # the library's, in order
MOST = 9
FOUND, TOKENS = map(Size.named, NAMES)
COUNT = Tensor((), "int64")


def count(tokens: int | Size) -> Workload:
    x = Tensor((tokens, COLUMNS))  # type: ignore[arg-type]
    return Workload((x,), (False,), (node("relax.count", (0,), COUNT),))


def kept(tokens: int | Size, found: int | Size) -> Workload:
    x, y = Tensor((tokens, COLUMNS)), Tensor((found, COLUMNS))  # type: ignore[arg-type]
    return Workload((x,), (False,), (node("relax.kept", (0,), y),))


def open_kernel(workload: Workload, fixed: Workload, chunks: int | Size) -> OpenKernel:
    made = kernel(fixed, (chunks,))  # type: ignore[arg-type]
    return OpenKernel(OpenWorkload(workload), NAMES, (Alternative((), made),))


KERNELS: tuple[AnyKernel, ...] = (
    open_kernel(count(TOKENS), count(MOST), 1),
    open_kernel(kept(TOKENS, FOUND), kept(MOST, MOST), FOUND),
    open_kernel(negate(FOUND), negate(MOST), FOUND),
)
CODE = f"""{PRELUDE}
PHASE({kernel_symbol(0, 0)}_0) {{
    (void)scratch, (void)begin, (void)end;
    const int64_t *sizes = b[2];
    const float *x = b[0];
    int64_t n = 0;
    for (int64_t i = 0; i < sizes[1]; i++)
        n += x[i * COLUMNS] > 0;
    /* What a faulty kernel might say. */
    if (sizes[1] > 0 && x[0] == -77)
        n = {MOST + 1};
    if (sizes[1] > 0 && x[0] == -78)
        n = -1;
    *(int64_t *)b[1] = n;
}}
PHASE({kernel_symbol(1, 0)}_0) {{
    (void)scratch;
    const int64_t *sizes = b[2];
    NEED(0 <= begin && end <= sizes[0] && sizes[0] <= sizes[1]);
    const float *x = b[0];
    float *y = b[1];
    int32_t n = 0;
    for (int64_t i = 0; i < sizes[1]; i++)
        if (x[i * COLUMNS] > 0) {{
            if (begin <= n && n < end)
                memcpy(y + n * COLUMNS, x + i * COLUMNS, COLUMNS * sizeof *y);
            n++;
        }}
}}
PHASE({kernel_symbol(2, 0)}_0) {{
    (void)scratch;
    NEED(0 <= begin && end <= ((const int64_t *)b[2])[0]);
    negate(b[0], b[1], begin, end);
}}
"""


def library() -> Library:
    tokens, found = Symbol("tokens", 0, MOST), Symbol("found", 0, MOST)
    x, rows = Tensor((MOST, COLUMNS)), OpenTensor((FOUND, COLUMNS), "float32")
    program = Program(
        name="rows",
        values=(x, COUNT, x, x),
        inputs=(("x", 0),),
        outputs=(("rows", 2), ("count", 1), ("minus", 3)),
        constants={},
        views={},
        steps=(
            Call(count(MOST), (0,), 1, "count", open=OpenWorkload(count(TOKENS))),
            Find("found", 1, "count"),
            Call(kept(MOST, MOST), (0,), 2, "rows", open=OpenWorkload(kept(TOKENS, FOUND))),
            Call(negate(MOST), (2,), 3, "minus", open=OpenWorkload(negate(FOUND))),
        ),
        open={0: OpenTensor((TOKENS, COLUMNS), "float32"), 2: rows, 3: rows},
        symbols=(tokens, found),
    )
    return Library.of(program)


def build(out: Path) -> Manifest:
    return assemble(library(), out, TARGET, KERNELS, [compile_c(CODE, "-Wno-unused-function")])


def write_sources(folder: Path) -> None:
    """What ``assemble`` links, and the header."""
    with (folder / "weights.bin").open("wb") as file:
        tables = lay_out(library(), "rows", KERNELS, TARGET, WeightPool(file))
    (folder / "tables.c").write_text(emit(tables))
    (folder / "model.h").write_text(model_header("rows", describe(tables)))
    (folder / "weights.s").write_text(WEIGHTS_SOURCE)
    (folder / "kernels.o").write_bytes(compile_c(CODE, "-Wno-unused-function"))
