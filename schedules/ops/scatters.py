"""What is written at places that are known only when it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..ir.workload import Node, Tensor
from .operator import Anchor, Array, Attrs


class Scatter(Anchor):
    """x, places, updates; reduction: "update" (of equal places the last one), "add", "mul", "min"
    or "max". A place outside is the nearest one inside. Results are of x's type, and not rounded
    where nothing is added or multiplied.
    """


_JOINS: Mapping[str, Callable[..., None]] = {
    "add": np.add.at,
    "mul": np.multiply.at,
    "min": np.minimum.at,
    "max": np.maximum.at,
}


def _joined(node: Node, x: Array, at: tuple[Array, ...], updates: Array) -> Array:
    result = x.copy()
    if node.attr("reduction") == "update":
        result[at] = updates
    else:
        _JOINS[node.attr("reduction")](result, at, updates)
    return result


def _scatter_nd(node: Node, x: Array, places: Array, updates: Array) -> Array:
    count = places.shape[-1]
    inside: Array = np.clip(places.reshape(-1, count), 0, np.array(x.shape[:count]) - 1)
    flat = updates.reshape(-1, *x.shape[count:])
    return _joined(node, x, tuple(inside[:, d] for d in range(count)), flat)


def _scatter_along(node: Node, x: Array, places: Array, updates: Array) -> Array:
    axis = node.attr("axis")
    at: list[Array] = list(np.indices(places.shape))
    at[axis] = np.clip(places, 0, x.shape[axis] - 1)
    return _joined(node, x, tuple(at), updates)


def _infer(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    x, places, updates = args
    if attrs["reduction"] not in ("update", *_JOINS) or x.dtype != updates.dtype:
        raise ValueError(f"the reduction {attrs['reduction']!r} of {x} and {updates}")
    if "axis" in attrs:
        axis, same = attrs["axis"], places.shape == updates.shape
        if not same or len(places.shape) != len(x.shape) or not 0 <= axis < len(x.shape):
            raise ValueError(f"{updates} at {places} along dimension {axis} of {x}")
        return x
    *outer, count = places.shape
    if not 1 <= count <= len(x.shape) or updates.shape != (*outer, *x.shape[count:]):
        raise ValueError(f"{updates} at {places} of {x}")
    return x


def _count(node: Node, args: Sequence[Tensor]) -> int:
    return args[2].size


OPERATORS = (
    # places [..., k] name the first k dimensions of what of x is written.
    Scatter("scatter_nd", 3, _scatter_nd, _infer, count=_count),
    # axis: places are of this dimension, and as many as updates; the others are their own.
    Scatter("scatter_along", 3, _scatter_along, _infer, count=_count),
)
