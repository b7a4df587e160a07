"""Channels-last everywhere: transposes move down the graph until they cancel.

Each value of the old graph is held in a physical order of its own: ``logical[i] = physical[p[i]]``
for dimensions ``i``. A transpose only changes ``p``; elementwise operators, reductions, slices and
the like work in whatever order their argument is in, with axes renamed; reshapes do too where the
dimensions they merge lie side by side. Only where none of that holds does a transpose stay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from luthier.schedules import Tensor, ops

from ..graph import Graph, Op, Rewriter, made_by

Order = tuple[int, ...]


def channels_last(graph: Graph) -> Graph:
    """Move transposes through the graph; see the module's text."""
    return _Layout(graph).run()


def permuted(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """The shape after a transpose."""
    return tuple(shape[a] for a in axes)


def inverse(order: Order) -> Order:
    """The order that undoes ``order``."""
    return tuple(order.index(i) for i in range(len(order)))


def is_view(shape: Sequence[int], axes: Sequence[int]) -> bool:
    """Whether a transpose only moves dimensions of size 1, so that the bytes stay."""
    moved = [a for a in axes if shape[a] > 1]
    return moved == sorted(moved)


class _Layout(Rewriter):
    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.order: dict[int, Order] = {}  # of old values whose order is not the logical one
        self.leaving = _leaving(graph)

    def run(self) -> Graph:
        for op in self.graph.ops:
            self.source = op.source
            if not self._keep_order(op):
                args = tuple(map(self._plain, op.node.args))
                self.at[op.result] = self.add(replace(op.node, args=args))
        return self.finish([(name, self._plain(v)) for name, v in self.graph.outputs])

    def _keep_order(self, op: Op) -> bool:
        """Emit ``op`` in its arguments' order; False where it needs the logical order."""
        name, operator = op.node.op, ops.of(op.node)
        if name == "transpose":
            self._transpose(op)
        elif name == "matmul":
            self._matmul(op)
        elif all(a not in self.order for a in op.node.args):
            return False
        elif name == "concat" or (operator.is_elementwise and name != "const"):
            self._together(op)
        elif isinstance(operator, ops.Reduction):
            self._reduction(op)
        elif name == "reshape":
            self._reshape(op)
        elif isinstance(operator, ops.Softmax) or (
            isinstance(operator, ops.Movement) and operator.by_dimension
        ):
            return self._single(op)
        elif name == "take":
            return self._take(op)
        elif name == "group_norm":
            return self._group_norm(op)
        else:
            return False
        return True

    # How old values are held.

    def _shape(self, old: int) -> tuple[int, ...]:
        return self.graph.values[old].shape

    def _held(self, old: int) -> tuple[int, Order]:
        value = self.at[old]
        return value, self.order.get(old, tuple(range(len(self._shape(old)))))

    def _hold(self, old: int, value: int, order: Order) -> None:
        """``old`` is ``value`` in ``order``."""
        if list(order) != sorted(order):
            self.order[old] = order
        self.at[old] = value

    def _moved(self, value: int, axes: Order) -> int:
        """A real transpose, unless a view or a constant does."""
        shape = self.values[value].shape
        if value in self.constants:
            return self.constant(self.constants[value].transpose(axes))
        if is_view(shape, axes):
            return self.reshaped(value, permuted(shape, axes))
        widened = made_by(self, value, "dequantize")
        if widened and all(self.values[a].size == 1 for a in widened.args[1:]):
            return self.emit("dequantize", self._moved(widened.args[0], axes), *widened.args[1:])
        joined = self._joined(value, axes)
        return self.emit("transpose", value, axes=axes) if joined is None else joined

    def _joined(self, value: int, axes: Order) -> int | None:
        """One transposition, of what was transposed already before some dimensions merged."""
        merged = made_by(self, value, "reshape")
        above = made_by(self, merged.args[0], "transpose") if merged else None
        if merged is None or above is None:
            return None
        before, after = above.out.shape, self.values[value].shape
        groups = {tuple(outside): inside for inside, outside in matching_groups(before, after)}
        if any(len(outside) > 1 for outside in groups):
            return None
        order = [i for i, size in enumerate(before) if size == 1]
        order += [i for axis in axes for i in groups.get((axis,), ())]
        moved = self._moved(above.args[0], permuted(above.attr("axes"), order))
        return self.reshaped(moved, permuted(after, axes))

    def _plain(self, old: int) -> int:
        value, order = self._held(old)
        return self._moved(value, order)

    def _in_order(self, old: int, order: Order) -> int:
        """The value of ``old`` in an order, its dimensions padded with ones in front."""
        value, held = self._held(old)
        if self.values[value].size == 1 and old not in self.order:
            return value
        extra = len(order) - len(held)
        if extra:
            shape = self.values[value].shape
            value = self.reshaped(value, (1,) * extra + shape)
            held = (*range(extra), *(h + extra for h in held))
        back = inverse(order)
        return self._moved(value, tuple(held[b] for b in back))

    # Operators.

    def _transpose(self, op: Op) -> None:
        value, order = self._held(op.node.args[0])
        self._hold(op.result, value, tuple(order[a] for a in op.node.attr("axes")))

    def _together(self, op: Op) -> None:
        """Elementwise and concat: all arguments in the order that moves the fewest elements.

        What comes in, becomes longer and goes out, as a cache does, stays as it lies, however many
        elements are new: else it would be moved, and the whole would be moved back.
        """
        rank = len(op.node.out.shape)
        known = self.graph.constants
        full = [a for a in op.node.args if len(self._shape(a)) == rank and a not in known]
        orders = sorted({self.order[a] for a in full if a in self.order})
        orders.append(tuple(range(rank)))
        if self._is_lengthened(op):
            orders = orders[-1:]
        order = min(orders, key=lambda o: sum(self._cost(a, o) for a in full))
        args = tuple(self._in_order(a, order) for a in op.node.args)
        attrs = dict(op.node.attrs)
        if op.node.op == "concat":
            attrs["axis"] = order[op.node.attr("axis")]
        out = Tensor(permuted(op.node.out.shape, inverse(order)), op.node.out.dtype)
        self._hold(op.result, self.emit(op.node.op, *args, out=out, **attrs), order)

    def _is_lengthened(self, op: Op) -> bool:
        """Whether an input becomes an output by this concatenation."""
        given = {value for _, value in self.graph.inputs}
        return (
            op.node.op == "concat"
            and op.result in self.leaving
            and not given.isdisjoint(op.node.args)
        )

    def _cost(self, old: int, order: Order) -> int:
        value, held = self._held(old)
        axes = tuple(held[b] for b in inverse(order))
        return 0 if is_view(self.values[value].shape, axes) else self.values[value].size

    def _reduction(self, op: Op) -> None:
        value, order = self._held(op.node.args[0])
        axes, keep = op.node.attr("axes"), op.node.attr("keepdims")
        moved = tuple(sorted(order[a] for a in axes))
        attrs: dict[str, Any] = {**dict(op.node.attrs), "axes": moved}
        result = self.emit(op.node.op, value, **attrs)
        if not keep:
            left = [o for i, o in enumerate(order) if i not in axes]
            order = tuple(sorted(left).index(o) for o in left)
        self._hold(op.result, result, order)

    def _single(self, op: Op) -> bool:
        """One argument, and attributes that name dimensions."""
        value, order = self._held(op.node.args[0])
        if len(op.node.out.shape) != len(order):
            return False
        attrs: dict[str, Any] = dict(op.node.attrs)
        back = inverse(order)
        for name in ("begin", "steps", "before"):
            if isinstance(attrs.get(name), tuple):  # of a window, one number
                attrs[name] = permuted(attrs[name], back)
        if "axis" in attrs:
            attrs["axis"] = order[op.node.attr("axis")]
        out = Tensor(permuted(op.node.out.shape, back), op.node.out.dtype)
        self._hold(op.result, self.emit(op.node.op, value, out=out, **attrs), order)
        return True

    def _take(self, op: Op) -> bool:
        """Along one dimension by a list of indices."""
        data, indices = op.node.args
        if len(self._shape(indices)) != 1:
            return False
        value, order = self._held(data)
        result = self.emit("take", value, self._plain(indices), axis=order[op.node.attr("axis")])
        self._hold(op.result, result, order)
        return True

    def _group_norm(self, op: Op) -> bool:
        """Where the channels of an image lie before its places, a group is one row in memory."""
        x, *parameters = op.node.args
        value, order = self._held(x)
        shape, groups = self.values[value].shape, op.node.attr("groups")
        if order[0] != 0 or order[-1] != 1:
            return False
        depth = shape[1] // groups
        split = self.reshaped(value, (shape[0], groups, depth, math.prod(shape[2:])))
        y = self.emit("standardize", split, epsilon=op.node.attr("epsilon"))
        for name, parameter in zip(("multiply", "add"), parameters, strict=True):
            y = self.emit(name, y, self.reshaped(self._plain(parameter), (groups, depth, 1)))
        self._hold(op.result, self.reshaped(y, shape), order)
        return True

    def _matmul(self, op: Op) -> None:
        """Constants get the form [K, N]; others may stay [N, K] where that saves moving columns."""
        a, b = op.node.args
        left, swap = self._plain(a), bool(op.node.attr("transpose_b"))
        value, order = self._held(b)
        if swap:  # as if the transpose were written out
            order = (*order[:-2], order[-1], order[-2])
        flipped = (*order[:-2], order[-1], order[-2])
        if value in self.constants or order[-2] != len(order) - 1:
            right, swap = self._moved(value, order), False
        else:
            right, swap = self._moved(value, flipped), True
        self.at[op.result] = self.emit("matmul", left, right, out=op.node.out, transpose_b=swap)

    def _reshape(self, op: Op) -> None:
        old, out = op.node.args[0], op.node.out
        value, order = self._held(old)
        groups = matching_groups(self._shape(old), out.shape)
        placed = _side_by_side([inside for inside, _ in groups], order)
        ones = [i for i, d in enumerate(self._shape(old)) if d == 1]
        value = self._moved(value, tuple(order[i] for i in (*ones, *placed)))
        first = {inside[0]: outside for inside, outside in groups}
        arranged = [o for i in placed if i in first for o in first[i]]
        for i, size in enumerate(out.shape):  # a one goes after the dimension before it
            if size == 1:
                arranged.insert(arranged.index(i - 1) + 1 if i else 0, i)
        value = self.reshaped(value, permuted(out.shape, arranged))
        self._hold(op.result, value, inverse(tuple(arranged)))


def _leaving(graph: Graph) -> set[int]:
    """Outputs, and what becomes one element by element."""
    leaving = {value for _, value in graph.outputs}
    for op in reversed(graph.ops):
        if op.result in leaving and ops.of(op.node).is_elementwise:
            leaving.update(op.node.args)
    return leaving


def matching_groups(
    before: Sequence[int], after: Sequence[int]
) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of dimensions of equal product on both sides of a reshape; no ones."""
    groups = []
    left = [i for i, d in enumerate(before) if d > 1]
    right = [i for i, d in enumerate(after) if d > 1]
    while left:
        inside, outside = [left.pop(0)], [right.pop(0)]
        a, b = before[inside[0]], after[outside[0]]
        while a != b:
            if a < b:
                inside.append(left.pop(0))
                a *= before[inside[-1]]
            else:
                outside.append(right.pop(0))
                b *= after[outside[-1]]
        groups.append((inside, outside))
    return groups


def _side_by_side(groups: list[list[int]], order: Order) -> list[int]:
    """Logical dimensions in a physical order near ``order`` in which each group stays together."""
    ordered = sorted(groups, key=lambda group: max(order[i] for i in group))
    return [i for group in ordered for i in group]
