"""The operators of ONNX-ML that Luthier imports, each covered by a test."""

from __future__ import annotations

from collections.abc import Mapping

from ..node import Operator
from . import features, linear, mappings, support_vectors, trees

_FAMILIES = (features, linear, mappings, support_vectors, trees)
OPERATORS: Mapping[str, Operator] = {
    name: operator for family in _FAMILIES for name, operator in family.OPERATORS.items()
}
