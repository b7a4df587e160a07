"""Evaluates a workload's nodes at one output element, as TensorIR expressions.

Nodes of the kinds *elementwise* and *data movement* (see ``ops``) are functions of few input
elements. ``Evaluator.at`` follows them back from an element to loads of the workload's inputs, or
to values that a template binds: the accumulator of an anchor, say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from . import elementwise
from .emit import Expr, Index, PhaseBuilder, choose, clamp, divide, modulo, split_index
from .errors import ScheduleError
from .ops import ELEMENTWISE
from .workload import Node, Workload


@dataclass(frozen=True)
class Point:
    """An element of a tensor of ``shape``: coordinates, flat row-major index, or both."""

    shape: tuple[int, ...]
    coords: tuple[Index, ...] | None = None
    flat: Index | None = None

    @property
    def coordinates(self) -> tuple[Index, ...]:
        """One index per dimension."""
        if self.coords is None:
            return tuple(split_index(self.flat, self.shape)) if self.shape else ()
        return self.coords

    @property
    def linear(self) -> Index:
        """Row-major position."""
        if self.flat is not None:
            return self.flat
        return flatten(self.coordinates, self.shape)

    def identity(self) -> tuple[Any, ...]:
        """Equal for points made of the same index objects."""
        return (self.shape, tuple(map(_identity, self.coords or ())), _identity(self.flat))


def _identity(index: Index) -> Any:
    return index if isinstance(index, int) or index is None else id(index)


def flatten(coords: tuple[Index, ...], shape: tuple[int, ...]) -> Index:
    """Row-major position of coordinates."""
    result: Index = 0
    for c, extent in zip(coords, shape, strict=True):
        result = result * extent + c
    return result


Source = Callable[[Point], Expr]


class Evaluator:
    """``sources[arg]`` gives the elements of an argument: a load, or a bound value."""

    def __init__(
        self, workload: Workload, builder: PhaseBuilder, sources: dict[int, Source]
    ) -> None:
        self.workload = workload
        self.builder = builder
        self.sources = sources
        self._uses = _count_uses(workload)
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
        if self._uses.get(arg, 0) > 1:
            value = self.builder.bind(value)
        self._known[key] = (point, value)  # keeps the point alive: its identity is its key
        return value

    def _compute(self, arg: int, point: Point) -> Expr:
        if arg in self.sources:
            return self.sources[arg](point)
        node = self.workload.nodes[arg - len(self.workload.inputs)]
        if node.op in ELEMENTWISE:
            args = [self.at(a, self._broadcast(a, point)) for a in node.args]
            dtypes = [self.workload.tensor(a).dtype for a in node.args]
            if elementwise.is_scalar(node):
                self.builder.lane_by_lane()
            return elementwise.apply(node, args, dtypes, self.builder.bind)
        if node.op in _MOVES:
            return _MOVES[node.op](self, node, point)
        raise ScheduleError(f"operator '{node.op}' cannot be fused")

    def _broadcast(self, arg: int, point: Point) -> Point:
        shape = self.workload.tensor(arg).shape
        return broadcast_point(point, shape)

    def shape(self, arg: int) -> tuple[int, ...]:
        """Shape of an argument."""
        return self.workload.tensor(arg).shape


def broadcast_point(point: Point, shape: tuple[int, ...]) -> Point:
    """The element of a tensor of ``shape`` that NumPy's broadcasting reads for ``point``."""
    if shape == point.shape:
        return point
    if all(d == 1 for d in shape):
        return Point(shape, flat=0)
    drop = len(point.shape) - len(shape)
    coords = point.coordinates[drop:]
    return Point(shape, tuple(0 if d == 1 else c for c, d in zip(coords, shape, strict=True)))


def _count_uses(workload: Workload) -> dict[int, int]:
    uses: dict[int, int] = {}
    for node in workload.nodes:
        for a in node.args:
            uses[a] = uses.get(a, 0) + 1
    return uses


def _reshape(ev: Evaluator, node: Node, point: Point) -> Expr:
    return ev.at(node.args[0], Point(ev.shape(node.args[0]), flat=point.linear))


def _transpose(ev: Evaluator, node: Node, point: Point) -> Expr:
    coords: list[Index] = [0] * len(point.shape)
    for position, axis in enumerate(node.attr("axes")):
        coords[axis] = point.coordinates[position]
    return ev.at(node.args[0], Point(ev.shape(node.args[0]), tuple(coords)))


def _broadcast_to(ev: Evaluator, node: Node, point: Point) -> Expr:
    return ev.at(node.args[0], broadcast_point(point, ev.shape(node.args[0])))


def _slice(ev: Evaluator, node: Node, point: Point) -> Expr:
    begin, steps = node.attr("begin"), node.attr("steps")
    coords = tuple(c * s + b for c, b, s in zip(point.coordinates, begin, steps, strict=True))
    return ev.at(node.args[0], Point(ev.shape(node.args[0]), coords))


def _pad(ev: Evaluator, node: Node, point: Point) -> Expr:
    source = ev.shape(node.args[0])
    mode = node.attr("mode", "constant")
    coords: list[Index] = []
    inside: Any = True
    for c, before, size, total in zip(
        point.coordinates, node.attr("before"), source, point.shape, strict=True
    ):
        if size == total and before == 0:
            coords.append(c)
            continue
        position = c - before
        if mode == "reflect":
            position = _absolute(position)
            position = (size - 1) - _absolute((size - 1) - position)
        elif mode == "constant":
            inside = _both(inside, _between(position, size))
        coords.append(clamp(position, 0, size - 1))
    value = ev.at(node.args[0], Point(source, tuple(coords)))
    fill = elementwise.constant(node.attr("value", 0.0), node.out.dtype)
    return choose(inside, value, fill)


def _between(position: Index, size: int) -> Any:
    if isinstance(position, int):
        return 0 <= position < size
    return tirx.all(position >= 0, position < size)


def _both(a: Any, b: Any) -> Any:
    if a is True or b is False:
        return b
    if b is True or a is False:
        return a
    return tirx.all(a, b)


def _absolute(index: Index) -> Index:
    return abs(index) if isinstance(index, int) else tirx.max(index, 0 - index)


def _concat(ev: Evaluator, node: Node, point: Point) -> Expr:
    axis = node.attr("axis")
    coords = point.coordinates
    result: Expr = None
    offset = 0
    for a in node.args:
        shape = ev.shape(a)
        local = clamp(coords[axis] - offset, 0, shape[axis] - 1)
        value = ev.at(a, Point(shape, (*coords[:axis], local, *coords[axis + 1 :])))
        result = value if result is None else choose(coords[axis] >= offset, value, result)
        offset += shape[axis]
    return result


def _take(ev: Evaluator, node: Node, point: Point) -> Expr:
    data, indices = node.args
    axis = node.attr("axis")
    shape, rank = ev.shape(data), len(ev.shape(indices))
    coords = point.coordinates
    index = ev.at(indices, Point(ev.shape(indices), coords[axis : axis + rank]))
    index = ev.builder.bind(clamp(tirx.Cast("int32", index), 0, shape[axis] - 1))
    return ev.at(data, Point(shape, (*coords[:axis], index, *coords[axis + rank :])))


def _window_mean(ev: Evaluator, node: Node, point: Point) -> Expr:
    axis, size, before = node.attr("axis"), node.attr("size"), node.attr("before")
    shape = point.shape
    total: Expr = tirx.const(0.0, node.out.dtype)
    coords = point.coordinates
    for shift in range(-before, size - before):
        position = coords[axis] + shift
        inside = _between(position, shape[axis])
        local = clamp(position, 0, shape[axis] - 1)
        value = ev.at(node.args[0], Point(shape, (*coords[:axis], local, *coords[axis + 1 :])))
        total = total + choose(inside, value, tirx.const(0.0, node.out.dtype))
    return total * tirx.const(1.0 / size, node.out.dtype)


def _iota(ev: Evaluator, node: Node, point: Point) -> Expr:
    index = point.coordinates[-1]
    index = tirx.const(index, "int32") if isinstance(index, int) else index
    start = elementwise.constant(node.attr("start", 0), node.out.dtype)
    step = elementwise.constant(node.attr("step", 1), node.out.dtype)
    return start + tirx.Cast(node.out.dtype, index) * step


_MOVES: dict[str, Callable[[Evaluator, Node, Point], Expr]] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast_to": _broadcast_to,
    "slice": _slice,
    "pad": _pad,
    "concat": _concat,
    "take": _take,
    "window_mean": _window_mean,
    "iota": _iota,
}

__all__ = ["Evaluator", "Point", "Source", "broadcast_point", "divide", "flatten", "modulo"]
