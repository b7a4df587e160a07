"""Nodes whose results are as long as what they find at run time.

Each becomes a number that is computed, a size that it is from then on, and what is found.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from luthier.schedules import ModelError, Tensor, UnsupportedOperator, Workload
from luthier.schedules.ir.workload import node as operator
from luthier.schedules.ops.evaluate import evaluate

from ..graph import Array
from ..onnx.opset import node_label
from ..program import Call, Find, Step
from .assembly import Assembly
from .found_sizes import MOST_FOUND, FoundSizes
from .parts import Parts, Scope

N = helper.make_node
Found = tuple[Sequence[Step], int]
Results = tuple[Sequence[Step], Sequence[int]]


class Finding:
    """The steps of such nodes; those that look for the same in the same find it once."""

    def __init__(self, parts: Parts, assembly: Assembly, sizes: FoundSizes) -> None:
        self._parts, self._assembly, self._sizes = parts, assembly, sizes
        self._made: dict[tuple[object, ...], Sequence[int]] = {}

    def steps(self, node: onnx.NodeProto, scope: Scope) -> Sequence[Step]:
        """The steps of one; its results go into ``scope``."""
        label = node_label(node)
        if len(scope.maps) > 2:
            raise UnsupportedOperator(
                f"{label}: a size that is found in a loop or branch is not supported"
            )
        values = [self._parts.value(name, scope, label) if name else -1 for name in node.input]
        attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        key = (node.op_type, *values, repr(sorted(attrs.items())))
        steps: Sequence[Step] = ()
        if key not in self._made:
            steps, self._made[key] = self._results(node, values, attrs, label)
        named = zip(node.output, self._made[key], strict=False)
        scope.update((name, result) for name, result in named if name)
        return steps

    def _results(
        self, node: onnx.NodeProto, values: Sequence[int], attrs: Any, label: str
    ) -> Results:
        if node.op_type == "Unique":
            output = next((name for name in node.output if name), "")
            return self._unique(values, attrs, output, label)
        makers = {"NonZero": self._nonzero, "Compress": self._compress}
        make = makers.get(node.op_type, self._suppress)
        steps, result = make(values, attrs, node.output[0], label)
        return steps, (result,)

    def _nonzero(self, values: Sequence[int], attrs: Any, output: str, label: str) -> Found:
        if len(values) != 1:
            raise ModelError(f"{label}: it has {len(values)} inputs")
        return self._places(values[0], output, label)

    def _compress(self, values: Sequence[int], attrs: Any, output: str, label: str) -> Found:
        """What is taken along an axis, or of all elements, where the condition is not zero."""
        if len(values) != 2:
            raise ModelError(f"{label}: it has {len(values)} inputs")
        x, condition = values
        source, flags = self._assembly.type(x), self._assembly.type(condition)
        rank, axis = len(source.shape), attrs.get("axis")
        if axis is None:
            x, axis, rank = self._assembly.view(x, (source.size,)), 0, 1
        if not isinstance(axis, int) or not -rank <= axis < rank:
            raise ModelError(f"{label}: the axis {axis} is outside of {rank} dimensions")
        length = self._assembly.type(x).shape[axis]
        if flags.dtype != "bool" or len(flags.shape) != 1 or flags.shape[0] > length:
            raise ModelError(f"{label}: its condition is {flags}, along {length} elements")
        steps, places = self._places(condition, output, label)
        indices = self._assembly.view(places, self._assembly.type(places).shape[1:])
        inner = {"x": x, "indices": indices}
        gather = N("Gather", ["x", "indices"], ["y"], name=output, axis=axis)
        more, result = self._straight([gather], inner, "y", label)
        return (*steps, *more), result

    def _unique(self, values: Sequence[int], attrs: Any, output: str, label: str) -> Results:
        """The values there are, where each is first, which each element is, how often each is.

        Of slices along an axis, where one is given, else of all elements.
        """
        if len(values) != 1 or values[0] < 0:
            raise ModelError(f"{label}: it has {len(values)} inputs")
        x, axis = values[0], attrs.get("axis")
        tensor = self._assembly.type(x)
        rank = len(tensor.shape)
        if not tensor.size:
            shape = list(tensor.shape)
            raise ModelError(f"{label}: what it reads has no elements (shape {shape})")
        if axis is None:
            x, axis, rank = self._assembly.view(x, (tensor.size,)), 0, 1
        if not isinstance(axis, int) or not -rank <= axis < rank:
            raise ModelError(f"{label}: the axis {axis} is outside of {rank} dimensions")
        axis, length = axis % rank, self._assembly.type(x).shape[axis]
        if length > MOST_FOUND:
            self._sizes.add(output, length, label)  # which refuses it
        known = self._assembly.known(x)
        if known is not None:
            return (), tuple(map(self._assembly.constant, _distinct(known, axis, attrs)))
        order = [axis, *(i for i in range(rank) if i != axis)]
        turn = N("Transpose", ["x"], ["turned"], name=output, perm=order)
        first, turned = self._straight([turn], {"x": x}, "turned", label)
        matrix = self._assembly.view(turned, (length, tensor.size // length))
        out = Tensor((3, length), "int64")
        found = self._assembly.value(out, f"{label}: its result")
        node = operator("distinct", (0,), out, sorted=bool(attrs.get("sorted", 1)))
        search = Call(
            Workload((self._assembly.type(matrix),), (False,), (node,)), (matrix,), found, label
        )
        counting = [
            N("Gather", ["found", "two"], ["times"], name=output, axis=0),
            N("Cast", ["times"], ["there"], name=output, to=TensorProto.BOOL),
            N("Cast", ["there"], ["ones"], name=output, to=TensorProto.INT64),
            N("ReduceSum", ["ones"], ["count"], name=output, keepdims=0),
        ]
        number = {"two": self._assembly.constant(np.array(2)), "found": found}
        more, count = self._straight(counting, number, "count", label)
        name, size = self._sizes.add(output, length, label)
        cuts, (places, times) = self._beginnings(found, (1, 2), size, label)
        gather = N("Gather", ["x", "places"], ["y"], name=output, axis=axis)
        chosen, result = self._straight([gather], {"x": x, "places": places}, "y", label)
        row = N("Gather", ["found", "zero"], ["y"], name=output, axis=0)
        zero = self._assembly.constant(np.array(0))
        last, numbers = self._straight([row], {"found": found, "zero": zero}, "y", label)
        steps = (*first, search, *more, Find(name, count, label), *cuts, *chosen, *last)
        return steps, (result, places, numbers, times)

    def _beginnings(self, x: int, rows: Sequence[int], size: int, label: str) -> Results:
        """As many of the first elements of some rows as were found."""
        tensor, steps, results = self._assembly.type(x), list[Step](), list[int]()
        for row in rows:
            out = Tensor((1, size), tensor.dtype)
            result = self._assembly.value(out, f"{label}: its result")
            cut = operator("slice", (0,), out, begin=(row, 0), steps=(1, 1))
            steps.append(Call(Workload((tensor,), (False,), (cut,)), (x,), result, label))
            results.append(self._assembly.view(result, (size,)))
        return steps, results

    def _suppress(self, values: Sequence[int], attrs: Any, output: str, label: str) -> Found:
        """A row for each box that is left: its batch, its class, its number."""
        values = [*values, -1, -1, -1][: max(5, len(values))]
        if len(values) != 5 or min(values[:2]) < 0:
            raise ModelError(f"{label}: it has no boxes and scores")
        boxes, scores = (self._assembly.type(value) for value in values[:2])
        fits = len(boxes.shape) == len(scores.shape) == 3 and boxes.shape[2] == 4
        fits = fits and (boxes.shape[0], boxes.shape[1]) == (scores.shape[0], scores.shape[2])
        if not fits or {boxes.dtype, scores.dtype} != {"float32"}:
            raise ModelError(f"{label}: its boxes are {boxes}, its scores {scores}")
        if not boxes.size or not scores.size:
            return (), self._assembly.constant(np.zeros((0, 3), np.int64))
        has_threshold = values[4] >= 0
        numbers: tuple[Array, ...] = (
            np.zeros(1, np.int64),
            np.zeros(1, np.float32),
            np.zeros(1, np.float32),
        )
        for i, number in enumerate(numbers, start=2):
            if values[i] < 0:
                values[i] = self._assembly.constant(number)
            self._parts.known(values[i], str(number.dtype), label)
            values[i] = self._assembly.view(values[i], (1,))
        wanted = self._parts.known(values[2], "int64", label)
        room = boxes.shape[1] if wanted is None else min(int(wanted), boxes.shape[1])
        if room < 1:
            return (), self._assembly.constant(np.zeros((0, 3), np.int64))
        out = Tensor((*scores.shape[:2], room), "int64")
        selected = self._assembly.value(out, f"{label}: its result")
        kinds = {"center": bool(attrs.get("center_point_box", 0)), "threshold": has_threshold}
        inputs = tuple(map(self._assembly.type, values))
        workload = Workload(
            inputs, (False,) * 5, (operator("suppress", (0, 1, 2, 3, 4), out, **kinds),)
        )
        there, mask = self._straight(
            [N("Greater", ["x", "none"], ["mask"], name=output)],
            {"x": selected, "none": self._assembly.constant(np.array(-1))},
            "mask",
            label,
        )
        search, places = self._places(mask, output, label)
        pair = self._assembly.constant(np.array([0, 1]))
        column = self._assembly.constant(np.array([-1, 1]))
        nodes = [
            N("Transpose", ["places"], ["rows"], name=output, perm=[1, 0]),
            N("Gather", ["rows", "pair"], ["owners"], name=output, axis=1),
            N("GatherND", ["x", "rows"], ["boxes"], name=output),
            N("Reshape", ["boxes", "column"], ["numbers"], name=output),
            N("Concat", ["owners", "numbers"], ["y"], name=output, axis=1),
        ]
        given = {"places": places, "pair": pair, "x": selected, "column": column}
        rows, result = self._straight(nodes, given, "y", label)
        call = Call(workload, tuple(values), selected, label)
        return (call, *there, *search, *rows), result

    def _places(self, x: int, output: str, label: str) -> Found:
        """The coordinates of what is not zero, a row for each dimension."""
        tensor, known = self._assembly.type(x), self._assembly.known(x)
        if not tensor.size:
            known = np.zeros(tensor.shape, bool)
        if known is not None:
            found = np.array(np.nonzero(np.atleast_1d(known)), np.int64)
            return (), self._assembly.constant(found)
        if not tensor.shape:
            raise UnsupportedOperator(f"{label}: one number without dimensions is not supported")
        nodes = [
            N("Cast", ["x"], ["flags"], name=output, to=TensorProto.BOOL),
            N("Cast", ["flags"], ["ones"], name=output, to=TensorProto.INT64),
            N("ReduceSum", ["ones"], ["count"], name=output, keepdims=0),
        ]
        steps, count = self._straight(nodes, {"x": x}, "count", label)
        name, size = self._sizes.add(output, tensor.size, label)
        out = Tensor((len(tensor.shape), size), "int64")
        result = self._assembly.value(out, f"{label}: its result")
        workload = Workload((tensor,), (False,), (operator("nonzero", (0,), out),))
        return (*steps, Find(name, count, label), Call(workload, (x,), result, label)), result

    def _straight(
        self, nodes: Sequence[onnx.NodeProto], values: dict[str, int], wanted: str, label: str
    ) -> Found:
        """The steps of nodes over values, and their result."""
        scope: Scope = ChainMap({}, {}, dict(values))
        steps = self._parts.steps(nodes, [wanted], scope)
        return steps, self._parts.value(wanted, scope, label)


def _distinct(x: Array, axis: int, attrs: Mapping[str, Any]) -> tuple[Array, ...]:
    """What ``Unique`` gives of a constant."""
    matrix = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
    out = Tensor((3, x.shape[axis]), "int64")
    node = operator("distinct", (0,), out, sorted=bool(attrs.get("sorted", 1)))
    numbers, places, times = evaluate(node, [matrix])
    count = int(np.count_nonzero(times))
    return np.take(x, places[:count], axis), places[:count], numbers, times[:count]
