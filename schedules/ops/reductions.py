"""Reductions over axes, and where along one the extreme is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.workload import Node, Tensor
from .operator import Anchor, Array, Attrs


@dataclass(frozen=True, eq=False)
class Reduction(Anchor):
    """x; axes, keepdims."""


def _infer(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    axes, keep = attrs["axes"], attrs["keepdims"]
    shape = args[0].shape
    kept = tuple(1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes)
    return Tensor(kept, args[0].dtype)


def _reduction(name: str, function: Callable[..., Any]) -> Reduction:
    def apply(node: Node, x: Array) -> Array:
        return np.asarray(function(x, axis=node.attr("axes"), keepdims=node.attr("keepdims")))

    return Reduction(name, 1, apply, _infer, count=lambda node, args: args[0].size)


def _extreme(function: Callable[..., Any], sign: int) -> Callable[..., Any]:
    """A maximum or a minimum; of nothing it is the other end of the type."""

    def of(x: Array, **how: Any) -> Any:
        if x.size:
            return function(x, **how)
        if x.dtype.kind == "f":
            return function(x, initial=-sign * np.inf, **how)
        if x.dtype.kind == "b":
            return function(x, initial=sign < 0, **how)
        limits = np.iinfo(x.dtype)
        return function(x, initial=limits.min if sign > 0 else limits.max, **how)

    return of


def _infer_place(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    (axis,) = attrs["axes"]
    if not 0 <= axis < len(args[0].shape):
        raise ValueError(f"along dimension {axis} of {args[0]}")
    return Tensor(_infer(args, attrs).shape, "int32")


def _place(name: str, find: Callable[..., Any]) -> Reduction:
    def apply(node: Node, x: Array) -> Array:
        (axis,), keep = node.attr("axes"), node.attr("keepdims")
        if node.attr("last"):
            return np.asarray(x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis, keepdims=keep))
        return np.asarray(find(x, axis=axis, keepdims=keep))

    return Reduction(name, 1, apply, _infer_place, count=lambda node, args: args[0].size)


OPERATORS = (
    _reduction("sum", np.sum),
    _reduction("mean", np.mean),
    _reduction("max", _extreme(np.max, 1)),
    _reduction("min", _extreme(np.min, -1)),
    _reduction("prod", np.prod),
    # axes (one); last: of equal ones the last and not the first. NaN is beyond all numbers, as in
    # NumPy. In int32.
    _place("argmax", np.argmax),
    _place("argmin", np.argmin),
)
