"""Which workloads are matrix products, the knobs of their kernels, and which are the default."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...emit.micro_kernel import FLOAT32_MULTIPLY_ADD, MicroKernel
from ...emit.tile import LINE, fits_registers
from ...ir.dtype import FLOAT32
from ...ir.space import Config, Knob, Space
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..loops import Knobs, Loops
from ..template import anchor_is_first
from ..window import balanced_width

NAME = "gemm"
VERSION = 2


@dataclass(frozen=True)
class Product:
    """A workload seen as products of matrices; ``batch`` is empty where B has no batch."""

    a: int  # argument numbers
    b: int
    batch: tuple[int, ...]
    m: int
    n: int
    k: int
    transpose_b: bool
    packed: bool
    micro: MicroKernel = FLOAT32_MULTIPLY_ADD

    @property
    def staged(self) -> bool:
        """Whether panels of B are packed while the kernel runs."""
        return self.transpose_b and not self.packed


def product(workload: Workload) -> Product | None:
    """The workload as a matrix product; None where it is none that this template computes."""
    node = workload.nodes[0]
    if node.out.element != FLOAT32 or workload.output.element != FLOAT32:
        return None
    if anchor_is_first(workload, "conv2d") and _is_pointwise_conv(workload):
        n, h, w, c = workload.tensor(node.args[0]).shape
        return Product(node.args[0], node.args[1], (), n * h * w, node.out.shape[-1], c, True, True)
    if not anchor_is_first(workload, "matmul"):
        return None
    a, b = (workload.tensor(x) for x in node.args)
    if len(a.shape) < 2 or len(b.shape) < 2:
        return None
    transposed = bool(node.attr("transpose_b", False))
    n = b.shape[-2] if transposed else b.shape[-1]
    k = a.shape[-1]
    rows = node.out.shape[-2]
    batch = node.out.shape[:-2]
    constant = workload.constants[node.args[1]]
    if all(d == 1 for d in b.shape[:-2]) and a.shape[:-1] == node.out.shape[:-1]:
        m = node.out.size // n if n else 0
        return Product(node.args[0], node.args[1], (), m, n, k, transposed, constant)
    return Product(node.args[0], node.args[1], batch, rows, n, k, transposed, False)


def _is_pointwise_conv(workload: Workload) -> bool:
    node = workload.nodes[0]
    return (
        workload.constants[node.args[1]]
        and workload.tensor(node.args[1]).shape[1:3] == (1, 1)
        and node.attr("strides") == (1, 1)
        and node.attr("groups") == 1
        and not any(node.attr("pads"))
    )


def space(workload: Workload, target: Target) -> Space | None:
    """Fits float32 products with elementwise epilogues."""
    p = product(workload)
    if p is None or 0 in (p.m, p.n, p.k):
        return None
    columns = ceildiv(p.n, target.lanes(p.micro.accumulator))
    vectors = tuple(v for v in (1, 2, 3, 4, 6, 8) if v <= columns and fits_registers(1, v, target))
    rows = tuple(range(1, min(p.m, target.vector_registers - 2) + 1))
    orders = ("panels",) if p.staged else ("rows", "panels")
    knobs = (
        Knob("rows", rows, "rows of the register tile"),
        Knob("vectors", vectors, "vectors of columns in the register tile"),
        Knob("m_block", _powers(p.m), "register tiles of rows in a chunk"),
        Knob("n_block", _powers(columns), "panels of columns in a chunk"),
        Knob("order", orders, "the outer loop inside a chunk"),
        Knob("unroll", (1, 2, 4, 8), "steps of the reduction written out"),
        Knob("ahead", (0, 1, 2) if p.k >= LINE else (0,), "tiles whose rows are prefetched"),
    )

    def valid(config: Config) -> bool:
        r, v = int(config["rows"]), int(config["vectors"])
        return (
            fits_registers(r, v, target)
            and int(config["m_block"]) < 2 * ceildiv(p.m, r)
            and int(config["n_block"]) < 2 * ceildiv(p.n, v * target.lanes(p.micro.accumulator))
            and p.k % int(config["unroll"]) == 0
        )

    return Space(NAME, VERSION, knobs, _default(p, target, vectors), valid)


def loops(workload: Workload, target: Target, knobs: Knobs) -> Loops:
    """The nest of every schedule in a table."""
    p = product(workload)
    assert p is not None
    rows, vectors = knobs["rows"], knobs["vectors"]
    tiles, panels = ceildiv(p.m, rows), ceildiv(p.n, vectors * target.lanes(p.micro.accumulator))
    high, wide = np.minimum(knobs["m_block"], tiles), np.minimum(knobs["n_block"], panels)
    batch = math.prod(p.batch)
    a = p.micro.a.nbytes(p.k * rows)  # of a tile's rows
    b = p.k * vectors * target.vector_bytes  # of a panel
    by_rows = knobs["order"] == "rows"
    return Loops(
        chunks=batch * ceildiv(tiles, high) * ceildiv(panels, wide),
        sums=rows * vectors,
        loads=rows + vectors,
        depth=p.k,
        steps=batch * tiles * panels * p.k,
        work=batch * p.m * panels * vectors * p.k,
        inner=a + b,
        kept=np.where(by_rows, a, b),
        streamed=batch * tiles * panels * np.where(by_rows, b, a),
        chunk=high * a + wide * b + high * rows * wide * vectors * target.vector_bytes,
        other=batch * panels * b / p.micro.b.bytes if p.staged else 0,
    )


def _powers(limit: int) -> tuple[int, ...]:
    return tuple(2**i for i in range(14) if 2**i < 2 * limit)


def _floor_power(value: int) -> int:
    return int(2 ** (max(1, value).bit_length() - 1))


def _default(p: Product, target: Target, vectors: tuple[int, ...]) -> dict[str, int | str]:
    """Fill the registers; let the smaller matrix stay in cache while the larger streams once."""
    columns = ceildiv(p.n, target.lanes(p.micro.accumulator))

    def tile_rows(count: int) -> int:
        return balanced_width(p.m, max(1, (target.vector_registers - 1 - count) // count))

    def cost(count: int) -> tuple[float, float]:
        rows = tile_rows(count)
        wasted = ceildiv(columns, count) * count / columns * ceildiv(p.m, rows) * rows / p.m
        chains = min(1.0, rows * count / target.isa.costs.sums)
        return wasted * (1 + (count + rows) / (count * rows)) / chains, -count

    count = min(vectors, key=cost)
    rows = tile_rows(count)
    width = count * target.lanes(p.micro.accumulator)
    panels, tiles = ceildiv(p.n, width), ceildiv(p.m, rows)
    order, m_block, n_block = _blocks(p, target, tiles, panels, rows, width)
    return {
        "rows": rows,
        "vectors": count,
        "m_block": m_block,
        "n_block": n_block,
        "order": order,
        "unroll": _unroll(p, rows * count, target),
        "ahead": _ahead(p, target),
    }


def _unroll(p: Product, sums: int, target: Target) -> int:
    """Written-out steps hide the loop, but LLVM loads both steps' vectors before it needs them."""
    if sums > target.vector_registers - 6:
        return 1
    return max(u for u in (1, 2, 4) if p.k % u == 0 and sums * u <= 64)


def _ahead(p: Product, target: Target) -> int:
    """Rows that come from beyond L2 begin too often for the hardware to foresee them."""
    if p.k < 2 * LINE or p.micro.a.nbytes(p.m * p.k) <= target.l2 // 2:
        return 0
    return 2 if p.k <= 8 * LINE else 1


def _blocks(
    p: Product, target: Target, tiles: int, panels: int, rows: int, width: int
) -> tuple[str, int, int]:
    """Order, register tiles and panels of a chunk, for about eight chunks a thread."""
    wanted = 8 * target.threads
    all_panels, all_tiles = _ceil_power(panels), _ceil_power(tiles)
    batch = int(np.prod(p.batch)) if p.batch else 1
    if p.micro.b.nbytes(p.n * p.k) <= target.l2 // 2:
        m_block = _floor_power(min(tiles, max(1, tiles * batch // wanted)))
        return "panels" if p.staged else "rows", m_block, all_panels
    if p.micro.a.nbytes(p.m * p.k) <= target.l2 // 2 and panels >= 2 * target.threads:
        return "panels", all_tiles, _floor_power(max(1, panels // wanted))
    # Both stream: a chunk's panels fit half of L2, and its rows the other half.
    n_block = _floor_power(max(1, min(panels, target.l2 // 2 // p.micro.b.nbytes(p.k * width))))
    n_block = min(n_block, _floor_power(max(1, panels // target.threads)))
    m_block = _floor_power(max(1, min(tiles, tiles * ceildiv(panels, n_block) // wanted)))
    return "panels", m_block, n_block


def _ceil_power(value: int) -> int:
    return int(2 ** (max(1, value) - 1).bit_length())
