"""Reshapes move after elementwise operators and lookups, so that these can join what comes before.

``relu(reshape(x))`` becomes ``reshape(relu(x))``, and ``take(x, reshape(i))`` becomes
``reshape(take(x, i))``. A reshape is free wherever it stands, but between a product and its
activation, or between what computes an index and what uses it, it would keep the two in different
kernels. Where two reshapes meet they become one, or nothing.
"""

from __future__ import annotations

from luthier.schedules import Node, Tensor, ops

from ..graph import Graph, Op, Rewriter


def sink_reshapes(graph: Graph) -> Graph:
    """A graph in which nothing elementwise follows the reshaped result of a product, and no lookup
    uses reshaped indices.
    """
    return _Sinking(graph).run()


class _Sinking(Rewriter):
    def run(self) -> Graph:
        return self.rewrite(self._rule)

    def _rule(self, op: Op, node: Node) -> int | None:
        if node.op == "reshape":
            return self._reshape(node.args[0], node.out.shape)
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
        above = self.producer.get(indices)
        if above is None or above.node.op != "reshape":
            return None
        found = self.emit("take", data, above.node.args[0], axis=node.attr("axis"))
        return self._reshape(found, node.out.shape)

    def _reshaped_product(self, value: int) -> int | None:
        """What ``value`` is a reshape of, where that is a product or elementwise."""
        op = self.producer.get(value)
        if op is None or op.node.op != "reshape":
            return None
        (source,) = op.node.args
        above = self.producer.get(source)
        if above is None or not isinstance(ops.of(above.node), (ops.Product, ops.Elementwise)):
            return None
        return source

    def _sunk(self, node: Node, shape: tuple[int, ...]) -> int | None:
        args = [self._operand(arg, node.out.shape, shape) for arg in node.args]
        if any(arg is None for arg in args):
            return None
        known = tuple(arg for arg in args if arg is not None)
        result = self.add(Node(node.op, known, Tensor(shape, node.out.dtype), node.attrs))
        return self.emit("reshape", result, out=node.out)

    def _operand(self, value: int, old: tuple[int, ...], new: tuple[int, ...]) -> int | None:
        """An operand for the new shape; None where it broadcasts in another way than by vectors."""
        tensor = self.values[value]
        if tensor.shape == old:
            return self._reshape(value, new)
        if tensor.size == 1:
            return value if not tensor.shape else self._reshape(value, ())
        if tensor.size == old[-1] == new[-1] and tensor.shape[-1] == tensor.size:
            return self._reshape(value, (tensor.size,))
        return None

    def _reshape(self, value: int, shape: tuple[int, ...]) -> int:
        """The value in another shape; a constant stays one, and two reshapes become one."""
        if self.values[value].shape == shape:
            return value
        if value in self.constants:
            return self.constant(self.constants[value].reshape(shape))
        op = self.producer.get(value)
        if op is not None and op.node.op == "reshape":
            return self._reshape(op.node.args[0], shape)
        return self.emit("reshape", value, out=Tensor(shape, self.values[value].dtype))
