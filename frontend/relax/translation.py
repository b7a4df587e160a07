"""What the converters of Relax's operators work with.

Their tables say how each is spelled in the vocabulary of ``schedules.ops``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from luthier.schedules import ModelError, Tensor, UnsupportedOperator
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.tvm_late import ir, relax, tirx

from ..graph.emitter import Emitter

Value: TypeAlias = "int | tuple[int, ...]"


class Translation(Emitter):
    """Knows what the variables of the function stand for."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # By variable, since names need not be unique: tensors, and what are shapes or numbers.
        self.bound: dict[Any, Value] = {}
        self.aliases: dict[Any, Any] = {}

    def resolve(self, expr: Any) -> Any:
        """The shape or number that a variable stands for, else the expression itself."""
        while isinstance(expr, relax.Var) and expr in self.aliases:
            expr = self.aliases[expr]
        return expr

    def value(self, expr: Any) -> int:
        """The value of a tensor expression."""
        expr = self.resolve(expr)
        if isinstance(expr, ir.GenericConst):
            return self.constant(np.asarray(expr.value.numpy()))
        if isinstance(expr, relax.ShapeExpr):
            return self.constant(np.asarray(self.ints(expr), np.int64))
        found = self.bound.get(expr) if isinstance(expr, relax.Var) else None
        if isinstance(found, int):
            return found
        raise UnsupportedOperator(f"{self.source}: the form {type(expr).__name__} is not supported")

    def fields(self, expr: Any) -> tuple[int, ...]:
        """The values of a tuple of tensors."""
        expr = self.resolve(expr)
        if isinstance(expr, relax.Tuple):
            return tuple(self.value(field) for field in expr.fields)
        found = self.bound.get(expr) if isinstance(expr, relax.Var) else None
        if isinstance(found, tuple):
            return found
        return (self.value(expr),)

    def args(self, call: Any) -> list[int]:
        """The values of a call's arguments, which are all tensors."""
        return [self.value(arg) for arg in call.args]

    def ints(self, expr: Any) -> tuple[int, ...]:
        """A shape, tuple of numbers or number as integers; raises ModelError where dynamic."""
        expr = self.resolve(expr)
        if isinstance(expr, relax.ShapeExpr):
            return self._static(expr.values)
        fields = expr.fields if isinstance(expr, relax.Tuple) else [expr]
        return self._static([self.resolve(field) for field in fields])

    def number_of(self, expr: Any) -> int | float:
        """A number; raises ModelError where dynamic."""
        expr = self.resolve(expr)
        if isinstance(expr, (tirx.IntImm, tirx.FloatImm)):
            found: int | float = expr.value
            return found
        raise ModelError(f"{self.source}: a number there is not known at build time")

    def out(self, expr: Any) -> Tensor:
        """The type of a call's result, or a parameter; raises ModelError where it is dynamic."""
        ty = expr.ty
        if not isinstance(ty, relax.TensorType) or ty.shape is None:
            raise ModelError(f"{self.source}: the shape of the result is not known")
        dtype = str(ty.dtype)
        if dtype not in DTYPES:
            raise ModelError(f"{self.source}: the element type {dtype} is not supported")
        return Tensor(self._static(ty.shape.values), dtype)

    def _static(self, values: Any) -> tuple[int, ...]:
        """Integers of Relax dimensions; raises ModelError where they are symbolic."""
        for value in values:
            if not isinstance(value, (int, tirx.IntImm)):
                raise ModelError(f"{self.source}: the dimension {value} is not known at build time")
        return tuple(map(int, values))


Converter: TypeAlias = Callable[[Translation, Any], Value]
