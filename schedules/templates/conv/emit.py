"""Direct convolution in channels-last layout, any kernel, stride, dilation and groups.

The register tile is ``tile_w`` neighbouring outputs of a row by ``vectors`` vectors of output
channels. Weights are packed in the order of the reduction, a panel of them after the other.

Knobs: ``tile_w`` and ``vectors`` (the register tile, of which the former is the most: tiles of a
row are nearly equal), ``rows`` (output rows in a chunk), ``columns`` (outputs of a row in a chunk),
``panels`` (weight panels in a chunk), ``order`` (of rows and panels the outer loop inside a chunk).
"""

from __future__ import annotations

import numpy as np

from ...ir.kernel import Array, Packing
from ...tir.indices import ceildiv
from ..form import Emitted
from ..window import axes
from .direct import Direct, Knobs
from .nest import Grid, grid_phase, scratch


def packed_shape(form: Direct, knobs: Knobs, taps: tuple[int, int]) -> tuple[int, ...]:
    """The shape that ``pack_weights`` makes of a kernel of so many taps down and across."""
    panels = ceildiv(form.per_group, knobs.vectors * form.unit)
    steps = form.window[2] // form.along
    return form.groups, panels, *taps, steps, knobs.vectors * form.lanes


def pack_weights(array: Array, form: Direct, knobs: Knobs) -> Array:
    """[O,KH,KW,C] to [group][panel][KH][KW][step][vector][lane], zeros after the last channel.

    A step is a channel of the input, and lanes are channels of the output; or lanes are those of
    the input where sums are added up at the end.
    """
    out_c, kh, kw, in_c = array.shape
    groups, panels, *_ = packed_shape(form, knobs, (kh, kw))
    per, width = out_c // groups, knobs.vectors * form.unit
    padded = np.zeros((groups, panels * width, kh, kw, in_c), array.dtype)
    padded[:, :per] = array.reshape(groups, per, kh, kw, in_c)
    split = padded.reshape(groups, panels, width, kh, kw, in_c // form.along, form.along)
    ordered = np.ascontiguousarray(split.transpose(0, 1, 3, 4, 5, 2, 6))
    return ordered.reshape(packed_shape(form, knobs, (kh, kw)))


def kernel(form: Direct, knobs: Knobs) -> Emitted:
    """One phase."""
    (source, weight), (kh, kw, _) = form.node.args, form.window
    shape = packed_shape(form, knobs, (kh, kw))
    packings = {weight: Packing(shape, lambda w: pack_weights(w, form, knobs))}
    grid = Grid(*axes(form.node, form.workload.tensor(source), (kh, kw)))
    phase = grid_phase(form, knobs, packings, grid)
    return Emitted((phase,), packings, scratch=scratch(form, knobs, [grid]))
