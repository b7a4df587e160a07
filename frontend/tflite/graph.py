"""An ONNX graph that grows by the operators of a TensorFlow Lite model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import ModelError, UnsupportedOperator

from .model import LiteModel, Operation, Quantised, Tensor

OPSET, IR_VERSION = 21, 10
Array = NDArray[Any]
Results: TypeAlias = str | Sequence[str]

_TO_CHANNELS_FIRST, _TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


class Graph:
    """Values are called by their names in ONNX. A quantised tensor has two: its numbers as they
    are, and what they stand for, which is computed where it is asked for."""

    def __init__(self, model: LiteModel) -> None:
        self.model = model
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._taken = {*model.inputs, *model.outputs}
        self._stored: dict[int, str] = {number: name for name, number in model.inputs.items()}
        self._real: dict[int, str] = {}
        self._label = ""

    def begin(self, operation: Operation) -> None:
        """What is added from now on is of an operation."""
        self._label = operation.label

    def _fresh(self) -> str:
        name = f"v{len(self._taken)}"
        while name in self._taken:
            name = f"{name}_"
        self._taken.add(name)
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one result; "" is an input that is left out."""
        return self.add_several(operator, inputs, 1, **attributes)[0]

    def add_several(
        self, operator: str, inputs: Sequence[str], results: int, **attributes: Any
    ) -> list[str]:
        """A node with several results."""
        names = [self._fresh() for _ in range(results)]
        self.nodes.append(helper.make_node(operator, inputs, names, self._label, **attributes))
        return names

    def constant(self, value: Any, dtype: str) -> str:
        """A constant."""
        name = self._fresh()
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def stored(self, number: int) -> str:
        """A tensor's numbers as they are."""
        if number not in self._stored:
            tensor = self.model.tensors[number]
            if tensor.constant is None:
                raise ModelError(
                    f"{self.model.where}: {self._label} reads tensor '{tensor.name}', which "
                    "nothing gives: it may be kept from run to run, which is not supported"
                )
            self._stored[number] = self.constant(tensor.constant, tensor.dtype)
        return self._stored[number]

    def real(self, number: int) -> str:
        """What a tensor's numbers stand for; they themselves where they are not quantised."""
        tensor = self.model.tensors[number]
        if number not in self._real:
            self._real[number] = self._made_real(number, tensor)
        return self._real[number]

    def _made_real(self, number: int, tensor: Tensor) -> str:
        how, constant = tensor.quantised, tensor.constant
        if how is not None and constant is not None and tensor.dtype in ("int32", "int64"):
            shape = [-1 if axis == how.axis else 1 for axis in range(constant.ndim)]
            scale, zero = how.scale.astype(np.float64).reshape(shape), how.zero.reshape(shape)
            return self.constant((constant - zero) * scale, "float32")  # a bias
        name = self.stored(number)
        if how is not None:
            return self.dequantised(name, tensor.dtype, how)
        return self.add("Cast", name, to=TensorProto.FLOAT) if tensor.dtype == "float16" else name

    def dequantised(self, name: str, dtype: str, how: Quantised) -> str:
        """Floats of quantised numbers."""
        return self.add("DequantizeLinear", name, *self._scale(dtype, how), axis=how.axis)

    def _scale(self, dtype: str, how: Quantised) -> tuple[str, str]:
        shape = () if how.scale.size == 1 else how.scale.shape
        bounds = np.iinfo(dtype)
        if not bounds.min <= how.zero.min() <= how.zero.max() <= bounds.max:
            raise ModelError(f"{self.model.where}: {self._label}: a zero point is not of {dtype}")
        zero = self.constant(how.zero.reshape(shape), dtype)
        return self.constant(how.scale.reshape(shape), "float32"), zero

    def give(self, number: int, name: str, *, as_stored: bool) -> None:
        """Let a value be a tensor, whose numbers it has or stands for."""
        tensor = self.model.tensors[number]
        if number in self._stored:
            raise ModelError(f"{self.model.where}: two operators give tensor '{tensor.name}'")
        if not as_stored:
            if tensor.quantised is not None:
                scale = self._scale(tensor.dtype, tensor.quantised)
                name = self.add("QuantizeLinear", name, *scale, axis=tensor.quantised.axis)
            elif tensor.dtype == "float16":
                name = self.add("Cast", name, to=TensorProto.FLOAT16)
        self._stored[number] = name

    def finish(self) -> onnx.ModelProto:
        """The model."""
        model, self._label = self.model, ""
        for name, number in model.outputs.items():
            self.nodes.append(helper.make_node("Identity", [self.stored(number)], [name]))
        inputs = [_info(name, model.tensors[number]) for name, number in model.inputs.items()]
        outputs = [
            helper.make_tensor_value_info(name, element(model.tensors[number].dtype), None)
            for name, number in model.outputs.items()
        ]
        made = helper.make_graph(self.nodes, "tflite", inputs, outputs, self.initializers)
        imports = [helper.make_opsetid("", OPSET)]
        return helper.make_model(made, opset_imports=imports, ir_version=IR_VERSION)


def _info(name: str, tensor: Tensor) -> onnx.ValueInfoProto:
    """An input, whose first dimension is the batch where it is open."""
    names = ["batch", *(f"{name}_{i}" for i in range(1, len(tensor.shape)))]
    shape = [
        named if size is None else size for named, size in zip(names, tensor.shape, strict=False)
    ]
    return helper.make_tensor_value_info(name, element(tensor.dtype), shape)


def element(dtype: str) -> int:
    """The number of an element type in ONNX."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


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
        return f"{self.graph.model.where}: {self.operation.label}"

    def unsupported(self, what: str) -> UnsupportedOperator:
        """The error for a way in which the operation is used."""
        return UnsupportedOperator(f"{self.where}: {what} is not supported")

    def tensor(self, place: int) -> Tensor:
        """An input's tensor."""
        return self.graph.model.tensors[self.number(place)]

    def result(self, place: int = 0) -> Tensor:
        """A result's tensor."""
        if place >= len(self.operation.outputs) or self.operation.outputs[place] < 0:
            raise ModelError(f"{self.where}: result {place} is missing")
        return self.graph.model.tensors[self.operation.outputs[place]]

    def input(self, place: int = 0) -> str:
        """An input's value."""
        number = self.number(place)
        return self.graph.stored(number) if self.as_stored else self.graph.real(number)

    def inputs(self) -> list[str]:
        """All inputs' values."""
        return [self.input(place) for place in range(len(self.operation.inputs))]

    def whole(self, place: int) -> str:
        """An input of whole numbers as int64."""
        return self.add("Cast", self.graph.stored(self.number(place)), to=TensorProto.INT64)

    def constant(self, place: int, what: str) -> list[int]:
        """An input of whole numbers that is known, flat; raises UnsupportedOperator for another."""
        found = self.tensor(place).constant
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
    default all.
    """

    write: Callable[[Call], Results]
    moves: bool = False
    moved: tuple[int, ...] | None = None
