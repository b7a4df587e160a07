"""Evaluates a workload's nodes at one output element, as TensorIR expressions.

Nodes of the kinds *elementwise* and *data movement* (see ``ops``) are functions of few input
elements. ``Evaluator.at`` follows them back from an element to loads of the workload's inputs, or
to values that a template binds: the accumulator of an anchor, say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .. import ops
from ..errors import ScheduleError
from ..ir.workload import Node, Tensor, Workload
from ..ops.quantization import emit_returned
from ..target.target import Target
from ..tir.indices import Expr, Index
from ..tir.point import Point, broadcast_point
from ..tvm_late import tirx
from . import tables as by_table
from .builder import PhaseBuilder

Source = Callable[[Point], Expr]


class Evaluator:
    """Inputs are loaded from the builder's slots ``in0``, ``in1``, ...

    ``anchor`` is an argument that the template computes itself, and hands over element by element.
    If that is input 0, as in an ``epilogue``, the slots are those of the inputs after it.
    ``tables``: what is stored may be found in a table, where a number of 8 bits decides it and
    that is faster on this target.
    """

    def __init__(
        self,
        workload: Workload,
        builder: PhaseBuilder,
        anchor: int | None = None,
        *,
        tables: Target | None = None,
    ) -> None:
        self.workload = workload
        self.builder = builder
        self.result = len(workload.inputs) + len(workload.nodes) - 1
        first = 1 if anchor == 0 else 0
        inputs = range(first, len(workload.inputs))
        self._sources: dict[int, Source] = {i: self._load(f"in{i - first}") for i in inputs}
        self._anchor = anchor
        self._uses = Counter(a for node in workload.nodes for a in node.args)
        self._known: dict[tuple[Any, ...], tuple[Point, Expr]] = {}
        self._table = None if tables is None else by_table.table_of(workload, tables)
        self._laid = None if self._table is None else by_table.laid(builder, self._table)

    def _load(self, name: str) -> Source:
        builder = self.builder
        return lambda point: builder.invariant(
            builder.load(builder[name], point.position(builder.pitch(name)))
        )

    def bind(self, arg: int, source: Source) -> None:
        """Let the template give argument ``arg`` wherever it is asked for."""
        self._sources[arg] = source

    def element(self, arg: int, point: Point) -> Expr:
        """The value of argument ``arg`` at ``point``, where a new loop body begins."""
        self._known.clear()
        return self.at(arg, point)

    def finish(self, point: Point, value: Expr | None = None, arg: int | None = None) -> Expr:
        """The workload's element at ``point``, or that of ``arg``, of the anchor's ``value`` there
        if it has one."""
        self._give(value)
        return self.element(self.result if arg is None else arg, point)

    def _give(self, value: Expr | None) -> None:
        if self._anchor is not None:
            self._sources[self._anchor] = lambda _: value

    @property
    def looks_up(self) -> bool:
        """Whether what is stored is found in a table."""
        return self._table is not None

    @property
    def computed(self) -> int:
        """The argument that is computed: the result, or what a table has it for."""
        return self.result if self._table is None else self._table.arg

    def look_up(self, old: Any, new: Any, lanes: int) -> None:
        """Write to an array of LANES elements what is stored for so many computed ones."""
        assert self._table is not None
        by_table.find(self.builder, self._table, self._laid, old, new, lanes)

    def store(self, point: Point, value: Expr | None = None, place: Index | None = None) -> None:
        """Write ``finish`` to the slot ``out``, by default where the point lies."""
        builder = self.builder
        if place is None:
            place = point.position(builder.pitch("out"))
        if self._table is None:
            builder.store(builder["out"], place, self.finish(point, value))
            return
        self._give(value)
        number = self.element(self._table.arg, point)
        by_table.store(builder, self._table, self._laid, (builder["out"], place), number)

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
            stored = self._quantized(node)
            sources = node.args if stored is None else (*stored.args, node.args[2])
            args = [self.at(a, broadcast_point(point, self.shape(a))) for a in sources]
            if stored is not None:
                x, zero, scale = args
                return emit_returned(stored.out.element, x, zero, scale, self.builder.keep)
            return self._apply(operator, node, args)
        if isinstance(operator, ops.Movement):
            return operator.emit(self, node, point)
        raise ScheduleError(f"operator '{node.op}' cannot be fused")

    def _quantized(self, node: Node) -> Node | None:
        """What quantised an argument that ``node`` takes back, with the same zero point, where
        nothing else reads it."""
        inputs, (arg, *rest) = len(self.workload.inputs), node.args or (-1,)
        if node.op != "dequantize" or arg < inputs or arg in self._sources or self._uses[arg] > 1:
            return None
        above = self.workload.nodes[arg - inputs]
        if above.op != "quantize" or above.out.shape != node.out.shape:
            return None
        return above if self._is_same(above.args[1], rest[0]) else None

    def _is_same(self, a: int, b: int) -> bool:
        """Whether two arguments are one, or literals of one value."""
        inputs = len(self.workload.inputs)
        if a == b or min(a, b) < inputs:
            return a == b
        one, other = (self.workload.nodes[i - inputs] for i in (a, b))
        return one.op == other.op == "const" and one.attr("value") == other.attr("value")

    def _apply(self, operator: ops.Elementwise, node: Node, args: Sequence[Expr]) -> Expr:
        """In float32 where it is float16, for which processors have few instructions."""
        keep, dtypes = self.builder.keep, [self.workload.tensor(a).dtype for a in node.args]
        if node.out.dtype != "float16" or node.op in ("bitcast", "cast"):
            return operator.emit(node, args, dtypes, keep)
        halves = [dtype == "float16" for dtype in dtypes]
        args = [tirx.Cast("float32", a) if h else a for a, h in zip(args, halves, strict=True)]
        dtypes = ["float32" if h else d for d, h in zip(dtypes, halves, strict=True)]
        wide = replace(node, out=Tensor(node.out.shape, "float32"))
        return tirx.Cast("float16", operator.emit(wide, args, dtypes, keep))

    def shape(self, arg: int) -> tuple[int, ...]:
        """Shape of an argument."""
        return self.workload.tensor(arg).shape


__all__ = ["Evaluator", "Point", "Source"]
