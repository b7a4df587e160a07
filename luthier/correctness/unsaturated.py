"""Products of whole numbers that ONNX Runtime computes exactly, whatever the processor.

Without instructions for it (VNNI), its own kernels add pairs of products up in 16 bits, which
saturate. As a reference it runs what means the same: products in int32, and convolutions of what
the numbers stand for, in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
from onnx import TensorProto, helper

from luthier.frontend.onnx.opset import attributes_of, is_onnx

_EXACT = 2**24  # float32 has all whole numbers up to it
_AXES_SINCE = 13  # operator set in which scales may lie along an axis


def unsaturated(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model with other nodes for products of whole numbers of 8 bits, where these are plain."""
    if not any(node.op_type in _WRITERS for node in model.graph.node):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    rewriter = _Rewriter(model)
    for node in model.graph.node:
        copy.graph.node.extend(rewriter.written(node))
    return copy


@dataclass
class _Rewriter:
    """Shapes are those of initializers; a scale of a run is one number."""

    model: onnx.ModelProto
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        graph = self.model.graph
        self.shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        self.made = {name: node.op_type for node in graph.node for name in node.output}
        sets = [each.version for each in self.model.opset_import if is_onnx(each.domain)]
        self.opset = max(sets, default=1)

    def written(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """What stands for a node: itself where it is another, or not plain."""
        write = _WRITERS.get(node.op_type) if is_onnx(node.domain) else None
        given = [*node.input, *[""] * 9]
        if write is None:
            return [node]
        self.nodes = []
        attrs = attributes_of(node)
        result = write(self, given, attrs)
        if result is None:
            return [node]
        self.nodes[-1].output[0] = node.output[0]
        return self.nodes

    def emit(self, op: str, *inputs: str, **attrs: Any) -> str:
        """A node's result."""
        self.count += 1
        name = f"unsaturated/{self.count}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attrs))
        return name

    def cast(self, x: str, to: int) -> str:
        """In another type."""
        return self.emit("Cast", x, to=to)

    def is_single(self, name: str) -> bool:
        """Whether it is one number, or none."""
        if not name or self.made.get(name) == "DynamicQuantizeLinear":
            return True
        return name in self.shapes and math.prod(self.shapes[name]) == 1

    def less(self, x: str, zero: str, to: int) -> str:
        """Without the zero point, which broadcasts."""
        wide = self.cast(x, to)
        return self.emit("Sub", wide, self.cast(zero, to)) if zero else wide

    def floats(self, given: Sequence[str], axis: int | None) -> str | None:
        """What numbers stand for, of these, their scale and zero point.

        Scales along an axis, where there may be some, are known of newer operator sets.
        """
        x, scale, zero = given
        if self.is_single(scale) and self.is_single(zero):
            return self.emit("DequantizeLinear", x, scale, zero)
        if (
            axis is None
            or self.opset < _AXES_SINCE
            or x not in self.shapes
            or scale not in self.shapes
        ):
            return None
        place = axis % len(self.shapes[x])
        if self.shapes[scale] != self.shapes.get(zero) or len(self.shapes[scale]) != 1:
            return None
        return self.emit("DequantizeLinear", x, scale, zero, axis=place)


def _matmul_integer(r: _Rewriter, given: list[str], attrs: Mapping[str, Any]) -> str | None:
    a, b, a_zero, b_zero = given[:4]
    if not r.is_single(a_zero):
        return None
    whole = TensorProto.INT32
    return r.emit("MatMul", r.less(a, a_zero, whole), r.less(b, b_zero, whole))


def _matmul(r: _Rewriter, given: list[str], attrs: Mapping[str, Any]) -> str | None:
    a, b = r.floats(given[:3], None), r.floats(given[3:6], -1)
    if a is None or b is None:
        return None
    return r.emit("QuantizeLinear", r.emit("MatMul", a, b), *given[6:8])


def _conv_integer(r: _Rewriter, given: list[str], attrs: Mapping[str, Any]) -> str | None:
    x, w, x_zero, w_zero = given[:4]
    depth = math.prod(r.shapes.get(w, (0, _EXACT))[1:])
    if depth * 255**2 >= _EXACT or not (r.is_single(x_zero) and r.is_single(w_zero)):
        return None
    real = TensorProto.FLOAT
    total = r.emit("Conv", r.less(x, x_zero, real), r.less(w, w_zero, real), **attrs)
    return r.cast(total, TensorProto.INT32)


def _conv(r: _Rewriter, given: list[str], attrs: Mapping[str, Any]) -> str | None:
    x, w = r.floats(given[:3], None), r.floats(given[3:6], 0)
    if x is None or w is None:
        return None
    bias = []
    if given[8]:
        scale = r.emit("Mul", given[1], given[4])
        if r.is_single(given[4]):
            scale = r.emit("Reshape", scale, r.emit("Constant", value_ints=[1]))
        bias = [r.emit("Mul", r.cast(given[8], TensorProto.FLOAT), scale)]
    return r.emit("QuantizeLinear", r.emit("Conv", x, w, *bias, **attrs), *given[6:8])


_WRITERS: Mapping[str, Callable[[_Rewriter, list[str], Mapping[str, Any]], str | None]] = {
    "ConvInteger": _conv_integer,
    "MatMulInteger": _matmul_integer,
    "QLinearConv": _conv,
    "QLinearMatMul": _matmul,
}
SATURATING = frozenset(_WRITERS)
"""Operators that ONNX Runtime's optimisations compute inexactly on some processors."""
