"""Evaluates a workload's nodes at one output element, as TensorIR expressions.

Nodes of the kinds *elementwise* and *data movement* (see ``ops``) are functions of few input
elements. ``Evaluator.at`` follows them back from an element to loads of the workload's inputs, or
to values that a template binds: the accumulator of an anchor, say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
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
    """``sources[arg]`` gives the elements of an argument, such as loads of an input.

    ``anchor`` is an argument that the template computes itself, and hands over element by element.
    """

    def __init__(
        self,
        workload: Workload,
        builder: PhaseBuilder,
        sources: Mapping[int, Source],
        anchor: int | None = None,
    ) -> None:
        self.workload = workload
        self.builder = builder
        self.result = len(workload.inputs) + len(workload.nodes) - 1
        self._sources, self._anchor = dict(sources), anchor
        self._uses = Counter(a for node in workload.nodes for a in node.args)
        self._known: dict[tuple[Any, ...], tuple[Point, Expr]] = {}

    def element(self, arg: int, point: Point) -> Expr:
        """The value of argument ``arg`` at ``point``, where a new loop body begins."""
        self._known.clear()
        return self.at(arg, point)

    def finish(self, point: Point, value: Expr | None = None) -> Expr:
        """The workload's element at ``point``, of the anchor's ``value`` there if it has one."""
        if self._anchor is not None:
            self._sources[self._anchor] = lambda _: value
        return self.element(self.result, point)

    def store(self, point: Point, value: Expr | None = None) -> None:
        """Write ``finish`` to the slot ``out``."""
        builder = self.builder
        place = point.position(builder.pitch("out"))
        builder.store(builder["out"], place, self.finish(point, value))

    def is_serial(self, arg: int | None = None) -> bool:
        """Whether lanes that compute an argument, by default the result, come one by one.

        TVM makes wrong vector code around some operators; LLVM does it itself where it can.
        """
        pending, seen = [self.result if arg is None else arg], set(self._sources)
        seen.add(-1 if self._anchor is None else self._anchor)
        while pending:
            at = pending.pop()
            if at in seen:
                continue
            seen.add(at)
            node = self.workload.nodes[at - len(self.workload.inputs)]
            operator = ops.of(node)
            if isinstance(operator, ops.Elementwise) and operator.by_lane(node.out.dtype):
                return True
            pending += node.args
        return False

    def at(self, arg: int, point: Point) -> Expr:
        """The value of argument ``arg`` (an input or a node) at ``point``."""
        key = (arg, point.identity())
        if key in self._known:
            return self._known[key][1]
        value = self._compute(arg, point)
        if self._uses[arg] > 1:
            value = self.builder.keep(value)
        self._known[key] = (point, value)  # keeps the point alive: its identity is its key
        return value

    def _compute(self, arg: int, point: Point) -> Expr:
        if arg in self._sources:
            return self._sources[arg](point)
        node = self.workload.nodes[arg - len(self.workload.inputs)]
        operator = ops.of(node)
        if isinstance(operator, ops.Elementwise):
            args = [self.at(a, self._broadcast(a, point)) for a in node.args]
            dtypes = [self.workload.tensor(a).dtype for a in node.args]
            return elementwise.apply(node, args, dtypes, self.builder.keep)
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
