"""What TVM's importer takes without a word and gets wrong, or refuses in words of its own."""

from __future__ import annotations

from .onnx_node import OnnxNode

_OF_FLOATS = frozenset("Erf ReduceL2 ReduceLogSum ReduceLogSumExp".split())


def check(op: str, node: OnnxNode) -> None:
    """Raises UnsupportedOperator, with a reason."""
    if op in _OF_FLOATS and not node.dtype.startswith("float"):
        raise node.unsupported(f"an input of {node.dtype}")
    if op == "Gemm" and not node.dtype.startswith("float"):
        for name in ("alpha", "beta"):
            factor = node.attr(name, 1.0)
            if factor != int(factor):
                raise node.unsupported(f"{name}={factor:g} of integers")
    if op == "GridSample" and 1 in node.shape[2:] and _is_mirrored(node):
        raise node.unsupported("a reflection in a dimension of one element")


def _is_mirrored(node: OnnxNode) -> bool:
    """Whether places outside are mirrored about the first and the last element."""
    return node.attr("padding_mode", "zeros") == "reflection" and bool(
        node.attr("align_corners", 0)
    )
