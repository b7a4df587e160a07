"""The last word: the whole model with tuned schedules and with defaults. Times are made up."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import luthier
from luthier.autotune import Outcome, Sources, Store
from luthier.autotune.measure.measurement import Measurement, recorded, side_by_side
from luthier.autotune.measure.measurer import Measurer
from luthier.autotune.records.machine import Machine
from luthier.autotune.records.record import normal, now
from luthier.deploy import Selection
from luthier.frontend import Program, import_model
from luthier.schedules import Schedule, Target, Workload
from luthier.schedules.templates import registry
from luthier.tuning.footprint import (
    activation_bytes,
    stays_in_cache,
    stays_in_own_cache,
    weight_bytes,
)
from luthier.tuning.judge import WHERE, judge
from luthier.tuning.timed import LEAST_TURNS, InTurns, _turns, is_slower

ZEN3 = Target("x86-64-v3", "znver3", 2, 32768, 524288, 33554432)
MACHINE = Machine(ZEN3, "AuthenticAMD", "zen3", ("avx",), 4, False)
Times = tuple[float, ...]


def around(seconds: float) -> Times:
    """Samples whose median is that, of a quiet machine."""
    return tuple(seconds * (1 + 0.001 * i) for i in range(-3, 4))


@pytest.fixture(scope="module")
def program(proto) -> Program:
    return import_model(proto, ZEN3)


@pytest.fixture(scope="module")
def tuned(program: Program) -> dict[Workload, Schedule]:
    """A schedule other than the default for each kernel."""
    found = {}
    for call in program.calls:
        space = registry.spaces(call.workload, ZEN3)[0]
        other = next(iter(space.neighbours(space.default_schedule())))
        found[call.workload] = normal(other)
    return found


@dataclass
class Stage:
    """Hears what is done; there is time for so many attempts, of so many libraries."""

    attempts: int = 9
    libraries: int = 9

    def __post_init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, doing: str) -> None:
        self.heard.append(doing)

    def in_time(self, libraries: int) -> bool:
        if libraries > self.libraries:
            return False
        self.attempts -= 1
        return self.attempts >= 0


def others(program: Program, kernel: int, count: int) -> list[Schedule]:
    """So many schedules of a kernel besides its default and the tuned one."""
    workload = list(dict.fromkeys(call.workload for call in program.calls))[kernel]
    space = registry.spaces(workload, ZEN3)[0]
    near = [normal(s) for s in space.neighbours(space.default_schedule())]
    return near[1 : 1 + count]


@pytest.fixture
def simulated(program, tuned, monkeypatch):
    """Judge by made-up times: of the whole, and of each kernel, beside a default of 1 ms.

    Alone, tuned schedules took half as long as defaults, and those in ``close`` 1% longer than
    tuned ones. There it says, by the number of the kernel, what each takes inside the model.
    """

    def run(
        wholes: list[float],
        kernels: Mapping[int, float] | None = None,
        *,
        busy: bool = False,
        schedules: Mapping[Workload, Schedule] | None = None,
        stage: Stage | None = None,
        close: Mapping[int, Sequence[float]] | None = None,
        alone: float = 1.01e-6,
    ):
        built: dict[str, dict[Workload, Schedule]] = {}
        left = iter(wholes)
        inside = {(key, s): (kernels or {}).get(i, 0.8) for i, (key, s) in enumerate(tuned.items())}
        near: list[tuple[Workload, Schedule]] = []
        for i, shares in (close or {}).items():
            key = list(tuned)[i]
            for schedule, share in zip(others(program, i, len(shares)), shares, strict=True):
                inside[key, schedule] = share
                near.append((key, schedule))

        def in_turns(folders: Sequence[Path], *_: object) -> InTurns:
            chosen = [built[folder.name] for folder in folders]
            times = {
                key: tuple(around(1e-3 * inside.get((key, c.get(key)), 1.0)) for c in chosen)
                for key in tuned
            }
            whole = next(left)
            return InTurns((2e-3, *(2e-3 * whole for _ in chosen[1:])), busy, times)

        monkeypatch.setattr(
            "luthier.tuning.judge.build_library",
            lambda p, f, t, s: built.update({f.name: {w: each.schedule for w, each in s.items()}}),
        )
        monkeypatch.setattr("luthier.tuning.judge.in_turns", in_turns)
        chosen = tuned if schedules is None else schedules
        store = Store.in_memory("own", [*compared(chosen), *timed(near, alone)])
        sources = Sources(store, (), ZEN3)
        selected = {workload: Selection(schedule) for workload, schedule in chosen.items()}
        verdict = judge({"run": program}, sources, selected, {"run": {}}, stage or Stage())
        return verdict, sources, list(built.values())

    def workloads():
        return dict.fromkeys(c.workload for c in program.calls)

    def timed(near: Sequence[tuple[Workload, Schedule]], seconds: float):
        """Records of schedules that were timed alone."""
        for i, (key, schedule) in enumerate(near):
            shown = Measurement(schedule, Outcome.OK, around(seconds * (1 + 0.001 * i)))
            yield recorded(key, MACHINE, shown, cold=True, time=now())

    def compared(schedules: Mapping[Workload, Schedule]):
        """Records of the kernels' own comparisons, which tuned ones that are chosen have won."""
        records = []
        for workload in workloads():
            pair = registry.default(workload, ZEN3), tuned[workload]
            times = 2e-6, 1e-6 if workload in schedules else 3e-6
            shown = [
                Measurement(normal(s), Outcome.OK, around(t))
                for s, t in zip(pair, times, strict=True)
            ]
            at = now()
            records += [
                recorded(workload, MACHINE, m, cold=True, time=at) for m in side_by_side([shown])
            ]
        return records

    return run


def later(program: Program, sources: Sources) -> list[bool]:
    """Of each kernel, whether a build gives it the default from now on."""
    kernels = dict.fromkeys(call.workload for call in program.calls)
    return [
        sources.best(kernel).schedule == normal(registry.default(kernel, ZEN3))
        for kernel in kernels
    ]


def test_a_model_that_is_faster_keeps_its_winners(simulated, program, tuned):
    verdict, sources, built = simulated([0.8])
    assert (verdict.before, verdict.after) == (2e-3, pytest.approx(1.6e-3))
    assert (verdict.kept, verdict.busy, verdict.decided) == (False, False, {})
    assert built == [{}, tuned]
    assert later(program, sources) == [False, False]


def test_a_kernel_that_is_slower_inside_the_model_gets_its_default_back(simulated, program, tuned):
    stage = Stage()
    verdict, sources, built = simulated([0.9, 0.8], {1: 1.3}, stage=stage)
    first, second = tuned
    assert built == [{}, tuned, {first: tuned[first]}]
    assert verdict.decided.keys() == {second}
    assert (verdict.kept, verdict.after) == (False, pytest.approx(1.6e-3))
    assert later(program, sources) == [False, True]
    assert stage.heard[0] == "building it with default schedules"
    assert {r.detail for r in sources.own.records()} == {"", WHERE}


def test_a_model_that_is_no_faster_keeps_all_defaults(simulated, program, tuned):
    """Though each kernel seems to be faster."""
    verdict, sources, _ = simulated([1.01])
    assert verdict.kept
    assert verdict.decided.keys() == tuned.keys()
    assert later(program, sources) == [True, True]


def test_what_is_left_without_the_slower_kernels_gets_another_chance(simulated, program, tuned):
    verdict, sources, _ = simulated([1.01, 0.9], {0: 1.2})
    assert not verdict.kept
    assert later(program, sources) == [True, False]
    verdict, sources, _ = simulated([1.01, 1.02], {0: 1.2})
    assert verdict.kept
    assert later(program, sources) == [True, True]


class TestFinalists:
    """What was about as fast as the winner alone may be faster inside the model."""

    def test_the_fastest_inside_the_model_is_built(self, simulated, program, tuned):
        stage = Stage()
        verdict, sources, built = simulated([0.9, 0.8], close={0: [0.9, 0.7]}, stage=stage)
        first, second = tuned
        near = others(program, 0, 2)
        assert [chosen.get(first) for chosen in built] == [None, tuned[first], *near, near[1]]
        assert all(chosen.get(second) == tuned[second] for chosen in built[1:])
        decision = verdict.decided[first]
        assert verdict.decided.keys() == {first}
        assert (decision.schedule, decision.default_kept) == (near[1], False)
        assert (decision.default, decision.seconds) == pytest.approx((1e-3, 0.7e-3))
        assert (verdict.kept, verdict.after) == (False, pytest.approx(1.6e-3))
        assert stage.heard[2:4] == [
            "building it with the second best",
            "building it with the third best",
        ]
        best = sources.best(program.calls[0].workload)
        assert (best.schedule, best.record.detail) == (near[1], WHERE)

    def test_one_that_seems_faster_by_chance_is_not(self, simulated, program, tuned):
        verdict, sources, built = simulated([0.9], close={0: [0.7999]})
        assert verdict.decided == {}
        assert len(built) == 3
        assert sources.best(program.calls[0].workload).schedule == tuned[next(iter(tuned))]

    def test_one_that_was_slower_alone_is_none(self, simulated):
        verdict, _, built = simulated([0.9], close={0: [0.1]}, alone=1.1e-6)
        assert verdict.decided == {}
        assert len(built) == 2

    def test_it_may_beat_a_default_that_won_alone(self, simulated, program, tuned):
        first, second = tuned
        verdict, _, _ = simulated(
            [0.9, 0.9], schedules={second: tuned[second]}, close={0: [0.5]}, alone=2e-6
        )
        assert verdict.decided[first].schedule in others(program, 0, 1)

    def test_where_all_are_slower_than_the_default_it_is_kept(self, simulated, program, tuned):
        verdict, sources, _ = simulated([0.9, 0.9], {0: 1.3}, close={0: [1.2]})
        assert verdict.decided[next(iter(tuned))].default_kept
        assert later(program, sources) == [True, False]

    def test_a_gain_too_small_to_be_built_later_is_none(self, simulated, program, tuned):
        verdict, sources, _ = simulated([0.9, 0.9], {0: 1.1}, close={0: [0.995]})
        assert verdict.decided[next(iter(tuned))].default_kept
        assert later(program, sources) == [True, False]

    def test_short_of_time_fewer_are_timed(self, simulated):
        _, _, built = simulated([0.9], close={0: [0.7, 0.6]}, stage=Stage(1, libraries=3))
        assert len(built) == 3
        _, _, built = simulated([0.9], close={0: [0.7, 0.6]}, stage=Stage(1, libraries=2))
        assert len(built) == 2

    def test_a_model_that_is_no_faster_with_them_keeps_all_defaults(self, simulated, program):
        verdict, sources, _ = simulated([0.9, 1.01], close={0: [0.7]})
        assert verdict.kept
        assert later(program, sources) == [True, True]


def test_a_busy_machine_is_no_judge(simulated, program):
    verdict, sources, _ = simulated([1.5], {0: 2.0}, busy=True)
    assert verdict.busy
    assert not verdict.kept
    assert verdict.decided == {}
    assert later(program, sources) == [False, False]


def test_where_nothing_changed_or_no_time_is_left_there_is_nothing_to_judge(simulated, tuned):
    assert simulated([], schedules={})[0] is None
    assert simulated([], stage=Stage(attempts=0))[0] is None
    verdict, _, built = simulated([0.9], {1: 1.3}, stage=Stage(attempts=1))
    assert len(built) == 2
    assert verdict.decided.keys() == {list(tuned)[1]}


def test_another_comparison_may_overturn_a_verdict(simulated, program, tuned):
    _, sources, _ = simulated([1.01])
    workload = program.calls[0].workload
    pair = normal(registry.default(workload, ZEN3)), tuned[workload]
    shown = [Measurement(s, Outcome.OK, around(t)) for s, t in zip(pair, (2e-6, 1e-6), strict=True)]
    at = now()
    for each in side_by_side([shown]):
        sources.add(recorded(workload, MACHINE, each, cold=True, time=at))
    assert later(program, sources) == [False, True]


def test_chance_does_not_make_a_kernel_slower():
    spread = tuple(1e-3 * (1 + 0.1 * i) for i in range(-3, 4))
    assert not is_slower(tuple(1.03 * s for s in spread), spread)
    assert is_slower(tuple(1.5 * s for s in spread), spread)
    assert is_slower(around(1.03e-3), around(1e-3))


class TestTurns:
    """Two libraries of one program on a machine that something else uses now and then."""

    @pytest.fixture
    def turns(self, monkeypatch) -> Callable[..., InTurns]:
        passed = [0.0]
        monkeypatch.setattr(time, "perf_counter", lambda: passed[0])
        monkeypatch.setattr("luthier.tuning.timed.SECONDS", 1.0)

        class Library:
            inputs = takes = gives = ()
            kernel = SimpleNamespace(workload="k")
            step = SimpleNamespace(kernel=0)
            manifest, steps = SimpleNamespace(kernels=[kernel]), (step, step)

            def __init__(self, seconds: float, slowed: Callable[[], bool]) -> None:
                self.seconds, self.slowed = seconds, slowed

            def __call__(self) -> None:
                passed[0] += self.seconds * (3 if self.slowed() else 1)

            def profile(self, inputs: object) -> list[float]:
                self()
                return [self.seconds * (3 if self.slowed() else 1) / 2] * 2

        def run(first: float, second: float, busy: Callable[[float], bool]) -> InTurns:
            slowed = lambda: busy(passed[0])  # noqa: E731
            watch = SimpleNamespace(pulse=slowed)
            libraries = [Library(first, slowed), Library(second, slowed)]
            return _turns([{"run": each} for each in libraries], {"run": {}}, watch)

        return run

    def test_a_quiet_machine_tells_both_times(self, turns):
        shown = turns(2e-3, 1e-3, lambda at: False)
        assert shown.seconds == pytest.approx((2e-3, 1e-3))
        assert not shown.busy
        default, best = (statistics.median(s) for s in shown.kernels["k"])
        assert (default, best) == (pytest.approx(1e-3), pytest.approx(0.5e-3))

    def test_what_was_disturbed_does_not_count(self, turns):
        shown = turns(2e-3, 1e-3, lambda at: 0.5 < at < 1.5)
        assert shown.seconds == pytest.approx((2e-3, 1e-3))
        assert not shown.busy

    def test_where_it_never_is_quiet_that_is_said(self, turns):
        assert turns(2e-3, 1e-3, lambda at: True).busy

    def test_a_slow_model_has_enough_turns_all_the_same(self, turns):
        shown = turns(2.0, 1.0, lambda at: False)
        assert len(shown.kernels["k"][0]) >= LEAST_TURNS


class TestTheCommand:
    """``tune`` and ``build --trials``; only the whole model's times are made up."""

    @pytest.fixture
    def whole(self, monkeypatch):
        """The model takes so many times its default; what was tuned is not the default."""
        monkeypatch.setattr("luthier.tuning.judge.build_library", lambda *arguments: None)

        def set_to(share: float, *, busy: bool = False) -> None:
            class Every(dict):
                def __missing__(self, key: str) -> tuple[Times, ...]:
                    return around(1e-3), around(0.9e-3), around(0.9e-3), around(0.9e-3)

            shown = InTurns((1e-3, share * 1e-3), busy, Every())
            monkeypatch.setattr("luthier.tuning.judge.in_turns", lambda *_: shown)
            monkeypatch.setattr("luthier.tuning.tune.choices", _others)

        def _others(entry, sources):
            """As if every kernel had a winner."""
            found = {}
            for call in entry.variants[0].calls:
                space = registry.spaces(call.workload, sources.target)[0]
                other = next(iter(space.neighbours(space.default_schedule())), None)
                if other is not None:
                    record = SimpleNamespace(hash="")
                    found[call.workload] = SimpleNamespace(schedule=other, record=record)
            assert found
            return found

        return set_to

    def test_defaults_that_are_kept_are_told_and_built(self, cli, model, whole):
        whole(1.01)
        options = ("--log", "log", "--threads", "2")
        done = cli("tune", model, "--trials", "6", *options)
        assert "whole model: 1 ms -> 1.01 ms (0.99x): defaults kept\n" in done.out + "\n"
        assert "defaults kept: " in done.out
        report = json.loads(cli("tune", model, "--trials", "1", *options, "--json").out)
        assert report["model_kept_defaults"] is True
        assert report["defaults_kept"] >= 1
        assert "defaults_kept" in report
        done = cli("build", model, "-o", "out", *options, "--json")
        built = json.loads(Path("out/manifest.json").read_text())["kernels"]
        target = luthier.load("out").manifest.target
        for kernel, entry in zip(built, luthier.load("out").manifest.kernels, strict=True):
            assert kernel["source"] == "record"
            assert normal(entry.schedule) == normal(registry.default(entry.workload, target))

    def test_a_busy_machine_is_told(self, cli, model, whole):
        whole(0.5, busy=True)
        done = cli("tune", model, "--trials", "6", "--log", "log", "--threads", "2")
        assert "what was won is not known: busy machine" in done.out

    def test_every_stage_is_told_with_the_time_that_is_left(self, model, whole, tmp_path):
        whole(0.9)
        events: list[luthier.autotune.Progress] = []
        luthier.tune_and_build(
            model, tmp_path / "out", trials=6, threads=2, log="log", on_progress=events.append
        )
        stages = list(dict.fromkeys(event.stage for event in events))
        assert [s for s in stages if s != "confirm"] == [
            "import", "workers", "trials", "model", "build",
        ]  # fmt: skip
        assert all(event.doing for event in events)
        assert all(event.eta > 0 for event in events if event.stage != "import")


class TestFootprint:
    def test_weights_and_what_is_alive_at_once(self, program):
        assert weight_bytes(program) == 4 * (8 * 5)
        # x [2,8], shift [5] and the result [2,5] of the product; then the sum [2,1] or so
        assert activation_bytes(program) >= 4 * (16 + 5 + 10)

    def test_a_model_is_warm_where_all_of_it_fits(self, program):
        size = weight_bytes(program) + activation_bytes(program)
        assert stays_in_cache(program, replace(ZEN3, l3=size))
        assert not stays_in_cache(program, replace(ZEN3, l3=size - 1))
        assert stays_in_own_cache(program, replace(ZEN3, l2=size))
        assert not stays_in_own_cache(program, replace(ZEN3, l2=size - 1))

    def test_what_is_dead_takes_no_room(self):
        from luthier.frontend.program import Call
        from luthier.schedules import Tensor, Workload, node

        tensor = Tensor((1000,))
        relu = Workload((tensor,), (False,), (node("relu", (0,), tensor),))
        calls = tuple(Call(relu, (i,), i + 1) for i in range(50))
        chain = Program("chain", (tensor,) * 51, (("x", 0),), (("y", 50),), {}, {}, calls)
        assert activation_bytes(chain) == 2 * 4000


@pytest.mark.parametrize(
    ("fits", "fits_core", "cold", "swept"),
    [
        (False, False, True, False),
        (True, False, False, True),
        (True, True, False, False),
    ],
)
def test_kernels_are_timed_as_warm_as_in_their_model(
    model, tmp_path, monkeypatch, fits, fits_core, cold, swept
):
    """Weights come from memory, from the cache of all cores, or from each core's own."""
    monkeypatch.setattr("luthier.tuning.tune.stays_in_cache", lambda *_: fits)
    monkeypatch.setattr("luthier.tuning.tune.stays_in_own_cache", lambda *_: fits_core)
    asked = []
    ask = Measurer._ask_runner
    monkeypatch.setattr(
        Measurer, "_ask_runner", lambda self, request: asked.append(request) or ask(self, request)
    )
    log = tmp_path / "log"
    luthier.tune(model, trials=2, threads=2, log=log, timed=False)
    assert {(request.cold, request.swept) for request in asked} == {(cold, swept)}
    with Store.open(log) as store:
        assert {record.cold for record in store.records()} == {cold}
