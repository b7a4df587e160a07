"""Strided views agree with NumPy's, and say when elements would have to move."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from luthier.frontend.graph.strided import Strided


def read(view: Strided, size: int) -> np.ndarray:
    flat = np.arange(size)[view.offset :]
    return as_strided(flat, view.shape, [8 * s for s in view.strides], writeable=False)


@pytest.mark.parametrize("seed", range(30))
def test_random_movements(seed: int) -> None:
    rng = random.Random(seed)
    shape = [rng.choice([1, 2, 3, 4]) for _ in range(4)]
    size = int(np.prod(shape))
    array, view = np.arange(size).reshape(shape), Strided.dense(shape)
    for _ in range(4):
        move = rng.choice(["transpose", "slice", "reshape"])
        if move == "transpose":
            axes = list(range(array.ndim))
            rng.shuffle(axes)
            array, view = array.transpose(axes), view.transpose(axes)
        elif move == "slice":
            begin = [rng.randrange(n) for n in array.shape]
            steps = [rng.choice([1, 2]) for _ in begin]
            array = array[tuple(slice(b, None, s) for b, s in zip(begin, steps, strict=True))]
            view = view.slice(begin, steps, array.shape)
        else:
            new = list(array.shape)
            at = rng.randrange(len(new))
            new[at : at + 2] = [int(np.prod(new[at : at + 2]))]
            moved = view.reshape(new)
            if moved is None:
                with pytest.raises(ValueError, match="copy"):
                    np.reshape(array, new, copy=False)
                continue
            array, view = array.reshape(new), moved
        np.testing.assert_array_equal(read(view, size), array)


def test_a_dimension_splits_and_merges() -> None:
    view = Strided.dense((4, 6))
    assert view.reshape((2, 2, 3, 2)) == Strided((2, 2, 3, 2), (12, 6, 2, 1))
    assert view.transpose((1, 0)).reshape((24,)) is None
    assert view.transpose((1, 0)).reshape((2, 3, 1, 4)) == Strided((2, 3, 1, 4), (3, 1, 0, 6))
