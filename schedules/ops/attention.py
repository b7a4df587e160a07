"""Attention: softmax of scores, by which values are weighed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..ir.dtype import DTYPES
from ..ir.workload import Node, Tensor
from .attention_form import COVERED, places_of
from .operator import Anchor, Array


def _attention(
    node: Node, q: Array, k: Array, v: Array, mask: Array | None = None, cover: Array | None = None
) -> Array:
    """See ``attention_form`` for the operands' places."""
    q, k, v = (x.astype(DTYPES[x.dtype.name].computed.numpy, copy=False) for x in (q, k, v))
    batch, heads, rows, keys, depth, width = node.attr("sizes")

    def operand(x: Array, place: str, count: int, columns: int) -> Array:
        offset, *strides = (int(s) for s in node.attr(place))
        flat = x.reshape(-1)[offset:]
        bytes_ = [s * flat.itemsize for s in (*strides, 1)]
        return as_strided(flat, (batch, heads, count, columns), bytes_, writeable=False)

    scores = operand(q, "q", rows, depth) * node.attr("scale")
    scores = scores @ operand(k, "k", keys, depth).swapaxes(2, 3)
    if mask is not None:
        added = mask.swapaxes(2, 3)
        scores = scores + added
        if cover is not None:
            scores = np.where(cover.swapaxes(2, 3) <= COVERED, added, scores)
    exp = np.exp(scores - scores.max(axis=3, keepdims=True))
    share = exp / exp.sum(axis=3, keepdims=True)
    if node.attr("empty_is_zero"):
        share = np.where(np.isnan(share), 0, share)
    result = share @ operand(v, "v", keys, width)
    out = np.zeros(node.out.size, result.dtype)
    _, *strides = (int(s) * out.itemsize for s in node.attr("o"))
    as_strided(out, result.shape, (*strides, out.itemsize))[:] = result
    found = out.reshape(node.out.shape)
    return found.astype(node.out.element.numpy) if node.out.element.is_narrow else found


def _count(node: Node, args: Sequence[Tensor]) -> int:
    form = places_of(node, args)
    return form.operations if form else 0


OPERATORS = (
    # q, k, v, [mask, [cover]]; sizes, places and scale: see ``attention_form``. The first three and
    # the result may be in bfloat16.
    Anchor("attention", None, _attention, count=_count),
)
