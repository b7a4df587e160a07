"""The tables of an image's rows, and of its columns or, where they are one dimension, of columns
and channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.schedules import UnsupportedOperator

from .colours import is_identity
from .nodes import Array, Nodes, Value, scratch
from .preprocess import Preprocess
from .sampling import Table, lines, most_taps, table
from .sides import Sides, text

_OPEN_SET = 13  # whose operators compute with sizes that are open
_WHERE_SET = 9  # since when there is Where
_MOST_WEIGHTS = 1 << 24

Tables = tuple[Table | None, Table | None]


def image_tables(
    what: str, image: Value, given: Preprocess, sides: Sides, shares: Array, *, flat: bool
) -> Tables:
    """None for what stays as it is. ``flat``: columns and channels are one dimension."""
    known, width = sides.are_known, sides.model[1]
    if given.crop is None and sides.image == sides.model:
        if not flat or is_identity(shares) or not isinstance(width, int):
            return None, None
        every = Table(scratch().constant(_pixels(width, len(shares))[None]))
        return None, _settled(_with_channels(every, width, shares), image.nodes)
    if given.letterbox and image.nodes.opset < _WHERE_SET:
        raise UnsupportedOperator(
            f"{what}: letterbox needs a model of ONNX operator set {_WHERE_SET}; export it to a "
            "newer set"
        )
    if not known and image.nodes.opset < _OPEN_SET:
        raise UnsupportedOperator(
            f"{what}: sizes that are open need a model of ONNX operator set {_OPEN_SET}; export it "
            "to a newer set, or give one size"
        )
    height, width_ = _size(scratch() if known else image.nodes, image, given, sides)
    vertical, horizontal = lines(given, height, width_, sides.to)
    most = _taps(what, given, sides)
    columns = _pixels(sides.to[1], len(shares) if flat else 1)
    first = table(vertical, _pixels(sides.to[0], 1), given, most[0])
    second = table(horizontal, columns, given, most[1])
    second = _with_channels(second, sides.to[1], shares) if flat else second
    if known:
        return _settled(first, image.nodes), _settled(second, image.nodes)
    return _narrow(first), _narrow(second)


def _pixels(count: int, times: int) -> Array:
    """Each of so many, so many times."""
    return np.repeat(np.arange(count), times)


def _size(nodes: Nodes, image: Value, given: Preprocess, sides: Sides) -> tuple[Value, Value]:
    """Height and width, int64[1]."""
    if sides.are_known:
        height, width = (nodes.constant([side]) for side in sides.image)
        return height, width
    first = 1 if given.layout == "nhwc" else 2
    size = image.shape().slice(first, first + 2, 0)
    if any(sides.in_range):
        # What follows from sizes alone is computed when a model is imported, and is another for
        # each size. What follows from its inputs a run computes: so one program does for all
        # sizes. It is both at once, or an import would take one of equal sizes for the other.
        pixel = image.reshape(-1).slice(0, 1, 0)
        same = nodes.emit("Equal", pixel, pixel, dtype="bool")
        size = same.where(size, size)
    return size.slice(0, 1, 0), size.slice(1, 2, 0)


def _taps(what: str, given: Preprocess, sides: Sides) -> Sequence[int]:
    """Of rows and columns; raises UnsupportedOperator where windows are too wide."""
    most = given.crop if isinstance(given.crop, tuple) else sides.most
    ratios = [a / b for a, b in zip(most, sides.to, strict=True)]
    if given.shorter is not None:
        ratios = [min(most) / max(given.shorter - 1, 1)] * 2
    elif given.letterbox:
        ratios = [1.5 * max(ratios)] * 2  # the other side is rounded down to two thirds at most
    taps = [most_taps(given.resize, ratio) for ratio in ratios]
    if any(n * size > _MOST_WEIGHTS for n, size in zip(taps, sides.to, strict=True)):
        raise UnsupportedOperator(
            f"{what}: {text(most)} to {text(sides.to)} pixels by {given.resize} takes windows that "
            "are too wide: use bilinear, or an image of fewer pixels"
        )
    return taps


def _settled(found: Table, nodes: Nodes) -> Table:
    """With constants of the model, where all is known, and without what weighs nothing."""
    parts = [each for each in found[:3] if each is not None]
    arrays = iter(parts[0].nodes.evaluated(parts))
    indices, weights, outside = (None if part is None else next(arrays) for part in found[:3])
    assert indices is not None
    if weights is not None:
        used = weights.any(axis=1)
        indices, weights = np.broadcast_to(indices, weights.shape)[used], weights[used]
        weights = None if len(weights) == 1 and np.all(weights == 1) else weights
    outside = outside if outside is not None and np.any(outside) else None
    return Table(
        nodes.constant(indices, "int32"),
        None if weights is None else nodes.constant(weights),
        None if outside is None else nodes.constant(outside),
        len(indices),
    )


def _narrow(found: Table) -> Table:
    """With indices of 32 bits, of which vectors hold more.

    Those of several taps are put together of parts, which is a kernel of its own: that of the sums
    then reads vectors of pixels, and computes no indices.
    """
    indices = found.indices.cast("int32")
    if found.taps > 1:
        indices = indices.slice(0, 1, 0).beside([indices.slice(1, found.taps, 0)], 0)
    return found._replace(indices=indices)


def _with_channels(found: Table, columns: int, shares: Array) -> Table:
    """Of so many columns and channels as one dimension, from a table that has each column once for
    each of the model's channels."""
    channels, of_image = shares.shape
    parts = np.argwhere(shares)[:, 1].reshape(channels, -1).T  # [parts, the model's channels]
    constant, weights = found.indices.nodes.constant, found.weights
    places = [found.indices * of_image + constant(np.tile(part, columns)) for part in parts]
    if len(parts) > 1:
        shared = (np.tile(shares[np.arange(channels), part], columns)[None] for part in parts)
        much = [constant(each) if weights is None else weights * constant(each) for each in shared]
        weights = much[0].beside(much[1:], 0)
    return Table(places[0].beside(places[1:], 0), weights, found.outside, found.taps * len(parts))
