"""Products and convolutions of whole numbers are exact at their edges, in every type and level."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, in_turn, verify
from whole_workloads import whole_conv, whole_matmul

from luthier.schedules.templates.registry import default, instantiate

PAD = (1, 1, 1, 1)
PRODUCTS = {
    "one number": whole_matmul((1, 1), (1, 1)),
    "a row": whole_matmul((1, 33), (33, 67), to="int8"),
    "a prime of everything": whole_matmul((13, 37), (37, 53), to="uint8"),
    "a batch": whole_matmul((2, 3, 5, 9), (2, 3, 9, 18), constant=False),
    "one B for a batch": whole_matmul((2, 3, 4, 9), (9, 21), to="uint8"),
    "one A for all": whole_matmul((7, 9), (3, 9, 18), constant=False, to="int8"),
}
CONVOLUTIONS = {
    "odd sizes": whole_conv((2, 7, 5, 3), 19, (3, 2), to="uint8"),
    "padded": whole_conv((1, 6, 5, 4), 8, (3, 3), pads=PAD),
    "apart": whole_conv((1, 9, 8, 4), 6, (3, 3), strides=(2, 1), dilations=(1, 2), pads=PAD),
    "groups": whole_conv((1, 5, 5, 6), 9, (3, 3), groups=3, to="int8"),
    "depthwise": whole_conv((2, 7, 6, 21), 21, (3, 3), pads=PAD, groups=21, to="uint8"),
    "depthwise, apart": whole_conv((1, 9, 9, 18), 18, (3, 2), strides=(2, 2), groups=18),
}
CASES = {**PRODUCTS, **CONVOLUTIONS}


@pytest.mark.parametrize(("name", "level"), in_turn(CASES))
def test_edges(name: str, level: str) -> None:
    verify(CASES[name], level)


@pytest.mark.slow
@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("name", CASES)
def test_edges_on_every_level(name: str, level: str) -> None:
    verify(CASES[name], level)


TYPES = ("int8", "uint8", "int16")


def ends(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """The largest numbers that eight bits less a zero point may be."""
    info = np.iinfo(dtype)
    low, high = max(info.min, -255), min(info.max, 255)
    return np.resize(np.array([low, high, high, low, high], dtype), shape)


@pytest.mark.parametrize(("types", "level"), in_turn(itertools.product(TYPES, TYPES)))
def test_the_largest_numbers_of_every_type(types: tuple[str, str], level: str) -> None:
    product = whole_matmul((5, 301), (301, 19), types)
    verify(product, level, samples=1, inputs=[ends(types[0], (5, 301)), ends(types[1], (301, 19))])
    conv = whole_conv((1, 5, 4, 9), 7, (3, 3), types, pads=PAD)
    given = [ends(types[0], (1, 5, 4, 9)), ends(types[1], (7, 3, 3, 9))]
    verify(conv, level, samples=0, inputs=given)


def test_packed_numbers_stay_as_narrow_as_they_are() -> None:
    for workload in (PRODUCTS["a row"], CONVOLUTIONS["padded"], CONVOLUTIONS["depthwise"]):
        target = TARGETS["x86-64-v3"]
        kernel = instantiate(workload, target, default(workload, target))
        weights = np.ones(workload.inputs[1].shape, "int8")
        assert kernel.pack(1, weights).dtype == np.int8
