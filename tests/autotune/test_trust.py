"""Whose records are truth, whose are worth inheriting, and whose are hints."""

from __future__ import annotations

from dataclasses import replace

import pytest

from luthier.autotune.records.machine import Machine
from luthier.autotune.records.trust import Asker, Trust
from luthier.schedules import Target

ZEN3 = Target("x86-64-v3", "znver3", 2, 32768, 524288, 33554432)
ZEN4 = replace(ZEN3, level="x86-64-v4", cpu="znver4", l2=1 << 20)
HASWELL = replace(ZEN3, cpu="haswell", l2=256 << 10)
ICELAKE = replace(ZEN4, cpu="icelake-server")

CASES = [
    (ZEN3, "zen3", Trust.EXACT),
    (replace(ZEN3, threads=8), "zen3", Trust.SAME_CPU),
    (replace(ZEN3, l3=1 << 20), "zen3", Trust.SAME_CPU),
    (replace(ZEN3, cpu="znver2"), "zen2", Trust.RELATED),
    (replace(ZEN3, cpu="znver4", l2=1 << 20), "zen4", Trust.RELATED),
    (replace(ZEN3, level="x86-64-v2"), "zen3", Trust.HINT),
    (ZEN4, "zen4", Trust.HINT),
    (HASWELL, "haswell", Trust.HINT),
    (replace(ZEN3, cpu="future"), "zen99", Trust.HINT),
    (replace(ZEN3, cpu="x86-64-v3"), "x86_64_v3", Trust.HINT),
    (replace(ZEN3, threads=8), "x86_64_v3", Trust.SAME_CPU),  # a hypervisor hides features
    (replace(ZEN3, cpu="haswell"), "x86_64_v3", Trust.HINT),
    (replace(ZEN3, cpu="x86-64-v3"), "zen3", Trust.SAME_CPU),
]


@pytest.mark.parametrize(("target", "name", "trust"), CASES, ids=lambda x: str(x)[:40])
def test_trust_of_a_machine_s_records_on_a_zen3(target, name, trust):
    assert Asker(ZEN3, "zen3").trust(Machine(target, "v", name)) is trust


@pytest.mark.parametrize("asker", [ZEN3, ZEN4, HASWELL, ICELAKE], ids=lambda t: t.cpu)
def test_only_one_kind_of_machine_is_truth(asker):
    names = {"znver3": "zen3", "znver4": "zen4", "haswell": "haswell", "icelake-server": "icelake"}
    for other in (ZEN3, ZEN4, HASWELL, ICELAKE):
        trust = Asker(asker, names[asker.cpu]).trust(Machine(other, "v", names[other.cpu]))
        assert (trust is Trust.EXACT) == (other == asker)


LEVEL = Target("x86-64-v3", "x86-64-v3", 2)
OF_A_LEVEL = [
    (LEVEL, "zen3", Trust.EXACT),
    (LEVEL, "x86_64_v3", Trust.EXACT),
    (replace(LEVEL, threads=4), "haswell", Trust.SAME_CPU),
    (replace(LEVEL, l2=1 << 20), "zen2", Trust.SAME_CPU),
    (ZEN3, "zen3", Trust.RELATED),
    (HASWELL, "haswell", Trust.RELATED),
    (ZEN4, "zen4", Trust.HINT),
    (replace(LEVEL, level="x86-64-v2", cpu="x86-64-v2"), "zen3", Trust.HINT),
]


@pytest.mark.parametrize(("target", "name", "trust"), OF_A_LEVEL, ids=lambda x: str(x)[:40])
def test_trust_of_a_machine_s_records_for_a_level(target, name, trust):
    assert Asker.of(LEVEL).trust(Machine(target, "v", name)) is trust


@pytest.mark.parametrize("cpu", ["x86-64-v3", "znver3", "icelake-server", "tigerlake", "bdver4"])
def test_who_asks_for_a_name_does_not_matter(cpu, monkeypatch):
    """tigerlake and bdver4 are in nobody's table: they are asked for where they are."""
    host = Machine(ZEN3, "v", "elsewhere")
    monkeypatch.setattr(Machine, "host", lambda target: host)
    known = {"x86-64-v3": "x86_64_v3", "znver3": "zen3", "icelake-server": "icelake"}
    asker = Asker.of(replace(ZEN3, cpu=cpu))
    assert asker.microarchitecture == known.get(cpu, "elsewhere")


def test_the_accuracy_asked_for_is_no_property_of_the_machine():
    asker = Asker(replace(ZEN3, accuracy="strict").machine, "zen3")
    assert asker.trust(Machine(ZEN3, "v", "zen3")) is Trust.EXACT


def test_extensions_do_not_tell_machines_apart():
    """Kernels that use one say so in a knob."""
    extended = replace(ZEN4, extensions=("vnni",))
    for asker, other in ((ZEN4, extended), (extended, ZEN4)):
        assert Asker(asker, "zen4").trust(Machine(other, "v", "zen4")) is Trust.EXACT


def test_the_closest_machine_comes_first():
    machines = [Machine(target, "v", name) for target, name, _ in CASES]
    asker = Asker(ZEN3, "zen3")
    ranked = sorted(reversed(machines), key=asker.distance)
    order = list(Trust)
    ranks = [order.index(asker.trust(machine)) for machine in ranked]
    assert ranks == sorted(ranks)
    near, far = (Machine(replace(ZEN3, threads=n), "v", "zen3") for n in (4, 64))
    assert asker.distance(near) < asker.distance(far)
