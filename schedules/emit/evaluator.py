"""Evaluates a workload's nodes at one output element, as TensorIR expressions.

Nodes of the kinds *elementwise* and *data movement* (see ``ops``) are functions of few input
elements. ``Evaluator.at`` follows them back from an element to loads of the workload's inputs, or
to values that a template binds: the accumulator of an anchor, say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from .. import ops
from ..errors import ScheduleError
from ..ir.workload import Workload
from ..tir.indices import Expr
from ..tir.point import Point, broadcast_point
from . import elementwise
from .builder import PhaseBuilder

Source = Callable[[Point], Expr]


class Evaluator:
    """``sources[arg]`` gives the elements of an argument: a load, or a bound value."""

    def __init__(
        self, workload: Workload, builder: PhaseBuilder, sources: dict[int, Source]
    ) -> None:
        self.workload = workload
        self.builder = builder
        self.sources = sources
        self._uses = Counter(a for node in workload.nodes for a in node.args)
        self._known: dict[tuple[Any, ...], tuple[Point, Expr]] = {}

    def forget(self) -> None:
        """Drop remembered values: call it where a new loop body begins."""
        self._known.clear()

    def at(self, arg: int, point: Point) -> Expr:
        """The value of argument ``arg`` (an input or a node) at ``point``."""
        key = (arg, point.identity())
        if key in self._known:
            return self._known[key][1]
        value = self._compute(arg, point)
        if self._uses[arg] > 1:
            value = self.builder.hold(value)
        self._known[key] = (point, value)  # keeps the point alive: its identity is its key
        return value

    def _compute(self, arg: int, point: Point) -> Expr:
        if arg in self.sources:
            return self.sources[arg](point)
        node = self.workload.nodes[arg - len(self.workload.inputs)]
        operator = ops.of(node)
        if isinstance(operator, ops.Elementwise):
            args = [self.at(a, self._broadcast(a, point)) for a in node.args]
            dtypes = [self.workload.tensor(a).dtype for a in node.args]
            if operator.by_lane(node.out.dtype):
                self.builder.lane_by_lane()
            return elementwise.apply(node, args, dtypes, self.builder.hold)
        if isinstance(operator, ops.Movement):
            return operator.emit(self, node, point)
        raise ScheduleError(f"operator '{node.op}' cannot be fused")

    def _broadcast(self, arg: int, point: Point) -> Point:
        shape = self.workload.tensor(arg).shape
        return broadcast_point(point, shape)

    def shape(self, arg: int) -> tuple[int, ...]:
        """Shape of an argument."""
        return self.workload.tensor(arg).shape


__all__ = ["Evaluator", "Point", "Source"]
