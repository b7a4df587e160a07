"""ONNX operators that make integers of floats, and floats of these again."""

from __future__ import annotations

from ..composites import math as composite
from ..composites import quantized
from .element_types import dtype_name
from .node import OnnxNode, Operator


def _quantize(node: OnnxNode) -> int:
    zero, wanted = node.input(2), node.attr("output_dtype", 0)
    if node.attr("precision", 0):
        raise node.unsupported(f"the precision {node.attr('precision', 0)}")
    dtype = dtype_name(wanted, f"{node.label}: its result") if wanted else "uint8"
    if zero is None:
        zero = node.t.number(0, dtype)
    elif wanted and node.t.dtype(zero) != dtype:
        raise node.unsupported(f"a zero point of {node.t.dtype(zero)} for {dtype}")
    dtype = node.t.dtype(zero)
    where = _axis(node), dtype, _block(node)
    return composite.quantize(node.t, node.x, node.given(1), zero, *where)


def _dequantize(node: OnnxNode) -> int:
    """To the scale's type; to float32 before operator set 19."""
    zero, wanted, scale = node.input(2), node.attr("output_dtype", 0), node.given(1)
    zero = node.number(0) if zero is None else zero
    dtype = node.t.dtype(scale) if node.opset >= 19 else "float32"
    if wanted:
        dtype = dtype_name(wanted, f"{node.label}: its result")
    where = _axis(node), dtype, _block(node)
    return composite.dequantize(node.t, node.x, scale, zero, *where)


def _block(node: OnnxNode) -> int:
    """How many neighbours have one scale; 0 where each place of the axis has its own."""
    block = int(node.attr("block_size", 0))
    if block < 0:
        raise node.unsupported(f"blocks of {block}")
    return block


def _axis(node: OnnxNode) -> int:
    """That of the scales; it does not matter for a vector, or one scale."""
    axis = int(node.attr("axis", 1))
    return 0 if node.rank <= 1 and axis == 1 else axis


OPERATORS: dict[str, Operator] = {
    "DequantizeLinear": Operator(_dequantize),
    "DynamicQuantizeLinear": Operator(lambda node: quantized.measured(node.t, node.x)),
    "QuantizeLinear": Operator(_quantize),
}
