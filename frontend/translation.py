"""From a Relax function to the graph: the walk over its bindings, and what converters work with.

The tables of ``relax_math``, ``relax_movement`` and ``relax_nn`` say how each Relax operator is
spelled in the vocabulary of ``schedules.ops``; here is what they share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from luthier.schedules import ModelError, Tensor, UnsupportedOperator
from luthier.schedules.tvm_late import ir, relax, tirx
from luthier.schedules.workload import DTYPE_BYTES, Attr

from .graph import Array, Builder, Graph
from .onnx_node import MOST_ELEMENTS

Value: TypeAlias = "int | tuple[int, ...]"


class Translation:
    """Emits the graph's operators; ``label`` names the model's node being translated."""

    def __init__(self, name: str) -> None:
        self.builder = Builder(name)
        self.label = ""
        # By variable, since names need not be unique.
        self._values: dict[Any, Value] = {}
        self._aliases: dict[Any, Any] = {}

    def bind(self, var: Any, value: Value) -> None:
        """Say what a Relax variable stands for."""
        self._values[var] = value

    def alias(self, var: Any, expr: Any) -> None:
        """Say that a Relax variable stands for a shape or number."""
        self._aliases[var] = expr

    def resolve(self, expr: Any) -> Any:
        """The shape or number that a variable stands for, else the expression itself."""
        while isinstance(expr, relax.Var) and expr in self._aliases:
            expr = self._aliases[expr]
        return expr

    def value(self, expr: Any) -> int:
        """The value of a tensor expression."""
        expr = self.resolve(expr)
        if isinstance(expr, ir.GenericConst):
            return self.builder.constant(_array(expr, self.label))
        if isinstance(expr, relax.ShapeExpr):
            return self.builder.constant(np.asarray(self.ints(expr), np.int64))
        found = self._values.get(expr) if isinstance(expr, relax.Var) else None
        if isinstance(found, int):
            return found
        raise UnsupportedOperator(f"{self.label}: the form {type(expr).__name__} is not supported")

    def values(self, expr: Any) -> tuple[int, ...]:
        """The values of a tuple of tensors."""
        expr = self.resolve(expr)
        if isinstance(expr, relax.Tuple):
            return tuple(self.value(field) for field in expr.fields)
        found = self._values.get(expr) if isinstance(expr, relax.Var) else None
        if isinstance(found, tuple):
            return found
        return (self.value(expr),)

    def is_tensor(self, expr: Any) -> bool:
        """Whether the expression is a tensor rather than a shape, number or tuple."""
        return isinstance(self.resolve(expr).ty, relax.TensorType)

    def ints(self, expr: Any) -> tuple[int, ...]:
        """A shape, tuple of numbers or number as integers; raises ModelError where dynamic."""
        expr = self.resolve(expr)
        if isinstance(expr, relax.ShapeExpr):
            return static(expr.values, self.label)
        if isinstance(expr, relax.Tuple):
            return tuple(self.ints(field)[0] for field in expr.fields)
        return static([expr], self.label)

    def number(self, expr: Any) -> int | float:
        """A number; raises ModelError where dynamic."""
        expr = self.resolve(expr)
        if isinstance(expr, (tirx.IntImm, tirx.FloatImm)):
            found: int | float = expr.value
            return found
        raise ModelError(f"{self.label}: a number there is not known at build time")

    def known(self, value: int) -> Array | None:
        """The array, where the value is a constant."""
        return self.builder.constants.get(value)

    def type(self, value: int) -> Tensor:
        """Type of a value."""
        return self.builder.values[value]

    def emit(self, op: str, *args: int, out: Tensor | None = None, **attrs: Attr) -> int:
        """The value of an operator."""
        value = self.builder.emit(op, *args, out=out, **attrs)
        if self.type(value).size > MOST_ELEMENTS:
            shape = list(self.type(value).shape)
            raise ModelError(f"{self.label}: the shape {shape} has too many elements to index")
        return value

    def scalar(self, number: float, like: int) -> int:
        """A literal of the same dtype as the value ``like``."""
        return self.builder.scalar(number, self.type(like).dtype)

    def reshape(self, x: int, shape: Sequence[int]) -> int:
        """The same elements under another shape."""
        base = self.builder.producer.get(x)
        if base is not None and base.node.op == "reshape":
            x = base.node.args[0]
        if tuple(shape) == self.type(x).shape:
            return x
        return self.emit("reshape", x, out=Tensor(tuple(shape), self.type(x).dtype))

    def transpose(self, x: int, axes: Sequence[int]) -> int:
        """Dimensions in another order."""
        if tuple(axes) == tuple(range(len(axes))):
            return x
        return self.emit("transpose", x, axes=tuple(axes))

    def broadcast(self, x: int, shape: Sequence[int]) -> int:
        """NumPy's broadcast_to."""
        if tuple(shape) == self.type(x).shape:
            return x
        return self.emit("broadcast_to", x, out=Tensor(tuple(shape), self.type(x).dtype))

    def cast(self, x: int, dtype: str) -> int:
        """Elements in another dtype."""
        shape, old = self.type(x).shape, self.type(x).dtype
        return x if dtype == old else self.emit("cast", x, out=Tensor(shape, dtype))

    def slice(
        self, x: int, begin: Sequence[int], shape: Sequence[int], steps: Sequence[int]
    ) -> int:
        """Every ``steps``-th element from ``begin``, ``shape`` of them."""
        if tuple(shape) == self.type(x).shape and all(s == 1 for s in steps):
            return x
        out = Tensor(tuple(shape), self.type(x).dtype)
        return self.emit("slice", x, out=out, begin=tuple(begin), steps=tuple(steps))

    def unsupported(self, what: str) -> UnsupportedOperator:
        """The error for something this node asks for."""
        return UnsupportedOperator(f"{self.label}: {what} is not supported")

    def out(self, call: Any) -> Tensor:
        """The type that Relax gives a call's result; raises ModelError where it is dynamic."""
        return tensor_type(call.ty, self.label)


Converter: TypeAlias = Callable[[Translation, Any], Value]


def tensor_type(ty: Any, label: str) -> Tensor:
    """A static Relax tensor type as ours; raises ModelError for anything else."""
    if not isinstance(ty, relax.TensorType) or ty.shape is None:
        raise ModelError(f"{label}: the shape of the result is not known; give sizes with shapes=")
    dtype = str(ty.dtype)
    if dtype not in DTYPE_BYTES:
        raise ModelError(f"{label}: the element type {dtype} is not supported")
    shape = static(ty.shape.values, label)
    if any(d < 1 for d in shape):
        raise ModelError(f"{label}: the result has no elements (shape {list(shape)})")
    if math.prod(shape) > MOST_ELEMENTS:
        raise ModelError(f"{label}: the shape {list(shape)} has more elements than can be indexed")
    return Tensor(shape, dtype)


def static(values: Any, label: str) -> tuple[int, ...]:
    """Integers of Relax dimensions; raises ModelError where they are symbolic."""
    found = []
    for value in values:
        if not isinstance(value, (int, tirx.IntImm)):
            raise ModelError(f"{label}: the dimension {value} is not known at build time")
        found.append(int(value))
    return tuple(found)


def _array(const: Any, label: str) -> Array:
    array = np.asarray(const.value.numpy())
    if str(array.dtype) not in DTYPE_BYTES:
        raise ModelError(f"{label}: the element type {array.dtype} is not supported")
    if array.size == 0:
        raise ModelError(f"{label}: a constant has no elements (shape {list(array.shape)})")
    return array


def translate(
    name: str,
    function: Any,
    inputs: Sequence[str],
    outputs: Sequence[str],
    weights: Mapping[str, Array],
    labels: Mapping[Any, str],
    table: Mapping[str, Converter],
) -> Graph:
    """The graph of a Relax function.

    ``inputs`` names the function's parameters, ``weights`` the arrays behind some of them,
    ``labels`` the model's node that a variable comes from.

    Raises ModelError or UnsupportedOperator.
    """
    t = Translation(name)
    t.builder.given = sum(array.nbytes for array in weights.values())
    for param, text in zip(function.params, inputs, strict=True):
        if text in weights:
            t.bind(param, t.builder.constant(weights[text]))
        else:
            t.bind(param, t.builder.input(text, tensor_type(param.ty, f"input '{text}'")))
    bindings = [b for block in function.body.blocks for b in block.bindings]
    for binding, label in zip(bindings, _spread(bindings, labels), strict=True):
        t.label = t.builder.source = label
        _translate_binding(t, binding, table)
    t.label = "the outputs"
    results = t.values(function.body.body)
    return t.builder.finish(list(zip(outputs, results, strict=True)))


def _spread(bindings: Sequence[Any], labels: Mapping[Any, str]) -> list[str]:
    """A label for every binding: a node's last variable has one, those before it are its own."""
    spread, current = [], ""
    for binding in reversed(bindings):
        current = labels.get(binding.var, current)
        spread.append(current)
    return spread[::-1]


def _translate_binding(t: Translation, binding: Any, table: Mapping[str, Converter]) -> None:
    var, expr = binding.var, t.resolve(binding.value)
    if isinstance(expr, relax.Call) and isinstance(var.ty, relax.ShapeType):
        t.alias(var, _known_shape(t, var))
    elif isinstance(expr, relax.Call):
        t.bind(var, _translate_call(t, expr, table))
    elif isinstance(expr, relax.TupleGetItem):
        fields = t.values(expr.tuple_value)
        if expr.index >= len(fields):
            raise t.unsupported(f"result {expr.index} of it")
        t.bind(var, fields[expr.index])
    elif isinstance(var.ty, relax.TensorType):
        t.bind(var, t.value(expr))
    elif isinstance(expr, relax.Tuple) and all(t.is_tensor(f) for f in expr.fields):
        t.bind(var, t.values(expr))
    else:
        t.alias(var, expr)


def _known_shape(t: Translation, var: Any) -> Any:
    """The sizes that Relax derives for a shape; raises ModelError where values decide them."""
    if var.ty.values is None:
        raise ModelError(f"{t.label}: the shape of its result depends on the inputs' values")
    return relax.ShapeExpr(var.ty.values)


def _translate_call(t: Translation, call: Any, table: Mapping[str, Converter]) -> Value:
    name = getattr(call.op, "name", type(call.op).__name__)
    if name not in table:
        raise UnsupportedOperator(f"{t.label}: it needs {name}, which is not supported")
    return table[name](t, call)
