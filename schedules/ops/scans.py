"""Sums and products of all elements up to each place along an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.workload import Node, Tensor
from .operator import Anchor, Array, Attrs


def _infer(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    if not 0 <= attrs["axis"] < len(args[0].shape) or args[0].dtype == "bool":
        raise ValueError(f"along dimension {attrs['axis']} of {args[0]}")
    return args[0]


def _scan(name: str, accumulate: Callable[..., Any], neutral: int) -> Anchor:
    def apply(node: Node, x: Array) -> Array:
        rows = np.moveaxis(x, node.attr("axis"), -1)
        rows = rows[..., ::-1] if node.attr("reverse") else rows
        found = np.empty_like(rows)
        if node.attr("exclusive"):
            found[..., 0] = neutral
            accumulate(rows[..., :-1], axis=-1, dtype=x.dtype, out=found[..., 1:])
        else:
            accumulate(rows, axis=-1, dtype=x.dtype, out=found)
        found = found[..., ::-1] if node.attr("reverse") else found
        return np.moveaxis(found, -1, node.attr("axis"))

    return Anchor(name, 1, apply, _infer, count=lambda node, args: args[0].size)


OPERATORS = (
    # axis; reverse: from the end; exclusive: without the place's own element.
    _scan("cumsum", np.cumsum, 0),
    _scan("cumprod", np.cumprod, 1),
)
