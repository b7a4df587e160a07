"""The operators of ONNX Runtime's own domain that are spelled by ONNX's."""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    activations,
    attention,
    few_bits,
    grouped_attention,
    movement,
    norms,
    products,
    quantized,
    quantized_attention,
    quantized_products,
    rotary,
)
from .spelling import Spelled

DOMAIN = "com.microsoft"
_FAMILIES = (
    activations, attention, few_bits, grouped_attention, movement, norms, products, quantized,
    quantized_attention, quantized_products, rotary,
)  # fmt: skip
SPELLED: Mapping[str, Spelled] = {
    name: spelled for family in _FAMILIES for name, spelled in family.OPERATORS.items()
}
OLD_NORMS: Mapping[str, int] = {"LayerNormalization": 17, "SimplifiedLayerNormalization": 99}
"""What ONNX Runtime writes into the standard's domain before this operator set, which brings it."""
