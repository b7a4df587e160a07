"""``Scan`` spelled as ``Loop``: the body takes its slices by the number of the iteration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import ModelError, Tensor, UnsupportedOperator

from ..onnx.opset import attributes_of, node_label
from ..onnx.scopes import defined_in, every_node, inner_graphs

TypeOf = Callable[[str], Tensor]
_N = helper.make_node
_AXES = "scan_input_axes"  # which the operator has since operator set 9


@dataclass(frozen=True)
class Spelled:
    """A graph of a node's results, of which those in ``axes`` have what was kept along the first
    dimension, and should have it along another.
    """

    graph: onnx.GraphProto
    axes: Mapping[str, int] = field(default_factory=dict)


def as_loop(node: onnx.NodeProto, opset: int, type_of: TypeOf) -> Spelled:
    """The node by others; raises ModelError and UnsupportedOperator."""
    of_batches = opset < 9 and all(a.name != _AXES for a in node.attribute)
    return _batched(node, type_of) if of_batches else _Scan(node, type_of).spelled()


def _is_wide_first(tensor: Tensor) -> bool:
    """Whether elements are of a type that no Gather takes: these are float32 in between."""
    return tensor.element.is_narrow and tensor.dtype != "bfloat16"


def _cast(before: str, after: str, to: int) -> onnx.NodeProto:
    return _N("Cast", [before], [after], to=to)


class _Scan:
    """A node since operator set 9."""

    def __init__(self, node: onnx.NodeProto, type_of: TypeOf) -> None:
        attrs = attributes_of(node)
        body = attrs.get("body")
        if not isinstance(body, onnx.GraphProto):
            raise ModelError(f"{node_label(node)}: it has no body")
        count = _count(node)
        states, given = len(node.input) - count, len(node.output)
        fits = len(body.input) == len(node.input) and given <= len(body.output)
        if count < 1 or states < 0 or not fits or states > len(body.output):
            raise ModelError(f"{node_label(node)}: its body does not take what it is given")
        self.node, self.body = node, body
        self.states = states
        self.kept = len(body.output) - states
        self.types = [type_of(name) for name in node.input[states:]]
        self.fresh = _Fresh(node)

    def spelled(self) -> Spelled:
        """The loop, and nodes that turn what it kept around."""
        trips = self._trips()
        times = self.fresh("iterations")
        constants = [numpy_helper.from_array(np.array(trips), times)]
        names = self.node.input[self.states :]
        outer = [self.fresh(name) for name in names]  # the body may have values of these names
        nodes = [
            _cast(a, b, TensorProto.FLOAT) if _is_wide_first(tensor) else _N("Identity", [a], [b])
            for a, b, tensor in zip(names, outer, self.types, strict=True)
        ]
        loop = _N("Loop", [times, "", *self.node.input[: self.states]], [], self.node.name)
        loop.attribute.append(helper.make_attribute("body", self._body(trips, outer)))
        loop.output.extend(self.node.output[: self.states])
        kept = self.node.output[self.states :]
        for name, back in zip(kept, self._turned("output", self.kept), strict=False):
            if not (name and back):
                loop.output.append(name)
                continue
            order, forth = self.fresh("order"), self.fresh(name)
            constants.append(numpy_helper.from_array(np.arange(trips)[::-1].copy(), order))
            nodes.append(_N("Gather", [forth, order], [name], axis=0))
            loop.output.append(forth)
        nodes.insert(len(names), loop)
        axes = zip(kept, self._numbers("output_axes", self.kept), strict=False)
        return Spelled(_graph(nodes, constants), {n: axis for n, axis in axes if n and axis})

    def _trips(self) -> int:
        axes = self._numbers("input_axes", len(self.types))
        sizes = set()
        for tensor, axis in zip(self.types, axes, strict=True):
            rank = len(tensor.shape)
            if not -rank <= axis < rank:
                raise ModelError(
                    f"{node_label(self.node)}: the axis {axis} is outside of {rank} dimensions"
                )
            sizes.add(tensor.shape[axis])
        if len(sizes) > 1:
            raise ModelError(
                f"{node_label(self.node)}: it scans {' and '.join(map(str, sorted(sizes)))} "
                "elements at once"
            )
        return sizes.pop()

    def _body(self, trips: int, outer: Sequence[str]) -> onnx.GraphProto:
        number, on, last = (self.fresh(name) for name in ("number", "on", "last"))
        back = self.fresh("back")
        nodes = [_N("Sub", [last, number], [back])]
        axes = self._numbers("input_axes", len(self.types))
        turned = self._turned("input", len(self.types))
        scanned = self.body.input[self.states :]
        slices = zip(outer, scanned, axes, turned, self.types, strict=True)
        for name, inner, axis, backwards, tensor in slices:
            place = back if backwards else number
            wide = self.fresh(inner.name) if _is_wide_first(tensor) else inner.name
            nodes.append(_N("Gather", [name, place], [wide], axis=axis))
            if wide != inner.name:
                element = helper.np_dtype_to_tensor_dtype(tensor.element.numpy)
                nodes.append(_cast(wide, inner.name, element))
        body = onnx.GraphProto(name=self.body.name or "body")
        body.node.extend([*nodes, *self.body.node])
        body.initializer.extend(self.body.initializer)
        body.initializer.append(numpy_helper.from_array(np.array(trips - 1), last))
        body.input.append(helper.make_tensor_value_info(number, TensorProto.INT64, []))
        body.input.append(helper.make_tensor_value_info(on, TensorProto.BOOL, []))
        body.input.extend(self.body.input[: self.states])
        body.output.append(helper.make_tensor_value_info(on, TensorProto.BOOL, []))
        body.output.extend(self.body.output)
        return body

    def _numbers(self, name: str, count: int) -> list[int]:
        return self._listed(f"scan_{name}", count)

    def _turned(self, kind: str, count: int) -> list[bool]:
        return [bool(number) for number in self._listed(f"scan_{kind}_directions", count)]

    def _listed(self, name: str, count: int) -> list[int]:
        found = _numbers(self.node, name, count)
        if len(found) != count:
            raise ModelError(f"{node_label(self.node)}: its '{name}' are {len(found)}, not {count}")
        return found


def _count(node: onnx.NodeProto) -> int:
    """How many inputs it scans."""
    return next((a.i for a in node.attribute if a.name == "num_scan_inputs"), 0)


def _numbers(node: onnx.NodeProto, name: str, count: int) -> list[int]:
    """An attribute of whole numbers; as many zeros where there is none."""
    return next((list(a.ints) for a in node.attribute if a.name == name), [0] * count)


def _batched(node: onnx.NodeProto, type_of: TypeOf) -> Spelled:
    """A node of operator set 8, which does the same for each sequence of a batch."""
    if node.input and node.input[0]:
        raise UnsupportedOperator(f"{node_label(node)}: lengths of sequences are not supported")
    attrs = attributes_of(node)
    count, outer = _count(node), list(node.input[1:])
    sizes = {type_of(name).shape[:1] for name in outer}
    fits = 0 <= count <= len(outer) and isinstance(attrs.get("body"), onnx.GraphProto)
    if len(sizes) != 1 or () in sizes or not fits:
        raise ModelError(f"{node_label(node)}: its arguments are not batches of one size")
    fresh = _Fresh(node)
    inner = [fresh(name) for name in outer]
    results = [fresh(name) for name in node.output]
    number, on, times = fresh("sequence"), fresh("on"), fresh("sequences")
    scan = _N("Scan", inner, results, node.name, body=attrs["body"], num_scan_inputs=count)
    turned = _numbers(node, "directions", count)
    scan.attribute.append(helper.make_attribute("scan_input_directions", turned))
    scan.attribute.append(helper.make_attribute(_AXES, [0] * count))
    parts = [_N("Gather", [a, number], [b], axis=0) for a, b in zip(outer, inner, strict=True)]
    body = onnx.GraphProto(name="sequence", node=[*parts, scan])
    body.input.append(helper.make_tensor_value_info(number, TensorProto.INT64, []))
    body.input.append(helper.make_tensor_value_info(on, TensorProto.BOOL, []))
    body.output.append(helper.make_tensor_value_info(on, TensorProto.BOOL, []))
    body.output.extend(onnx.ValueInfoProto(name=name) for name in results)
    loop = _N("Loop", [times, ""], list(node.output), node.name, body=body)
    batch = numpy_helper.from_array(np.array(sizes.pop()[0]), times)
    return Spelled(_graph([loop], [batch]))


def _graph(nodes: Sequence[onnx.NodeProto], tensors: Sequence[TensorProto]) -> onnx.GraphProto:
    return onnx.GraphProto(node=nodes, initializer=tensors)


class _Fresh:
    """Names that no value has which the node or a graph inside of it names."""

    def __init__(self, node: onnx.NodeProto) -> None:
        graphs = [graph for each in every_node([node]) for graph in inner_graphs(each)]
        self._used = {*node.input, *node.output}.union(*map(defined_in, graphs))
        self._used.update(name for each in every_node([node]) for name in each.input)
        self._numbers = count()

    def __call__(self, name: str) -> str:
        found = f"{name}/{next(self._numbers)}"
        while found in self._used:
            found += "'"
        return found
