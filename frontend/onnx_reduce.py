"""Converters of our own for ONNX reductions: what is done before, the reduction, and after.

With ``noop_with_empty_axes`` and no axes nothing is reduced, but the rest is still done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from luthier.schedules.tvm_late import relax

from .onnx_node import OnnxConverter, OnnxNode

Step = Callable[[Any], Any]


def _axes(node: OnnxNode) -> list[int] | None:
    """The axes; None for all, an empty list for none."""
    given = node.setting("axes", 1)
    if given is not None and given.size:
        if node.rank == 0 and all(a in (-1, 0) for a in given.reshape(-1)):
            return []  # as in ONNX Runtime
        return sorted({node.axis(a) for a in given.reshape(-1)})
    return [] if node.attr("noop_with_empty_axes", 0) else None


def _keeps(node: OnnxNode) -> bool:
    return bool(node.attr("keepdims", 1) == 1)


def _reduced(node: OnnxNode, x: Any, op: str) -> Any:
    axes = _axes(node)
    if axes == []:
        return x
    return getattr(relax.op, op)(x, axes, _keeps(node))


def _reduction(op: str, before: Step | None = None, after: Step | None = None) -> OnnxConverter:
    def convert(node: OnnxNode) -> Any:
        x = node.emit(before(node.x)) if before else node.x
        y = _reduced(node, x, op)
        return after(node.emit(y)) if after else y

    return convert


def _square(x: Any) -> Any:
    return relax.op.multiply(x, x)


def _mean(node: OnnxNode) -> Any:
    """Of integers the quotient, rounded towards zero."""
    if np.dtype(node.dtype).kind == "f":
        return _reduced(node, node.x, "mean")
    axes = _axes(node)
    over = node.shape if axes is None else [node.shape[a] for a in axes]
    total = node.emit(_reduced(node, node.x, "sum"))
    return relax.op.divide(total, node.number(int(np.prod(over, dtype=int))))


def _log_sum_exp(node: OnnxNode) -> Any:
    """About the largest element, so that nothing overflows; about 0 where that is not finite."""
    axes = _axes(node)
    if axes == []:
        return node.x
    largest = node.emit(relax.op.max(node.x, axes, keepdims=True))
    base = node.emit(relax.op.where(relax.op.isfinite(largest), largest, node.number(0)))
    total = relax.op.sum(relax.op.exp(relax.op.subtract(node.x, base)), axes, keepdims=True)
    y = node.emit(relax.op.add(relax.op.log(total), base))
    return y if _keeps(node) else relax.op.squeeze(y, axes)


CONVERTERS: dict[str, OnnxConverter] = {
    "ReduceMax": _reduction("max"),
    "ReduceMin": _reduction("min"),
    "ReduceSum": _reduction("sum"),
    "ReduceProd": _reduction("prod"),
    "ReduceMean": _mean,
    "ReduceL1": _reduction("sum", before=relax.op.abs),
    "ReduceL2": _reduction("sum", before=_square, after=relax.op.sqrt),
    "ReduceSumSquare": _reduction("sum", before=_square),
    "ReduceLogSum": _reduction("sum", after=relax.op.log),
    "ReduceLogSumExp": _log_sum_exp,
}
