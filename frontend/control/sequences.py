"""Sequences of tensors, and optional values, by tensors.

A sequence whose tensors are known one by one is a list of values. One that a loop fills, a tensor
with each iteration, is the loop's stack of what it keeps. Whether an optional value is there is
known, or decided by a branch.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import ModelError, UnsupportedOperator

from ..graph import Array
from ..onnx.opset import is_onnx, node_label
from ..onnx.optionals import OPTIONALS
from ..onnx.scopes import inner_graphs
from ..program import Step
from .assembly import Assembly
from .parts import Absent, Held, Listed, Maybe, Parts, Ragged, Scope, Stacked
from .run_time_places import RunTimePlaces
from .stages import SEQUENCES

_N = helper.make_node
_OF_TENSORS = frozenset({"SequenceAt", "SequenceLength", "ConcatFromSequence"})  # which they give
_MOST = 1024  # tensors, each a value of its own, of what a loop stacked
_GIVE = (SEQUENCES | OPTIONALS) - _OF_TENSORS


@dataclass(frozen=True)
class Sequences:
    """What nodes do with sequences; each function gives the steps, results go into the scope."""

    parts: Parts
    assembly: Assembly
    places: RunTimePlaces

    def listed(self, held: Held, name: str, label: str) -> tuple[Sequence[Step], Held]:
        """What is held under a name; of what a loop stacked the tensors one by one."""
        if isinstance(held, Ragged):
            raise _apart(name, label)
        if not isinstance(held, Stacked):
            return (), held
        length = self._length(held, name, label)
        if length > _MOST:
            raise UnsupportedOperator(
                f"{label}: the sequence '{name}' has {length} tensors, and {_MOST} are supported"
            )
        steps, values = self._rows(held, range(length), name)
        return steps, Listed(values)

    def _length(self, held: Stacked, name: str, label: str) -> int:
        """How many tensors a loop stacked, which a run may decide."""
        if held.rows_vary:
            self.places.sizes.count(name, label)  # which asks for it
        return self.assembly.type(held.value).shape[0]

    def _rows(
        self, held: Stacked, places: Sequence[int], name: str
    ) -> tuple[Sequence[Step], tuple[int, ...]]:
        """What a loop stacked at some places."""
        inner: Scope = ChainMap({}, {}, {"stack": held.value})
        names = [f"tensor {i}" for i in places]
        for i in places:
            inner[f"place {i}"] = self.assembly.constant(np.array(i))
        nodes = [
            _N("Gather", ["stack", f"place {i}"], [each], name)
            for i, each in zip(places, names, strict=True)
        ]
        steps = self.parts.steps(nodes, names, inner)
        return steps, tuple(self.parts.value(each, inner, name) for each in names)

    def steps(self, node: onnx.NodeProto, scope: Scope) -> Sequence[Step]:
        """Of a node; raises ModelError and UnsupportedOperator."""
        label, attrs = node_label(node), {a.name: a.i for a in node.attribute}
        if len(node.output) != 1:
            raise ModelError(f"{label}: it has {len(node.output)} results, not 1")
        (output,) = node.output
        if node.op_type == "SequenceEmpty":
            scope[output] = Listed(())
        elif node.op_type == "SequenceConstruct":
            scope[output] = Listed(tuple(self.parts.value(n, scope, label) for n in node.input))
        elif node.op_type == "SplitToSequence":
            return self._split(node, scope, attrs)
        elif node.op_type == "Identity":
            scope[output] = self.parts.held(node.input[0], scope, label)
        elif node.op_type in OPTIONALS:
            return self._optional(node, scope)
        else:
            return self._read(node, scope, attrs)
        return ()

    def _optional(self, node: onnx.NodeProto, scope: Scope) -> Sequence[Step]:
        """Of a node that makes an optional value, or asks for one."""
        label, (output,) = node_label(node), node.output
        names = [name for name in node.input if name]
        held = self.parts.held(names[0], scope, label) if names else Absent()
        if node.op_type == "OptionalHasElement" and isinstance(held, Maybe):
            scope[output] = held.there
        elif node.op_type == "OptionalGetElement" and isinstance(held, Maybe):
            scope[output] = held.held
            return self.parts.expect(held.there, 1, "whether there is an element:", label)
        elif node.op_type == "OptionalHasElement":
            scope[output] = self.assembly.constant(np.array(not isinstance(held, Absent)))
        elif node.op_type == "OptionalGetElement" and isinstance(held, Absent):
            raise ModelError(f"{label}: there is no element")
        else:
            scope[output] = held
        return ()

    def _read(self, node: onnx.NodeProto, scope: Scope, attrs: dict[str, int]) -> Sequence[Step]:
        """Of a node whose first input is a sequence."""
        label, output = node_label(node), node.output[0]
        found = scope.get(node.input[0]) if node.input else None
        if isinstance(found, Ragged):
            scope[output] = self._of_ragged(node, found, attrs)
            return ()
        if isinstance(found, Stacked) and node.op_type == "ConcatFromSequence":
            return self._unstacked(node, scope, found, attrs)
        if not isinstance(found, Listed | Stacked):
            raise UnsupportedOperator(f"{label}: a sequence that is not known is not supported")
        name, is_at = node.input[0], node.op_type == "SequenceAt" and len(node.input) == 2
        if isinstance(found, Stacked):
            length = self._length(found, name, label)
            if node.op_type == "SequenceLength":
                scope[output] = self.assembly.constant(np.array(length))
                return ()
            if is_at and self._is_known(node, scope, 1):
                place = self._place(node, scope, 1, length, length)
                steps, (scope[output],) = self._rows(found, [place], name)
                return steps
        if is_at and not self._is_known(node, scope, 1):
            steps, scope[output] = self.places.at(node, scope, found)
            return steps
        steps, listed = self.listed(found, name, label)
        assert isinstance(listed, Listed)
        return (*steps, *self._of_list(node, scope, listed, attrs))

    def _of_ragged(self, node: onnx.NodeProto, found: Ragged, attrs: Mapping[str, int]) -> int:
        """What a node makes of such pieces."""
        if node.op_type == "SequenceLength":
            return self.assembly.constant(np.array(found.count))
        rank, axis = len(self.assembly.type(found.whole).shape), attrs.get("axis", 0)
        along = axis in (found.axis, found.axis - rank) and not attrs.get("new_axis", 0)
        if node.op_type != "ConcatFromSequence" or not along:
            raise _apart(node.input[0], node_label(node))
        return found.whole

    def _of_list(
        self, node: onnx.NodeProto, scope: Scope, found: Listed, attrs: dict[str, int]
    ) -> Sequence[Step]:
        """Of a node whose first input are these tensors."""
        label, output, values = node_label(node), node.output[0], list(found.values)
        if node.op_type == "SequenceLength":
            scope[output] = self.assembly.constant(np.array(len(values)))
        elif node.op_type == "SequenceAt":
            scope[output] = values[self._place(node, scope, 1, len(values), len(values))]
        elif node.op_type == "SequenceErase" and not self._is_known(node, scope, 1):
            steps, scope[output] = self.places.erased(node, scope, found)
            return steps
        elif node.op_type == "SequenceErase":
            del values[self._place(node, scope, 1, len(values), len(values))]
            scope[output] = Listed(tuple(values))
        elif node.op_type == "SequenceInsert" and len(node.input) > 1:
            value = self.parts.value(node.input[1], scope, label)
            if not self._is_known(node, scope, 2):
                steps, scope[output] = self.places.inserted(node, scope, found, value)
                return steps
            place = self._place(node, scope, 2, len(values), len(values) + 1)
            values.insert(place, value)
            scope[output] = Listed(tuple(values))
        elif node.op_type == "ConcatFromSequence" and values:
            return self._joined(values, node, scope, attrs)
        else:
            raise ModelError(f"{label}: there is nothing in the sequence")
        return ()

    def _place(self, node: onnx.NodeProto, scope: Scope, index: int, count: int, end: int) -> int:
        """A known place in a sequence of ``count``, before ``end``; its last, where none is."""
        label = node_label(node)
        if index >= len(node.input) or not node.input[index]:
            return end - 1
        array = self._known_place(node, scope, index)
        if array is None or array.size != 1 or array.dtype.kind != "i":
            raise ModelError(f"{label}: its place is not one whole number")
        place = int(array.reshape(()))
        if not -count <= place < end:
            raise ModelError(f"{label}: the place {place} is outside of a sequence of {count}")
        return place + count if place < 0 else place

    def _is_known(self, node: onnx.NodeProto, scope: Scope, index: int) -> bool:
        """Whether a place is known, as that of the last one is where none is said."""
        is_last = index >= len(node.input) or not node.input[index]
        return is_last or self._known_place(node, scope, index) is not None

    def _known_place(self, node: onnx.NodeProto, scope: Scope, index: int) -> Array | None:
        """The numbers of an input, where they are known."""
        return self.assembly.known(self.parts.value(node.input[index], scope, node_label(node)))

    def _joined(
        self, values: list[int], node: onnx.NodeProto, scope: Scope, attrs: dict[str, int]
    ) -> Sequence[Step]:
        axis = attrs.get("axis", 0)
        if attrs.get("new_axis", 0):
            shape = self.assembly.type(values[0]).shape
            if not -len(shape) - 1 <= axis <= len(shape):
                raise ModelError(f"{node_label(node)}: it has no axis {axis}")
            axis %= len(shape) + 1
            if any(self.assembly.type(value).shape != shape for value in values):
                raise ModelError(f"{node_label(node)}: its tensors differ in shape")
            steps, scope[node.output[0]] = self.parts.stacked(values, axis, node.name)
            return steps
        inner: Scope = scope.new_child({f"piece {i}": v for i, v in enumerate(values)})
        join = _N("Concat", list(inner.maps[0]), ["joined"], node.name, axis=axis)
        steps = self.parts.steps([join], ["joined"], inner)
        scope[node.output[0]] = inner["joined"]
        return steps

    def _unstacked(
        self, node: onnx.NodeProto, scope: Scope, found: Stacked, attrs: dict[str, int]
    ) -> Sequence[Step]:
        label, shape = node_label(node), self.assembly.type(found.value).shape
        joined = not attrs.get("new_axis", 0)
        rank, axis = len(shape) - joined, attrs.get("axis", 0)
        if not -rank <= axis < rank:
            raise ModelError(f"{label}: the axis {axis} is outside of {rank} dimensions")
        axis %= rank
        steps, value = self.parts.moved(found.value, axis, scope)
        if joined:
            moved = list(self.assembly.type(value).shape)
            moved[axis : axis + 2] = [moved[axis] * moved[axis + 1]]
            value = self.assembly.view(value, tuple(moved))
        scope[node.output[0]] = value
        return steps

    def _split(self, node: onnx.NodeProto, scope: Scope, attrs: dict[str, int]) -> Sequence[Step]:
        label, axis = node_label(node), attrs.get("axis", 0)
        value = self.parts.value(node.input[0], scope, label)
        shape = self.assembly.type(value).shape
        if not -len(shape) <= axis < len(shape):
            raise ModelError(f"{label}: the axis {axis} is outside of {len(shape)} dimensions")
        axis, size = axis % len(shape), shape[axis]
        if not self._is_known(node, scope, 1):
            steps, scope[node.output[0]] = self.places.split(node, scope, axis)
            return steps
        sizes = self._sizes(node, scope, size)
        drops = len(node.input) < 2 and not attrs.get("keepdims", 1)
        starts = np.cumsum([0, *sizes])
        inner: Scope = scope.new_child({"whole": value})
        nodes, names = [], []
        for i, begin in enumerate(starts[:-1]):
            numbers = np.arange(begin, starts[i + 1])
            inner[f"places {i}"] = numpy_helper.from_array(numbers[0] if drops else numbers)
            names.append(f"piece {i}")
            nodes.append(_N("Gather", ["whole", f"places {i}"], names[-1:], axis=axis))
        steps = self.parts.steps(nodes, names, inner)
        scope[node.output[0]] = Listed(tuple(self.parts.value(n, inner, label) for n in names))
        return steps

    def _sizes(self, node: onnx.NodeProto, scope: Scope, size: int) -> list[int]:
        label = node_label(node)
        if len(node.input) < 2 or not node.input[1]:
            return [1] * size
        array = self.assembly.known(self.parts.value(node.input[1], scope, label))
        if array is None or array.dtype.kind != "i" or array.ndim > 1:
            raise ModelError(f"{label}: its sizes are not whole numbers")
        sizes = [int(each) for each in array.reshape(-1)]
        if array.ndim == 0 and sizes[0] > 0:
            sizes = [min(sizes[0], size - i) for i in range(0, size, sizes[0])]
        if sum(sizes) != size or min(sizes, default=0) < 0:
            raise ModelError(f"{label}: it splits {size} elements into {sizes}")
        return sizes


def aliases(nodes: Sequence[onnx.NodeProto], scope: Scope) -> set[str]:
    """The results of those ``Identity`` nodes, in order, that pass on what is not a tensor."""
    others = {name for name, held in scope.items() if not isinstance(held, int | TensorProto)}
    found = set()
    for node in nodes:
        if node.op_type == "Identity" and is_onnx(node.domain):
            if not others.isdisjoint(node.input):
                found.update(node.output)
                others.update(node.output)
        elif node.op_type in _GIVE and is_onnx(node.domain):
            others.update(node.output)
        else:
            others.update(_given_by_graphs(node))
    return found


def _given_by_graphs(node: onnx.NodeProto) -> Collection[str]:
    """The results of control flow that its graphs declare to be no tensors."""
    first = 1 if node.op_type == "Loop" else 0
    declared = (graph.output[first:] for graph in inner_graphs(node))
    return {
        name
        for outputs in declared
        for name, info in zip(node.output, outputs, strict=False)
        if info.type.WhichOneof("value") in ("sequence_type", "optional_type")
    }


def _apart(name: str, label: str) -> UnsupportedOperator:
    return UnsupportedOperator(
        f"{label}: tensors of '{name}' are as long as iterations find; they are supported where "
        "they are joined along the axis in which they vary (ConcatFromSequence), or counted"
    )
