"""Products around a softmax become one ``attention`` operator, however the exporter spelled them.

``softmax(q k^T * scale + mask) v``: the scale may stand on q, on k or on the scores, several masks
may be added or chosen with ``where``, and the operands may come through slices, reshapes and
transpositions, which the kernel reads through.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from luthier.schedules import Node, Tensor

from ..graph import Graph, Op, Rewriter, known_number
from ..graph.strided import Strided
from .attention_pattern import Mask, Match, Pattern

# With fewer rows most lanes of the kernel's vectors would be empty.
_LEAST_ROWS = 8


def fuse_attention(graph: Graph) -> Graph:
    """A graph with ``attention`` in place of the products and the softmax between them."""
    b = _AttentionFusion(graph, _LEAST_ROWS)
    return b.rewrite(b.rule)


def fuse_open_attention(graph: Graph) -> Graph:
    """The same however few rows there are: at run time there may be more."""
    b = _AttentionFusion(graph, 1)
    return b.rewrite(b.rule)


class _AttentionFusion(Rewriter):
    def __init__(self, graph: Graph, least_rows: int) -> None:
        super().__init__(graph)
        self.pattern = Pattern(graph, least_rows)

    def rule(self, op: Op, new: Node) -> int | None:
        """The kernel stands where its result, moved as its users want it, was made."""
        del new  # the pattern is read in the old graph
        chain = self._chain_to(op)
        match = self.pattern.match(chain[0]) if chain else None
        return None if match is None else self._emit(match, chain)

    def _chain_to(self, op: Op) -> list[Op]:
        """The product and the movements up to ``op``, if nobody moves the result further."""
        chain = [op]
        while chain[0].node.op in ("reshape", "transpose"):
            above = self.graph.producer.get(chain[0].node.args[0])
            if above is None or not self.pattern.alone(above.result):
                return []
            chain.insert(0, above)
        if chain[0].node.op != "matmul":
            return []
        if self.pattern.alone(op.result):
            user = self.graph.users[op.result][0]
            moves = user.node.op in ("reshape", "transpose")
            if moves and self._place([*chain, user]) is not None:
                return []
        return chain

    def _operand(self, value: int, scaled: bool, swap: bool) -> tuple[int, float, Strided] | None:
        """The value to read, what to multiply by, and the view [..., rows, columns] of it.

        The farthest value is taken whose elements can be read in place.
        """
        steps: list[Op] = []
        best: tuple[int, float, Strided] | None = None
        while True:
            read = self._read(value, steps, swap)
            best = read if read is not None else best
            op = self.graph.producer.get(value)
            if op is None:
                return best
            if op.node.op in ("reshape", "transpose", "slice"):
                value = op.node.args[0]
            elif scaled and (step := self.pattern.scaled(op)):
                value = step[0]
            else:
                return best
            steps.insert(0, op)

    def _read(self, value: int, steps: list[Op], swap: bool) -> tuple[int, float, Strided] | None:
        scale = 1.0
        view: Strided | None = Strided.dense(self.graph.values[value].shape)
        for op in steps:
            if scaled := self.pattern.scaled(op):
                scale *= scaled[1]
            else:
                view = view and _moved(view, op.node)
        if view is None:
            return None
        if swap:
            rank = len(view.shape)
            view = view.transpose((*range(rank - 2), rank - 1, rank - 2))
        contiguous = view.shape[-1] == 1 or view.strides[-1] == 1
        return (value, scale, view) if contiguous and min(view.strides) >= 0 else None

    def _place(self, chain: Sequence[Op]) -> Strided | None:
        """Where the product's elements lie in the last movement's result."""
        view: Strided | None = Strided.dense(chain[-1].node.out.shape)
        for op in reversed(chain[1:]):
            if view is None:
                return None
            if op.node.op == "transpose":
                axes = op.node.attr("axes")
                view = view.transpose([axes.index(i) for i in range(len(axes))])
            else:
                view = view.reshape(self.graph.values[op.node.args[0]].shape)
        return view if view is not None and view.strides[-1] in (0, 1) else None

    def _emit(self, match: Match, chain: Sequence[Op]) -> int | None:
        q = self._operand(match.q, True, False)
        k = self._operand(match.k, True, match.transpose_k)
        v = self._operand(match.v, False, False)
        place = self._place(chain)
        if q is None or k is None or v is None or place is None:
            return None
        rank = len(q[2].shape)
        batch, heads, rows, depth = _four(q[2].shape, rank, 1)
        keys, width = v[2].shape[-2:]
        args = [self.at[operand[0]] for operand in (q, k, v)] + self._masks(match.masks, rank)
        return self.emit(
            "attention",
            *args,
            out=chain[-1].node.out,
            sizes=(batch, heads, rows, keys, depth, width),
            q=_strides(q[2]),
            k=_strides(k[2]),
            v=_strides(v[2]),
            o=_strides(place),
            scale=match.scale * q[1] * k[1],
            empty_is_zero=match.empty_is_zero,
        )

    def _masks(self, masks: Sequence[Mask], rank: int) -> list[int]:
        """All masks as one, rows last, and the cover where some are conditions."""
        total: int | None = None
        cover: int | None = None
        for mask in reversed(masks):
            value = self._rows_last(self.at[mask.value], rank)
            if mask.fill is None:
                if not self._is_zero(self.at[mask.value]):
                    total = value if total is None else self.emit("add", total, value)
                continue
            total = self._chosen(value, mask, total, mask.fill)
            cover = self._chosen(value, mask, cover, -math.inf)
        if total is None:
            return []
        alike = all(mask.fill is not None for mask in masks)
        return [total] if cover is None else [total, total if alike else cover]

    def _chosen(self, condition: int, mask: Mask, kept: int | None, fill: float) -> int:
        """``fill`` where the condition takes a score away, else what was there before."""
        values = [self.scalar(0.0) if kept is None else kept, self.scalar(fill)]
        yes, no = values if mask.keeps else values[::-1]
        shapes = (self.values[v].shape for v in (condition, yes, no))
        out = Tensor(np.broadcast_shapes(*shapes))
        return self.emit("where", condition, yes, no, out=out)

    def _rows_last(self, value: int, rank: int) -> int:
        tensor = self.values[value]
        shape = _four(tensor.shape, rank, 1)
        value = self.emit("reshape", value, out=Tensor(shape, tensor.dtype))
        return self.emit("transpose", value, axes=(0, 1, 3, 2))

    def _is_zero(self, value: int) -> bool:
        known = self.constants.get(value)
        return known_number(self, value) == 0 if known is None else not np.any(known)


def _moved(view: Strided, node: Node) -> Strided | None:
    if node.op == "slice":
        return view.slice(node.attr("begin"), node.attr("steps"), node.out.shape)
    if node.op == "transpose":
        return view.transpose(node.attr("axes"))
    return view.reshape(node.out.shape)


def _four(sizes: tuple[int, ...], rank: int, fill: int) -> tuple[int, int, int, int]:
    """Shape or strides of ``rank`` dimensions as (batch, head, row, column)."""
    full = (fill,) * (rank - len(sizes)) + sizes
    batch = full[0] if rank > 2 else fill
    head = full[1] if rank > 3 else fill
    return batch, head, full[-2], full[-1]


def _strides(view: Strided) -> tuple[int, int, int, int]:
    """Offset, and strides of batches, heads and rows."""
    batch, head, row, _ = _four(view.strides, len(view.strides), 0)
    return view.offset, batch, head, row
