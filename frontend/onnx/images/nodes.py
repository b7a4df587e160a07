"""Writes nodes into a model, as arithmetic over its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..opset import opset_of
from ..scopes import defined_in, every_node

Array = NDArray[Any]
_NEWEST = 18  # of the operators that are evaluated here


@dataclass
class Nodes:
    """Nodes and constants under names that begin with ``prefix`` and are nobody else's.

    ``opset`` is the version of the standard's operators.
    """

    prefix: str
    opset: int
    taken: frozenset[str] = frozenset()
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    _count: int = 0

    @staticmethod
    def of(model: onnx.ModelProto, prefix: str) -> Nodes:
        """To be written into a model."""
        graph = model.graph
        taken = defined_in(graph) | {o.name for n in every_node(graph.node) for o in _inside(n)}
        taken |= {name for node in every_node(graph.node) for name in (*node.input, *node.output)}
        return Nodes(prefix, opset_of(model), frozenset(taken))

    def name(self) -> str:
        """A name that nothing has."""
        while True:
            self._count += 1
            name = f"{self.prefix}/{self._count}"
            if name not in self.taken:
                return name

    def constant(self, array: Any, dtype: str = "") -> Value:
        """An array, of ``dtype`` where that is given."""
        found = np.array(array, dtype or None, order="C")
        name = self.name()
        self.constants.append(numpy_helper.from_array(found, name))
        return Value(self, name, str(found.dtype))

    def emit(self, op: str, *args: Value | str, dtype: str = "", **attrs: Any) -> Value:
        """What an operator gives, of ``dtype``, or that of its first argument."""
        name = self.name()
        inputs = [arg if isinstance(arg, str) else arg.name for arg in args]
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attrs))
        first = args[0]
        return Value(self, name, dtype or ("" if isinstance(first, str) else first.dtype))

    def evaluated(self, values: Sequence[Value]) -> list[Array]:
        """What values are of which all is known."""
        from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - it takes its time

        outputs = [onnx.ValueInfoProto(name=value.name) for value in values]
        graph = helper.make_graph(self.nodes, "known", [], outputs, self.constants)
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return [np.asarray(each) for each in ReferenceEvaluator(model).run(None, {})]


def scratch() -> Nodes:
    """For what is known and evaluated here."""
    return Nodes("known", _NEWEST)


def _inside(node: onnx.NodeProto) -> list[onnx.ValueInfoProto]:
    """The inputs of graphs in a node."""
    return [i for a in node.attribute for g in (a.g, *a.graphs) for i in g.input]


@dataclass(frozen=True)
class Value:
    """A tensor of the model, with Python's arithmetic; ``dtype`` is NumPy's name of its type."""

    nodes: Nodes
    name: str
    dtype: str

    def _with(self, op: str, other: Value | float, *, swap: bool = False, dtype: str = "") -> Value:
        args = (self, self._like(other))
        return self.nodes.emit(op, *(args[::-1] if swap else args), dtype=dtype)

    def _like(self, other: Value | float) -> Value:
        return other if isinstance(other, Value) else self.nodes.constant(other, self.dtype)

    def __add__(self, other: Value | float) -> Value:
        return self._with("Add", other)

    def __sub__(self, other: Value | float) -> Value:
        return self._with("Sub", other)

    def __rsub__(self, other: float) -> Value:
        return self._with("Sub", other, swap=True)

    def __mul__(self, other: Value | float) -> Value:
        return self._with("Mul", other)

    def __truediv__(self, other: Value | float) -> Value:
        return self._with("Div", other)

    def __floordiv__(self, other: Value | float) -> Value:
        """Of whole numbers that are not negative, which any rounding divides alike."""
        return self._with("Div", other)

    def __lt__(self, other: Value | float) -> Value:
        return self._with("Less", other, dtype="bool")

    def least(self, other: Value | float) -> Value:
        """Elementwise, no more than the other."""
        return self._with("Min", other)

    def most(self, other: Value | float) -> Value:
        """Elementwise, no less than the other."""
        return self._with("Max", other)

    def where(self, yes: Value | float, no: Value) -> Value:
        """One where this is true, else the other."""
        return self.nodes.emit("Where", self, no._like(yes), no, dtype=no.dtype)

    def cast(self, dtype: str) -> Value:
        """Of another element type."""
        if dtype == self.dtype:
            return self
        to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.nodes.emit("Cast", self, dtype=dtype, to=to)

    def floor(self) -> Value:
        """Rounded down."""
        return self.nodes.emit("Floor", self)

    def magnitude(self) -> Value:
        """Without its sign."""
        return self.nodes.emit("Abs", self)

    def reshape(self, *shape: int) -> Value:
        """Of another shape; 0 keeps a dimension, and -1 is what is left."""
        return self.nodes.emit("Reshape", self, self.nodes.constant(shape, "int64"))

    def transpose(self, *axes: int) -> Value:
        """With its dimensions in another order."""
        return self.nodes.emit("Transpose", self, perm=axes)

    def take(self, indices: Value, axis: int) -> Value:
        """Elements along a dimension."""
        return self.nodes.emit("Gather", self, indices, axis=axis)

    def beside(self, others: Sequence[Value], axis: int) -> Value:
        """Followed by others along a dimension."""
        return self.nodes.emit("Concat", self, *others, axis=axis) if others else self

    def slice(self, begin: int, end: int, axis: int) -> Value:
        """A part of a dimension."""
        if self.nodes.opset < 10:
            return self.nodes.emit("Slice", self, starts=[begin], ends=[end], axes=[axis])
        numbers = ([begin], [end], [axis])
        return self.nodes.emit("Slice", self, *(self.nodes.constant(n, "int64") for n in numbers))

    def sum(self, axis: int) -> Value:
        """Along a dimension, which goes."""
        if self.nodes.opset < 13:
            return self.nodes.emit("ReduceSum", self, axes=[axis], keepdims=0)
        axes = self.nodes.constant([axis], "int64")
        return self.nodes.emit("ReduceSum", self, axes, keepdims=0)

    def shape(self) -> Value:
        """Its sizes, int64."""
        return self.nodes.emit("Shape", self, dtype="int64")

    def clamp(self, low: float, high: float) -> Value:
        """Between two numbers."""
        if self.nodes.opset < 11:
            return self.nodes.emit("Clip", self, min=low, max=high)
        limits = (self.nodes.constant(limit, self.dtype) for limit in (low, high))
        return self.nodes.emit("Clip", self, *limits)

    def named(self, name: str) -> None:
        """Give it a name of the model."""
        self.nodes.nodes.append(helper.make_node("Identity", [self.name], [name]))
