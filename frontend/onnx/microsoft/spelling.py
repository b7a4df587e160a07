"""How an operator of another domain is spelled: a function writes nodes of ONNX's operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import ModelError, UnsupportedOperator

from ...graph import Array
from ..opset import node_label
from .types import UnknownTypeError, ValueTypes

_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_FLOATS = (*_HALVES, TensorProto.FLOAT)
_ANY_CONSTANTS = 9  # since this operator set Constant gives whole numbers, too
# What an attribute is by its default; None stands for a number that may be left out.
_KINDS = {int: int, float: float, str: str, tuple: list, type(None): float}


@dataclass
class Spelling:
    """A node that is being spelled: what it says, and what is written for it.

    Values are names; "" is one that is left out. ``before`` are the graph's nodes before it.
    ``weights`` are new large constants; values that were widened have what they were in ``narrow``.
    """

    node: onnx.NodeProto
    opset: int
    types: ValueTypes
    stem: str
    before: Sequence[onnx.NodeProto] = ()
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)
    narrow: dict[str, str] = field(default_factory=dict)

    # ---- what it says ----

    @property
    def label(self) -> str:
        """Its name for people."""
        return node_label(self.node)

    def input(self, index: int) -> str:
        """An input's name; "" where it is left out."""
        return self.node.input[index] if index < len(self.node.input) else ""

    def given(self, index: int) -> str:
        """An input that must be there; raises ModelError."""
        name = self.input(index)
        if not name:
            raise ModelError(f"{self.label}: its input {index} is left out")
        return name

    @property
    def x(self) -> str:
        """The first input."""
        return self.given(0)

    def wants(self, index: int) -> bool:
        """Whether an output has a name."""
        return index < len(self.node.output) and bool(self.node.output[index])

    def attr(self, name: str, default: Any) -> Any:
        """An attribute, of the default's type; raises ModelError for one of another."""
        found = next((a for a in self.node.attribute if a.name == name), None)
        if found is None:
            return default
        value = helper.get_attribute_value(found)
        value = value.decode(errors="replace") if isinstance(value, bytes) else value
        kind = _KINDS[type(default)]
        if not isinstance(value, kind):
            raise ModelError(f"{self.label}: its attribute '{name}' is of another type")
        if isinstance(value, float) and not math.isfinite(value):
            raise ModelError(f"{self.label}: its attribute '{name}' is {value}")
        return value

    def count(self, name: str, default: int | None = None) -> int:
        """An attribute that counts something: at least 1; raises ModelError."""
        value = self.attr(name, 0 if default is None else default)
        if not 1 <= value < 2**31:
            raise ModelError(f"{self.label}: its attribute '{name}' is {value}")
        return int(value)

    # ---- what is known of values ----

    def shape(self, value: str, first: int = 0) -> tuple[int, ...]:
        """Its sizes from a dimension on; raises UnknownTypeError where they are not known yet."""
        return self.types.shape(value, first)

    def rank(self, value: str) -> int:
        """Its number of dimensions; raises UnknownTypeError."""
        return len(self.dims(value))

    def dims(self, value: str) -> list[int | None]:
        """Its sizes, None for those that are not known; raises UnknownTypeError."""
        return self.types.dims(value)

    def dtype(self, value: str) -> int:
        """Its ONNX element type; raises UnknownTypeError."""
        return self.types.elem_type(value)

    def array(self, value: str) -> Array | None:
        """Its elements, where it is a constant, in whatever type of floats the model has them."""
        return self.types.array(self.narrow.get(value, value))

    # ---- what is written ----

    def emit(self, op: str, *inputs: str, **attrs: Any) -> str:
        """The first result of a new node."""
        return self.several(op, inputs, 1, **attrs)[0]

    def several(self, op: str, inputs: Sequence[str], outputs: int, **attrs: Any) -> list[str]:
        """All results of a new node."""
        number = len(self.nodes)
        made = [f"{self.stem}/{number}.{i}" if i else f"{self.stem}/{number}"
                for i in range(outputs)]  # fmt: skip
        name = f"{self.node.name or self.node.op_type}/{op}"
        node = helper.make_node(op, list(inputs), made, name=name, **attrs)
        self.nodes.append(node)
        self.types.follow(node, self.label)
        return made

    def constant(self, value: Any, dtype: str) -> str:
        """A constant; before operator set 9 only those of floats are a node's."""
        array = np.asarray(value, dtype)
        if self.opset < _ANY_CONSTANTS and array.dtype.kind != "f":
            return self.weight(array)
        return self.emit("Constant", value=numpy_helper.from_array(array))

    def weight(self, array: Array) -> str:
        """A large constant."""
        name = f"{self.stem}/weight {len(self.weights)}"
        self.weights[name] = array
        self.types.holds(name, array)
        return name

    def number(self, value: float, like: str) -> str:
        """A constant of rank 0, of the element type of a value."""
        return self.constant(value, self._numpy(like).name)

    def _numpy(self, value: str) -> np.dtype[Any]:
        return helper.tensor_dtype_to_np_dtype(self.dtype(value))

    def sizes(self, *numbers: int) -> str:
        """A list of whole numbers, such as a shape."""
        return self.constant(numbers, "int64")

    def reshape(self, x: str, *sizes: int) -> str:
        """0 keeps a size, -1 is what is left."""
        dims = self.dims(x) if self.types.has_shape(x) else [None]
        if 0 in dims and None not in dims:  # beside a 0 the standard forbids -1
            shape = _reshaped([dim or 0 for dim in dims], sizes)
            return self.constant(np.zeros(shape), self._numpy(x).name)
        return self.emit("Reshape", x, self.sizes(*sizes))

    def transpose(self, x: str, *axes: int) -> str:
        """Dimensions in another order."""
        return x if axes == tuple(range(len(axes))) else self.emit("Transpose", x, perm=axes)

    def cast(self, x: str, elem_type: int) -> str:
        """In another element type."""
        return x if self.dtype(x) == elem_type else self.emit("Cast", x, to=elem_type)

    def slice(self, x: str, axis: int, begin: int, end: int, step: int = 1) -> str:
        """Part of a dimension."""
        if self.opset < 10:
            if step != 1:
                raise self.unsupported(f"a step of {step} in operator set {self.opset}")
            return self.emit("Slice", x, axes=[axis], starts=[begin], ends=[end])
        return self.emit("Slice", x, *(self.sizes(n) for n in (begin, end, axis, step)))

    def unsqueeze(self, x: str, *axes: int) -> str:
        """Dimensions of one element."""
        if self.opset < 13:
            return self.emit("Unsqueeze", x, axes=axes)
        return self.emit("Unsqueeze", x, self.sizes(*axes))

    def reduce(self, op: str, x: str, axes: Sequence[int], keepdims: int = 1) -> str:
        """Over some dimensions."""
        newest = 13 if op == "ReduceSum" else 18
        if self.opset < newest:
            return self.emit(op, x, axes=axes, keepdims=keepdims)
        return self.emit(op, x, self.sizes(*axes), keepdims=keepdims)

    def split(self, x: str, axis: int, sizes: Sequence[int]) -> list[str]:
        """Parts along a dimension."""
        if len(sizes) == 1:
            return [x]
        if self.opset < 13:
            return self.several("Split", [x], len(sizes), axis=axis, split=sizes)
        return self.several("Split", [x, self.sizes(*sizes)], len(sizes), axis=axis)

    def wide(self, x: str) -> str:
        """In float32 at least, for several steps of which the last is rounded."""
        if self.dtype(x) not in _HALVES:
            return x
        made = self.cast(x, TensorProto.FLOAT)
        self.narrow[made] = x
        return made

    def unsupported(self, what: str) -> UnsupportedOperator:
        """The error for something that this node asks for."""
        return UnsupportedOperator(f"{self.label}: {what} is not supported")


def _reshaped(dims: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """The shape of what has no elements: -1 is what is left of the dimensions after those that are
    kept, one of which may be 0, and a 0 that would keep another size is one itself."""
    kept = 0
    while kept < min(len(dims), len(sizes)) and sizes[kept] in (0, dims[kept]):
        kept += 1
    rest = [dims[i + kept] if size == 0 else size for i, size in enumerate(sizes[kept:])]
    left = math.prod(dims[kept:]) // max(math.prod(size for size in rest if size != -1), 1)
    shape = [*dims[:kept], *(left if size == -1 else size for size in rest)]
    return [*sizes] if math.prod(shape) else shape


Results = str | Sequence[str]


@dataclass(frozen=True)
class Spelled:
    """An operator: what writes it, the inputs that it has at most, and its attributes.

    ``write`` gives the results in the order of its outputs, "" for those that it does not compute.
    ``in_steps``: its types of 16 bits are float32 in between, and its results of the type of its
    first float. ``since``: the oldest operator set by which it can be spelled, and ``typed`` those
    that it needs where inputs are of some element types. ``cuts``: it becomes control flow, or what
    finds sizes, so that it is spelled before a graph is cut at these. ``statistics`` are the
    results that are float32 whatever the inputs are.
    """

    write: Callable[[Spelling], Results]
    inputs: int
    attributes: frozenset[str] = frozenset()
    in_steps: bool = False
    since: int = 7
    cuts: bool = False
    statistics: tuple[int, ...] = ()
    typed: Mapping[int, int] = field(default_factory=dict)

    def spell(self, call: Spelling) -> list[onnx.NodeProto]:
        """The nodes that compute a node's outputs; raises ModelError or UnknownTypeError."""
        self._check(call)
        node = call.node
        types = [call.dtype(name) for name in node.input if name] if self.in_steps else []
        kind = next((each for each in types if each in _FLOATS), TensorProto.FLOAT)
        if any(each in _HALVES for each in types):
            call.node = onnx.NodeProto()
            call.node.CopyFrom(node)
            for i, name in enumerate(node.input):
                call.node.input[i] = name and call.wide(name)
        found = self.write(call)
        results = [found] if isinstance(found, str) else list(found)
        for index, wanted in enumerate(node.output):
            if not wanted:
                continue
            if index >= len(results) or not results[index]:
                raise call.unsupported(f"its result '{wanted}'")
            result = results[index]
            rounded = kind in _HALVES and index not in self.statistics
            if rounded and call.dtype(result) == TensorProto.FLOAT:
                result = call.cast(result, kind)
            call.nodes.append(helper.make_node("Identity", [result], [wanted]))
            call.types.follow(call.nodes[-1])
        return call.nodes

    def _check(self, call: Spelling) -> None:
        node = call.node
        if len(node.input) > self.inputs:
            raise ModelError(f"{call.label}: it has {len(node.input)} inputs, not {self.inputs}")
        for attribute in node.attribute:
            if attribute.name not in self.attributes:
                raise call.unsupported(f"its attribute '{attribute.name}'")


def attributes(text: str) -> frozenset[str]:
    """Names, with spaces between."""
    return frozenset(text.split())


Operators = Mapping[str, Spelled]

__all__ = [
    "Operators", "Results", "Spelled", "Spelling", "UnknownTypeError", "attributes",
]  # fmt: skip
