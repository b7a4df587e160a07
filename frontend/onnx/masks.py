"""Masks that say where elements of a source go, one after the other: ``x[mask] = source``.

Exporters spell it by the places where a mask is true, of which there are as many as a run finds.
Spelled by a running count of the mask it needs no such size, so it may be in loops and branches,
beside states, and under any number of truths.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

from .given import light_types
from .opset import attributes_of, opset_of
from .scopes import every_node, inner_graphs
from .spellings import Made, Reading, Writing, is_operator

_OLDEST = 13  # the operator set in which all that is written here has these forms
_MOST = 8  # dimensions, and numbers in a constant that is looked at
_JOINED = {"none": "", "add": "Add", "mul": "Mul", "max": "Max", "min": "Min"}
_NEVER, _DEEPEST = 1 << 40, 16  # elements; nodes one after the other
_VIEWS = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze")

Sizes: TypeAlias = Callable[[], Mapping[str, Sequence[str | int]]]
"""Of the main graph's values, by numbers and names of sizes, "" or 0 where nothing tells them."""


def without_masks(model: onnx.ModelProto) -> None:
    """Spell such nodes of all graphs in place, where they are found."""
    nodes = every_node(model.graph.node)
    if opset_of(model) >= _OLDEST and any(is_operator(node, "ScatterND") for node in nodes):

        @cache
        def sizes() -> Mapping[str, Sequence[str | int]]:
            found = light_types(model, declared=False)
            return {name: _dims(kind.tensor_type.shape) for name, kind in found.items()}

        _rewrite(model.graph, ChainMap(), sizes)


def _dims(shape: onnx.TensorShapeProto) -> Sequence[str | int]:
    return [dim.dim_param or dim.dim_value for dim in shape.dim]


def _rewrite(graph: onnx.GraphProto, around: ChainMap[str, Made], sizes: Sizes) -> None:
    own: dict[str, Made] = {value.name: None for value in graph.input}
    own |= {tensor.name: tensor for tensor in graph.initializer}
    own |= {name: node for node in graph.node for name in node.output if name}
    made = around.new_child(own)
    for node in graph.node:
        for inner in inner_graphs(node):
            _rewrite(inner, made, sizes)
    reading = _Reading(made, sizes)
    written = [reading.spelled(node) for node in graph.node]
    if any(written):
        nodes = [
            each for node, own in zip(graph.node, written, strict=True) for each in own or [node]
        ]
        copied = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copied)


class _Reading(Reading):
    """``sizes`` tells those of values."""

    def __init__(self, made: Mapping[str, Made], sizes: Sizes) -> None:
        super().__init__(made)
        self._sizes = sizes

    def spelled(self, node: NodeProto) -> Sequence[NodeProto]:
        """The nodes in place of one that scatters what a mask takes, none for another."""
        if not is_operator(node, "ScatterND") or len(node.input) != 3:
            return ()
        data, indices, updates = node.input
        mask = self.mask(indices)
        joined = _JOINED.get(attributes_of(node).get("reduction", b"none").decode())
        if not mask or joined is None or not self._covers(mask, data):
            return ()
        write = _Writing(node)
        if source := self._cut(updates, indices):
            return write.scattered(data, mask, source, joined)
        source = self._spread(updates, indices, mask, write)
        return write.scattered(data, mask, source, joined, spread=True) if source else ()

    def _covers(self, mask: str, data: str) -> bool:
        """Whether a mask is sure to have the shape of the data: others may scatter into a part."""
        spread = self.node(mask, "Expand")
        shape = None if spread is None else self.node(spread.input[1], "Shape")
        if shape is not None and shape.input[0] == data:
            attrs = attributes_of(shape)
            return not attrs.get("start", 0) and "end" not in attrs
        sizes = self._sizes()
        of_mask = sizes.get(mask, ())
        return all(of_mask) and bool(of_mask) and of_mask == sizes.get(data)

    def _cut(self, updates: str, indices: str) -> str:
        """The source of which ``updates`` are the first, as many as there are places."""
        cut = self.node(updates, "Slice")
        if cut is None:
            return ""
        begin, end, axes, steps = [*cut.input[1:], "", ""][:4]
        fits = self._numbers(begin) == [0] and (not axes or self._numbers(axes) == [0])
        fits = fits and (not steps or self._numbers(steps) == [1])
        return cut.input[0] if fits and self._counts_places(end, indices) else ""

    def _spread(self, updates: str, indices: str, mask: str, write: _Writing) -> str:
        """A source whose rows ``updates`` are, or whose one row is all of these."""
        flat = self.node(updates, "Reshape")
        if flat is not None and self._numbers(flat.input[1]) == [-1]:
            updates = flat.input[0]
        spread = self.node(updates, "Expand")
        if spread is None:
            return ""
        shape = self.node(spread.input[1], "Concat")
        sizes = [spread.input[1]] if shape is None else list(shape.input)
        if not self._counts_places(sizes[0], indices) and not self._counts_truths(sizes[0], mask):
            return ""
        one = write.constant([1])
        rows = write("Concat", one, *sizes[1:], axis=0) if sizes[1:] else one
        return write("Expand", spread.input[0], rows)

    def _counts_places(self, name: str, indices: str) -> bool:
        """Whether a number is how many places there are."""
        node = self.node(self._viewed(name), "Gather")
        if node is None or self._numbers(node.input[1]) != [0]:
            return False
        shape = self.node(node.input[0], "Shape")
        begins = shape is not None and not attributes_of(shape).get("start", 0)
        return shape is not None and begins and shape.input[0] == indices

    def _counts_truths(self, name: str, mask: str) -> bool:
        """Whether a number is how many truths a mask has, or had before it was spread over rows."""
        node = self.node(self._viewed(name), "ReduceSum")
        if (
            node is None
            or any(node.input[1:])
            or attributes_of(node).get("noop_with_empty_axes", 0)
        ):
            return False
        spread, counted = self.node(mask, "Expand"), self._viewed(node.input[0])
        return counted in {
            self._viewed(each) for each in (mask, *(spread.input[:1] if spread else ()))
        }

    def _viewed(self, name: str) -> str:
        """The value of which one has all elements, as another type and in another shape."""
        for _ in range(_DEEPEST):
            node = self.node(name, *_VIEWS)
            if node is None:
                break
            name = node.input[0]
        return name

    def _numbers(self, name: str) -> list[int] | None:
        """The whole numbers of a constant, where they are few."""
        known = self.constant(name, _MOST)
        if known is None or known.dtype not in (np.int32, np.int64):
            return None
        numbers: list[int] = known.ravel().tolist()
        return numbers


class _Writing(Writing):
    """The nodes that take the place of one."""

    def __init__(self, node: NodeProto) -> None:
        super().__init__("masked")
        self._node = node

    def __call__(self, operator: str, *inputs: str, **attrs: Any) -> str:
        return self.write(self._node, operator, *inputs, **attrs)

    def constant(self, numbers: Sequence[int]) -> str:
        """Whole numbers."""
        return self("Constant", value=numpy_helper.from_array(np.array(numbers, np.int64)))

    def scattered(
        self, data: str, mask: str, source: str, joined: str, *, spread: bool = False
    ) -> Sequence[NodeProto]:
        """Where the mask is true, the source's next row, or what it is ``joined`` to.

        A row has as many elements as the data has for each of the mask's. Where the source has one
        row alone, and is ``spread``, it begins anew at its end.
        """
        zero, one = self.constant([0]), self.constant([1])
        flags = self("Cast", self("Reshape", mask, self.constant([-1])), to=TensorProto.BOOL)
        rows = self("Shape", flags)
        each = self("Div", self("Size", data), self("Max", rows, one))
        columns = self("Max", each, one)
        counts = self("CumSum", self("Cast", flags, to=TensorProto.INT64), zero)
        place = self("Max", self("Sub", counts, one), zero)
        if spread:
            count = self("Gather", self("Shape", source), zero)
            several = self("Max", self("Min", self("Sub", count, one), one), zero)
            again = self("Mul", self("Sub", one, several), self("Size", source))
            never = self("Mul", several, self.constant([_NEVER]))
            place = self("Mod", place, self("Max", self("Add", again, never), one))
        table = self("Reshape", source, self("Concat", self.constant([-1]), columns, axis=0))
        given = self("Reshape", data, self("Concat", rows, columns, axis=0))
        # Where the source has nothing there are still rows to read: the data's own.
        has = self("Min", self("Gather", self("Shape", table), zero), one)
        lacking = self("Mul", self("Sub", one, has), rows)
        table = self("Concat", table, self("Slice", given, zero, lacking, zero), axis=0)
        taken = self("Gather", table, place)
        if joined:
            taken = self(joined, given, taken)
        result = self("Where", self("Unsqueeze", flags, one), taken, given)
        self("Reshape", result, self("Shape", data), result=self._node.output[0])
        return self.nodes
