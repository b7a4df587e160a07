"""The tables of an image's rows, and of its columns or, where they are one dimension, of its columns
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
_MOST_WEIGHTS = 1 << 24

Tables = tuple[Table | None, Table | None]


def image_tables(
    what: str, image: Value, given: Preprocess, sides: Sides, shares: Array, *, flat: bool
) -> Tables:
    """None for what stays as it is. ``flat``: columns and channels are one dimension."""
    known = sides.are_known
    if given.crop is None and sides.image == sides.model:
        columns = sides.model[1]
        if not flat or is_identity(shares) or not isinstance(columns, int):
            return None, None
        every = Table(scratch().constant(np.arange(columns)[None]))
        return None, _settled(_with_channels(every, columns, shares), image.nodes)
    if not known and image.nodes.opset < _OPEN_SET:
        raise UnsupportedOperator(
            f"{what}: sizes that are open need a model of ONNX operator set {_OPEN_SET}; export it "
            "to a newer set, or give one size"
        )
    nodes = scratch() if known else image.nodes
    height, width = (_side(nodes, image, given, sides, i) for i in range(2))
    taps = _taps(what, given, sides)
    rows, columns = (
        table(line, pixels, given, most)
        for line, pixels, most in zip(
            lines(given, height, width, sides.to), sides.to, taps, strict=True
        )
    )
    if flat:
        columns = _with_channels(columns, sides.to[1], shares)
    return (_settled(rows, image.nodes), _settled(columns, image.nodes)) if known else (rows, columns)


def _side(nodes: Nodes, image: Value, given: Preprocess, sides: Sides, index: int) -> Value:
    """Height or width, int64[1]."""
    side = sides.image[index]
    if isinstance(side, int):
        return nodes.constant([side])
    axis = index + (1 if given.layout == "nhwc" else 2)
    size = image.shape().slice(axis, axis + 1, 0)
    if not sides.in_range[index]:
        return size
    # What follows from sizes alone is computed when a model is imported, and is another for each
    # size. What follows from its inputs a run computes: so one program does for all sizes.
    first = image.reshape(-1).slice(0, 1, 0)
    return nodes.emit("Equal", first, first, dtype="bool").where(size, size)


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
    indices, weights, inside = (None if part is None else next(arrays) for part in found[:3])
    assert indices is not None
    if weights is not None:
        used = weights.any(axis=1)
        indices, weights = np.broadcast_to(indices, weights.shape)[used], weights[used]
    return Table(
        nodes.constant(indices),
        None if weights is None else nodes.constant(weights),
        None if inside is None else nodes.constant(inside),
        len(indices),
    )


def _with_channels(found: Table, columns: int, shares: Array) -> Table:
    """Of columns and channels as one dimension, with the channels mixed."""
    parts = np.argwhere(shares)  # [parts, 2]: of the model's channels, of the image's
    channels, per = len(shares), len(parts) // len(shares)
    constant = found.indices.nodes.constant
    of = parts[:, 1].reshape(channels, per).T[:, None]  # [per, 1, channels]
    places = (found.indices * shares.shape[1]).reshape(-1, 1, columns, 1) + constant(of)
    weights = found.weights
    if weights is not None or per > 1:
        much = shares[parts[:, 0], parts[:, 1]].reshape(channels, per).T[:, None]
        share = constant(np.broadcast_to(much, (per, columns, channels)))
        whole = share if weights is None else weights.reshape(-1, 1, columns, 1) * share
        weights = whole.reshape(-1, columns * channels)
    inside = found.inside
    if inside is not None:
        each = constant(np.ones((columns, channels), np.float32))
        inside = (inside.reshape(columns, 1) * each).reshape(1, columns * channels)
    return Table(places.reshape(-1, columns * channels), weights, inside, found.taps * per)
