"""One operation of a TensorFlow Lite model that is to be written as ONNX's operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from onnx import TensorProto

from luthier.schedules import ModelError, UnsupportedOperator

from .graph import Graph
from .model import Operation
from .tensors import COMPLEX, Tensor

Results: TypeAlias = "str | Sequence[str]"

_TO_CHANNELS_FIRST, _TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


@dataclass(frozen=True)
class Call:
    """An operation that is to be written: its inputs and options, and what writes.

    Where ``as_stored``, values are the tensors' numbers as they are, quantised or not.
    """

    graph: Graph
    operation: Operation
    as_stored: bool

    def has(self, place: int) -> bool:
        """Whether an input is given."""
        return place < len(self.operation.inputs) and self.operation.inputs[place] >= 0

    def number(self, place: int) -> int:
        """An input's tensor; raises ModelError where it is left out."""
        if not self.has(place):
            raise ModelError(f"{self.where}: input {place} is missing")
        return self.operation.inputs[place]

    @property
    def where(self) -> str:
        """The file and the operation, for messages."""
        return f"{self.graph.where}: {self.operation.label}"

    def unsupported(self, what: str) -> UnsupportedOperator:
        """The error for a way in which the operation is used."""
        return UnsupportedOperator(f"{self.where}: {what} is not supported")

    def tensor(self, place: int) -> Tensor:
        """An input's tensor."""
        return self.graph.lite.tensors[self.number(place)]

    def result(self, place: int = 0) -> Tensor:
        """A result's tensor."""
        if place >= len(self.operation.outputs) or self.operation.outputs[place] < 0:
            raise ModelError(f"{self.where}: result {place} is missing")
        return self.graph.lite.tensors[self.operation.outputs[place]]

    def input(self, place: int = 0) -> str:
        """An input's value."""
        number = self.number(place)
        return self.graph.stored(number) if self.as_stored else self.graph.real(number)

    def inputs(self) -> list[str]:
        """All inputs' values."""
        return [self.input(place) for place in range(len(self.operation.inputs))]

    def input_or_pairs(self, place: int) -> tuple[str, list[int]]:
        """An input's value, and in how many numbers each element is, where these are complex."""
        if self.tensor(place).dtype == COMPLEX:
            return self.graph.complex(self.number(place)), [2]
        return self.input(place), []

    def is_known(self, place: int) -> bool:
        """Whether an input is a constant."""
        return self.graph.known(self.number(place)) is not None

    def whole(self, place: int) -> str:
        """An input of whole numbers as int64."""
        return self.add("Cast", self.graph.stored(self.number(place)), to=TensorProto.INT64)

    def constant(self, place: int, what: str) -> list[int]:
        """An input of whole numbers that is known, flat; raises UnsupportedOperator for another."""
        found = self.graph.known(self.number(place))
        if found is None or found.dtype.kind not in "iu":
            raise self.unsupported(f"{what} that is computed")
        return [int(each) for each in found.reshape(-1)]

    def rank(self, place: int = 0) -> int:
        """Of an input."""
        return len(self.tensor(place).shape)

    def axis(self, given: int, rank: int) -> int:
        """An axis that may count from the end."""
        if not -rank <= given < rank:
            raise ModelError(f"{self.where}: axis {given} of {rank}")
        return given % rank

    def sizes(self, place: int, axes: Sequence[int]) -> list[int]:
        """Sizes of an input along axes; raises UnsupportedOperator where one is open."""
        shape = self.tensor(place).shape
        return [self._size(shape, axis) for axis in axes]

    def _size(self, shape: Sequence[int | None], axis: int) -> int:
        size = shape[axis] if axis < len(shape) else None
        if size is None:
            raise self.unsupported(f"an open size in dimension {axis}")
        return size

    def option(self, field: int, form: str = "<i", default: Any = 0) -> Any:
        """A number among the options."""
        options = self.operation.options
        return default if options is None else options.number(field, form, default)

    def flag(self, field: int) -> bool:
        """A truth value among the options."""
        return bool(self.option(field, "<B"))

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one result."""
        return self.graph.add(operator, *inputs, **attributes)

    def ints(self, *values: int) -> str:
        """A constant list of whole numbers."""
        return self.graph.constant(values, "int64")

    def numbers(self, count: int) -> str:
        """The whole numbers from 0 on, which are not in the model: ``count`` may be anything."""
        begin, end, step = (self.graph.constant(each, "int64") for each in (0, count, 1))
        return self.add("Range", begin, end, step)

    def one(self, value: float, like: int = 0) -> str:
        """A constant of the type in which an input's value is."""
        tensor = self.tensor(like)
        is_real = not self.as_stored and (tensor.quantised or tensor.dtype == "float16")
        return self.graph.constant(value, "float32" if is_real else tensor.dtype)

    def activated(self, y: str, field: int) -> str:
        """What the activation in field ``field`` of the options makes of it."""
        return activation(self, y, self.option(field, "<b"))

    def channels_first(self, x: str) -> str:
        """N, C, H, W of N, H, W, C."""
        return self.add("Transpose", x, perm=_TO_CHANNELS_FIRST)

    def channels_last(self, x: str) -> str:
        """N, H, W, C of N, C, H, W."""
        return self.add("Transpose", x, perm=_TO_CHANNELS_LAST)


def activation(call: Call, y: str, code: int) -> str:
    """The activation functions that are fused into other operators, by their codes."""
    if code in (2, 3):
        least, most = ((-1, 1), (0, 6))[code - 2]
        constant = call.graph.constant
        return call.add("Clip", y, constant(least, "float32"), constant(most, "float32"))
    names = {0: "", 1: "Relu", 4: "Tanh"}
    if code not in names:
        raise call.unsupported(f"the activation function of code {code}")
    return call.add(names[code], y) if names[code] else y


@dataclass(frozen=True)
class Operator:
    """How an operator is written: what gives the values of its results.

    One that ``moves`` elements takes and gives them as they are, where all that it reads and gives
    is quantised alike, or is not. Of its inputs those at the places ``moved`` are elements, by
    default all. One that ``passes`` takes and gives them so in any case; what it gives "" for is no
    value.
    """

    write: Callable[[Call], Results]
    moves: bool = False
    moved: tuple[int, ...] | None = None
    passes: bool = False
