"""Sequences of tensors, as exporters use them around loops, by tensors.

A sequence whose tensors are known one by one is a list of values. One that a loop fills, a tensor
with each iteration, is the loop's stack of what it keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from luthier.schedules import ModelError, UnsupportedOperator

from ..onnx.opset import is_onnx, node_label
from ..onnx.scopes import reads
from ..program import Step
from .assembly import Assembly
from .parts import Listed, Parts, Scope, Stacked

_N = helper.make_node


@dataclass(frozen=True)
class Sequences:
    """What nodes do with sequences; each function gives the steps, results go into the scope."""

    parts: Parts
    assembly: Assembly

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
        else:
            return self._read(node, scope, attrs)
        return ()

    def _read(self, node: onnx.NodeProto, scope: Scope, attrs: dict[str, int]) -> Sequence[Step]:
        """Of a node whose first input is a sequence."""
        label, output = node_label(node), node.output[0]
        found = scope.get(node.input[0]) if node.input else None
        if isinstance(found, Stacked) and node.op_type == "ConcatFromSequence":
            return self._unstacked(node, scope, found, attrs)
        if not isinstance(found, Listed):
            raise UnsupportedOperator(f"{label}: a sequence that is not known is not supported")
        values = list(found.values)
        if node.op_type == "SequenceLength":
            scope[output] = self.assembly.constant(np.array(len(values)))
        elif node.op_type == "SequenceAt":
            scope[output] = values[self._place(node, scope, 1, len(values), len(values))]
        elif node.op_type == "SequenceErase":
            del values[self._place(node, scope, 1, len(values), len(values))]
            scope[output] = Listed(tuple(values))
        elif node.op_type == "SequenceInsert" and len(node.input) > 1:
            place = self._place(node, scope, 2, len(values), len(values) + 1)
            values.insert(place, self.parts.value(node.input[1], scope, label))
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
        array = self.assembly.known(self.parts.value(node.input[index], scope, label))
        if array is None or array.size != 1 or array.dtype.kind != "i":
            raise UnsupportedOperator(f"{label}: a place that is not known is not supported")
        place = int(array.reshape(()))
        if not -count <= place < end:
            raise ModelError(f"{label}: the place {place} is outside of a sequence of {count}")
        return place + count if place < 0 else place

    def _joined(
        self, values: list[int], node: onnx.NodeProto, scope: Scope, attrs: dict[str, int]
    ) -> Sequence[Step]:
        axis = attrs.get("axis", 0)
        if attrs.get("new_axis", 0):
            shape = self.assembly.type(values[0]).shape
            if not -len(shape) - 1 <= axis <= len(shape):
                raise ModelError(f"{node_label(node)}: it has no axis {axis}")
            axis %= len(shape) + 1
            longer = (*shape[:axis], 1, *shape[axis:])
            if any(self.assembly.type(value).shape != shape for value in values):
                raise ModelError(f"{node_label(node)}: its tensors differ in shape")
            values = [self.assembly.view(value, longer) for value in values]
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
        size = shape[axis]
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
            raise UnsupportedOperator(f"{label}: sizes that are not known are not supported")
        sizes = [int(each) for each in array.reshape(-1)]
        if array.ndim == 0 and sizes[0] > 0:
            sizes = [min(sizes[0], size - i) for i in range(0, size, sizes[0])]
        if sum(sizes) != size or min(sizes) < 1:
            raise ModelError(f"{label}: it splits {size} elements into {sizes}")
        return sizes


def without_sequences(node: onnx.NodeProto, scope: Scope) -> tuple[onnx.NodeProto, list[str]]:
    """A Loop that keeps a tensor of each iteration where it appended this to an empty sequence;
    and the results that are its stacks.
    """
    body = next((a.g for a in node.attribute if a.name == "body"), onnx.GraphProto())
    found = {i: _fills(node, body, i, scope) for i in range(2, len(node.input))}
    filled = {i: insert for i, insert in found.items() if insert is not None}
    if not filled or len(body.output) < len(node.input) - 1:
        return node, []
    loop, new = onnx.NodeProto(), onnx.GraphProto()
    loop.CopyFrom(node)
    new.CopyFrom(body)
    drops = [i - 1 for i in filled]  # among the body's results
    names = list(node.output) + [""] * (len(body.output) - 1 - len(node.output))
    stacks = [names[i - 2] for i in filled]
    for field, items in (
        (loop.input, [n for i, n in enumerate(node.input) if i not in filled]),
        (loop.output, [n for i, n in enumerate(names) if i + 2 not in filled] + stacks),
        (new.input, [v for i, v in enumerate(body.input) if i not in filled]),
        (new.output, [v for i, v in enumerate(body.output) if i not in drops]),
        (new.node, [n for n in body.node if n not in filled.values()]),
    ):
        del field[:]
        field.extend(items)
    new.output.extend(onnx.ValueInfoProto(name=insert.input[1]) for insert in filled.values())
    del loop.attribute[:]
    loop.attribute.append(helper.make_attribute("body", new))
    return loop, stacks


def _fills(
    node: onnx.NodeProto, body: onnx.GraphProto, index: int, scope: Scope
) -> onnx.NodeProto | None:
    """The node of a body that appends to the sequence that a Loop carries as its input."""
    if scope.get(node.input[index]) != Listed(()) or index >= len(body.input):
        return None
    if index > len(body.output):
        return None
    name, result = body.input[index].name, body.output[index - 1].name
    readers = [each for each in body.node if name in reads(each) or result in reads(each)]
    if len(readers) != 1 or list(readers[0].output) != [result]:
        return None
    (insert,) = readers
    fits = insert.op_type == "SequenceInsert" and is_onnx(insert.domain)
    alone = len(insert.input) == 2 and insert.input[0] == name != insert.input[1]
    return insert if fits and alone else None
