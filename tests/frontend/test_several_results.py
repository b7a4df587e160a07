"""Operators whose second results are more than what falls off on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_models import agree, case, floats, integers


def repeated(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Few different numbers, so that windows have several maxima."""
    return integers(-2, 3, *shape, dtype=dtype)


POOLED = [
    ((1, 2, 11), {"kernel_shape": [3]}),
    ((2, 3, 9, 8), {"kernel_shape": [3, 2], "strides": [2, 1]}),
    ((2, 3, 9, 8), {"kernel_shape": [3, 3], "pads": [1, 2, 0, 1], "strides": [2, 2]}),
    ((1, 2, 9, 8), {"kernel_shape": [2, 2], "strides": [2, 3], "ceil_mode": 1}),
    ((1, 2, 9, 8), {"kernel_shape": [2, 3], "dilations": [3, 2]}),
    ((1, 2, 9, 8), {"kernel_shape": [3, 3], "storage_order": 1, "pads": [1, 1, 1, 1]}),
    ((1, 2, 5, 6, 7), {"kernel_shape": [2, 3, 2], "pads": [1, 0, 1, 0, 1, 0]}),
    ((1, 2, 5, 6), {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"}),
]


@pytest.mark.parametrize(("shape", "attrs"), POOLED, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint8"])
def test_where_the_maxima_of_windows_are(
    shape: tuple[int, ...], attrs: dict[str, Any], dtype: str
) -> None:
    """The first of equals."""
    x = repeated(*shape, dtype=dtype)
    pool = case("MaxPool", x, outputs=2, opset=12, **attrs)
    agree(pool.model, pool.inputs)


def test_windows_that_hold_nothing_but_minus_infinity() -> None:
    x = np.where(repeated(1, 2, 8, 8) > 1, 1, -np.inf).astype(np.float32)
    pool = case("MaxPool", x, outputs=2, opset=12, kernel_shape=[2, 2], pads=[1, 1, 1, 1])
    agree(pool.model, pool.inputs)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (2, 3, 4, 5)])
def test_normalisation_by_the_batch(shape: tuple[int, ...]) -> None:
    parameters = (floats(3), floats(3, seed=1), floats(3, seed=2), np.abs(floats(3, seed=3)))
    batch = case(
        "BatchNormalization",
        floats(*shape),
        *parameters,
        outputs=3,
        opset=15,
        training_mode=1,
        momentum=0.75,
    )
    agree(batch.model, batch.inputs)
