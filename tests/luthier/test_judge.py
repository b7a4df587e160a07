"""The last word: the whole model with tuned schedules and with defaults. Times are made up."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import luthier
from luthier import _timed
from luthier._footprint import activation_bytes, stays_in_cache, weight_bytes
from luthier._judge import WHERE, judge
from luthier._timed import LEAST_TURNS, InTurns, is_slower
from luthier.autotune import Layers, Outcome, Store
from luthier.autotune.machine import Machine
from luthier.autotune.measurement import Measurement, recorded, side_by_side
from luthier.autotune.record import normal, now
from luthier.frontend import Program, import_model
from luthier.schedules import Schedule, Target, registry

ZEN3 = Target("x86-64-v3", "znver3", 2, 32768, 524288, 33554432)
Times = tuple[float, ...]


def around(seconds: float) -> Times:
    """Samples whose median is that, of a quiet machine."""
    return tuple(seconds * (1 + 0.001 * i) for i in range(-3, 4))


@pytest.fixture(scope="module")
def program(proto) -> Program:
    return import_model(proto, ZEN3)


@pytest.fixture(scope="module")
def tuned(program: Program) -> dict[str, Schedule]:
    """A schedule other than the default for each kernel, by its key."""
    found = {}
    for call in program.calls:
        space = registry.spaces(call.workload.dense, ZEN3)[0]
        other = next(iter(space.neighbours(space.default_schedule())))
        found[call.workload.dense.key] = normal(other)
    return found


@dataclass
class Stage:
    """Hears what is done; there is time for so many attempts."""

    attempts: int = 9

    def __post_init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, doing: str) -> None:
        self.heard.append(doing)

    def in_time(self) -> bool:
        self.attempts -= 1
        return self.attempts >= 0


@pytest.fixture
def simulated(program, tuned, monkeypatch):
    """Judge by made-up times: of the whole, and of each kernel, beside a default of 1 ms."""

    def run(
        wholes: list[float],
        kernels: Mapping[int, float] | None = None,
        *,
        busy: bool = False,
        schedules: Mapping[str, Schedule] | None = None,
        stage: Stage | None = None,
    ):
        built: list[dict[str, Schedule]] = []
        left = iter(wholes)
        shares = {key: (kernels or {}).get(i, 0.8) for i, key in enumerate(tuned)}
        times = {key: (around(1e-3), around(share * 1e-3)) for key, share in shares.items()}
        monkeypatch.setattr(
            "luthier._judge.build_program", lambda p, f, t, s: built.append(dict(s))
        )
        monkeypatch.setattr(
            "luthier._judge.in_turns", lambda *_: InTurns(2e-3, 2e-3 * next(left), busy, times)
        )
        layers = Layers(Store.in_memory("own", compared(tuned)), (), ZEN3)
        chosen = tuned if schedules is None else schedules
        return judge(program, layers, chosen, {}, stage or Stage()), layers, built

    def compared(schedules: Mapping[str, Schedule]):
        """Records of the kernels' own comparisons, which all of them won."""
        machine, records = Machine(ZEN3, "AuthenticAMD", "zen3", ("avx",), 4, False), []
        for call in {c.workload.dense.key: c for c in program.calls}.values():
            workload = call.workload.dense
            pair = registry.default(workload, ZEN3), schedules[workload.key]
            shown = [
                Measurement(normal(s), Outcome.OK, around(t))
                for s, t in zip(pair, (2e-6, 1e-6), strict=True)
            ]
            at = now()
            records += [
                recorded(workload, machine, m, cold=True, time=at) for m in side_by_side([shown])
            ]
        return records

    return run


def later(program: Program, layers: Layers) -> list[bool]:
    """Of each kernel, whether a build gives it the default from now on."""
    kernels = {call.workload.dense.key: call.workload.dense for call in program.calls}
    return [
        layers.best(kernel).schedule == normal(registry.default(kernel, ZEN3))
        for kernel in kernels.values()
    ]


def test_a_model_that_is_faster_keeps_its_winners(simulated, program, tuned):
    verdict, layers, built = simulated([0.8])
    assert (verdict.before, verdict.after) == (2e-3, pytest.approx(1.6e-3))
    assert (verdict.kept, verdict.busy, verdict.reverted) == (False, False, {})
    assert built == [{}, tuned]
    assert later(program, layers) == [False, False]


def test_a_kernel_that_is_slower_inside_the_model_gets_its_default_back(simulated, program, tuned):
    stage = Stage()
    verdict, layers, built = simulated([0.9, 0.8], {1: 1.3}, stage=stage)
    first, second = tuned
    assert built == [{}, tuned, {first: tuned[first]}]
    assert verdict.reverted.keys() == {second}
    assert (verdict.kept, verdict.after) == (False, pytest.approx(1.6e-3))
    assert later(program, layers) == [False, True]
    assert stage.heard[0] == "building it with default schedules"
    assert {r.detail for r in layers.own.records()} == {"", WHERE}


def test_a_model_that_is_no_faster_keeps_all_defaults(simulated, program, tuned):
    """Though each kernel seems to be faster."""
    verdict, layers, _ = simulated([1.01])
    assert verdict.kept
    assert verdict.reverted.keys() == tuned.keys()
    assert later(program, layers) == [True, True]


def test_what_is_left_without_the_slower_kernels_gets_another_chance(simulated, program, tuned):
    verdict, layers, _ = simulated([1.01, 0.9], {0: 1.2})
    assert not verdict.kept
    assert later(program, layers) == [True, False]
    verdict, layers, _ = simulated([1.01, 1.02], {0: 1.2})
    assert verdict.kept
    assert later(program, layers) == [True, True]


def test_a_busy_machine_is_no_judge(simulated, program):
    verdict, layers, _ = simulated([1.5], {0: 2.0}, busy=True)
    assert verdict.busy
    assert not verdict.kept
    assert verdict.reverted == {}
    assert later(program, layers) == [False, False]


def test_where_nothing_changed_or_no_time_is_left_there_is_nothing_to_judge(simulated, tuned):
    assert simulated([], schedules={})[0] is None
    assert simulated([], stage=Stage(attempts=0))[0] is None
    verdict, _, built = simulated([0.9], {1: 1.3}, stage=Stage(attempts=1))
    assert len(built) == 2
    assert verdict.reverted.keys() == {list(tuned)[1]}


def test_another_comparison_may_overturn_a_verdict(simulated, program, tuned):
    _, layers, _ = simulated([1.01])
    workload = program.calls[0].workload.dense
    machine = Machine(ZEN3, "AuthenticAMD", "zen3", ("avx",), 4, False)
    pair = normal(registry.default(workload, ZEN3)), tuned[workload.key]
    shown = [Measurement(s, Outcome.OK, around(t)) for s, t in zip(pair, (2e-6, 1e-6), strict=True)]
    at = now()
    for each in side_by_side([shown]):
        layers.add(recorded(workload, machine, each, cold=True, time=at))
    assert later(program, layers) == [False, True]


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

        class Library:
            inputs = ()
            kernel = SimpleNamespace(workload=SimpleNamespace(dense=SimpleNamespace(key="k")))
            step = SimpleNamespace(kernel=0)
            manifest = SimpleNamespace(kernels=[kernel], steps=[step, step])

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
            return _timed._turns((Library(first, slowed), Library(second, slowed)), {}, watch)

        return run

    def test_a_quiet_machine_tells_both_times(self, turns):
        shown = turns(2e-3, 1e-3, lambda at: False)
        assert (shown.first, shown.second) == (pytest.approx(2e-3), pytest.approx(1e-3))
        assert not shown.busy
        default, best = (statistics.median(s) for s in shown.kernels["k"])
        assert (default, best) == (pytest.approx(1e-3), pytest.approx(0.5e-3))

    def test_what_was_disturbed_does_not_count(self, turns):
        shown = turns(2e-3, 1e-3, lambda at: 0.5 < at < 1.5)
        assert (shown.first, shown.second) == (pytest.approx(2e-3), pytest.approx(1e-3))
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
        monkeypatch.setattr("luthier._judge.build_program", lambda *arguments: None)

        def set_to(share: float, *, busy: bool = False) -> None:
            class Every(dict):
                def __missing__(self, key: str) -> tuple[Times, Times]:
                    return around(1e-3), around(0.9e-3)

            shown = InTurns(1e-3, share * 1e-3, busy, Every())
            monkeypatch.setattr("luthier._judge.in_turns", lambda *_: shown)
            monkeypatch.setattr("luthier._tune.choices", _others)

        def _others(program, layers):
            """As if every kernel had a winner."""
            found = {}
            for call in program.calls:
                space = registry.spaces(call.workload.dense, layers.target)[0]
                other = next(iter(space.neighbours(space.default_schedule())), None)
                if other is not None:
                    found[call.workload.dense.key] = SimpleNamespace(schedule=other)
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

    def test_what_is_dead_takes_no_room(self):
        from luthier.frontend.program import Call
        from luthier.schedules import Tensor, Workload, node

        tensor = Tensor((1000,))
        relu = Workload((tensor,), (False,), (node("relu", (0,), tensor),))
        calls = tuple(Call(relu, (i,), i + 1) for i in range(50))
        chain = Program("chain", (tensor,) * 51, (("x", 0),), (("y", 50),), {}, {}, calls)
        assert activation_bytes(chain) == 2 * 4000


def test_a_small_model_is_tuned_warm_and_a_large_one_cold(model, tmp_path, monkeypatch):
    for fits in (True, False):
        monkeypatch.setattr("luthier._tune.stays_in_cache", lambda *_, fits=fits: fits)
        log = tmp_path / f"log {fits}"
        luthier.tune(model, trials=2, threads=2, log=log, timed=False)
        with Store.open(log) as store:
            assert {record.cold for record in store.records()} == {not fits}
