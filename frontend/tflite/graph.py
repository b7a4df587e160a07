"""ONNX graphs that grow by the operators of a TensorFlow Lite model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import ModelError, UnsupportedOperator

from .entries import Entries
from .lists import with_updates
from .model import LiteGraph, LiteModel, Operation
from .tensors import COMPLEX, TEXT, Quantised, Tensor
from .variables import Variables

Array: TypeAlias = "NDArray[Any]"

_DEEPEST = 16  # graphs in graphs
# A graph is written where it is called, and so may be more than once.
_TIMES, _FREE = 8, 10000


@dataclass
class Writing:
    """What the graphs of a model have together: names, constants, variables, and how an operation
    is written.

    ``left`` is how many operations may still be written. ``began`` is whether there was a run
    before, "" where nothing asks for that. ``tables`` are the hash tables that are filled.
    """

    model: LiteModel
    variables: Variables
    write: Callable[[Graph, Operation], None]
    taken: set[str]
    left: int
    initializers: dict[str, TensorProto] = field(default_factory=dict)
    began: str = ""
    tables: dict[str, Entries] = field(default_factory=dict)
    labels: Counter[str] = field(default_factory=Counter)

    @staticmethod
    def of(model: LiteModel, write: Callable[[Graph, Operation], None]) -> Writing:
        """Of nothing yet."""
        left = _FREE + _TIMES * sum(len(each.operations) for each in model.graphs)
        taken = {*model.inputs, *model.outputs}
        return Writing(model, Variables(model), write, taken, left)

    def node_name(self, label: str) -> str:
        """A name for a node of an operation, which no other has: ONNX Runtime insists on that."""
        self.labels[label] += 1
        return label if self.labels[label] == 1 else f"{label}.{self.labels[label]}"

    def fresh(self, wanted: str = "") -> str:
        """A name that nothing has: the one that is wanted, or that and more."""
        name = wanted or f"v{len(self.taken)}"
        while name in self.taken:
            name = f"{name}_"
        self.taken.add(name)
        return name


class Graph:
    """Values are called by their names in ONNX. A quantised tensor has two: its numbers as they
    are, and what they stand for, which is computed where it is asked for.

    ``variables`` are the values of the model's variables by their names, as they are after what was
    written so far; ``handles`` are the names of the variables for which tensors stand.
    """

    def __init__(
        self,
        writing: Writing,
        number: int,
        given: Mapping[int, str],
        variables: Mapping[str, str],
        depth: int = 0,
    ) -> None:
        self.writing, self.depth = writing, depth
        self.lite: LiteGraph = with_updates(writing.model.graph(number))
        self.nodes: list[onnx.NodeProto] = []
        self.variables = dict(variables)
        self.handles: dict[int, str] = {}
        self._stored = dict(given)
        self._real: dict[int, str] = {}
        self._label = ""

    @property
    def where(self) -> str:
        """The file, for messages."""
        return self.writing.model.where

    def run(self) -> None:
        """Write all operations; raises ModelError, and UnsupportedOperator."""
        writing = self.writing
        writing.left -= len(self.lite.operations)
        if self.depth > _DEEPEST or writing.left < 0:
            raise ModelError(f"{self.where}: its graphs call one another too often, or in a circle")
        for operation in self.lite.operations:
            self._label = operation.label
            writing.write(self, operation)
        self._label = ""

    def inner(
        self,
        number: int,
        given: Sequence[str],
        handles: Mapping[int, str],
        *,
        apart: bool,
        variables: Mapping[str, str] | None = None,
    ) -> Graph:
        """Another graph of the model with these values as its inputs, "" for those that are handles
        of variables, by their places; its nodes are this graph's own, unless they stand ``apart``.
        """
        inputs = self.writing.model.graph(number).inputs
        if len(inputs) != len(given):
            raise ModelError(
                f"{self.where}: {self._label} gives {len(given)} values to graph {number}, which "
                f"takes {len(inputs)}"
            )
        values = {n: name for n, name in zip(inputs, given, strict=True) if name}
        held = self.variables if variables is None else variables
        made = Graph(self.writing, number, values, held, self.depth + 1)
        made.handles = {inputs[place]: name for place, name in handles.items()}
        if not apart:
            made.nodes = self.nodes
        made.run()
        return made

    def results(self) -> list[str]:
        """The values of the outputs, as stored."""
        return [self.stored(number) for number in self.lite.outputs]

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one result; "" is an input that is left out."""
        return self.add_several(operator, inputs, 1, **attributes)[0]

    def add_several(
        self, operator: str, inputs: Sequence[str], results: int, **attributes: Any
    ) -> list[str]:
        """A node with several results."""
        names = [self.writing.fresh() for _ in range(results)]
        name = self.writing.node_name(self._label) if self._label else ""
        self.nodes.append(helper.make_node(operator, inputs, names, name, **attributes))
        return names

    @contextmanager
    def apart(self) -> Iterator[list[onnx.NodeProto]]:
        """What the block adds stands apart from the graph, in the list: it may read no tensor that
        was not read before."""
        nodes, self.nodes = self.nodes, []
        try:
            yield self.nodes
        finally:
            self.nodes = nodes

    def constant(self, value: Any, dtype: str) -> str:
        """A constant."""
        name = self.writing.fresh()
        array = np.asarray(value, object if dtype == TEXT else dtype)
        self.writing.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def known(self, number: int) -> Array | None:
        """A tensor's numbers where it is a constant; one without elements, which nothing gives,
        is, too."""
        tensor = self.lite.tensors[number]
        is_given = tensor.constant is not None or number in self._stored
        if is_given or 0 not in tensor.shape or not tensor.is_plain:
            return tensor.constant
        shape = [size or 0 for size in tensor.shape]
        return np.zeros(shape, object if tensor.dtype == TEXT else tensor.dtype)

    def stored(self, number: int) -> str:
        """A tensor's numbers as they are."""
        tensor = self.lite.tensors[number]
        self.check_plain(tensor)
        if number not in self._stored:
            known = self.known(number)
            if known is None:
                inside = ", as its graph is called by another" if tensor.is_kept else ""
                raise ModelError(
                    f"{self.where}: {self._label or 'an output'} reads tensor '{tensor.name}', "
                    f"which nothing gives{inside}"
                )
            self._stored[number] = self.constant(known, tensor.dtype)
        return self._stored[number]

    def check_plain(self, tensor: Tensor) -> None:
        """Raise UnsupportedOperator for a tensor whose elements nothing here computes with."""
        if not tensor.is_plain:
            raise UnsupportedOperator(
                f"{self.where}: tensor '{tensor.name}' is of {tensor.dtype}, which is not "
                f"supported {f'in {self._label}' if self._label else 'as an input or output'}"
            )

    def real(self, number: int) -> str:
        """What a tensor's numbers stand for; they themselves where they are not quantised."""
        if number not in self._real:
            self._real[number] = self._made_real(number, self.lite.tensors[number])
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
            raise ModelError(f"{self.where}: {self._label}: a zero point is not of {dtype}")
        zero = self.constant(how.zero.reshape(shape), dtype)
        return self.constant(how.scale.reshape(shape), "float32"), zero

    def complex(self, number: int) -> str:
        """The numbers of a complex tensor, in pairs, which are one more dimension."""
        tensor = self.lite.tensors[number]
        if tensor.dtype != COMPLEX or number not in self._stored:
            raise UnsupportedOperator(
                f"{self.where}: {self._label}: tensor '{tensor.name}' of {tensor.dtype}, which no "
                "operator gives, is not supported"
            )
        return self._stored[number]

    def give(self, number: int, name: str, *, as_stored: bool) -> None:
        """Let a value be a tensor, whose numbers it has or stands for."""
        if number in self._stored:
            tensor = self.lite.tensors[number]
            raise ModelError(f"{self.where}: two operators give tensor '{tensor.name}'")
        self._stored[number] = name if as_stored else self._as_stored(number, name)

    def keep(self, number: int, name: str) -> None:
        """Let what a value stands for be what a tensor holds from now on, in the next run, too."""
        if not self.lite.tensors[number].is_kept or number not in self._stored:
            raise ModelError(f"{self.where}: {self._label} leaves its state in no variable")
        self._stored[number] = self._as_stored(number, name)
        self._real.pop(number, None)

    def _as_stored(self, number: int, name: str) -> str:
        tensor = self.lite.tensors[number]
        if tensor.quantised is not None:
            scale = self._scale(tensor.dtype, tensor.quantised)
            return self.add("QuantizeLinear", name, *scale, axis=tensor.quantised.axis)
        if tensor.dtype == "float16":
            return self.add("Cast", name, to=TensorProto.FLOAT16)
        return name


def element(dtype: str) -> int:
    """The number of an element type in ONNX."""
    if dtype == TEXT:
        return int(TensorProto.STRING)
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
