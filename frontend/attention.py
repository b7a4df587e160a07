"""Products around a softmax become one ``attention`` operator, however the exporter spelled them.

``softmax(q k^T * scale + mask) v``: the scale may stand on q, on k or on the scores, several masks
may be added or chosen with ``where``, and the operands may come through slices, reshapes and
transpositions, which the kernel reads through.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.schedules import Node, Tensor, node

from .attention_pattern import Mask, Match, Pattern
from .graph import Graph, Op, Rewriter
from .strided import Strided


def fuse_attention(graph: Graph) -> Graph:
    """A graph with ``attention`` in place of the products and the softmax between them."""
    return _AttentionFusion(graph).run()


class _AttentionFusion(Rewriter):
    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.pattern = Pattern(graph)

    def run(self) -> Graph:
        return self.rewrite(self._rule)

    def _rule(self, op: Op, new: Node) -> int | None:
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
            user = self.pattern.users[op.result][0]
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
            elif (
                op.node.op in ("multiply", "divide")
                and scaled
                and (step := self.pattern.scaled(op))
            ):
                value = step[0]
            else:
                return best
            steps.insert(0, op)

    def _read(self, value: int, steps: list[Op], swap: bool) -> tuple[int, float, Strided] | None:
        scale = 1.0
        view: Strided | None = Strided.dense(self.graph.values[value].shape)
        for op in steps:
            if view is None:
                return None
            if op.node.op == "slice":
                begin, strides = op.node.attr("begin"), op.node.attr("steps")
                view = view.slice(begin, strides, op.node.out.shape)
            elif op.node.op in ("multiply", "divide"):
                scaled = self.pattern.scaled(op)
                assert scaled is not None
                scale *= scaled[1]
            else:
                view = _moved(view, op.node)
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
        mask = self._mask(match.masks, rank)
        args = [self.at[operand[0]] for operand in (q, k, v)]
        return self.add(
            node(
                "attention",
                tuple(args if mask is None else [*args, mask]),
                chain[-1].node.out,
                sizes=(batch, heads, rows, keys, depth, width),
                q=_strides(q[2]),
                k=_strides(k[2]),
                v=_strides(v[2]),
                o=_strides(place),
                scale=match.scale * q[1] * k[1],
                empty_is_zero=match.empty_is_zero,
            )
        )

    def _mask(self, masks: Sequence[Mask], rank: int) -> int | None:
        """All masks as one, rows last."""
        total: int | None = None
        for mask in masks:
            value = self.at[mask.value]
            if mask.fill is not None:
                numbers = self.scalar(0.0), self.scalar(mask.fill)
                yes, no = numbers if mask.keeps else numbers[::-1]
                out = Tensor(self.values[value].shape)
                value = self.emit("where", value, yes, no, out=out)
            elif self._is_zero(value):
                continue
            shape = _four(self.values[value].shape, rank, 1)
            value = self.emit("reshape", value, out=Tensor(shape))
            value = self.emit("transpose", value, axes=(0, 1, 3, 2))
            total = value if total is None else self.emit("add", total, value)
        return total

    def _is_zero(self, value: int) -> bool:
        known = self.constants.get(value)
        return self.literal_of(value) == 0 if known is None else not np.any(known)


def _moved(view: Strided, node: Node) -> Strided | None:
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
