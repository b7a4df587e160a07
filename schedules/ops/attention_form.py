"""What an attention node computes, and where its operands lie.

For every batch n, head h and row m, with keys s::

    score[s] = scale * sum_d q[n,h,m,d] * k[n,h,s,d]  + mask[n,h,s,m]
    out[n,h,m,e] = sum_s softmax(score)[s] * v[n,h,s,e]

(Vaswani et al., *Attention Is All You Need*, 2017). Operands are read where they lie, whatever the
order of heads and rows in memory, so no transposition or slice goes before; only the last dimension
must be contiguous. The mask has its rows last, so that neighbouring rows are neighbours in memory.

A fifth operand, the *cover*, which may be the mask itself, says which scores the mask replaces:
where it is at most -1e30, the score is the mask's number alone. So a score that is infinite or NaN
has no part in its row, as where an exporter chooses between scores and a number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..ir.dtype import FLOAT32
from ..ir.size import Size
from ..ir.workload import Node, Tensor

COVERED = -1e30  # a cover's number from which on downwards it covers


@dataclass(frozen=True)
class View:
    """Elements from the start of a buffer to element (n, h, row, 0), as strides."""

    offset: int
    batch: int
    head: int
    row: int

    def fits(self, sizes: tuple[int, int, int, int], elements: int) -> bool:
        """Whether all of (batches, heads, rows, columns) lies inside a buffer of ``elements``."""
        strides = (self.batch, self.head, self.row, 1)
        last = self.offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
        return all(n >= 0 for n in (self.offset, *strides)) and last < elements


@dataclass(frozen=True)
class Attention:
    """Sizes and places. ``mask`` and ``cover`` are shapes [N or 1, H or 1, S or 1, M or 1], None
    without one.

    ``empty_is_zero``: a row whose every score is minus infinity (or that has a NaN) gives 0 rather
    than NaN, which is how PyTorch exports attention.
    """

    batch: int
    heads: int
    rows: int
    keys: int
    depth: int  # of q and k
    width: int  # of v and the output
    q: View
    k: View
    v: View
    out: View
    mask: tuple[int, ...] | None
    cover: tuple[int, ...] | None
    scale: float
    empty_is_zero: bool

    @property
    def operations(self) -> int:
        """Arithmetic of one call, a multiply-add being two; softmax counts four a score."""
        scores = self.batch * self.heads * self.rows * self.keys
        return scores * (2 * (self.depth + self.width) + 4)


STRIDES = ("q", "k", "v", "o")


def strides_matter(node: Node, name: str) -> tuple[bool, bool, bool, bool]:
    """Which of an operand's offset and strides do: those of dimensions of one element do not."""
    batch, heads, rows, keys, _, _ = node.attr("sizes")
    return True, batch > 1, heads > 1, (rows if name in ("q", "o") else keys) > 1


def form_of(node: Node, tensors: Sequence[Tensor]) -> Attention | None:
    """An attention node with operands of these types, all of float32; None where it reads outside
    of them."""
    if len(tensors) not in (3, 4, 5) or any(t.element != FLOAT32 for t in (*tensors, node.out)):
        return None
    return places_of(node, tensors)


def places_of(node: Node, tensors: Sequence[Tensor]) -> Attention | None:
    """The same of operands of any type."""
    try:
        form = _parse(node, *(t.shape for t in tensors[3:]))
    except (TypeError, ValueError):
        return None
    n, h, m, s = form.batch, form.heads, form.rows, form.keys
    if any(size < 1 for size in (n, h, m, s, form.depth, form.width)) or not math.isfinite(
        form.scale
    ):
        return None
    queries, keys = (n, h, m, form.depth), (n, h, s, form.depth)
    values, result = (n, h, s, form.width), (n, h, m, form.width)
    fits = (
        form.q.fits(queries, tensors[0].size)
        and form.k.fits(keys, tensors[1].size)
        and form.v.fits(values, tensors[2].size)
        and form.out.fits(result, node.out.size)
        and math.prod(result) == node.out.size
    )
    for shape in (form.mask, form.cover):
        sizes = zip(shape or (), (n, h, s, m), strict=shape is not None)
        fits = fits and all(size in (1, whole) for size, whole in sizes)
    return form if fits else None


def _parse(
    node: Node, mask: tuple[int, ...] | None = None, cover: tuple[int, ...] | None = None
) -> Attention:
    """Raises TypeError or ValueError for attributes of another form."""

    def numbers(name: str, count: int) -> tuple[int, ...]:
        found = node.attr(name)
        if len(found) != count or any(
            not isinstance(x, int | Size) or isinstance(x, bool) for x in found
        ):
            raise ValueError(name)
        return tuple(found)

    if any(shape is not None and len(shape) != 4 for shape in (mask, cover)):
        raise ValueError("mask")
    batch, heads, rows, keys, depth, width = numbers("sizes", 6)
    q, k, v, out = (View(*numbers(name, 4)) for name in ("q", "k", "v", "o"))
    scale, zero = float(node.attr("scale")), bool(node.attr("empty_is_zero"))
    sizes = (batch, heads, rows, keys, depth, width)
    return Attention(*sizes, q, k, v, out, mask, cover, scale, zero)
