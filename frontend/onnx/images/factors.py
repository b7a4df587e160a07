"""The numbers of an image's normalisation: one, or one for each channel, in single precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.schedules import ModelError

from .nodes import Array


def by_channel(what: str, name: str, numbers: Sequence[float], channels: int) -> Array:
    """Numbers for channels, or one for all, in double precision; raises ModelError."""
    if len(numbers) not in (1, channels):
        raise ModelError(
            f"{what}: {name} has {len(numbers)} numbers, and the model's images have {channels} "
            "channels"
        )
    return np.asarray(numbers, np.float64)


def single(what: str, numbers: Array) -> Array:
    """The same in float32, in which kernels compute; raises ModelError for what is beyond it."""
    with np.errstate(all="ignore"):
        found = numbers.astype(np.float32)
    if not np.isfinite(found).all() or ((found == 0) & (numbers != 0)).any():
        raise ModelError(
            f"{what}: scale, mean and std make numbers that are too large or too small for float32"
        )
    return found
