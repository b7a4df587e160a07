"""Direct convolution in channels-last layout, any kernel, stride, dilation and groups.

The register tile is ``tile_w`` neighbouring outputs of a row by ``vectors`` vectors of output
channels. Weights are packed as [group][panel][KH][KW][C/groups][panel width], so that the reduction
over (kh, kw, channel) reads them in order.

Knobs: ``tile_w`` and ``vectors`` (the register tile), ``rows`` (output rows in a chunk), ``panels``
(weight panels in a chunk), ``order`` (which of the two is the outer loop inside a chunk).
"""

from __future__ import annotations

import numpy as np

from ...ir.kernel import Array, Packing
from ...tir.indices import ceildiv
from ..form import Emitted
from ..window import axes
from .direct import Direct, Knobs
from .nest import Grid, grid_phase


def pack_weights(array: Array, groups: int, width: int) -> Array:
    """[O,KH,KW,C] to [group][panel][KH][KW][C][width], zeros after the last channel."""
    out_c, kh, kw, in_c = array.shape
    per = out_c // groups
    panels = ceildiv(per, width)
    padded = np.zeros((groups, panels * width, kh, kw, in_c), array.dtype)
    padded[:, :per] = array.reshape(groups, per, kh, kw, in_c)
    split = padded.reshape(groups, panels, width, kh, kw, in_c)
    return np.ascontiguousarray(split.transpose(0, 1, 3, 4, 5, 2))


def kernel(form: Direct, knobs: Knobs) -> Emitted:
    """One phase."""
    (source, weight), groups, (kh, kw, in_c) = form.node.args, form.groups, form.window
    width = knobs.vectors * form.lanes
    panels = ceildiv(form.per_group, width)
    shape = (groups, panels, kh, kw, in_c, width)
    packings = {weight: Packing(shape, lambda w: pack_weights(w, groups, width))}
    grid = Grid(*axes(form.node, form.workload.tensor(source), (kh, kw)))
    return Emitted((grid_phase(form, knobs, packings, grid),), packings)
