"""Small workloads, a target, and records without measuring."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from luthier.autotune.records.machine import Machine
from luthier.autotune.records.record import Outcome, Record, Timing, normal, now
from luthier.autotune.records.sources import Sources
from luthier.autotune.records.store import Store
from luthier.autotune.records.trust import Asker
from luthier.schedules import Knob, Schedule, Space, Target, Tensor, Workload, node

MakeRecord = Callable[..., Record]


@pytest.fixture
def target() -> Target:
    return Target("x86-64-v3", "znver3", 2, 32768, 524288, 33554432)


@pytest.fixture
def workload() -> Workload:
    out = Tensor((64, 96))
    return Workload(
        (Tensor((64, 128)), Tensor((128, 96)), Tensor((96,))),
        (False, True, True),
        (node("matmul", (0, 1), out), node("add", (3, 2), out), node("relu", (4,), out)),
    )


@pytest.fixture
def make_record(workload: Workload, target: Target) -> MakeRecord:
    """A record of ``schedule``, or number so, that took ``seconds``; None for a crash."""

    def make(
        number: int = 0,
        seconds: float | None = 1e-3,
        *,
        schedule: Schedule | None = None,
        of: Workload = workload,
        on: Target = target,
        version: int = 1,
        time: str | None = None,
        outcome: Outcome = Outcome.CRASHED,
        microarchitecture: str = "zen3",
        features: tuple[str, ...] = ("avx", "avx2"),
        cores: int = 4,
    ) -> Record:
        knobs = (("number", number), ("order", "rows"))
        return Record(
            workload=of,
            machine=Machine(on, "AuthenticAMD", microarchitecture, features, cores, False),
            schedule=normal(schedule or Schedule("fake", version, knobs)),
            outcome=Outcome.OK if seconds else outcome,
            timing=Timing.of([seconds]) if seconds else None,
            cold=True,
            detail="" if seconds else "killed by SIGSEGV",
            tools=(("luthier", "0.1.0"), ("tvm", "0.27.0")),
            time=time or now(),
        )

    return make


def fake_spaces(workload: Workload, target: Target) -> tuple[Space, ...]:
    """A thousand schedules, at version 1."""
    numbers = Knob("number", tuple(range(1000)), "which one")
    order = Knob("order", ("columns", "rows"), "")
    return (Space("fake", 1, (numbers, order), {"number": 0, "order": "rows"}),)


MakeSources = Callable[..., Sources]


@pytest.fixture
def make_sources(target: Target, monkeypatch: pytest.MonkeyPatch) -> MakeSources:
    """Sources of records over the fake spaces, on a Zen 3: one's own first, then packs."""
    monkeypatch.setattr(Asker, "of", lambda target: Asker(target.machine, "zen3"))

    def make(own: list[Record] | None, *packs: list[Record], on: Target = target) -> Sources:
        stores = [Store.in_memory(f"pack {i}", pack) for i, pack in enumerate(packs, 1)]
        store = None if own is None else Store.in_memory("own", own)
        return Sources(store, stores, on, fake_spaces)

    return make
