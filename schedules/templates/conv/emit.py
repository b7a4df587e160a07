"""Direct convolution in channels-last layout, any kernel, stride, dilation and groups.

The register tile is ``tile_w`` neighbouring outputs of a row by ``vectors`` vectors of output
channels. Weights are packed as [group][panel][KH][KW][C/groups][panel width], so that the reduction
over (kh, kw, channel) reads them in order.

Knobs: ``tile_w`` and ``vectors`` (the register tile), ``rows`` (output rows in a chunk), ``panels``
(weight panels in a chunk), ``order`` (which of the two is the outer loop inside a chunk).
"""

from __future__ import annotations

import numpy as np

from ...emit.tile import fits_registers
from ...ir.dtype import FLOAT32
from ...ir.kernel import Array, Kernel, Packing
from ...ir.space import Config, Knob, Schedule, Space
from ...ir.workload import Node, Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..loops import Knobs, Loops
from ..template import Template, anchor_is_first
from ..window import axes, balanced_width
from .nest import ConvNest, Grid

NAME = "conv_direct"
VERSION = 1


def space(workload: Workload, target: Target) -> Space | None:
    """Fits float32 convolutions with constant weights and elementwise epilogues."""
    if not fits(workload, "conv2d"):
        return None
    node = workload.nodes[0]
    _, kh, kw, in_c = workload.tensor(node.args[1]).shape
    return direct_space(NAME, VERSION, node, target, (1, 1), kh * kw * in_c)


def direct_space(
    name: str, version: int, node: Node, target: Target, step: tuple[int, int], reduction: int
) -> Space:
    """The space of a direct method over grids of every ``step``-th output.

    ``reduction`` is the number of multiply-adds for one output.
    """
    groups = node.attr("groups")
    _, out_h, out_w, out_c = node.out.shape
    out_h, out_w = ceildiv(out_h, step[0]), ceildiv(out_w, step[1])
    group_vectors = ceildiv(out_c // groups, target.lanes(FLOAT32))
    widths = tuple(w for w in range(1, min(out_w, target.vector_registers - 2) + 1))
    vectors = tuple(v for v in (1, 2, 3, 4, 6) if v <= group_vectors)
    knobs = (
        Knob("tile_w", widths, "neighbouring outputs in the register tile"),
        Knob("vectors", vectors, "vectors of output channels in the register tile"),
        Knob("rows", _powers(out_h), "output rows in a chunk"),
        Knob("panels", _powers(group_vectors), "weight panels in a chunk"),
        Knob("order", ("rows", "panels"), "the outer loop inside a chunk"),
    )

    def valid(config: Config) -> bool:
        tile_w, count = int(config["tile_w"]), int(config["vectors"])
        panels = ceildiv(group_vectors, count)
        return fits_registers(tile_w, count, target) and int(config["panels"]) < 2 * panels

    grid = (node.out.shape[0] * groups, out_h, out_w, group_vectors)
    return Space(name, version, knobs, _default(grid, target, vectors, reduction), valid)


def loops(workload: Workload, target: Target, knobs: Knobs) -> Loops:
    """The nest of every schedule in a table."""
    node = workload.nodes[0]
    _, kh, kw, in_c = workload.tensor(node.args[1]).shape
    return direct_loops(workload, target, knobs, (1, 1), (kh, kw, in_c))


def direct_loops(
    workload: Workload,
    target: Target,
    knobs: Knobs,
    step: tuple[int, int],
    window: tuple[int, int, int],
) -> Loops:
    """The same for grids of every ``step``-th output, all of them together.

    ``window``: rows, columns and channels that one output reads.
    """
    node, (kh, kw, in_c) = workload.nodes[0], window
    groups, grids = node.attr("groups"), step[0] * step[1]
    images, height, width, _ = workload.tensor(node.args[0]).shape
    _, out_h, out_w, out_c = node.out.shape
    out_h, out_w = ceildiv(out_h, step[0]), ceildiv(out_w, step[1])
    tile_w, vectors = knobs["tile_w"], knobs["vectors"]
    panels = ceildiv(out_c // groups, vectors * target.lanes(FLOAT32))
    rows, blocks = np.minimum(knobs["rows"], out_h), np.minimum(knobs["panels"], panels)
    units = images * groups * grids
    depth = kh * kw * in_c
    panel = depth * vectors * target.vector_bytes  # bytes of weights
    line = FLOAT32.nbytes(width * in_c)  # of a row
    patch = line * kh * np.minimum(1, tile_w / out_w)
    by_rows = knobs["order"] == "rows"
    per_row, per_panel = panels * out_h * panel, ceildiv(out_h, rows) * panels * panel
    lines = line * np.minimum(height, (height / out_h) * rows + kh - 1)
    return Loops(
        chunks=units * ceildiv(panels, blocks) * ceildiv(out_h, rows),
        sums=tile_w * vectors,
        loads=tile_w + vectors,
        depth=depth,
        steps=units * out_h * ceildiv(out_w, tile_w) * panels * depth,
        work=units * out_h * out_w * panels * vectors * depth,
        inner=panel + patch,
        kept=np.where(by_rows, line * kh, panel),
        streamed=units * (np.where(by_rows, per_row, per_panel) + panels * out_h * line * kh),
        chunk=lines + blocks * panel + rows * out_w * blocks * vectors * target.vector_bytes,
    )


def fits(workload: Workload, op: str) -> bool:
    """Whether it is a float32 ``op`` with constant weights and an elementwise epilogue."""
    return (
        anchor_is_first(workload, op)
        and workload.nodes[0].out.element == FLOAT32
        and workload.constants[workload.nodes[0].args[1]]
        and workload.output.element == FLOAT32
    )


def _powers(limit: int) -> tuple[int, ...]:
    return tuple(2**i for i in range(12) if 2**i < 2 * limit)


def _default(
    grid: tuple[int, int, int, int], target: Target, vectors: tuple[int, ...], reduction: int
) -> dict[str, int | str]:
    """Fill the registers; keep a chunk's weights in half of L2; six chunks a thread if possible.

    ``grid``: independent images and groups, rows, columns, vectors of output channels.
    """
    images, out_h, out_w, group_vectors = grid

    def waste(count: int) -> tuple[float, float]:
        widest = min(out_w, (target.vector_registers - 1 - count) // count)
        width = balanced_width(out_w, widest)
        computed = ceildiv(group_vectors, count) * count / group_vectors
        # Loads per multiply-add: one vector a part, one broadcast a row.
        loads = (count + width) / (count * width)
        return computed * (1 + loads), -count

    count = min((v for v in vectors if v <= 4), key=waste)
    tile_w = balanced_width(out_w, min(out_w, (target.vector_registers - 1 - count) // count))
    panel_bytes = reduction * count * target.vector_bytes
    panels = ceildiv(group_vectors, count)
    weights_fit = panel_bytes * panels <= target.l2 // 2
    chunk_panels = panels if weights_fit else max(1, (target.l2 // 2) // panel_bytes)
    chunk_panels = min(2 ** (chunk_panels.bit_length() - 1), panels)
    units = images * ceildiv(panels, chunk_panels)
    rows = max(1, out_h * units // (6 * target.threads))
    rows = min(2 ** (rows.bit_length() - 1), _powers(out_h)[-1])
    if weights_fit:
        chunk_panels = 2 ** max(0, (panels - 1).bit_length())
    return {
        "tile_w": tile_w,
        "vectors": count,
        "rows": rows,
        "panels": chunk_panels,
        "order": "rows" if weights_fit else "panels",
    }


def pack_weights(array: Array, groups: int, width: int) -> Array:
    """[O,KH,KW,C] to [group][panel][KH][KW][C][width], zeros after the last channel."""
    out_c, kh, kw, in_c = array.shape
    per = out_c // groups
    panels = ceildiv(per, width)
    padded = np.zeros((groups, panels * width, kh, kw, in_c), array.dtype)
    padded[:, :per] = array.reshape(groups, per, kh, kw, in_c)
    split = padded.reshape(groups, panels, width, kh, kw, in_c)
    return np.ascontiguousarray(split.transpose(0, 1, 3, 4, 5, 2))


def kernel(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """One phase."""
    node = workload.nodes[0]
    source, weight = (workload.tensor(a) for a in node.args)
    out_c, kh, kw, in_c = weight.shape
    groups = node.attr("groups")
    width = int(schedule["vectors"]) * target.lanes(FLOAT32)
    panels = ceildiv(out_c // groups, width)
    packing = Packing(
        (groups, panels, kh, kw, in_c, width), lambda w: pack_weights(w, groups, width)
    )
    nest = ConvNest(workload, schedule, target, packing, groups, in_c, out_c // groups)
    phase = nest.phase(Grid(*axes(node, source, (kh, kw))))
    return Kernel(workload, schedule, (phase,), nest.packings)


TEMPLATE = Template(NAME, space, kernel, loops=loops)
