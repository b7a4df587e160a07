"""A reduction that is cut in parts gives what a whole one does, however it is cut."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from caller import EXTENDED, TARGETS, Library, compare, reference
from whole_workloads import whole_conv, whole_matmul

from luthier.schedules import Schedule, Workload
from luthier.schedules.emit.crossed_pairs import MOST
from luthier.schedules.templates.gemm_integer.form import STAGED, IntegerGemm
from luthier.schedules.templates.registry import default, instantiate

TARGET = TARGETS["x86-64-v3"]
CASES = {
    "parts of one step": whole_matmul((3, 16), (16, 5), to="int8", zero=0),
    "a last part of one number": whole_matmul((13, 33), (33, 53), to="uint8", zero=117),
    "a last step of three numbers": whole_matmul((9, 111), (111, 16), ("int8", "int8")),
    "parts of the last step alone": whole_matmul((5, 67), (67, 24), ("uint8", "uint8"), to="uint8"),
    "rows of 16 bits": whole_matmul((7, 64), (64, 19), ("int16", "int8")),
    "rows of 16 bits that are copied": whole_matmul((7, 63), (63, 19), ("int16", "int8")),
    "a batch": whole_matmul((2, 3, 7, 40), (40, 21), to="uint8", zero=3),
    "pixels": whole_conv((2, 5, 6, 35), 21, (1, 1), ("uint8", "int8"), to="uint8"),
}


def in_parts(workload: Workload, count: int) -> list[Schedule]:
    """Some schedules of each layout, of different numbers of parts."""
    form = IntegerGemm.match(workload, TARGET)
    assert form is not None
    rng = random.Random(workload.text)
    drawn = dict.fromkeys(form.space.sample(rng) for _ in range(2000))
    found = []
    for layout in STAGED:
        some = (s for s in drawn if s["weights"] == layout and s["k_parts"] > 1)
        found += list({s["k_parts"]: s for s in some}.values())[:count]
    return found


def numbers(workload: Workload, rng: np.random.Generator, pick: int) -> list[np.ndarray]:
    """Of narrow types the least, the largest, either, or any."""

    def of(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        if pick < 2:
            return np.full(shape, (least, most)[pick], dtype)
        both = np.array([least, most], dtype)
        return (
            rng.choice(both, shape)
            if pick == 2
            else rng.integers(least, most, shape, dtype, endpoint=True)
        )

    return [
        of(t.dtype, t.shape)
        if t.element.bits <= 16
        else (rng.integers(-(2**20), 2**20, t.shape) if t.element.is_whole else np.ones(t.shape))
        .astype(t.dtype)
        for t in workload.inputs
    ]  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_parts_of_any_size(name: str) -> None:
    workload = CASES[name]
    chosen = in_parts(workload, 2)
    assert chosen
    library = Library([instantiate(workload, TARGET, s) for s in chosen], TARGET)
    rng = np.random.default_rng(0)
    for pick in range(4):
        inputs = numbers(workload, rng, pick)
        wanted = reference(workload, inputs)
        limit = 1e-6 * np.abs(wanted) if wanted.dtype.kind == "f" else 0
        for i, schedule in enumerate(chosen):
            compare(library.run(i, inputs, random.Random(i)), wanted, limit, schedule)


def test_the_deepest_that_is_crossed() -> None:
    workload = whole_matmul((3, MOST), (MOST, 9))
    schedule = default(workload, TARGET)
    form = IntegerGemm.match(workload, TARGET)
    assert form is not None
    knobs = form.typed(schedule)._replace(weights="crossed", order="panels", rows=3, vectors=2)
    chosen = [form.space.schedule(knobs._replace(unroll=1, k_parts=n)._asdict()) for n in (2, 16)]
    library = Library([instantiate(workload, TARGET, s) for s in chosen], TARGET)
    for a, b in itertools.product((0, 255), (-128, 127)):
        inputs = [np.full((3, MOST), a, np.uint8), np.full((MOST, 9), b, np.int8)]
        inputs[0][1] = 255 - a
        wanted = reference(workload, inputs)
        for i in range(len(chosen)):
            compare(library.run(i, inputs, random.Random(0)), wanted, 0)


def test_panels_that_fill_a_cache_are_cut_by_default() -> None:
    target = replace(TARGET, l1=32 << 10, l2=512 << 10)
    short, long = (whole_matmul((128, k), (k, 96)) for k in (512, 3072))
    assert default(short, target)["k_parts"] == 1
    found = default(long, target)
    assert found["weights"] in STAGED
    assert found["k_parts"] == 8
    assert found["m_block"] > 8  # rows, of which a part is held


def test_numbers_that_are_read_as_they_lie_are_not_cut() -> None:
    target = EXTENDED["x86-64-v3"]  # has instructions for fours
    form = IntegerGemm.match(whole_matmul((128, 3072), (3072, 96)), target)
    assert form is not None
    assert {knob.name: knob.choices for knob in form.choices()}["k_parts"] == (1,)
