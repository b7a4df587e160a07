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

from luthier.schedules import ModelError, Tensor, Workload
from luthier.schedules.ir.workload import node as operator
from luthier.schedules.ops.evaluate import evaluate

from ..graph import Array
from ..onnx.opset import attributes_of, node_label
from ..program import Call, Expect, Find, Step
from .assembly import Assembly
from .found_sizes import MOST_FOUND, FoundInsideError, FoundSizes
from .origins import COUNT, Element, Origin, spread_from
from .parts import Parts, Scope, may_find
from .spelled import OPSET

N = helper.make_node
_OWN = "finder: "  # begins the names of values that are not the model's
Found = tuple[Sequence[Step], int]
Results = tuple[Sequence[Step], Sequence[int]]
_MOST_WANTED = 4096  # boxes for which there is room, however many there are


class Finding:
    """The steps of such nodes; those that look for the same in the same find it once."""

    def __init__(self, parts: Parts, assembly: Assembly, sizes: FoundSizes) -> None:
        self._parts, self._assembly, self._sizes = parts, assembly, sizes

    def steps(
        self, node: onnx.NodeProto, scope: Scope, made: Mapping[str, onnx.NodeProto]
    ) -> Sequence[Step]:
        """The steps of one; its results go into ``scope``. ``made`` are the nodes of values."""
        label = node_label(node)
        if not may_find(scope, self._sizes):
            raise FoundInsideError(label, node)
        values = [self._parts.value(name, scope, label) if name else -1 for name in node.input]
        attrs = attributes_of(node)
        key = (node.op_type, *values, repr(sorted(attrs.items())))
        steps: Sequence[Step] = ()
        searches = self._sizes.searches
        if key not in searches:
            name = spread_from(node.input[0], made) if node.input else ""
            held = scope.get(name)
            origin = Element(name, COUNT).apart(held) if isinstance(held, int) else None
            of = held if isinstance(held, int) else values[0]
            steps, searches[key] = self._results(node, values, attrs, label, origin, of)
        named = zip(node.output, searches[key], strict=False)
        scope.update((name, result) for name, result in named if name)
        return steps

    def _results(
        self,
        node: onnx.NodeProto,
        values: Sequence[int],
        attrs: Any,
        label: str,
        origin: Origin | None,
        of: int,
    ) -> Results:
        if node.op_type == "Unique":
            output = next((name for name in node.output if name), "")
            return self._unique(values, attrs, output, label)
        if node.op_type == "NonZero":
            if len(values) != 1:
                raise ModelError(f"{label}: it has {len(values)} inputs")
            # What counts the same truths elsewhere finds the same size; each may stand for more.
            whole, own = (self._assembly.type(value) for value in (values[0], of))
            counts = own.dtype == "bool" and own.size > 0 and whole.size % own.size == 0
            steps, result = (
                self._places(values[0], node.output[0], label, origin, whole.size // own.size)
                if counts
                else self._places(values[0], node.output[0], label)
            )
            return steps, (result,)
        make = self._compress if node.op_type == "Compress" else self._suppress
        steps, result = make(values, attrs, node.output[0], label)
        return steps, (result,)

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
        if axis is None:
            x, axis, rank = self._assembly.view(x, (tensor.size,)), 0, 1
        if not isinstance(axis, int) or not -rank <= axis < rank:
            raise ModelError(f"{label}: the axis {axis} is outside of {rank} dimensions")
        tensor = self._assembly.type(x)
        axis, length = axis % rank, tensor.shape[axis]
        if length > MOST_FOUND:
            self._sizes.add(output, length, label)  # which refuses it
        known = self._assembly.known(x)
        if not tensor.size:
            known = np.zeros(tensor.shape, tensor.dtype)
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
        name, size = self._sizes.add(output, length, label, least=1)
        self._sizes.be_sure([name])
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
        room = self._room(None if wanted is None else int(wanted), boxes.shape[1])
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

    def _room(self, wanted: int | None, boxes: int) -> int:
        """How many boxes may be left of a class. Where there may be more or fewer of them, it is
        what is wanted, unless that is many: so programs of several sizes are alike."""
        if wanted is None:
            return boxes
        varies = bool(self._sizes.symbols or self._sizes.given)
        return wanted if varies and 0 < wanted <= _MOST_WANTED else min(wanted, boxes)

    def _places(
        self, x: int, output: str, label: str, origin: Origin | None = None, times: int = 1
    ) -> Found:
        """The coordinates of what is not zero, a row for each dimension: ``times`` as many as what
        is found, of which ``origin`` tells."""
        tensor, known = self._assembly.type(x), self._assembly.known(x)
        if not tensor.size:
            known = np.zeros(tensor.shape, bool)
            self._sizes.none(output, label)
        if known is not None:
            found = np.array(np.nonzero(np.atleast_1d(known)), np.int64)
            return (), self._assembly.constant(found)
        if not tensor.shape:  # a number alone is a list of one, as ONNX Runtime has it
            x = self._assembly.view(x, (1,))
            tensor = self._assembly.type(x)
        nodes = [
            N("Cast", ["x"], ["flags"], name=output, to=TensorProto.BOOL),
            N("Cast", ["flags"], ["ones"], name=output, to=TensorProto.INT64),
            N("ReduceSum", ["ones"], ["count"], name=output, keepdims=0),
        ]
        given, counted = {"x": x}, "count"
        if times > 1:
            given["times"], counted = self._assembly.constant(np.array(times)), "each"
            nodes.append(N("Div", ["count", "times"], [counted], name=output))
        steps, count = self._straight(nodes, given, counted, label)
        name, asked = self._sizes.of(origin), list[Step](steps)
        if name:
            size = self._sizes.number(name)
            wants = self._assembly.table(f"{output} of {x}/count", np.array(size))
            asked.append(Expect(count, wants, "how many of its elements are not 0:", label))
        else:
            name, size = self._sizes.add(output, tensor.size // times, label, origin)
            self._sizes.be_sure([name])
            asked.append(Find(name, count, label))
        out = Tensor((len(tensor.shape), times * size), "int64")
        result = self._assembly.value(out, f"{label}: its result")
        workload = Workload((tensor,), (False,), (operator("nonzero", (0,), out),))
        return (*asked, Call(workload, (x,), result, label)), result

    def _straight(
        self, nodes: Sequence[onnx.NodeProto], values: dict[str, int], wanted: str, label: str
    ) -> Found:
        """The steps of nodes over values, and their result. What imports note of the model's own
        values is told by name, and none has such a one as these get."""
        own = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        for node in own:
            node.input[:] = [f"{_OWN}{name}" for name in node.input]
            node.output[:] = [f"{_OWN}{name}" for name in node.output]
        scope: Scope = ChainMap({}, {}, {f"{_OWN}{name}": v for name, v in values.items()})
        steps = self._parts.steps(own, [_OWN + wanted], scope, OPSET)
        return steps, self._parts.value(_OWN + wanted, scope, label)


def _distinct(x: Array, axis: int, attrs: Mapping[str, Any]) -> tuple[Array, ...]:
    """What ``Unique`` gives of a constant; slices without elements are one and the same."""
    if not x.size:
        length = x.shape[axis]
        places = np.zeros(min(length, 1), np.int64)
        times = np.full(places.shape, length)
        return np.take(x, places, axis), places, np.zeros(length, np.int64), times
    matrix = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
    out = Tensor((3, x.shape[axis]), "int64")
    node = operator("distinct", (0,), out, sorted=bool(attrs.get("sorted", 1)))
    numbers, places, times = evaluate(node, [matrix])
    count = int(np.count_nonzero(times))
    return np.take(x, places[:count], axis), places[:count], numbers, times[:count]
