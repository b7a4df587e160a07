"""A library for a named target is the same wherever it is built, and so are the records it uses.

Machines are simulated: what they say of their processor and its caches.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import archspec.cpu
import numpy as np
import pytest

import luthier
import luthier.logs
from luthier.autotune import Machine, Record, write_pack
from luthier.autotune.records.validity import Validity
from luthier.schedules import Target
from luthier.schedules.target import parse
from luthier.schedules.target.machine import host_features


@dataclass(frozen=True)
class Simulated:
    """A machine as archspec, LLVM and Linux describe it."""

    microarchitecture: str
    vendor: str
    cpu: str
    level: str
    caches: tuple[int, int, int]


ZEN3 = Simulated("zen3", "AuthenticAMD", "znver3", "x86-64-v3", (32 << 10, 512 << 10, 32 << 20))
MACHINES = {
    "zen3": ZEN3,
    "zen3 with less L3": replace(ZEN3, caches=(32 << 10, 512 << 10, 4 << 20)),
    "zen3 in a virtual machine": replace(ZEN3, microarchitecture="x86_64_v3"),
    "haswell": Simulated(
        "haswell", "GenuineIntel", "haswell", "x86-64-v3", (32 << 10, 256 << 10, 45 << 20)
    ),
    "zen5": Simulated("zen5", "AuthenticAMD", "znver5", "x86-64-v4", (48 << 10, 1 << 20, 32 << 20)),
    "old": Simulated(
        "nehalem", "GenuineIntel", "nehalem", "x86-64-v2", (1 << 15, 1 << 18, 1 << 23)
    ),
}
Become = Callable[[str], None]
HERE = "luthier.schedules.target.machine"
REAL_FEATURES = host_features()


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Become:
    """Be one of MACHINES from here on."""

    def simulate(name: str) -> None:
        machine = MACHINES[name]
        features = Target(machine.level, machine.level, 1).features
        host = SimpleNamespace(
            name=machine.microarchitecture, vendor=machine.vendor, features=frozenset(features)
        )
        sizes = dict(zip((0, 2, 3), machine.caches, strict=True))
        monkeypatch.setattr(archspec.cpu, "host", lambda: host)
        monkeypatch.setattr(f"{HERE}._cache_bytes", lambda index, default: sizes[index])
        for module in ("luthier.machine.target", HERE):
            monkeypatch.setattr(f"{module}.host_cpu", lambda: machine.cpu)
        for module in ("luthier.autotune.records.machine", HERE):
            monkeypatch.setattr(f"{module}.host_features", lambda: host.features)
        # A library is tried where this processor runs it, too.
        tried = "luthier.building.trial.host_features"
        monkeypatch.setattr(tried, lambda: host.features & REAL_FEATURES)

    return simulate


@pytest.fixture(scope="module")
def records(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, ...]:
    """Real records of the small model for two threads, of whatever machine this is."""
    log = tmp_path_factory.mktemp("tuned") / "log"
    luthier.tune(model, target="x86-64-v2", trials=6, log=log, threads=2, timed=False)
    with luthier.logs.opened(log) as store:
        return tuple(store.records())


@pytest.fixture
def pack(records: tuple[Record, ...]) -> Callable[..., str]:
    """A pack of these as if they had been measured on a machine, for a target of it."""

    def write(simulated: str, on: Target, *, defaults: bool = False) -> str:
        by = MACHINES[simulated]
        machine = Machine(on, by.vendor, by.microarchitecture, ("avx",), 8, True)
        moved = [replace(record, machine=machine) for record in records]
        if defaults:
            validity = Validity()
            moved = [r for r in moved if r.schedule == validity.default(r.workload, on)]
        write_pack("team.jsonl", moved)
        return "team.jsonl"

    return write


def built(model: Path, target: str, pack: str, out: str = "out", threads: int = 2) -> dict:
    """What was built with hits alone: the target, and of each kernel the record and schedule."""
    report = luthier.build(
        model, out, target=target, threads=threads, packs=[pack], require_hits=True
    )
    assert report.from_defaults == 0
    manifest = json.loads((Path(out) / "manifest.json").read_text())
    return {key: manifest[key] for key in ("target", "kernels")}


@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v3", "znver3", "znver4"])
def test_every_machine_builds_the_same_from_the_same_pack(model, pack, become, target):
    """From records that were measured for the very target."""
    team = pack("zen3", parse(target, 2))
    results, libraries = [], []
    for name in ("zen5", "old"):
        become(name)
        results.append(built(model, target, team))
        libraries.append((Path("out") / "model.so").read_bytes())
    assert all(result == results[0] for result in results)
    assert all(library == libraries[0] for library in libraries)


@pytest.mark.parametrize("defaults", [False, True], ids=["winners", "defaults"])
@pytest.mark.parametrize(
    ("target", "simulated", "on"),
    [
        ("x86-64-v3", "zen3", parse("znver3", 2)),  # a processor of the level
        ("x86-64-v3", "haswell", Target("x86-64-v3", "x86-64-v3", 2, l3=45 << 20)),  # older records
        ("znver3", "zen3 with less L3", Target("x86-64-v3", "znver3", 2, l3=4 << 20)),
        ("znver3", "zen3 in a virtual machine", parse("znver3", 2)),
    ],
)
def test_records_of_a_related_machine_hit_everywhere(
    model, pack, become, target, simulated, on, defaults
):
    team = pack(simulated, on, defaults=defaults)
    results = []
    for name in MACHINES:
        become(name)
        results.append(luthier.logs.best(target=target, threads=2, packs=[team]))
    assert all(result == results[0] for result in results)
    assert len(results[0]) == 2
    become("old")
    assert built(model, target, team)["target"] == parse(target, 2).to_json()


def test_a_miss_is_a_miss_everywhere(model, pack, become):
    team = pack("zen5", parse("znver5", 2))
    for name in MACHINES:
        become(name)
        assert luthier.logs.best(target="x86-64-v3", threads=2, packs=[team]) == ()
    with pytest.raises(luthier.LogError, match="2 of 2 kernels have no record"):
        built(model, "x86-64-v3", team)


def test_the_host_is_what_the_machine_is(model, pack, become):
    team = pack("zen3", parse("znver3", 2))
    become("zen3")
    assert built(model, "host", team)["target"] == parse("znver3", 2).to_json()
    become("haswell")
    with pytest.raises(luthier.LogError, match="2 of 2 kernels have no record"):
        built(model, "native", team)


def test_a_processor_is_measured_where_it_is(model, become):
    become("zen5")
    with pytest.raises(
        luthier.TargetError, match="znver3 cannot be measured here: this CPU is a znver5"
    ):
        luthier.tune(model, target="znver3", trials=1)
    become("zen3")
    with pytest.raises(luthier.TargetError, match="this CPU lacks avx512bw"):
        luthier.tune(model, target="znver4", trials=1)


def test_a_library_with_tiles_says_where_there_are_none(tmp_path):
    digits = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"
    target = "x86-64-v4+vnni+bf16+amx"
    built = luthier.build(digits, tmp_path / "digits", target=target, accuracy="bf16", log=None)
    if parse(target).features[-1] in host_features():
        with luthier.load(built.folder) as artifact:
            assert artifact.run({"image": np.zeros((1, 1, 8, 8), np.float32)})
    else:
        missing = next(f for f in parse(target).features if f not in host_features())
        with pytest.raises(luthier.TargetError, match=missing):
            luthier.load(built.folder)
