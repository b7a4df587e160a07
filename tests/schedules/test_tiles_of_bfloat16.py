"""Attention and products before depthwise convolutions by AMX's whole tiles.

Their operands and results lie in memory as float32 or as bfloat16.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from attentions import odd_sizes, packed, separate
from caller import Library, compare, draw, reference, schedules
from rounded_kernels import BF16, PAD, rounded
from test_handed_bfloat16 import handed
from test_whole_tiles import ROUNDING, compiled_for, emulator, tiles
from workloads import separable

from luthier.schedules import Schedule, Workload
from luthier.schedules.templates.registry import default, instantiate

__all__ = ["emulator", "tiles"]  # fixtures
Made = Sequence[tuple[Workload, Schedule]]
WAYS = [(False, False), (True, False), (True, True)]  # what is handed: operands, the result


def verify(workload: Workload, inputs: list[np.ndarray] | None = None, samples: int = 1) -> None:
    """Against float64, of rounded operands; shares are rounded too, by 2^-9 of themselves."""
    inputs = draw(workload) if inputs is None else inputs
    given = [rounded(a) if i in workload.nodes[0].args[:3] else a for i, a in enumerate(inputs)]
    with np.errstate(all="ignore"):
        want = reference(workload, given)
    most = np.abs(want[np.isfinite(want)]).max(initial=0)
    made = []
    for way in WAYS if workload.nodes[0].attr("sizes")[4] % 2 == 0 else WAYS[:1]:
        changed = handed(workload, *way)
        found = [
            s for s in schedules(changed, ROUNDING, samples) if s.template == "attention_bfloat16"
        ]
        assert default(changed, ROUNDING) == found[0]
        made += [(changed, schedule) for schedule in found]
    limit = 2.0**-7 * most + 2.0**-8 * np.where(np.isfinite(want), np.abs(want), 0)
    for title, wide, _ in results(made, inputs):
        compare(wide, want, limit, title)


def results(made: Made, inputs: Sequence[np.ndarray]) -> Iterator[tuple[str, np.ndarray, bool]]:
    """What each kernel is, its result as float32, and whether that was rounded to bfloat16."""
    kernels = [instantiate(changed, ROUNDING, schedule) for changed, schedule in made]
    library = Library(kernels, compiled_for())
    for i, (changed, schedule) in enumerate(made):
        arrays = [
            a.astype(BF16).view(np.uint16) if t.dtype == "bfloat16" else a
            for a, t in zip(inputs, changed.inputs, strict=True)
        ]
        got = library.run(i, arrays, random.Random(i))
        is_rounded = got.dtype != np.float32
        wide = got.view(BF16).astype(np.float32) if is_rounded else got
        yield f"{schedule}, {changed}", wide, is_rounded


@pytest.mark.parametrize("seed", range(3))
def test_odd_sizes(seed: int, tiles: None) -> None:
    rng = random.Random(seed)
    sizes = odd_sizes(rng)
    mask = (sizes[0], 1, sizes[3], 1) if seed % 2 else None
    verify(separate(sizes, bool(seed & 2), mask))


@pytest.mark.parametrize(("depth", "width"), [(64, 64), (33, 1)])
def test_whole_steps_and_others(depth: int, width: int, tiles: None) -> None:
    verify(separate((1, 2, 33, 64, depth, width), False))


def test_several_blocks_of_rows_and_keys(tiles: None) -> None:
    verify(packed(1, 2, 291, 32, empty_is_zero=True), samples=2)


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
def test_scores_that_are_no_numbers(number: float, tiles: None) -> None:
    """In one key, and in all keys of a row; keys after the last one have no part."""
    workload = packed(1, 1, 40, 24, empty_is_zero=True)
    inputs = draw(workload)
    inputs[1][0, 0, 17, 3] = number
    inputs[1][0, 0, :, 30] = number
    verify(workload, inputs)


def test_values_that_are_no_numbers_stay_in_their_column(tiles: None) -> None:
    workload = separate((1, 2, 20, 37, 32, 24), True)
    inputs = draw(workload)
    inputs[2][0, 0, 36, 23] = np.inf
    inputs[2][0, 1, 0, 0] = np.nan
    verify(workload, inputs)


@pytest.mark.parametrize(("channels", "strides"), [(3, (2, 1)), (40, (1, 2))])
def test_products_before_depthwise_convolutions(
    channels: int, strides: tuple[int, int], tiles: None
) -> None:
    shape = (2, 9, 21, channels)
    pair = separable(shape, 37, (3, 3), strides=strides, pads=PAD, between="clip", after="bias")
    inputs = draw(pair)
    given = [rounded(a) if i in pair.nodes[0].args else a for i, a in enumerate(inputs)]
    want, made = reference(pair, given), []
    for way in WAYS:
        changed = handed(pair, *way)
        made += [
            (changed, schedule)
            for schedule in schedules(changed, ROUNDING, 1)
            if schedule.template == "separable_bfloat16"
        ]
    assert len(made) >= len(WAYS)
    for title, wide, is_rounded in results(made, inputs):
        compare(wide, want, 1e-4 + 2.0**-8 * np.abs(want) * is_rounded, title)
