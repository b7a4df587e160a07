"""Elementwise operators move before what lays out the pixels of an enlargement.

A transposed convolution whose windows lie side by side is a product, of which each row is a window,
and a transpose that puts its pixels where they belong. Whatever is made of the sums (bias, scale,
rounding) can join the product's kernel, and what is moved then are numbers of 8 bits, not of 32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from luthier.schedules import Node, Tensor, ops

from ..graph import Graph, Op, Rewriter, made_by

_SUMS_BITS = 32


def sink_enlargements(graph: Graph) -> Graph:
    """A graph in which elementwise operators of a product's sums come before its layout."""
    b = _Sinking(graph)
    return b.rewrite(b.rule)


@dataclass(frozen=True)
class _Laid:
    """``value``, split to a shape and transposed to others, of which the last dimension stays."""

    value: int
    split: tuple[int, ...]
    axes: tuple[int, ...]


class _Sinking(Rewriter):
    def rule(self, op: Op, node: Node) -> int | None:
        if not ops.of(node).is_elementwise:
            return None
        for old, arg in zip(op.node.args, node.args, strict=True):
            alone = len(self.graph.users[old]) == 1
            if alone and self.values[arg].shape == node.out.shape:
                laid = self._laid(arg)
                if laid is not None:
                    return self._sunk(node, arg, laid)
        return None

    def _laid(self, value: int) -> _Laid | None:
        """What the value is, if a product's sums."""
        merged = made_by(self, value, "reshape")
        moved = made_by(self, merged.args[0], "transpose") if merged else None
        split = made_by(self, moved.args[0], "reshape") if moved else None
        if moved is None or split is None:
            return None
        (source,), shape, axes = split.args, split.out.shape, moved.attr("axes")
        above = self.producer.get(source)
        if above is None or self.values[source].element.bits != _SUMS_BITS:
            return None
        is_sum = above.node.op == "matmul_integer" or ops.of(above.node).is_elementwise
        stays = axes[-1] == len(axes) - 1 and self.values[value].shape[-1] == shape[-1]
        rows = [math.prod(shape[:i]) for i in range(len(shape))]
        whole = math.prod(self.values[source].shape[:-1]) in rows
        return _Laid(source, shape, axes) if is_sum and stays and whole else None

    def _sunk(self, node: Node, arg: int, laid: _Laid) -> int | None:
        """The operator of the sums as they are, and its result laid out."""
        shape = self.values[laid.value].shape
        others = (self._operand(a, shape[-1], laid.split[-1]) for a in node.args if a != arg)
        known = [a for a in others if a is not None]
        if len(known) != len(node.args) - 1:
            return None
        rest = iter(known)
        args = tuple(laid.value if a == arg else next(rest) for a in node.args)
        new = self.add(Node(node.op, args, Tensor(shape, node.out.dtype), node.attrs))
        split = self.emit("reshape", new, out=Tensor(laid.split, node.out.dtype))
        moved = self.emit("transpose", split, axes=laid.axes)
        return self.emit("reshape", moved, out=node.out)

    def _operand(self, value: int, columns: int, channels: int) -> int | None:
        """One number, or a known one of each channel, for all pixels of a window."""
        tensor, known = self.values[value], self.constants.get(value)
        if tensor.size == 1:
            return self.reshaped(value, ())
        if known is None or tensor.size != channels or tensor.shape[-1] != channels:
            return None
        return self.constant(np.tile(known.reshape(-1), columns // channels))
