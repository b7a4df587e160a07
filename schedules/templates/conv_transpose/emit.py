"""Transposed convolution, as one small convolution for each remainder of the output position.

Outputs whose row and column leave the same remainders modulo the stride see the same taps of the
kernel, and their windows slide over the input one by one. So each such grid is a direct convolution
with stride 1 and a part of the kernel, turned around; no zeros are multiplied.

Knobs: those of ``conv_direct``, for each grid.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from ...ir.kernel import Array, Packing
from ..conv.direct import Knobs
from ..conv.emit import pack_weights, packed_shape
from ..conv.nest import Grid, grid_phase, scratch
from ..form import Emitted
from .form import ConvTranspose

Taken = tuple[Sequence[int], Sequence[int]]
"""The taps of a grid's small kernel, down and across."""


def pack_grids(array: Array, form: ConvTranspose, knobs: Knobs, grids: Sequence[Taken]) -> Array:
    """[C,KH,KW,O/groups] to the packed small kernels, one grid after the other."""
    groups, in_c, per_group = form.groups, form.window[2], form.per_group
    split = array.reshape(groups, in_c, *array.shape[1:])
    packed = []
    for down, across in grids:
        small = split[:, :, list(down)][:, :, :, list(across)]
        turned = small.transpose(0, 4, 2, 3, 1)
        flat = turned.reshape(groups * per_group, *turned.shape[2:])
        packed.append(pack_weights(flat, form, knobs).reshape(-1))
    return np.concatenate(packed)


def kernel(form: ConvTranspose, knobs: Knobs) -> Emitted:
    """A phase for each grid."""
    rows, columns = form.remainders
    grids, size = [], 0
    for i, down in enumerate(rows):
        for j, across in enumerate(columns):
            grids.append(Grid(down.axis, across.axis, (i, j), form.step, size))
            size += math.prod(packed_shape(form, knobs, (len(down.taps), len(across.taps))))
    # Which there are is decided here, where what is assumed of open sizes is noted, not as they
    # are packed.
    taken = [(down.taps, across.taps) for down, across in itertools.product(rows, columns)]
    pack = partial(pack_grids, form=form, knobs=knobs, grids=taken)
    packings = {form.node.args[1]: Packing((size,), pack)}
    phases = tuple(grid_phase(form, knobs, packings, grid) for grid in grids)
    return Emitted(phases, packings, scratch=scratch(form, knobs, grids))
