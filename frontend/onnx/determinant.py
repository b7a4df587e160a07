"""ONNX's determinants."""

from __future__ import annotations

import math

from luthier.schedules import ModelError

from .node import OnnxNode, Operator

_LARGEST = 4096


def _det(node: OnnxNode) -> int:
    t, size = node.t, node.shape[-1] if node.rank else 0
    if node.rank < 2 or node.shape[-2] != size:
        raise ModelError(f"{node.label}: {list(node.shape)} is not a square matrix")
    if size > _LARGEST:
        raise node.unsupported(f"a matrix of {size} rows (more than {_LARGEST})")
    outer = node.shape[:-2]
    if size == 1:
        return t.reshape(node.x, outer)
    matrices = t.reshape(node.x, (math.prod(outer), size, size))
    return t.reshape(t.emit("determinant", matrices), outer)


OPERATORS: dict[str, Operator] = {"Det": Operator(_det, in_steps=True, of_floats=True)}
