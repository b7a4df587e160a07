"""The straight parts of a model with control flow, each imported as a model of its own.

When the turn of one comes, the types of all that it reads are known, and the values of what is
known at build time.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import ModelError, Tensor, UnsupportedOperator

from ..graph import Array
from ..onnx.element_types import dtype_name
from ..onnx.given import leading_to, read_by
from ..onnx.opset import node_label, opset_of
from ..onnx.scopes import reads
from ..onnx.strip_weights import WEIGHT, array_of
from ..program import Expect, Program, Step
from .assembly import Assembly
from .bounds import Bounds
from .found_sizes import FoundSizes
from .stages import is_finder

Straight: TypeAlias = Callable[[onnx.ModelProto, Mapping[str, Array]], Program]


@dataclass(frozen=True)
class Listed:
    """A sequence of these values."""

    values: tuple[int, ...]


@dataclass(frozen=True)
class Stacked:
    """A sequence of what is in a value along its first dimension. A run may find how much."""

    value: int
    rows_vary: bool = False


@dataclass(frozen=True)
class Ragged:
    """A sequence of ``count`` pieces of the value ``whole`` along an axis, one after the other,
    each as long as a run finds."""

    whole: int
    axis: int
    count: int


@dataclass(frozen=True)
class Absent:
    """An optional value that is not there."""


@dataclass(frozen=True)
class Maybe:
    """An optional value, which is there where a run finds that the value ``there`` is true. Else
    what it holds are zeros."""

    held: int | Listed
    there: int


Held: TypeAlias = int | Listed | Stacked | Ragged | Absent | Maybe
# By name: values, weights that nobody has read so far, sequences, optional values that may not be
# there. Graphs see what is around them.
Scope: TypeAlias = ChainMap[str, TensorProto | Held]


class Inline(dict[str, TensorProto | Held]):
    """Around a graph whose steps are those of what is around it: an iteration that is written out,
    a branch that is decided."""


def is_outermost(scope: Scope) -> bool:
    """Whether what is in a scope always runs, and once: in no branch, nor in a loop."""
    inline = sum(isinstance(each, Inline) for each in scope.maps)
    return len(scope.maps) - 2 * inline <= 2


def may_find(scope: Scope, sizes: FoundSizes) -> bool:
    """Whether what is in a scope may find sizes."""
    return sizes.inside or is_outermost(scope)


_STAND_IN = TensorProto.FLOAT  # a result's type, which the importer finds out


class Parts:
    """``straight`` imports a model without control flow, some of whose inputs are constants.

    ``compared`` are the outputs of the whole whose shapes were compared with what it declares.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        straight: Straight,
        assembly: Assembly,
        sizes: FoundSizes,
    ) -> None:
        self._model, self._straight, self._assembly = model, straight, assembly
        self._sizes = sizes
        # What is found has as many elements as it has, whatever the exporter's run had.
        finds = any(map(is_finder, model.graph.node))
        tensors = (o for o in model.graph.output if o.type.HasField("tensor_type"))
        self._declared = {o.name: o for o in tensors if not finds}
        # Outputs that are sequences, or optional values.
        self.lists = {o.name for o in model.graph.output if not o.type.HasField("tensor_type")}
        self.compared: set[str] = set()
        self._written: dict[str, Array] = {}
        self._bounds: Bounds | None = None

    def inputs_of(self, value: str, made: Mapping[str, onnx.NodeProto]) -> list[str]:
        """The model's inputs that a value follows from; ``made`` are the nodes before it, by what
        they give."""
        read = {value} | read_by(leading_to(list(made.values()), [value]))
        weights = {tensor.name for tensor in self._model.graph.initializer}
        names = (each.name for each in self._model.graph.input)
        return [name for name in names if name in read and name not in weights]

    @property
    def opset(self) -> int:
        """The version of the model's operators."""
        return opset_of(self._model)

    def value(self, name: str, scope: Scope, reader: str) -> int:
        """The value of a name; raises ModelError, which says who reads it, where there is none."""
        return self.tensor(self.held(name, scope, reader), name, reader)

    def tensor(self, held: Held, name: str, reader: str) -> int:
        """What is held under a name, where that is a tensor; raises as ``value`` does."""
        if isinstance(held, Absent):
            raise ModelError(f"{reader}: the optional value '{name}' is not there")
        if isinstance(held, Maybe):
            raise UnsupportedOperator(
                f"{reader}: whether the optional value '{name}' is there is decided when the model "
                "runs, which is not supported here"
            )
        if not isinstance(held, int):
            raise UnsupportedOperator(f"{reader}: the sequence '{name}' is not supported here")
        return held

    def held(self, name: str, scope: Scope, reader: str) -> Held:
        """What a name stands for; raises ModelError, which names the reader, for an unknown one."""
        found = scope.get(name)
        if found is None:
            raise ModelError(f"{reader}: nothing before it gives its input '{name}'")
        if not isinstance(found, TensorProto):
            return found
        where = f"initializer '{name}'"
        dtype_name(found.data_type, where)
        self._written[name] = array_of(found, where)
        value = self._assembly.constant(self._written[name])
        next(each for each in scope.maps if name in each)[name] = value
        return value

    def written(self, name: str, scope: Scope) -> Array | None:
        """The numbers of a name that stand in the model, and follow from no size."""
        if isinstance(scope.get(name), TensorProto):
            self.held(name, scope, "")
        return self._written.get(name)

    def bounds(self, made: Mapping[str, onnx.NodeProto], scope: Scope) -> Bounds:
        """How large the numbers of a scope are, whose values ``made`` has the nodes of."""
        if self._bounds is None or self._bounds.made is not made:
            self._bounds = Bounds(made, partial(self.written, scope=scope))
        return self._bounds

    def known(self, value: int, dtype: str, reader: str) -> Array | None:
        """A single number, where it is known; raises ModelError where it cannot be one."""
        tensor = self._assembly.type(value)
        if tensor.dtype != dtype or tensor.size != 1:
            raise ModelError(f"{reader}: what decides it is {tensor}, not one {dtype}")
        array = self._assembly.known(value)
        return None if array is None else array.reshape(())

    def type_of(self, name: str, scope: Scope) -> Tensor | None:
        """The type of a value that is there."""
        value = scope.get(name)
        return self._assembly.type(value) if isinstance(value, int) else None

    def numbers_of(self, name: str, scope: Scope, reader: str) -> Array | None:
        """A value's numbers, where it is there and they are known."""
        value = scope.get(name)
        if isinstance(value, TensorProto):
            value = self.value(name, scope, reader)
        return self._assembly.known(value) if isinstance(value, int) else None

    def steps(
        self,
        nodes: Sequence[onnx.NodeProto],
        results: Sequence[str],
        scope: Scope,
        opset: int | None = None,
    ) -> tuple[Step, ...]:
        """The steps of straight nodes; their results go into ``scope``.

        The nodes are of another operator set than the model's where one is given.
        """
        if not results:
            return ()
        model, constants = self.model_of(nodes, scope)
        if opset is not None:
            del model.opset_import[:]
            model.opset_import.add(version=opset)
        for name in results:
            outermost = len(scope.maps) == 2 and not self._sizes.symbols
            declared = self._declared.get(name) if outermost else None
            self.compared.update([name] if declared else ())
            info = declared or helper.make_tensor_value_info(name, _STAND_IN, None)
            model.graph.output.append(info)
        program = self._straight(model, constants)
        inputs = {name: self.value(name, scope, "") for name, _ in program.inputs}
        steps, found = self._assembly.add(program, inputs)
        scope.update(found)
        return steps

    def moved(self, value: int, axis: int, scope: Scope) -> tuple[Sequence[Step], int]:
        """A value whose first dimension becomes another one, and the steps to it."""
        if axis == 0:
            return (), value
        order = list(range(1, len(self._assembly.type(value).shape)))
        order.insert(axis, 0)
        inner: Scope = scope.new_child({"stacked": value})
        turn = helper.make_node("Transpose", ["stacked"], ["moved"], perm=order)
        steps = self.steps([turn], ["moved"], inner)
        return steps, self.value("moved", inner, "")

    def stacked(self, values: Sequence[int], axis: int, title: str) -> tuple[Sequence[Step], int]:
        """Values of one type, along a new dimension, and the steps to it."""
        shape = self._assembly.type(values[0]).shape
        longer = (*shape[:axis], 1, *shape[axis:])
        views = [self._assembly.view(value, longer) for value in values]
        inner: Scope = ChainMap({}, {}, {f"piece {i}": view for i, view in enumerate(views)})
        join = helper.make_node("Concat", list(inner.maps[2]), ["stacked"], title, axis=axis)
        steps = self.steps([join], ["stacked"], inner)
        return steps, self.value("stacked", inner, title)

    def expect(self, value: int, wanted: int, says: str, label: str) -> Sequence[Step]:
        """Let the run end unless a single number, or a condition, is what is wanted."""
        inner: Scope = ChainMap({}, {}, {"given": self._assembly.view(value, ())})
        cast = helper.make_node("Cast", ["given"], ["number"], label, to=TensorProto.INT64)
        steps = self.steps([cast], ["number"], inner)
        wants = self._assembly.table(f"{label}/{says}", np.array(wanted))
        return (*steps, Expect(self.value("number", inner, label), wants, says, label))

    def model_of(
        self, nodes: Sequence[onnx.NodeProto], scope: Scope, *, without_sequences: bool = False
    ) -> tuple[onnx.ModelProto, dict[str, Array]]:
        """Nodes as a model of their own, without outputs; its inputs that are large constants.

        What is not a tensor is left out ``without_sequences``, else refused.
        """
        whole = self._model
        model = onnx.ModelProto(ir_version=max(whole.ir_version, 4))
        model.opset_import.extend(whole.opset_import)
        graph, large = model.graph, dict[str, Array]()
        graph.name = whole.graph.name or "model"
        graph.node.extend(nodes)
        made = {name for node in nodes for name in node.output}
        for name in sorted(set().union(*map(reads, nodes)) - made):
            if without_sequences and not isinstance(scope.get(name), int | TensorProto | None):
                continue
            value = self.value(name, scope, node_label(nodes[0]))
            tensor, array = self._assembly.type(value), self._assembly.known(value)
            if array is not None and not (array.size > WEIGHT and tensor.element.is_float):
                held = np.ascontiguousarray(array).reshape(array.shape)
                graph.initializer.append(numpy_helper.from_array(held, name))
                continue
            if array is not None:
                large[name] = array
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
            graph.input.append(helper.make_tensor_value_info(name, kind, tensor.shape))
        return model, large


def check_order(nodes: Sequence[onnx.NodeProto], scope: Scope) -> None:
    """Raise ModelError unless each value is given once, before it is read."""
    own, made = scope.maps[0], set[str]()
    for node in nodes:
        for name in sorted(reads(node)):
            if name not in made and name not in scope:
                raise ModelError(f"{node_label(node)}: nothing before it gives its input '{name}'")
        for name in filter(None, node.output):
            if name in made or name in own:
                raise ModelError(f"two values of the model have the same name '{name}'")
            made.add(name)
