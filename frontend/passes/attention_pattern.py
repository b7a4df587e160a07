"""What counts as attention: a product of a softmax of a product, with scales and masks between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from luthier.schedules import Tensor
from luthier.schedules.ir.dtype import FLOAT32
from luthier.schedules.ops.attention_form import COVERED

from ..graph import Graph, Op, known_number, made_by

# Scales that may be taken to an operand: what is scaled then stays in float32's range.
_LEAST_SCALE, _MOST_SCALE = 2.0**-40, 2.0**40


@dataclass(frozen=True)
class Mask:
    """Added to the scores; with ``fill`` a condition: where it is not ``keeps``, ``fill`` is."""

    value: int
    fill: float | None = None
    keeps: bool = True


@dataclass(frozen=True)
class Match:
    """A product of softmax and values, with its masks from the last that is applied on."""

    q: int
    k: int
    v: int
    transpose_k: bool
    scale: float
    masks: list[Mask]
    empty_is_zero: bool


class Pattern:
    """Recognises it in one graph, from the result up."""

    def __init__(self, graph: Graph, least_rows: int) -> None:
        self.graph, self.least_rows = graph, least_rows
        self.leaves = set(graph.region.results)

    def alone(self, value: int) -> bool:
        """Whether one operator alone sees the value."""
        return len(self.graph.users[value]) == 1 and value not in self.leaves

    def match(self, product: Op) -> Match | None:
        """What the product of weights and values attends to; None where it is another product."""
        node = product.node
        weights, values = node.args
        softmax, empty_is_zero = self._softmax(weights)
        if node.attr("transpose_b") or softmax is None or node.out.element != FLOAT32:
            return None
        if softmax.node.attr("axis") != len(softmax.node.out.shape) - 1:
            return None
        found = self._scores(softmax.node.args[0])
        if found is None:
            return None
        scores, scale, masks = found
        q, k = scores.node.args
        transpose_k = not scores.node.attr("transpose_b")
        shapes = [self.graph.values[v].shape for v in (q, k, values)]
        if len({len(s) for s in shapes}) > 1 or len({s[:-2] for s in shapes}) > 1:
            return None
        if len(shapes[0]) > 4 or shapes[0][-2] < self.least_rows:
            return None
        return Match(q, k, values, transpose_k, scale, masks, empty_is_zero)

    def _softmax(self, value: int) -> tuple[Op | None, bool]:
        """The softmax that makes ``value``, and whether NaN became 0 after it."""
        op = self.graph.producer.get(value)
        if op is None or not self.alone(value):
            return None, False
        if op.node.op == "where":
            condition, zero, kept = op.node.args
            test, inner = made_by(self.graph, condition, "isnan"), self.graph.producer.get(kept)
            users = {u.result for u in self.graph.users[kept]}
            inside = users == {op.result, condition} and kept not in self.leaves
            if test is None or test.args != (kept,) or not self.alone(condition):
                return None, False
            if inner is None or not inside:
                return None, False
            fits = known_number(self.graph, zero) == 0 and inner.node.op == "softmax"
            fits &= inner.node.out.shape == op.node.out.shape
            return (inner, True) if fits else (None, False)
        return (op, False) if op.node.op == "softmax" else (None, False)

    def _scores(self, value: int) -> tuple[Op, float, list[Mask]] | None:
        """The product under masks and scales."""
        scale, masks = 1.0, list[Mask]()
        while True:
            op = self.graph.producer.get(value)
            if op is None or not self.alone(value):
                return None
            name, args = op.node.op, op.node.args
            if name == "matmul":
                return op, scale, masks
            if step := self.scaled(op):
                value, factor = step
                scale *= factor
            elif name == "add" and scale == 1.0:
                value, other = self._larger(args, op.node.out)
                masks.append(Mask(other))
            elif name == "where" and scale == 1.0:
                masked = self._chosen(op)
                if masked is None:
                    return None
                value, mask = masked
                masks.append(mask)
            else:
                return None
            if self.graph.values[value].shape != op.node.out.shape:
                return None

    def _larger(self, args: Sequence[int], out: Tensor) -> tuple[int, int]:
        """(scores, mask) of a sum: the scores have the full shape and come from a product."""
        first, second = args
        op = self.graph.producer.get(first)
        computed = op is not None and op.node.op in ("matmul", "multiply", "divide", "where", "add")
        full = self.graph.values[first].shape == out.shape
        return (first, second) if computed and full and self.alone(first) else (second, first)

    def _chosen(self, op: Op) -> tuple[int, Mask] | None:
        condition, yes, no = op.node.args
        for kept, other, keeps in ((yes, no, True), (no, yes, False)):
            fill = known_number(self.graph, other)
            if fill is not None and fill <= COVERED:
                return kept, Mask(condition, fill, keeps)
        return None

    def scaled(self, op: Op) -> tuple[int, float] | None:
        """What a known number multiplies or divides, and by how much; None for other operators."""
        if op.node.op not in ("multiply", "divide"):
            return None
        left, right = op.node.args
        for value, factor in ((left, right), (right, left)):
            number = known_number(self.graph, factor)
            full = self.graph.values[value].shape == op.node.out.shape
            if number is None or not _LEAST_SCALE <= abs(number) <= _MOST_SCALE or not full:
                continue
            if op.node.op == "multiply":
                return value, number
            return (value, 1 / number) if factor == right else None
        return None
