"""Products of whole numbers, spelled for an engine whose own are not always exact.

ONNX Runtime multiplies numbers of 8 bits by an instruction that saturates (``vpmaddubsw``) where a
processor has no better one, with optimisations or without. Here sums are made of floats instead: of
float64 in matrix products, of float32, for which alone it has convolutions, in these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from luthier.frontend.onnx.scopes import inner_graphs

_FLOAT, _DOUBLE, _INT32 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32


def exact(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with such products in floats; itself, where it has none."""
    if not any(node.op_type in _SPELLED for node in _nodes(model.graph)):
        return model
    spelled = onnx.ModelProto()
    spelled.CopyFrom(model)
    _spell(spelled.graph, {})
    return spelled


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for inner in inner_graphs(node):
            yield from _nodes(inner)


class _Writer:
    """Nodes in place of one; ``shapes`` are those of constants, by name."""

    def __init__(self, node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.node, self.shapes, self.nodes = node, shapes, list[onnx.NodeProto]()

    def name(self, place: int) -> str:
        """An argument; empty where it is left out."""
        return str(self.node.input[place]) if len(self.node.input) > place else ""

    def emit(self, op: str, *inputs: str, out: str = "", **attrs: Any) -> str:
        """The result of a new node."""
        result = out or f"{self.node.output[0]}/exact {len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [result], **attrs))
        return result

    def constant(self, value: object, dtype: str) -> str:
        """A constant."""
        return self.emit("Constant", value=numpy_helper.from_array(np.asarray(value, dtype)))

    def shaped(self, name: str, *sizes: int) -> str:
        """A vector of more than one element, in another shape; any other value as it is."""
        if np.prod(self.shapes.get(name, ())) < 2 or len(self.shapes[name]) != 1:
            return name
        return self.emit("Reshape", name, self.constant(sizes, "int64"))

    def centred(self, value: str, zero: str, kind: int) -> str:
        """In floats, less a zero point."""
        wide = self.emit("Cast", value, to=kind)
        return self.emit("Sub", wide, self.emit("Cast", zero, to=kind)) if zero else wide

    def rescaled(self, total: str, scales: Sequence[str], zero: str, kind: int) -> None:
        """Times the first two scales, over the third, in steps: as the operator's result."""
        one, two, out = (self.emit("Cast", s, to=kind) for s in scales)
        factor = self.emit("Div", self.emit("Mul", one, two), out)
        scaled = self.emit("Cast", self.emit("Mul", total, factor), to=_FLOAT)
        unit = self.constant(1, "float32")
        self.emit("QuantizeLinear", scaled, unit, zero, out=self.node.output[0])


def _matmul(w: _Writer, places: Sequence[int]) -> str:
    a, b, za, zb = (w.name(place) for place in places)
    left = w.centred(a, w.shaped(za, -1, 1), _DOUBLE)
    return w.emit("MatMul", left, w.centred(b, zb, _DOUBLE))


def _conv(w: _Writer, places: Sequence[int]) -> str:
    x, weights, zx, zw = (w.name(place) for place in places)
    ones = [1] * (len(w.shapes.get(weights, (0,) * 4)) - 1)
    kept = {a.name: helper.get_attribute_value(a) for a in w.node.attribute}
    left = w.centred(x, zx, _FLOAT)
    return w.emit("Conv", left, w.centred(weights, w.shaped(zw, -1, *ones), _FLOAT), **kept)


def _matmul_integer(w: _Writer) -> None:
    w.emit("Cast", _matmul(w, (0, 1, 2, 3)), out=w.node.output[0], to=_INT32)


def _conv_integer(w: _Writer) -> None:
    w.emit("Cast", w.emit("Round", _conv(w, (0, 1, 2, 3))), out=w.node.output[0], to=_INT32)


def _qlinear_matmul(w: _Writer) -> None:
    total = _matmul(w, (0, 3, 2, 5))
    scales = (w.shaped(w.name(1), -1, 1), w.name(4), w.name(6))
    w.rescaled(total, scales, w.name(7), _DOUBLE)


def _qlinear_conv(w: _Writer) -> None:
    total = _conv(w, (0, 3, 2, 5))
    ones = [1] * (len(w.shapes.get(w.name(3), (0,) * 4)) - 2)
    if w.name(8):
        bias = w.emit("Cast", w.name(8), to=_FLOAT)
        total = w.emit("Add", total, w.emit("Reshape", bias, w.constant((-1, *ones), "int64")))
    scales = (w.name(1), w.shaped(w.name(4), -1, *ones), w.name(6))
    w.rescaled(total, scales, w.name(7), _FLOAT)


_SPELLED: Mapping[str, Callable[[_Writer], None]] = {
    "ConvInteger": _conv_integer,
    "MatMulInteger": _matmul_integer,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
}


def _spell(graph: onnx.GraphProto, outer: Mapping[str, tuple[int, ...]]) -> None:
    shapes = {**outer, **{t.name: tuple(t.dims) for t in graph.initializer}}
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        for inner in inner_graphs(node):
            _spell(inner, shapes)
        spell = _SPELLED.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if spell is None:
            graph.node.append(node)
            continue
        writer = _Writer(node, shapes)
        spell(writer)
        graph.node.extend(writer.nodes)
