"""The ONNX operators that Luthier imports, each covered by a test.

``OPERATORS`` are those of the default domain; ``ml`` has a domain of its own, and so has ``texts``.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from . import (
    affine_grid,
    along,
    determinant,
    einsum,
    elementwise,
    fourier,
    indexing,
    lengths,
    math,
    movement,
    ngrams,
    norms,
    quantization,
    quantized_products,
    random,
    recurrent,
    reduce,
    regions,
    resize,
    shaping,
    sorting,
    windows,
)
from .ml.domain import is_ml
from .ml.operators import OPERATORS as ML
from .node import Operator
from .opset import is_onnx
from .texts.domain import is_text
from .texts.operators import OPERATORS as TEXT

_FAMILIES = (
    affine_grid, along, determinant, einsum, elementwise, fourier, indexing, lengths, math,
    movement, ngrams, norms, quantization, quantized_products, random, recurrent, reduce, regions,
    resize, shaping, sorting, windows,
)  # fmt: skip
OPERATORS: Mapping[str, Operator] = {
    name: operator for family in _FAMILIES for name, operator in family.OPERATORS.items()
}
SUPPORTED = frozenset(OPERATORS)


def operator_of(node: onnx.NodeProto) -> Operator | None:
    """What converts a node; None where nothing does."""
    if is_ml(node.domain):
        return ML.get(node.op_type)
    if is_text(node.domain):
        return TEXT.get(node.op_type)
    return OPERATORS.get(node.op_type) if is_onnx(node.domain) else None


BUILD_TIME = {name: each.build_time for name, each in OPERATORS.items() if each.build_time}
