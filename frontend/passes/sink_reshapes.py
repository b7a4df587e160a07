"""Reshapes move after elementwise operators and lookups, so that these can join what comes before.

``relu(reshape(x))`` becomes ``reshape(relu(x))``, and ``take(x, reshape(i))`` becomes
``reshape(take(x, i))``. A reshape is free wherever it stands, but between a product and its
activation, or between what computes an index and what uses it, it would keep the two in different
kernels. Where two reshapes meet they become one, or nothing.
"""

from __future__ import annotations

from luthier.schedules import Node, Tensor, ops

from ..graph import Graph, Op, Rewriter, made_by
from .channels_last import matching_groups


def sink_reshapes(graph: Graph) -> Graph:
    """A graph in which nothing elementwise follows the reshaped result of a product, and no lookup
    uses reshaped indices.
    """
    b = _Sinking(graph)
    return _of_few_bits(b.rewrite(b.rule))


def _of_few_bits(graph: Graph) -> Graph:
    """``reshape(dequantize(x))`` as ``dequantize(reshape(x))`` where one scale is of all."""
    b = Rewriter(graph)

    def rule(op: Op, node: Node) -> int | None:
        widened = made_by(b, node.args[0], "dequantize") if node.op == "reshape" else None
        if widened is None or any(b.values[a].size > 1 for a in widened.args[1:]):
            return None
        stored, *numbers = widened.args
        single = (b.reshaped(number, ()) for number in numbers)
        return b.emit("dequantize", b.reshaped(stored, node.out.shape), *single)

    return b.rewrite(rule)


class _Sinking(Rewriter):
    def rule(self, op: Op, node: Node) -> int | None:
        if node.op == "reshape":
            return self.reshaped(node.args[0], node.out.shape)
        if node.op == "take":
            return self._looked_up(node)
        if not ops.of(node).is_elementwise:
            return None
        for arg in node.args:
            source = self._reshaped_product(arg)
            if source is not None and self.values[arg].shape == node.out.shape:
                return self._sunk(node, self.values[source].shape)
        return None

    def _looked_up(self, node: Node) -> int | None:
        data, indices = node.args
        above = made_by(self, indices, "reshape")
        if above is None:
            return None
        found = self.emit("take", data, above.args[0], axis=node.attr("axis"))
        return self.reshaped(found, node.out.shape)

    def _reshaped_product(self, value: int) -> int | None:
        """What ``value`` is a reshape of, where that is a product or elementwise."""
        reshape = made_by(self, value, "reshape")
        above = self.producer.get(reshape.args[0]) if reshape else None
        computed = above and isinstance(ops.of(above.node), (ops.Product, ops.Elementwise))
        return above.result if above and computed else None

    def _sunk(self, node: Node, shape: tuple[int, ...]) -> int | None:
        found = (self._operand(arg, node.out.shape, shape) for arg in node.args)
        args = tuple(arg for arg in found if arg is not None)
        if len(args) < len(node.args):
            return None
        result = self.add(Node(node.op, args, Tensor(shape, node.out.dtype), node.attrs))
        return self.emit("reshape", result, out=node.out)

    def _operand(self, value: int, old: tuple[int, ...], new: tuple[int, ...]) -> int | None:
        """An operand for the new shape; None where it broadcasts along a part of what is split or
        merged."""
        tensor = self.values[value]
        if tensor.shape == old:
            return self.reshaped(value, new)
        if tensor.size == 1:
            return self.reshaped(value, ())
        full = (1,) * (len(old) - len(tensor.shape)) + tensor.shape
        spread = [1] * len(new)
        for inside, outside in matching_groups(old, new):
            sizes = [full[d] for d in inside]
            if sizes == [old[d] for d in inside]:
                for d in outside:
                    spread[d] = new[d]
            elif any(size != 1 for size in sizes):
                return None
        first = next(d for d, size in enumerate(spread) if size != 1)
        return self.reshaped(value, spread[first:])
