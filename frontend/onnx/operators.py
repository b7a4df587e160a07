"""The ONNX operators (of the default domain) that Luthier imports, each covered by a test."""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    einsum,
    elementwise,
    indexing,
    math,
    movement,
    norms,
    quantization,
    quantized_products,
    reduce,
    resize,
    shaping,
    sorting,
    windows,
)
from .node import Operator

_FAMILIES = (
    einsum, elementwise, indexing, math, movement, norms, quantization,
    quantized_products, reduce, resize, shaping, sorting, windows,
)  # fmt: skip
OPERATORS: Mapping[str, Operator] = {
    name: operator for family in _FAMILIES for name, operator in family.OPERATORS.items()
}
SUPPORTED = frozenset(OPERATORS)
BUILD_TIME = {name: each.build_time for name, each in OPERATORS.items() if each.build_time}
