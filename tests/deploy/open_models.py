"""A library with open sizes and two entry points, with kernels written in C.

``prefill``: y = -(x * w) for x of shape [batch,tokens,11], and the mask of shape [tokens+1] as it
is. It has a program of its own for one batch of four tokens. ``decode``: the negative of the cache,
and after its rows the negative of one more.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from small_models import COLUMNS, TARGET, compile_c, kernel

from luthier.deploy import Manifest, assemble
from luthier.deploy.building import describe, lay_out
from luthier.deploy.interface import model_header
from luthier.deploy.layout import AnyKernel, kernel_symbol
from luthier.deploy.tables import WEIGHTS_SOURCE, emit
from luthier.deploy.weights import WeightPool
from luthier.frontend.program import Call, Entry, Library, OpenTensor, Part, Program
from luthier.schedules import Kernel, Packing, Tensor, Workload, node
from luthier.schedules.ir.kernel import Alternative, OpenKernel
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Condition, Size
from luthier.schedules.ir.symbol import Symbol

NAMES = ("batch", "past", "tokens")  # the library's, in order
BATCHES, MOST_TOKENS, MOST_PAST = (1, 2), 12, 16
BATCH, PAST, TOKENS = map(Size.named, NAMES)
ROW = Tensor((COLUMNS,))


def scale(*rows: int | Size) -> Workload:
    shape = Tensor((*rows, COLUMNS))  # type: ignore[arg-type]
    return Workload((shape, ROW), (False, True), (node("multiply", (0, 1), shape),))


def negate(*rows: int | Size) -> Workload:
    shape = Tensor((*rows, COLUMNS))  # type: ignore[arg-type]
    return Workload((shape,), (False,), (node("negative", (0,), shape),))


REVERSE = Packing((COLUMNS,), lambda a: a[::-1])


def open_kernel(workload: Workload, *alternatives: Alternative) -> OpenKernel:
    return OpenKernel(OpenWorkload(workload), NAMES, alternatives)


def scale_kernel(at: Workload, rows: int | Size, temps: tuple[int, ...]) -> Kernel:
    return kernel(at, (rows,), (None, REVERSE), temps, ROW.nbytes)  # type: ignore[arg-type]


BIG = 2 * MOST_TOKENS * ROW.nbytes
KERNELS: tuple[AnyKernel, ...] = (
    open_kernel(
        scale(BATCH, TOKENS),
        # Two rows in a chunk, through a temp, or one.
        Alternative(
            (Condition("==", BATCH * TOKENS % 2, 0), Condition(">", TOKENS, 2)),
            scale_kernel(scale(2, 4), BATCH * TOKENS // 2, (64, BIG)),
        ),
        Alternative((), scale_kernel(scale(1, 1), BATCH * TOKENS, ())),
    ),
    open_kernel(
        negate(BATCH, TOKENS),
        Alternative((), kernel(negate(1, 1), (BATCH * TOKENS,))),  # type: ignore[arg-type]
    ),
    open_kernel(
        negate(PAST),
        Alternative((), kernel(negate(1), (PAST,))),  # type: ignore[arg-type]
    ),
    kernel(negate(1), (1,)),
    kernel(scale(1, 4), (4,), (None, REVERSE)),
    kernel(negate(1, 4), (1,)),
)
PRELUDE = f"""
#include <stdint.h>
#include <string.h>
enum {{ COLUMNS = {COLUMNS} }};
#define NEED(condition) do {{ if (!(condition)) __builtin_trap(); }} while (0)
#define PHASE(name) \\
    void name(void *const *b, void *scratch, int32_t begin, int32_t end)

static void scale(const float *x, const float *reversed, float *y, int32_t begin, int32_t end) {{
    for (int32_t i = begin * COLUMNS; i < end * COLUMNS; i++)
        y[i] = x[i] * reversed[COLUMNS - 1 - i % COLUMNS];
}}
static void negate(const float *x, float *y, int32_t begin, int32_t end) {{
    for (int32_t i = begin * COLUMNS; i < end * COLUMNS; i++)
        y[i] = -x[i];
}}
"""
CODE = f"""{PRELUDE}
PHASE({kernel_symbol(0, 0)}_0) {{
    const int64_t *sizes = b[5];
    NEED(sizes[0] * sizes[2] % 2 == 0 && sizes[2] > 2 && 0 <= begin && begin < end);
    NEED(end <= sizes[0] * sizes[2] / 2);
    float *temp = b[3];
    memset(scratch, 0xee, COLUMNS * sizeof(float));
    memset(b[2], 0xee, 64);
    scale(b[0], b[1], temp, 2 * begin, 2 * end);
    memcpy((float *)b[4] + 2 * begin * COLUMNS, temp + 2 * begin * COLUMNS,
           (size_t)(end - begin) * 2 * COLUMNS * sizeof(float));
}}
PHASE({kernel_symbol(0, 1)}_0) {{
    const int64_t *sizes = b[3];
    NEED((sizes[0] * sizes[2] % 2 || sizes[2] <= 2) && 0 <= begin && begin < end);
    NEED(end <= sizes[0] * sizes[2]);
    (void)scratch;
    scale(b[0], b[1], b[2], begin, end);
}}
PHASE({kernel_symbol(1, 0)}_0) {{
    const int64_t *sizes = b[2];
    NEED(end <= sizes[0] * sizes[2]);
    (void)scratch;
    negate(b[0], b[1], begin, end);
}}
PHASE({kernel_symbol(2, 0)}_0) {{
    const int64_t *sizes = b[2];
    NEED(end <= sizes[1] && sizes[0] == 0 && sizes[2] == 0);
    (void)scratch;
    negate(b[0], b[1], begin, end);
}}
PHASE({kernel_symbol(3)}_0) {{
    (void)scratch;
    negate(b[0], b[1], begin, end);
}}
PHASE({kernel_symbol(4)}_0) {{
    (void)scratch;
    scale(b[0], b[1], b[2], begin, end);
}}
PHASE({kernel_symbol(5)}_0) {{
    (void)scratch, (void)begin, (void)end;
    negate(b[0], b[1], 0, 4);
}}
"""
W = np.arange(COLUMNS, dtype=np.float32) + 1


def prefill(batch: int | Size, tokens: int | Size, symbols: tuple[Symbol, ...]) -> Program:
    """For open sizes, or for fixed ones."""
    most = {s.name: s.most for s in symbols}
    fixed = isinstance(tokens, int)

    def largest(size: int | Size) -> int:
        return size if isinstance(size, int) else size.at(most)

    x = Tensor((largest(batch), largest(tokens), COLUMNS))
    mask = Tensor((largest(tokens + 1),))
    wide = OpenTensor((batch, tokens, COLUMNS), "float32")
    open_types = {0: wide, 1: OpenTensor((tokens + 1,), "float32"), 3: wide, 4: wide}
    scaled, negative = scale(batch, tokens), negate(batch, tokens)
    sizes = largest(batch), largest(tokens)
    return Program(
        name="open",
        values=(x, mask, ROW, x, x),
        inputs=(("x", 0), ("mask", 1)),
        outputs=(("y", 4), ("mask", 1)),
        constants={2: W},
        views={},
        steps=(
            Call(scale(*sizes), (0, 2), 3, "scale", open=None if fixed else OpenWorkload(scaled)),
            Call(negate(*sizes), (3,), 4, "negate", open=None if fixed else OpenWorkload(negative)),
        ),
        open={} if fixed else open_types,
        symbols=symbols,
    )


def decode() -> Program:
    past = Symbol("past", 0, MOST_PAST)
    cache, row, whole = (Tensor((rows, COLUMNS)) for rows in (MOST_PAST, 1, MOST_PAST + 1))
    rows = OpenTensor((PAST, COLUMNS), "float32")
    return Program(
        name="open",
        values=(cache, row, whole, cache, row),
        inputs=(("cache", 0), ("x", 1)),
        outputs=(("cache", 2),),
        constants={},
        views={},
        steps=(
            Call(negate(MOST_PAST), (0,), 3, "old", open=OpenWorkload(negate(PAST))),
            Call(negate(1), (1,), 4, "new"),
        ),
        parts={3: Part(2, 0), 4: Part(2, PAST * COLUMNS)},
        open={0: rows, 2: OpenTensor((PAST + 1, COLUMNS), "float32"), 3: rows},
        symbols=(past,),
    )


def library() -> Library:
    batch, tokens = Symbol.of("batch", BATCHES), Symbol("tokens", 0, MOST_TOKENS)
    one, four = Symbol("batch", 1, 1), Symbol("tokens", 4, 4)
    entry = Entry(
        (batch, tokens), (prefill(1, 4, (one, four)), prefill(BATCH, TOKENS, (batch, tokens)))
    )
    return Library("open", {"prefill": entry, "decode": Entry.of(decode())})


EXACT = (2, 5, 8)


def exact_library() -> Library:
    """``prefill`` for some numbers of tokens, each with a program of fixed sizes."""
    one = Symbol("batch", 1, 1)
    variants = tuple(prefill(1, n, (one, Symbol("tokens", n, n))) for n in EXACT)
    return Library("exact", {"run": Entry((one, Symbol.of("tokens", EXACT)), variants)})


def build_exact(out: Path) -> Manifest:
    kernels, code = [], PRELUDE
    for n in EXACT:
        for call in ("scale(b[0], b[1], b[2], begin, end)", "negate(b[0], b[1], begin, end)"):
            name = f"{kernel_symbol(len(kernels))}_0"
            code += f"PHASE({name}) {{ (void)scratch; {call}; }}\n"
            is_scale = call.startswith("scale")
            at, packings = (scale(1, n), (None, REVERSE)) if is_scale else (negate(1, n), None)
            kernels.append(kernel(at, (n,), packings))
    return assemble(exact_library(), out, TARGET, kernels, [compile_c(code)])


def build(out: Path) -> Manifest:
    return assemble(library(), out, TARGET, KERNELS, [compile_c(CODE)], model_sha256="ab" * 32)


def write_sources(folder: Path) -> None:
    """What ``assemble`` links, and the header."""
    with (folder / "weights.bin").open("wb") as file:
        tables = lay_out(library(), "open", KERNELS, TARGET, WeightPool(file))
    (folder / "tables.c").write_text(emit(tables))
    (folder / "model.h").write_text(model_header("open", describe(tables)))
    (folder / "weights.s").write_text(WEIGHTS_SOURCE)
    (folder / "kernels.o").write_bytes(compile_c(CODE))
