"""Operators that move elements: rows of bytes move with one more dimension, the last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from luthier.schedules import ModelError

from .speller import Site
from .values import Rows


def _axis(site: Site, number: Any, rank: int) -> int:
    """Counted from the start, before the bytes."""
    if not -rank <= int(number) < rank:
        raise ModelError(f"{site.label}: the axis {number} is outside of {rank} dimensions")
    return int(number) % rank


def _axes(site: Site, index: int, rank: int) -> list[int] | None:
    """Those of an attribute, or of input ``index``; None where they are left out."""
    given = site.attrs.get("axes")
    if given is None and site.name(index):
        known = site.known(index)
        if known is None:
            raise site.refuse("texts with axes that are not known")
        given = known.reshape(-1).tolist()
    return None if given is None else [_axis(site, number, rank) for number in given]


def _with_axes(site: Site, index: int, axes: list[int]) -> None:
    """The node with these axes, wherever it has them; its texts are input 0."""
    inputs = [site.rows(0), *site.node.input[1:]]
    if "axes" in site.attrs:
        site.copy(inputs, axes=axes)
    else:
        inputs[index] = site.numbers(*axes)
        site.copy(inputs)


def _one(site: Site, rank: int, width: int | None = None) -> None:
    """The first result are texts of so many dimensions."""
    site.gives(0, Rows(site.width(0) if width is None else width, rank))


def _identity(site: Site) -> None:
    site.copy([site.rows(0)])
    _one(site, site.rank(0))


def _gather(site: Site) -> None:
    axis = _axis(site, site.attrs.get("axis", 0), site.rank(0))
    site.copy([site.rows(0), site.name(1)], axis=axis)
    _one(site, site.rank(0) + site.rank(1) - 1)


def _gather_elements(site: Site) -> None:
    rank = site.rank(0)
    axis = _axis(site, site.attrs.get("axis", 0), rank)
    sizes = site.emit("Shape", [site.name(1)])
    whole = site.emit("Concat", [sizes, site.numbers(site.width(0))], axis=0)
    indices = site.emit("Expand", [site.unsqueezed(site.name(1), rank), whole])
    site.copy([site.rows(0), indices], axis=axis)
    _one(site, rank)


def _gather_nd(site: Site) -> None:
    shape = site.shape(1)
    if shape is None or not shape or shape[-1] is None:
        raise site.refuse("texts at places whose number of indices is not known")
    site.copy([site.rows(0), site.name(1)])
    batch = int(site.attrs.get("batch_dims", 0))
    _one(site, len(shape) - 1 + site.rank(0) - batch - shape[-1])


def _concat(site: Site) -> None:
    every = range(len(site.node.input))
    width, rank = site.width(*site.texts), site.rank(0)
    axis = _axis(site, site.attrs.get("axis", 0), rank)
    site.copy([site.rows(i, width) for i in every], axis=axis)
    _one(site, rank, width)


def _sizes(site: Site, index: int) -> tuple[str, int]:
    """A list of sizes with that of the bytes, and how many there were."""
    shape = site.shape(index)
    if shape is None or len(shape) != 1 or shape[0] is None:
        raise site.refuse("texts of a number of dimensions that is not known")
    sizes = [site.name(index), site.numbers(site.width(0))]
    return site.emit("Concat", sizes, axis=0), shape[0]


def _reshape(site: Site) -> None:
    sizes, rank = _sizes(site, 1)
    site.copy([site.rows(0), sizes])
    _one(site, rank)


def _expand(site: Site) -> None:
    sizes, rank = _sizes(site, 1)
    site.copy([site.rows(0), sizes])
    _one(site, max(rank, site.rank(0)))


def _tile(site: Site) -> None:
    repeats = site.emit("Concat", [site.name(1), site.numbers(1)], axis=0)
    site.copy([site.rows(0), repeats])
    _one(site, site.rank(0))


def _flatten(site: Site) -> None:
    rank = site.rank(0)
    axis = int(site.attrs.get("axis", 1))
    axis = axis if axis == rank else _axis(site, axis, rank)
    ends = {0: (1, -1), 1: (0, -1), rank: (-1, 1)}
    if axis not in ends:
        raise site.refuse(f"texts of {rank} dimensions, flattened from dimension {axis} on,")
    sizes = site.numbers(*ends[axis], site.width(0))
    site.emit("Reshape", [site.rows(0), sizes], site.node.output[0])
    _one(site, 2)


def _transpose(site: Site) -> None:
    rank = site.rank(0)
    order = [_axis(site, n, rank) for n in site.attrs.get("perm", range(rank)[::-1])]
    site.copy([site.rows(0)], perm=[*order, rank])
    _one(site, rank)


def _squeeze(site: Site) -> None:
    rank = site.rank(0)
    axes = _axes(site, 1, rank)
    if axes is None:
        sizes = site.declared(0)
        if sizes is None or None in sizes:
            raise site.refuse("texts whose sizes are open, without axes,")
        axes = [axis for axis, size in enumerate(sizes) if size == 1]
    order = site.numbers(*axes) if site.speller.opset >= 13 else ""
    if order:
        site.emit("Squeeze", [site.rows(0), order], site.node.output[0])
    else:
        site.emit("Squeeze", [site.rows(0)], site.node.output[0], axes=axes)
    _one(site, rank - len(set(axes)))


def _unsqueeze(site: Site) -> None:
    given = site.attrs.get("axes")
    known = site.known(1) if given is None else np.asarray(given)
    rank = site.rank(0) + (0 if known is None else known.size)
    axes = _axes(site, 1, rank)
    if axes is None:
        raise ModelError(f"{site.label}: it has no axes")
    _with_axes(site, 1, axes)
    _one(site, rank)


def _slice(site: Site) -> None:
    axes = _axes(site, 3, site.rank(0))
    if axes is None:
        site.copy([site.rows(0), *site.node.input[1:]])
    else:
        _with_axes(site, 3, axes)
    _one(site, site.rank(0))


def _split(site: Site) -> None:
    axis = _axis(site, site.attrs.get("axis", 0), site.rank(0))
    site.copy([site.rows(0), *site.node.input[1:]], axis=axis)
    for index in range(len(site.node.output)):
        site.gives(index, Rows(site.width(0), site.rank(0)))


def _where(site: Site) -> None:
    width, rank = site.width(1, 2), site.rank(0)
    condition = site.unsqueezed(site.name(0), rank)
    site.copy([condition, site.rows(1, width), site.rows(2, width)])
    _one(site, max(rank, site.rank(1), site.rank(2)), width)


def _compress(site: Site) -> None:
    rank, axis = site.rank(0), site.attrs.get("axis")
    if axis is None:
        flat = site.emit("Reshape", [site.rows(0), site.numbers(-1, site.width(0))])
        site.copy([flat, site.name(1)], axis=0)
        _one(site, 1)
        return
    site.copy([site.rows(0), site.name(1)], axis=_axis(site, axis, rank))
    _one(site, rank)


def _unique(site: Site) -> None:
    """Rows of bytes are in the order of their texts."""
    rank, axis, given = site.rank(0), site.attrs.get("axis"), site.rows(0)
    if axis is None:
        given = site.emit("Reshape", [given, site.numbers(-1, site.width(0))])
        rank, axis = 1, 0
    site.copy([given], axis=_axis(site, axis, rank))
    _one(site, rank)


def _shape(site: Site) -> None:
    """Without that of the bytes."""
    chosen = range(site.rank(0))[site.attrs.get("start", 0) : site.attrs.get("end")]
    every = site.emit("Shape", [site.rows(0)])
    site.emit("Gather", [every, site.numbers(*chosen)], site.node.output[0], axis=0)


def _size(site: Site) -> None:
    every = site.emit("Shape", [site.rows(0)])
    sizes = site.emit("Gather", [every, site.numbers(*range(site.rank(0)))], axis=0)
    site.emit("ReduceProd", [sizes], site.node.output[0], keepdims=0)


OPERATORS: Mapping[str, Callable[[Site], None]] = {
    "Compress": _compress,
    "Concat": _concat,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Identity": _identity,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unique": _unique,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
