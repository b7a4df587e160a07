"""Transposed convolution, as one small convolution for each remainder of the output position.

Outputs whose row and column leave the same remainders modulo the stride see the same taps of the
kernel, and their windows slide over the input one by one. So each such grid is a direct convolution
with stride 1 and a part of the kernel, turned around; no zeros are multiplied.

Knobs: those of ``conv_direct``, for each grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...ir.dtype import FLOAT32
from ...ir.kernel import Array, Kernel, Packing
from ...ir.space import Schedule, Space
from ...ir.workload import Workload
from ...target.target import Target
from ...tir.indices import ceildiv
from ..conv.emit import direct_loops, direct_space, fits, pack_weights
from ..conv.nest import ConvNest, Grid
from ..loops import Knobs, Loops
from ..template import Template
from ..window import Axis

NAME = "conv_transpose"
VERSION = 1


def space(workload: Workload, target: Target) -> Space | None:
    """Fits float32 transposed convolutions with constant weights and elementwise epilogues."""
    if not fits(workload, "conv2d_transpose"):
        return None
    node = workload.nodes[0]
    sh, sw = node.attr("strides")
    in_c, kh, kw, _ = workload.tensor(node.args[1]).shape
    reduction = ceildiv(kh, sh) * ceildiv(kw, sw) * (in_c // node.attr("groups"))
    return direct_space(NAME, VERSION, node, target, (sh, sw), reduction)


def loops(workload: Workload, target: Target, knobs: Knobs) -> Loops:
    """The nests of every schedule in a table."""
    node = workload.nodes[0]
    sh, sw = node.attr("strides")
    in_c, kh, kw, _ = workload.tensor(node.args[1]).shape
    window = (ceildiv(kh, sh), ceildiv(kw, sw), in_c // node.attr("groups"))
    return direct_loops(workload, target, knobs, (sh, sw), window)


@dataclass(frozen=True)
class _Taps:
    """The taps that outputs with one remainder see, in the order of the inputs they read."""

    taps: tuple[int, ...]
    axis: Axis


def _remainders(
    size: int, out: int, kernel: int, stride: int, pad: int, dilation: int
) -> list[_Taps]:
    """For each remainder: which taps, and how their window slides over the input."""
    found = []
    for remainder in range(min(stride, out)):
        taps = [
            t for t in reversed(range(kernel)) if (remainder + pad - t * dilation) % stride == 0
        ]
        origin = (remainder + pad - taps[0] * dilation) // stride if taps else 0
        gap = dilation // math.gcd(stride, dilation)
        outputs = ceildiv(out - remainder, stride)
        found.append(_Taps(tuple(taps), Axis(size, outputs, len(taps), 1, -origin, gap)))
    return found


def _directions(workload: Workload) -> tuple[list[_Taps], list[_Taps]]:
    node = workload.nodes[0]
    _, height, width, _ = workload.tensor(node.args[0]).shape
    _, kh, kw, _ = workload.tensor(node.args[1]).shape
    _, out_h, out_w, _ = node.out.shape
    top, left, _, _ = node.attr("pads")
    (sh, sw), (dh, dw) = node.attr("strides"), node.attr("dilations")
    return (
        _remainders(height, out_h, kh, sh, top, dh),
        _remainders(width, out_w, kw, sw, left, dw),
    )


def pack_grids(array: Array, workload: Workload, panel: int) -> Array:
    """[C,KH,KW,O/groups] to the packed small kernels, one grid after the other."""
    groups = workload.nodes[0].attr("groups")
    in_c, _, _, per_group = array.shape
    split = array.reshape(groups, in_c // groups, *array.shape[1:])
    rows, columns = _directions(workload)
    packed = []
    for down in rows:
        for across in columns:
            small = split[:, :, list(down.taps)][:, :, :, list(across.taps)]
            turned = small.transpose(0, 4, 2, 3, 1)
            flat = turned.reshape(groups * per_group, *turned.shape[2:])
            packed.append(pack_weights(flat, groups, panel).reshape(-1))
    return np.concatenate(packed)


def kernel(workload: Workload, target: Target, schedule: Schedule) -> Kernel:
    """A phase for each grid."""
    node = workload.nodes[0]
    in_c, _, _, per_group = workload.tensor(node.args[1]).shape
    groups = node.attr("groups")
    panel = int(schedule["vectors"]) * target.lanes(FLOAT32)
    rows, columns = _directions(workload)
    grids, size = [], 0
    for i, down in enumerate(rows):
        for j, across in enumerate(columns):
            grids.append(Grid(down.axis, across.axis, (i, j), node.attr("strides"), size))
            taps = len(down.taps) * len(across.taps)
            size += groups * ceildiv(per_group, panel) * panel * taps * (in_c // groups)
    packing = Packing((size,), lambda w: pack_grids(w, workload, panel))
    nest = ConvNest(workload, schedule, target, packing, groups, in_c // groups, per_group)
    phases = tuple(nest.phase(grid) for grid in grids)
    return Kernel(workload, schedule, phases, nest.packings)


TEMPLATE = Template(NAME, space, kernel, loops=loops)
