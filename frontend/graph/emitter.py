"""Emits the graph's operators one by one, for whoever reads a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from luthier.schedules import ModelError, Tensor, UnsupportedOperator
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.ir.workload import Attr

from . import Array, Builder, made_by
from .across import Across

# Kernels index with 32 bits.
MOST_ELEMENTS = 2**31 - 1
# Of what a build computes from a few numbers.
MOST_IN_TABLE = 1 << 26


class Emitter(Builder):
    """A ``Builder`` that checks each value; ``source`` names the model's node that it is of."""

    def __init__(self, name: str, across: Across | None = None) -> None:
        super().__init__(name)
        self.across = across or Across()

    # ---- values ----

    def input(self, name: str, tensor: Tensor) -> int:
        """A new input of the model; raises ModelError. No operator takes one without elements."""
        self.source = f"input '{name}'"
        return super().input(name, self._checked(tensor) if tensor.size else tensor)

    def constant(self, array: Array) -> int:
        """The value of an array; no operator takes one without elements. Raises ModelError."""
        if str(array.dtype) not in DTYPES:
            raise ModelError(f"{self.source}: the element type {array.dtype} is not supported")
        return super().constant(array)

    def number(self, value: Any, dtype: str) -> int:
        """A constant of rank 0."""
        return self.constant(np.asarray(value, dtype))

    def literal(self, number: float, like: int) -> int:
        """A ``const`` node of the same dtype as the value ``like``."""
        return self.scalar(number, self.dtype(like))

    def known(self, value: int) -> Array | None:
        """The array, where the value is a constant."""
        return self.constants.get(value)

    def type(self, value: int) -> Tensor:
        """Type of a value."""
        return self.values[value]

    def shape(self, value: int) -> tuple[int, ...]:
        """Its shape."""
        return self.type(value).shape

    def dtype(self, value: int) -> str:
        """Its element type."""
        return self.type(value).dtype

    def emit(self, op: str, *args: int, out: Tensor | None = None, **attrs: Attr) -> int:
        """The value of an operator; raises ModelError where it has no or too many elements."""
        for arg in args:
            self.check_elements(arg)
        value = super().emit(op, *args, out=out, **attrs)
        self._checked(self.type(value))
        return value

    def check_elements(self, value: int) -> None:
        """Raise ModelError for a value that has none."""
        if 0 in self.shape(value):
            shape = list(self.shape(value))
            raise ModelError(f"{self.source}: what it reads has no elements (shape {shape})")

    def _checked(self, tensor: Tensor) -> Tensor:
        shape = list(tensor.shape)
        if any(d < 1 for d in shape):
            raise ModelError(f"{self.source}: the result has no elements (shape {shape})")
        if tensor.size > MOST_ELEMENTS:
            raise ModelError(
                f"{self.source}: the shape {shape} has more elements than can be indexed"
            )
        return tensor

    # ---- what costs nothing where it changes nothing ----

    def reshape(self, x: int, shape: Sequence[int]) -> int:
        """The same elements under another shape; raises ModelError where they do not fit."""
        if math.prod(shape) != self.type(x).size:
            old = list(self.shape(x))
            raise ModelError(f"{self.source}: {old} does not reshape to {list(shape)}")
        if above := made_by(self, x, "reshape"):
            x = above.args[0]
        if tuple(shape) == self.shape(x):
            return x
        return self.emit("reshape", x, out=Tensor(tuple(shape), self.dtype(x)))

    def transpose(self, x: int, axes: Sequence[int]) -> int:
        """Dimensions in another order."""
        if tuple(axes) == tuple(range(len(axes))):
            return x
        return self.emit("transpose", x, axes=tuple(axes))

    def broadcast(self, x: int, shape: Sequence[int]) -> int:
        """NumPy's broadcast_to; raises ModelError where it does not fit."""
        old, new = self.shape(x)[::-1], tuple(shape)[::-1]
        if len(old) > len(new) or any(d not in (1, n) for d, n in zip(old, new, strict=False)):
            given = list(self.shape(x))
            raise ModelError(f"{self.source}: {given} does not broadcast to {list(shape)}")
        if tuple(shape) == self.shape(x):
            return x
        return self.emit("broadcast_to", x, out=Tensor(tuple(shape), self.dtype(x)))

    def cast(self, x: int, dtype: str) -> int:
        """Elements in another dtype."""
        if dtype == self.dtype(x):
            return x
        above = made_by(self, x, "cast")
        if above is not None and self._holds(self.dtype(x), above.args[0], dtype):
            return above.args[0]
        return self.emit("cast", x, out=Tensor(self.shape(x), dtype))

    def _holds(self, wide: str, x: int, dtype: str) -> bool:
        """Whether ``x``, of a narrow type, comes back from a wider one as it was."""
        element = self.type(x).element
        return element.is_narrow and element.name == dtype and element.computed.name == wide

    def slice(
        self,
        x: int,
        begin: Sequence[int],
        shape: Sequence[int],
        steps: Sequence[int],
        *,
        kept: bool = False,
    ) -> int:
        """Every ``steps``-th element from ``begin``, ``shape`` of them; all are a slice, too, where
        it is ``kept``."""
        is_whole = tuple(shape) == self.shape(x) and all(s == 1 for s in steps)
        if is_whole and not kept:
            return x
        out = Tensor(tuple(shape), self.dtype(x))
        return self.emit("slice", x, out=out, begin=tuple(begin), steps=tuple(steps))

    def unsupported(self, what: str) -> UnsupportedOperator:
        """The error for something this node asks for."""
        return UnsupportedOperator(f"{self.source}: {what} is not supported")
