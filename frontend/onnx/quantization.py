"""ONNX operators that make few bits of floats, and floats of these again."""

from __future__ import annotations

from ..composites import quantization as composite
from ..composites import quantized
from .element_types import dtype_name
from .node import OnnxNode, Operator

_FLOATS = ("float32", "float16", "bfloat16")


def _quantize(node: OnnxNode) -> int:
    zero, wanted = node.input(2), node.attr("output_dtype", 0)
    dtype = dtype_name(wanted, f"{node.label}: its result") if wanted else "uint8"
    if zero is not None:
        if wanted and node.t.dtype(zero) != dtype:
            raise node.unsupported(f"a zero point of {node.t.dtype(zero)} for {dtype}")
        dtype = node.t.dtype(zero)
    scale, given = node.given(1), node.attr("precision", 0)
    precision = dtype_name(given, f"{node.label}: its precision") if given else "float32"
    if precision not in _FLOATS:
        raise node.unsupported(f"the precision {precision}")
    if not node.attr("saturate", 1) and dtype.startswith("float8"):
        raise node.unsupported("quantisation that does not saturate")
    return composite.quantize(node.t, node.x, scale, zero, _spread(node), dtype, precision)


def _dequantize(node: OnnxNode) -> int:
    """To the scale's type; to float32 before operator set 19."""
    zero, wanted, scale = node.input(2), node.attr("output_dtype", 0), node.given(1)
    dtype = node.t.dtype(scale) if node.opset >= 19 else "float32"
    if wanted:
        dtype = dtype_name(wanted, f"{node.label}: its result")
    return composite.dequantize(node.t, node.x, scale, zero, _spread(node), dtype)


def _spread(node: OnnxNode) -> composite.Spread:
    """How scales lie: along an axis, which does not matter for a vector or one scale, or one for
    each block."""
    axis, block = int(node.attr("axis", 1)), int(node.attr("block_size", 0))
    if block < 0:
        raise node.unsupported(f"a block of {block}")
    if block:
        place = node.axis(axis)
        return lambda scale: composite.in_blocks(node.t, scale, node.x, place, block)
    axis = 0 if node.rank <= 1 and axis == 1 else axis
    return lambda scale: composite.along(node.t, scale, node.x, axis)


OPERATORS: dict[str, Operator] = {
    "DequantizeLinear": Operator(_dequantize, any_type=True),
    "DynamicQuantizeLinear": Operator(lambda node: quantized.measured(node.t, node.x)),
    "QuantizeLinear": Operator(_quantize, any_type=True),
}
