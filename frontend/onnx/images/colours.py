"""Channels of images: how much of each of the image's makes which of the model's."""

from __future__ import annotations

import numpy as np

from luthier.schedules import ModelError

from .nodes import Array, Value
from .preprocess import Preprocess

_GRAY = np.array([[0.299, 0.587, 0.114]], np.float32)  # of red, green and blue: ITU-R BT.601


def channel_map(what: str, given: Preprocess, channels: int) -> Array:
    """float32[model's channels, image's channels] of a model whose images have these ``channels``,
    0 where they are open; raises ModelError where they are others than the colours have."""
    if given.colours is None:
        if channels < 1:
            raise ModelError(f"{what}: the model leaves its channels open: give colours")
        return np.eye(channels, dtype=np.float32)
    wanted = 1 if given.model_colours == "gray" else 3
    if channels not in (0, wanted):
        layout = "nhwc" if given.model_layout == "nchw" else "nchw"
        raise ModelError(
            f"{what}: the model's images have {channels} channels, and {given.model_colours} has "
            f"{wanted}: give other model_colours, or model_layout={layout}"
        )
    if given.colours == "gray":
        return np.ones((wanted, 1), np.float32)
    letters = "rgb" if wanted == 1 else given.model_colours
    found = np.array([[a == b for b in given.colours] for a in letters], np.float32)
    return _GRAY @ found if wanted == 1 else found


def is_identity(shares: Array) -> bool:
    """Whether every channel stays as it is."""
    return shares.shape[0] == shares.shape[1] and np.array_equal(shares, np.eye(len(shares)))


def mixed(x: Value, shares: Array, axis: int) -> Value:
    """The model's channels along a dimension that has the image's; float32 where they are sums."""
    if is_identity(shares):
        return x
    if np.count_nonzero(shares) == len(shares):
        return x.take(x.nodes.constant(shares.argmax(axis=1)), axis)
    total = None
    for channel, share in enumerate(shares[0]):
        if share:
            part = x.take(x.nodes.constant([channel]), axis).cast("float32") * float(share)
            total = part if total is None else total + part
    assert total is not None
    return total
