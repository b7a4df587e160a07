"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.workload import Node, Tensor
from .operator import Anchor, Array, Attrs


@dataclass(frozen=True, eq=False)
class Reduction(Anchor):
    """x; axes, keepdims. ``chooses``: the result is one of the elements, and not rounded."""

    chooses: bool = False


def _infer(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    axes, keep = attrs["axes"], attrs["keepdims"]
    shape = args[0].shape
    kept = tuple(1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes)
    return Tensor(kept, args[0].dtype)


def _reduction(name: str, function: Callable[..., Any], chooses: bool = False) -> Reduction:
    def apply(node: Node, x: Array) -> Array:
        return np.asarray(function(x, axis=node.attr("axes"), keepdims=node.attr("keepdims")))

    return Reduction(name, 1, apply, _infer, count=lambda node, args: args[0].size, chooses=chooses)


OPERATORS = (
    _reduction("sum", np.sum),
    _reduction("mean", np.mean),
    _reduction("max", np.max, chooses=True),
    _reduction("min", np.min, chooses=True),
    _reduction("prod", np.prod),
)
