"""From a Relax function to the graph: the walk over its bindings, and what converters work with.

The tables say how each Relax operator is spelled in the vocabulary of ``schedules.ops``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from luthier.schedules import ModelError, Tensor, UnsupportedOperator
from luthier.schedules.ir.dtype import ACCEPTED
from luthier.schedules.tvm_late import ir, relax, tirx

from ..graph import Graph
from ..graph.emitter import Emitter

Value: TypeAlias = "int | tuple[int, ...]"


class Translation(Emitter):
    """Knows what the variables of the function stand for."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
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
            return self.constant(np.asarray(expr.value.numpy()))
        if isinstance(expr, relax.ShapeExpr):
            return self.constant(np.asarray(self.ints(expr), np.int64))
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

    def args(self, call: Any) -> list[int]:
        """The values of a call's arguments, which are all tensors."""
        return [self.value(arg) for arg in call.args]

    def is_tensor(self, expr: Any) -> bool:
        """Whether the expression is a tensor rather than a shape, number or tuple."""
        return isinstance(self.resolve(expr).ty, relax.TensorType)

    def ints(self, expr: Any) -> tuple[int, ...]:
        """A shape, tuple of numbers or number as integers; raises ModelError where dynamic."""
        expr = self.resolve(expr)
        if isinstance(expr, relax.ShapeExpr):
            return static(expr.values, self.label)
        if isinstance(expr, relax.Tuple):
            return static([self.resolve(field) for field in expr.fields], self.label)
        return static([expr], self.label)

    def number_of(self, expr: Any) -> int | float:
        """A number; raises ModelError where dynamic."""
        expr = self.resolve(expr)
        if isinstance(expr, (tirx.IntImm, tirx.FloatImm)):
            found: int | float = expr.value
            return found
        raise ModelError(f"{self.label}: a number there is not known at build time")

    def out(self, call: Any) -> Tensor:
        """The type that Relax gives a call's result; raises ModelError where it is dynamic."""
        return tensor_type(call.ty, self.label)


Converter: TypeAlias = Callable[[Translation, Any], Value]


def tensor_type(ty: Any, label: str) -> Tensor:
    """A static Relax tensor type as ours; raises ModelError for anything else."""
    if not isinstance(ty, relax.TensorType) or ty.shape is None:
        raise ModelError(f"{label}: the shape of the result is not known")
    dtype = str(ty.dtype)
    if dtype not in ACCEPTED:
        raise ModelError(f"{label}: the element type {dtype} is not supported")
    return Tensor(static(ty.shape.values, label), dtype)


def static(values: Any, label: str) -> tuple[int, ...]:
    """Integers of Relax dimensions; raises ModelError where they are symbolic."""
    found = []
    for value in values:
        if not isinstance(value, (int, tirx.IntImm)):
            raise ModelError(f"{label}: the dimension {value} is not known at build time")
        found.append(int(value))
    return tuple(found)


def translate(
    function: Any, inputs: Sequence[str], outputs: Sequence[str], table: Mapping[str, Converter]
) -> Graph:
    """The graph of a Relax function, with names for its parameters and for its results.

    Raises ModelError or UnsupportedOperator.
    """
    t = Translation("main")
    for param, text in zip(function.params, inputs, strict=True):
        t.bind(param, t.input(text, tensor_type(param.ty, f"input '{text}'")))
    for block in function.body.blocks:
        for binding in block.bindings:
            t.about(str(binding.var.name))
            _translate_binding(t, binding, table)
    t.about("the outputs")
    results = t.values(function.body.body)
    return t.builder.finish(list(zip(outputs, results, strict=True)))


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
