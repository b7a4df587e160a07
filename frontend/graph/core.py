"""The frontend's own graph: the operators of ``schedules.ops`` over numbered values.

Passes are functions Graph -> Graph. They read one graph and build the next with ``Builder`` (or
``Rewriter``, which also remembers where each old value went), so a graph never changes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from luthier.schedules import Node, Tensor, node, ops
from luthier.schedules.ir.core import Region, listing, numbering
from luthier.schedules.ir.workload import Attr, Op

from .arrays import Array, type_of

# Constants up to this many elements are compared by content, so that equal ones become one value.
_COMPARED = 4096


@dataclass(frozen=True)
class Graph:
    """Operators in topological order; a value is an input, a constant or one operator's result.

    ``given`` is how many bytes of constants the model itself holds.
    """

    name: str
    values: tuple[Tensor, ...]
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    constants: Mapping[int, Array]
    ops: tuple[Op, ...]
    given: int = 0

    @cached_property
    def region(self) -> Region[Op]:
        """Its operators, over its inputs and constants, which are known around it."""
        return Region(_values(self.inputs), self.ops, _values(self.outputs))

    @cached_property
    def producer(self) -> dict[int, Op]:
        """The operator that computes each value which is neither input nor constant."""
        return self.region.producers

    @cached_property
    def users(self) -> dict[int, list[Op]]:
        """The operators that read each value, each once, in order."""
        users: dict[int, list[Op]] = defaultdict(list)
        for op in self.ops:
            for arg in dict.fromkeys(op.reads):
                users[arg].append(op)
        return users

    @cached_property
    def uses(self) -> Counter[int]:
        """How often each value is an argument or an output."""
        return self.region.uses

    def compact(self) -> Graph:
        """The graph of what the outputs need, values renumbered in order; all inputs stay."""
        region = self.region.pruned()
        kept = sorted(region.values)
        if len(kept) == len(self.values):
            return replace(self, constants=dict(self.constants), ops=region.statements)
        number = numbering(kept)
        return replace(
            self,
            values=tuple(self.values[v] for v in number),
            inputs=tuple((name, number[v]) for name, v in self.inputs),
            outputs=tuple((name, number[v]) for name, v in self.outputs),
            constants={number[v]: a for v, a in self.constants.items() if v in number},
            ops=region.renumbered(number).statements,
        )

    def __str__(self) -> str:
        """A line for each value, and for each output what it is.

        ``%3 = conv2d(%0, %2) groups=1 ... : float32[1,8,8,16]  # Conv 'first'``
        """
        inputs = (f"%{v} = input {name!r}: {self.values[v]}" for name, v in self.inputs)
        constants = (f"%{v} = constant: {self.values[v]}" for v in sorted(self.constants))
        return listing(f"graph {self.name}", (*inputs, *constants), self.region, self.outputs)


def _values(named: tuple[tuple[str, int], ...]) -> tuple[int, ...]:
    return tuple(value for _, value in named)


class Builder:
    """Builds a graph; an operator that is already there is not added twice."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: list[Tensor] = []
        self.inputs: list[tuple[str, int]] = []
        self.constants: dict[int, Array] = {}
        self.ops: list[Op] = []
        self.producer: dict[int, Op] = {}
        self.source = ""
        self.given = 0
        self._known: dict[Any, int] = {}

    def _value(self, tensor: Tensor) -> int:
        self.values.append(tensor)
        return len(self.values) - 1

    def input(self, name: str, tensor: Tensor) -> int:
        """A new input of the model."""
        value = self._value(tensor)
        self.inputs.append((name, value))
        return value

    def constant(self, array: Array) -> int:
        """The value of an array."""
        tensor = type_of(array)
        key: Any = ("object", id(array))
        if array.size <= _COMPARED:
            key = ("constant", tensor, array.tobytes())
        if key not in self._known:
            self._known[key] = value = self._value(tensor)
            self.constants[value] = array  # keeps the array alive, so its id stays its own
        return self._known[key]

    def scalar(self, value: float, dtype: str = "float32") -> int:
        """A ``const`` node: a number that kernels hold as a literal."""
        return self.emit("const", out=Tensor((), dtype), value=literal(value, dtype))

    def emit(self, op: str, *args: int, out: Tensor | None = None, **attrs: Attr) -> int:
        """The value of an operator; ``out`` is needed where the operator does not infer it."""
        tensor = out or ops.OPERATORS[op].infer([self.values[a] for a in args], attrs)
        return self.add(node(op, args, tensor, **attrs))

    def add(self, new: Node) -> int:
        """The value of a node whose args are values of this graph."""
        key = (new, repr(new.attrs))  # to Python, 0.0 and -0.0 are equal
        if key not in self._known:
            self._known[key] = value = self._value(new.out)
            self.ops.append(Op(new, value, self.source))
            self.producer[value] = self.ops[-1]
        return self._known[key]

    def finish(self, outputs: list[tuple[str, int]]) -> Graph:
        """The graph of what the outputs need, values renumbered in order; all inputs stay."""
        values, inputs, ops = tuple(self.values), tuple(self.inputs), tuple(self.ops)
        graph = Graph(self.name, values, inputs, tuple(outputs), self.constants, ops, self.given)
        return graph.compact()


class Rewriter(Builder):
    """Builds the next graph from ``graph``; ``at[old]`` is the new value of an old one."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph.name)
        self.graph, self.given = graph, graph.given
        self.at: dict[int, int] = {v: self.input(n, graph.values[v]) for n, v in graph.inputs}
        for value, array in graph.constants.items():
            self.at[value] = self.constant(array)

    def rewrite(self, rule: Callable[[Op, Node], int | None]) -> Graph:
        """Apply ``rule(op, node)`` to each operator in order; ``node`` has the new args.

        The rule returns the new value, or None to keep the node as it is.
        """
        for op in self.graph.ops:
            self.source = op.source
            new = op.node.over(self.at)
            value = rule(op, new)
            self.at[op.result] = self.add(new) if value is None else value
        return self.finish([(name, self.at[v]) for name, v in self.graph.outputs])

    def reshaped(self, value: int, shape: Sequence[int]) -> int:
        """The value in another shape; a constant stays one, and two reshapes become one."""
        if self.values[value].shape == tuple(shape):
            return value
        if value in self.constants:
            return self.constant(self.constants[value].reshape(shape))
        if above := made_by(self, value, "reshape"):
            return self.reshaped(above.args[0], shape)
        return self.emit("reshape", value, out=Tensor(tuple(shape), self.values[value].dtype))


def made_by(graph: Graph | Builder, value: int, op: str) -> Node | None:
    """The node that computes a value, where it is an ``op``."""
    found = graph.producer.get(value)
    return found.node if found is not None and found.node.op == op else None


def known_number(graph: Graph | Builder, value: int) -> float | None:
    """A number that is known at build time: a ``const``, or a constant with one element."""
    array = graph.constants.get(value)
    if array is not None:
        return float(array.reshape(())) if array.size == 1 else None
    const = made_by(graph, value, "const")
    return None if const is None else float(const.attr("value"))


def literal(value: Any, dtype: str) -> Attr:
    """A number as an attribute: exact, and a string where JSON has no number for it."""
    if dtype == "bool":
        return bool(value)
    if "int" in dtype:
        return int(value)
    number = float(np.dtype(dtype).type(value))
    return number if np.isfinite(number) else str(number)
