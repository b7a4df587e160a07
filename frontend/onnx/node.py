"""An ONNX node as its converter sees it, and what a converter is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from luthier.schedules import ModelError, UnsupportedOperator
from luthier.schedules.ir.dtype import DType

from ..graph import Array
from ..graph.emitter import MOST_IN_TABLE, Emitter


@dataclass(frozen=True)
class OnnxNode:
    """``inputs`` are values of the graph that ``t`` builds, None where one is left out.

    ``outputs`` counts the results that it has, ``wanted`` says which of them anything reads,
    ``opset`` is the version of the operators.
    """

    t: Emitter
    inputs: Sequence[int | None]
    attrs: Mapping[str, Any]
    outputs: int
    opset: int
    wanted: tuple[bool, ...] = ()

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.t.source

    def input(self, index: int) -> int | None:
        """An input's value; None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def given(self, index: int) -> int:
        """The value of an input that must be there; raises ModelError."""
        value = self.input(index)
        if value is None:
            raise ModelError(f"{self.label}: its input {index} is left out")
        return value

    @property
    def every(self) -> list[int]:
        """All inputs, none of them left out."""
        return [self.given(index) for index in range(len(self.inputs))]

    @property
    def x(self) -> int:
        """The first input."""
        return self.given(0)

    @property
    def shape(self) -> tuple[int, ...]:
        """The first input's shape."""
        return self.t.shape(self.x)

    @property
    def rank(self) -> int:
        """The first input's number of dimensions."""
        return len(self.shape)

    @property
    def dtype(self) -> str:
        """The first input's element type."""
        return self.t.dtype(self.x)

    @property
    def element(self) -> DType:
        """What the name of that type stands for."""
        return self.t.type(self.x).element

    @property
    def wide(self) -> str:
        """The type in which several steps on the first input are computed: float32 at least."""
        return "float64" if self.dtype == "float64" else "float32"

    def attr(self, name: str, default: Any) -> Any:
        """An attribute, text as ``str``."""
        value = self.attrs.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def axis(self, number: Any, rank: int | None = None) -> int:
        """A dimension, counted from the end below 0; raises ModelError where there is none."""
        rank = self.rank if rank is None else rank
        if not -rank <= int(number) < rank:
            raise ModelError(f"{self.label}: the axis {number} is outside of {rank} dimensions")
        return int(number) % rank

    def axes(self, numbers: Iterable[Any]) -> list[int]:
        """Dimensions; raises ModelError where one is missing or stands twice."""
        found = [self.axis(number) for number in numbers]
        if len(set(found)) < len(found):
            raise ModelError(f"{self.label}: its axes {found} hold one twice")
        return found

    def moves(self, what: str, *, here: bool) -> bool:
        """Whether it does something to its first input that leaves it as it is at some sizes, at
        these (not ``here``) or others. Of what is known all is computed by the build."""
        if self.t.known(self.x) is not None:
            return here
        return self.t.across.moves((self.label, what), here=here)

    def matrix(self, axis: int) -> int:
        """The first input with all dimensions from ``axis`` on, which may be its rank, as one."""
        axis = axis if axis == self.rank else self.axis(axis)
        rows, columns = math.prod(self.shape[:axis]), math.prod(self.shape[axis:])
        return self.t.reshape(self.x, (rows, columns))

    def constant(self, index: int, what: str) -> Array | None:
        """An input that must be known at build time; None where it is left out."""
        value = self.input(index)
        if value is None:
            return None
        known = self.t.known(value)
        if known is None:
            raise self.unsupported(f"{what} that is computed at run time")
        return known

    def setting(self, name: str, index: int) -> Array | None:
        """An attribute in old operator sets, input ``index`` in new ones; None where left out."""
        if name in self.attrs:
            return np.asarray(self.attrs[name])
        return self.constant(index, f"'{name}'")

    def check_table(self, count: int) -> None:
        """Raise UnsupportedOperator for a table of so many elements, made while building."""
        if count > MOST_IN_TABLE:
            raise self.unsupported(f"a table of {count} elements")

    def check_lengths(self, lengths: int, steps: int) -> None:
        """Raise ModelError where lengths of sequences are known, and are none of so many steps."""
        known = self.t.known(lengths)
        if known is not None and known.size and (known.min() < 0 or known.max() > steps):
            raise ModelError(
                f"{self.label}: its lengths of sequences are {known.min()} to {known.max()}, and "
                f"there are {steps} steps"
            )

    def number(self, value: Any) -> int:
        """A constant of rank 0 and of the first input's element type."""
        return self.t.number(value, self.dtype)

    def unsupported(self, what: str) -> UnsupportedOperator:
        """The error for something that this node asks for."""
        return self.t.unsupported(what)


Values: TypeAlias = "int | Sequence[int]"


@dataclass(frozen=True)
class Operator:
    """An ONNX operator: ``convert`` gives the graph's value of its result, or those of several.

    Inputs in ``build_time`` say what shape a result has or what loops a kernel has: they are known
    when a model is built. ``in_steps``: several operators of the graph compute it, so its float16
    is float32 in between, and the result is rounded once; kernels see to that for one operator.
    ``of_floats``: its input must have a floating-point type. ``any_type``: it takes elements of
    narrow types (see ``DType``) as they are, since it moves them, or knows what they stand for;
    others are given numbers of float32 or int32, and their results are rounded.
    """

    convert: Callable[[OnnxNode], Values]
    build_time: tuple[int, ...] = ()
    in_steps: bool = False
    of_floats: bool = False
    any_type: bool = False


def graph_operator(op: str, *, of_floats: bool = False, any_type: bool = False) -> Operator:
    """One that the graph has, too, under the name ``op``."""
    convert = partial(_emitted, op)
    return Operator(convert, of_floats=of_floats, any_type=any_type)


def _emitted(op: str, node: OnnxNode) -> int:
    return node.t.emit(op, *node.every)
