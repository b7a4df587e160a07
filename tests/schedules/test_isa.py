"""What instruction sets promise, and what the rest of the code makes of it."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from luthier.schedules import Target
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.target import parse
from luthier.schedules.target.costs import Costs
from luthier.schedules.target.isa import EXTENSIONS, ISAS, Isa
from luthier.schedules.target.processors import PROCESSORS

EACH = pytest.mark.parametrize("isa", ISAS.values(), ids=lambda isa: isa.name)
PROBED = Path(__file__).parents[2] / "deploy/runtime/cpu.c"


def test_levels_have_the_registers_of_the_psabi():
    assert {i.name: (i.vector_bytes, i.vector_registers) for i in ISAS.values()} == {
        "x86-64-v2": (16, 16),
        "x86-64-v3": (32, 16),
        "x86-64-v4": (64, 32),
    }


def test_each_level_has_the_one_before():
    for below, above in pairwise(ISAS.values()):
        assert above.features[: len(below.features)] == below.features
        assert len(set(above.features)) == len(above.features) > len(below.features)


@EACH
def test_a_vector_is_full_of_elements_of_any_type(isa: Isa):
    for dtype in DTYPES.values():
        assert dtype.nbytes(isa.lanes(dtype)) == isa.vector_bytes
    lanes = [isa.lanes(DTYPES[name]) for name in ("float64", "float32", "bfloat16", "int8", "int4")]
    assert lanes == [isa.vector_bytes // 8 * n for n in (1, 2, 4, 8, 8)]


@EACH
def test_the_runtime_can_ask_for_every_feature(isa: Isa):
    known = set(re.findall(r'\{"(\w+)", \w+, \d+, \w+\}', PROBED.read_text()))
    assert known >= set(isa.features)
    assert known >= {f for e in EXTENSIONS.values() for f in e.features}


@EACH
def test_a_target_is_of_its_levels_instruction_set(isa: Isa):
    target = Target(isa.name, isa.name, 1)
    assert target.isa is isa
    assert target.features == isa.features


def test_every_processor_has_a_known_instruction_set():
    assert {p.level for p in PROCESSORS.values()} == set(ISAS)


@EACH
def test_sums_side_by_side_hide_the_latency(isa: Isa):
    """Two multiply-adds a cycle of four cycles each: eight under way."""
    assert isa.costs.sums == isa.costs.latency * isa.costs.multiply_adds == 8


def test_a_processor_has_costs_of_its_own():
    assert parse("znver4", 1).costs.sums == 4  # 512 bits in two halves
    assert parse("haswell", 1).costs.sums == 10
    assert parse("znver5", 1).costs.has_room  # for other operations beside two multiply-adds
    assert not parse("sapphirerapids", 1).costs.has_room
    without = Target("x86-64-v3", "znver4", 1)  # its AVX-512 hidden by a hypervisor
    assert without.costs == without.isa.costs
    known = Costs(3, 1)
    assert Target("x86-64-v4", "znver4", 1, measured=known).costs == known
