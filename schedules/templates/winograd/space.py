"""Where Winograd convolution fits, its knobs, and the analytic model behind its default."""

from __future__ import annotations

import numpy as np

from ...emit.tile import fits_registers
from ...ir.dtype import FLOAT32
from ...ir.space import Config, Knob, Space
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..loops import Knobs, Loops
from ..template import anchor_is_first
from ..window import balanced_width

NAME = "winograd"
VERSION = 2
# The outputs of a tile along each side that an accuracy allows; see ``target.ACCURACIES``.
_SIZES: dict[str, tuple[int, ...]] = {"strict": (), "balanced": (2,), "standard": (2, 4)}


def space(workload: Workload, target: Target) -> Space | None:
    """Fits float32 3x3 convolutions of stride 1 without groups, constant weights.

    A strict target has none: the transforms' additions are not those of the sum.
    """
    if not _fits(workload) or not _SIZES[target.accuracy]:
        return None
    node = workload.nodes[0]
    batch, out_h, out_w, out_c = node.out.shape
    in_c = workload.tensor(node.args[0]).shape[3]
    lanes = target.lanes(FLOAT32)
    out_vectors, in_vectors = ceildiv(out_c, lanes), ceildiv(in_c, lanes)
    blocks = _block_sizes(batch * ceildiv(out_h, 2) * ceildiv(out_w, 2))
    rows = range(1, min(blocks[-1], target.vector_registers - 2) + 1)
    knobs = (
        Knob("m", _SIZES[target.accuracy], "outputs of a tile along each side"),
        Knob("stages", (1, 2), "1: a block's transformed inputs stay in scratch"),
        Knob("tiles", blocks, "tiles in a block"),
        Knob("rows", tuple(rows), "tiles in the register tile"),
        Knob("vectors", tuple(v for v in (1, 2, 3, 4, 6) if v <= out_vectors), "vectors in it"),
        Knob("panels", _powers(out_vectors), "panels of output channels in a chunk"),
        Knob("channels", _powers(in_vectors), "vectors of channels in a chunk of phase one"),
        Knob("ahead", (0, 1), "1: the next position's weights are fetched in time"),
    )

    def valid(config: Config) -> bool:
        rows, vectors, tiles = (int(config[k]) for k in ("rows", "vectors", "tiles"))
        panels, total = int(config["panels"]), ceildiv(out_vectors, vectors)
        positions = (int(config["m"]) + 2) ** 2
        scratch = positions * tiles * panels * vectors * target.vector_bytes
        if config["stages"] == 1:
            scratch += FLOAT32.nbytes(positions * tiles * in_c)
        return (
            fits_registers(rows, vectors, target)
            and rows <= tiles
            and panels < 2 * total
            and scratch <= 2 * target.l2
        )

    return Space(NAME, VERSION, knobs, default(workload, target), valid)


def _fits(workload: Workload) -> bool:
    node = workload.nodes[0]
    if not anchor_is_first(workload, "conv2d") or workload.output.element != FLOAT32:
        return False
    weight = workload.tensor(node.args[1])
    return (
        node.out.element == FLOAT32
        and workload.constants[node.args[1]]
        and weight.shape[1:3] == (3, 3)
        and node.attr("strides") == (1, 1)
        and node.attr("dilations") == (1, 1)
        and node.attr("groups") == 1
    )


def loops(workload: Workload, target: Target, knobs: Knobs) -> Loops:
    """The nest of the matrix products of every schedule in a table; transforms are ``other``."""
    node = workload.nodes[0]
    batch, out_h, out_w, out_c = node.out.shape
    in_c = workload.tensor(node.args[0]).shape[3]
    m, vectors = knobs["m"], knobs["vectors"]
    positions, total = (m + 2) ** 2, batch * ceildiv(out_h, m) * ceildiv(out_w, m)
    block, width = np.minimum(knobs["tiles"], total), vectors * target.lanes(FLOAT32)
    blocks, panels = ceildiv(total, block), ceildiv(out_c, width)
    group = np.minimum(knobs["panels"], panels)
    rows, groups = np.minimum(knobs["rows"], block), ceildiv(panels, group)
    one_stage = knobs["stages"] == 1
    panel = FLOAT32.nbytes(in_c * width)
    inputs, weights = FLOAT32.nbytes(in_c * block), panel * np.where(one_stage, panels, group)
    return Loops(
        chunks=blocks * np.where(one_stage, 1, groups),
        sums=rows * vectors,
        loads=rows + vectors,
        depth=in_c,
        steps=positions * blocks * ceildiv(block, rows) * panels * in_c,
        work=positions * total * panels * vectors * in_c,
        inner=FLOAT32.nbytes(in_c * rows) + panel,
        kept=panel,
        streamed=positions * blocks * panels * (inputs + panel),
        chunk=positions * (inputs + weights + FLOAT32.nbytes(block * group * width)),
        other=positions * total * (in_c + panels * width),
    )


def _powers(limit: int) -> tuple[int, ...]:
    return tuple(2**i for i in range(10) if 2**i < 2 * limit)


def _block_sizes(most: int) -> tuple[int, ...]:
    sizes = (1, 2, 3, 4, 6, 7, 8, 9, 12, 14, 16, 18, 20, 21, 24, 28, 32, 36, 42, 48, 49, 56, 64)
    return tuple(s for s in sizes if s <= most) or (1,)


def tile_count(workload: Workload, m: int) -> int:
    """Tiles of m x m outputs in the whole batch."""
    batch, out_h, out_w, _ = workload.nodes[0].out.shape
    return int(batch * ceildiv(out_h, m) * ceildiv(out_w, m))


def pays(workload: Workload, target: Target) -> bool:
    """Whether an analytic model expects it to beat the direct method."""
    cheapest = min(_cost(workload, target, m) for m in _SIZES[target.accuracy])
    return cheapest < _direct_cost(workload, target)


def _cost(workload: Workload, target: Target, m: int) -> float:
    node = workload.nodes[0]
    out_c, in_c = node.out.shape[3], workload.tensor(node.args[0]).shape[3]
    positions, tiles = (m + 2) ** 2, tile_count(workload, m)
    lanes, costs = target.lanes(FLOAT32), target.isa.costs
    padded_in, padded_out = (ceildiv(c, lanes) * lanes for c in (in_c, out_c))
    weights = positions * in_c * padded_out
    product = max(2.0 * weights * tiles, FLOAT32.nbytes(weights) * costs.fetched_byte)
    return product + costs.transformed * positions * tiles * (padded_in + padded_out)


def _direct_cost(workload: Workload, target: Target) -> float:
    node = workload.nodes[0]
    weights = 9 * node.out.shape[3] * workload.tensor(node.args[0]).shape[3]
    outputs = node.out.size // node.out.shape[3]
    return max(2.0 * weights * outputs, FLOAT32.nbytes(weights) * target.isa.costs.fetched_byte)


# With fewer tiles in a block, memory is what it waits for: the hardware fetches by itself then.
_WORTH_FETCHING = 8


def default(workload: Workload, target: Target) -> dict[str, int | str]:
    """The cheaper m; blocks of tiles whose inputs and products share L2 with the weights."""
    node = workload.nodes[0]
    out_c, in_c = node.out.shape[3], workload.tensor(node.args[0]).shape[3]
    vectors_out = ceildiv(out_c, target.lanes(FLOAT32))
    m = min(_SIZES[target.accuracy], key=lambda m: _cost(workload, target, m))
    total = tile_count(workload, m)

    def rows_for(count: int) -> int:
        return max(1, (target.vector_registers - 1 - count) // count)

    def passes(count: int, block: int) -> tuple[float, int]:
        panels = ceildiv(vectors_out, count)
        rows = min(block, rows_for(count))
        loads = 1 + (count + rows) / (2 * count * rows)
        chunks = ceildiv(total, block) * panels
        uneven = ceildiv(chunks, target.threads) * target.threads / chunks
        return _passes(total, block, rows_for(count)) * panels * count * loads * uneven, -block

    candidates = [
        (count, block)
        for count in (1, 2, 3, 4, 6)
        if count <= vectors_out
        for block in _block_sizes(total)
        if block <= 32
    ]
    vectors, block = min(candidates, key=lambda c: passes(*c))
    rows = balanced_width(block, min(block, rows_for(vectors)))
    panels = ceildiv(vectors_out, vectors)
    per_chunk = max(1, min(panels, panels * ceildiv(total, block) // (4 * target.threads)))
    position_bytes = (m + 2) ** 2 * target.vector_bytes * vectors
    while per_chunk > 1 and position_bytes * per_chunk * (block + in_c) > target.l2:
        per_chunk //= 2
    strips = ceildiv(in_c, target.lanes(FLOAT32))
    blocks = ceildiv(total, block)
    inputs_bytes = FLOAT32.nbytes((m + 2) ** 2 * block * in_c)
    stages = 1 if blocks >= 4 * target.threads and inputs_bytes <= target.l2 else 2
    return {
        "m": m,
        "stages": stages,
        "tiles": block,
        "rows": rows,
        "vectors": vectors,
        "panels": 2 ** (per_chunk.bit_length() - 1),
        "channels": 2 ** (min(strips, 8).bit_length() - 1),
        "ahead": int(block >= _WORTH_FETCHING),
    }


def _passes(total: int, block: int, widest: int) -> float:
    """Register-tile passes over all tiles, a block's remainder being a pass of its own."""
    full, rest = divmod(total, block)
    width = balanced_width(block, min(block, widest))

    def cost(tiles: int) -> float:
        return (
            ceildiv(tiles, width) * (width + 1)
            if tiles % width == 0
            else (tiles // width * (width + 1) + tiles % width + 2)
        )

    return full * (cost(block) + 1) + (cost(rest) + 1 if rest else 0)
