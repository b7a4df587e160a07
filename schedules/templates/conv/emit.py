"""Direct convolution in channels-last layout, any kernel, stride, dilation and groups.

The register tile is ``tile_w`` neighbouring outputs of a row by ``vectors`` vectors of output
channels. Weights are packed as [group][panel][KH][KW][C/groups][panel width], so that the reduction
over (kh, kw, channel) reads them in order.

Knobs: ``tile_w`` and ``vectors`` (the register tile), ``rows`` (output rows in a chunk), ``panels``
(weight panels in a chunk), ``order`` (which of the two is the outer loop inside a chunk).
"""

from __future__ import annotations

import numpy as np

from ...ir.kernel import Array, Kernel, Packing
from ...ir.space import Schedule
from ...tir.indices import ceildiv
from ..window import axes
from .form import Conv
from .nest import ConvNest, Grid


def pack_weights(array: Array, groups: int, width: int) -> Array:
    """[O,KH,KW,C] to [group][panel][KH][KW][C][width], zeros after the last channel."""
    out_c, kh, kw, in_c = array.shape
    per = out_c // groups
    panels = ceildiv(per, width)
    padded = np.zeros((groups, panels * width, kh, kw, in_c), array.dtype)
    padded[:, :per] = array.reshape(groups, per, kh, kw, in_c)
    split = padded.reshape(groups, panels, width, kh, kw, in_c)
    return np.ascontiguousarray(split.transpose(0, 1, 3, 4, 5, 2))


def kernel(form: Conv, schedule: Schedule) -> Kernel:
    """One phase."""
    workload, groups, (kh, kw, in_c) = form.workload, form.groups, form.window
    width = form.typed(schedule).vectors * form.lanes
    panels = ceildiv(form.per_group, width)
    packing = Packing(
        (groups, panels, kh, kw, in_c, width), lambda w: pack_weights(w, groups, width)
    )
    nest = ConvNest(form, schedule, packing)
    phase = nest.phase(Grid(*axes(form.node, workload.tensor(form.node.args[0]), (kh, kw))))
    return Kernel(workload, schedule, (phase,), nest.packings)
