"""The ONNX operators (of the default domain) that Luthier imports, each covered by a test."""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    arg,
    einsum,
    elementwise,
    indexing,
    math,
    movement,
    norms,
    quantization,
    reduce,
    resize,
    shaping,
    windows,
)
from .node import Operator

OPERATORS: Mapping[str, Operator] = {
    **arg.OPERATORS,
    **einsum.OPERATORS,
    **elementwise.OPERATORS,
    **indexing.OPERATORS,
    **math.OPERATORS,
    **movement.OPERATORS,
    **norms.OPERATORS,
    **quantization.OPERATORS,
    **reduce.OPERATORS,
    **resize.OPERATORS,
    **shaping.OPERATORS,
    **windows.OPERATORS,
}
SUPPORTED = frozenset(OPERATORS)
BUILD_TIME = {name: each.build_time for name, each in OPERATORS.items() if each.build_time}
