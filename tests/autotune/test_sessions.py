"""A session's time and its verdicts, on a simulated machine: nothing here is measured."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType

import pytest

from luthier.autotune import Progress, Sources, Store, TuneResult, tune
from luthier.autotune.measure.measurement import Measurement, recorded, side_by_side
from luthier.autotune.measure.pace import Pace
from luthier.autotune.records.machine import Machine
from luthier.autotune.records.record import Outcome, Record, normal
from luthier.autotune.records.winner import NOTABLE
from luthier.autotune.search.budget import Policy
from luthier.autotune.search.clock import Clock
from luthier.autotune.search.history import History
from luthier.autotune.search.model import CostModel
from luthier.autotune.search.proposals import KernelSearch
from luthier.schedules import Schedule, Target, Tensor, Workload, node
from luthier.schedules.templates import registry

ZEN3 = Target("x86-64-v3", "znver3", 2, 32768, 524288, 33554432)
ENDLESS = Policy(patience=100_000)


def matmul(rows: int) -> Workload:
    out = Tensor((rows, 64))
    return Workload(
        (Tensor((rows, 32)), Tensor((32, 64))), (False, True), (node("matmul", (0, 1), out),)
    )


@dataclass
class SimulatedClock:
    """Passes only when something is done."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimulatedClock:
    simulated = SimulatedClock()
    monkeypatch.setattr(time, "monotonic", simulated.monotonic)
    return simulated


@pytest.fixture(autouse=True)
def plain_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Schedules in a random order, without a cost model."""

    def propose(
        self: KernelSearch, count: int, model: CostModel, *, near: bool = False
    ) -> list[Schedule]:
        told = self._history.seconds
        rng = random.Random(len(told))
        drawn = {normal(self._space.sample(rng)): None for _ in range(20 * count)}
        fresh = [schedule for schedule in drawn if schedule not in told]
        self.exhausted = not fresh
        return fresh[:count]

    def made(self: KernelSearch, history: History, target: Target, spaces, seed: int) -> None:
        self._history, self._space, self.exhausted = history, spaces[0], False

    monkeypatch.setattr(KernelSearch, "__init__", made)
    monkeypatch.setattr(KernelSearch, "propose", propose)
    monkeypatch.setattr(CostModel, "fit", lambda self, groups: None)
    monkeypatch.setattr("luthier.autotune.search.tuner.warm_up", lambda: None)


@dataclass
class SimulatedMeasurer:
    """Builds and times in no time, and says how long it took.

    ``trial`` and ``turns`` give the seconds of a schedule when it is tried, and when it is timed in
    turns with the default; ``busy`` says in which comparisons something else ran.
    """

    clock: SimulatedClock
    trial: Callable[[Schedule], float] = lambda schedule: 1e-3
    turns: Callable[[Schedule], float] = lambda schedule: 1e-3
    busy: Callable[[int], bool] = lambda number: False
    seconds_a_build: float = 0.5
    seconds_a_run: float = 0.1
    target: Target = ZEN3
    cold: bool = True
    building: Pace = field(default_factory=Pace)
    compared: list[list[Schedule]] = field(default_factory=list)

    def measure(
        self, workload: Workload, schedules: Sequence[Schedule], best: float | None = None
    ) -> Iterator[Measurement]:
        self._build(len(schedules))
        for schedule in schedules:
            self.clock.now += self.seconds_a_run
            yield Measurement(normal(schedule), Outcome.OK, (self.trial(normal(schedule)),) * 5)

    def compare(self, workload: Workload, schedules: Sequence[Schedule]) -> list[Measurement]:
        self._build(len(schedules))
        self.compared.append([normal(s) for s in schedules])
        busy = self.busy(len(self.compared))
        self.clock.now += 5 * len(schedules) * self.seconds_a_run
        shown = [
            Measurement(normal(s), Outcome.OK, (self.turns(normal(s)),) * 5, disturbed=busy)
            for s in schedules
        ]
        return side_by_side([shown])

    def record(
        self, workload: Workload, measurement: Measurement, time: str | None = None
    ) -> Record:
        machine = Machine(self.target, "AuthenticAMD", "zen3", ("avx",), 4, False)
        return recorded(workload, machine, measurement, cold=self.cold, time=time)

    def _build(self, count: int) -> None:
        self.clock.now += count * self.seconds_a_build
        self.building.add(count * self.seconds_a_build, count)

    def __enter__(self) -> SimulatedMeasurer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        pass


def sources(cold: bool = True, records: Sequence[Record] = ()) -> Sources:
    return Sources(Store.in_memory("own", records), (), ZEN3, cold=cold)


def seeded(fastest: float = 0.5e-3) -> Callable[[Schedule], float]:
    """Seconds that look measured, the same for the same schedule."""
    return lambda schedule: random.Random(str(schedule)).uniform(fastest, 4e-3)


class TestTime:
    @pytest.mark.parametrize("kernels", [1, 4])
    @pytest.mark.parametrize(("build", "run"), [(0.5, 0.1), (2.0, 0.05), (0.1, 0.6)])
    @pytest.mark.parametrize("afterwards", [0.0, 20.0])
    def test_minutes_are_used_and_not_exceeded(self, clock, kernels, build, run, afterwards):
        """All of them, but for less than a batch and a comparison take."""
        times = seeded()
        measurer = SimulatedMeasurer(clock, times, times, seconds_a_build=build, seconds_a_run=run)
        given, begin = 240.0, clock.now
        session = Clock(given, begin, lambda kernel, latency: afterwards)
        workloads = {matmul(16 * (i + 1)): 1 for i in range(kernels)}
        tune(workloads, 1 << 40, sources(), policy=ENDLESS, measurer=measurer, clock=session)
        spent = clock.now - begin + afterwards
        step = 2 * (build + run)  # the last batch is made to fit
        comparison = 5 * (build + 5 * run)
        assert given - 1.5 * comparison - step <= spent <= given + comparison

    def test_the_time_left_is_told_and_comes_true(self, clock):
        events: list[tuple[float, Progress]] = []
        times = seeded()
        begin = clock.now
        session = Clock(200.0, begin, lambda kernel, latency: 30.0)
        tune(
            {matmul(16): 1, matmul(32): 3, matmul(48): 1},
            1 << 40,
            sources(),
            policy=ENDLESS,
            measurer=SimulatedMeasurer(clock, times, times),
            clock=session,
            on_progress=lambda now: events.append((clock.now - begin, now)),
        )
        end = clock.now - begin + 30.0
        for at, now in events:
            assert now.elapsed == pytest.approx(at)
            assert at + now.eta == pytest.approx(end, rel=0.1), (now.stage, now.doing)
            assert now.eta >= 29.0, "what follows is counted"

    def test_trials_without_minutes_have_an_end_too(self, clock):
        events: list[tuple[float, Progress]] = []
        times, begin = seeded(), clock.now
        tune(
            {matmul(16): 1, matmul(32): 3},
            80,
            sources(),
            policy=ENDLESS,
            measurer=SimulatedMeasurer(clock, times, times),
            on_progress=lambda now: events.append((clock.now - begin, now)),
        )
        end = clock.now - begin
        late = [(at, now) for at, now in events if at > 0.2 * end]
        assert all(at + now.eta == pytest.approx(end, rel=0.25) for at, now in late)
        assert events[-1][1].stage == "confirm"
        assert events[-1][1].eta == pytest.approx(0, abs=1e-6)

    def test_everything_that_takes_time_is_told_before(self, clock):
        """Between two events no more passes than one batch's building, or one comparison."""
        events: list[float] = []
        times = seeded()
        tune(
            {matmul(16): 1, matmul(32): 3},
            60,
            sources(),
            policy=ENDLESS,
            measurer=SimulatedMeasurer(clock, times, times),
            on_progress=lambda now: events.append(clock.now),
        )
        gaps = [after - before for before, after in itertools.pairwise(events)]
        assert max(gaps) <= 8 * 0.5 + 0.1 + 1e-6

    def test_stages_come_in_order_and_say_what_is_done(self, clock):
        events: list[Progress] = []
        times = seeded()
        tune(
            {matmul(16): 1},
            20,
            sources(),
            measurer=SimulatedMeasurer(clock, times, times),
            on_progress=events.append,
        )
        stages = list(dict.fromkeys(event.stage for event in events))
        assert stages == ["workers", "trials", "confirm"]
        doing = {event.doing for event in events}
        assert {"starting workers", "learning from the records", "measuring"} <= doing
        assert any(text.startswith("building ") for text in doing)
        assert any(text.startswith("timing ") for text in doing)

    def test_where_no_time_is_left_nothing_is_compared(self, clock):
        measurer = SimulatedMeasurer(clock, seeded(), seeded(), seconds_a_build=100.0)
        session = Clock(60.0, clock.now)
        log = sources()
        tune({matmul(16): 1}, 1 << 40, log, policy=ENDLESS, measurer=measurer, clock=session)
        assert measurer.compared == []


DEFAULT = normal(registry.default(matmul(16), ZEN3))


def faster(factor: float) -> Callable[[Schedule], float]:
    """Everything but the default takes so much of its time."""
    return lambda schedule: 1e-3 if schedule == DEFAULT else factor * 1e-3


def session(
    clock: SimulatedClock, log: Sources, measurer: SimulatedMeasurer, trials: int = 9
) -> TuneResult:
    return tune({matmul(16): 1}, trials, log, measurer=measurer)  # type: ignore[arg-type]


class TestVerdicts:
    def test_what_looked_faster_alone_and_is_not_beside_the_default_is_not_built(self, clock):
        log = sources()
        result = session(clock, log, SimulatedMeasurer(clock, faster(0.5), faster(1.2)))
        (kernel,) = result.kernels
        assert (kernel.schedule, kernel.default_kept, result.defaults_kept) == (DEFAULT, True, 1)
        assert result.before == result.after
        assert log.best(matmul(16)).schedule == DEFAULT

    @pytest.mark.parametrize("share", [1.0, 0.995])
    def test_a_gain_that_is_none_keeps_the_default(self, clock, share):
        log = sources()
        result = session(clock, log, SimulatedMeasurer(clock, faster(0.5), faster(share)))
        assert result.defaults_kept == 1
        assert log.best(matmul(16)).schedule == DEFAULT

    def test_what_was_won_is_what_was_timed_in_turns(self, clock):
        """And not a quiet winner against a disturbed default: 1e-3 to 5e-4 once, 0.8 in turns."""
        log = sources()
        result = session(clock, log, SimulatedMeasurer(clock, faster(0.5), faster(0.8)))
        assert result.before / result.after == pytest.approx(1 / 0.8)
        assert result.compared
        assert log.best(matmul(16)).record.speedup == pytest.approx(1 / 0.8)

    def test_the_best_of_a_comparison_wins_whatever_looked_faster_alone(self, clock):
        """Only three are compared at once; a fourth that looked better does not slip past."""
        true = seeded(0.9e-3)

        def trial(schedule: Schedule) -> float:
            return 1e-3 if schedule == DEFAULT else 0.4 * true(schedule)

        def turns(schedule: Schedule) -> float:
            return 1e-3 if schedule == DEFAULT else true(schedule)

        log, measurer = sources(), SimulatedMeasurer(clock, trial, turns)
        (kernel,) = session(clock, log, measurer, trials=40).kernels
        compared = {schedule for schedules in measurer.compared for schedule in schedules}
        assert kernel.schedule in compared
        best = min(compared, key=turns)
        assert turns(kernel.schedule) == pytest.approx(
            turns(best) if turns(best) <= 1e-3 / NOTABLE else 1e-3
        )
        assert log.best(matmul(16)).schedule == kernel.schedule

    def test_the_winner_of_an_earlier_session_is_compared_with_those_of_this_one(self, clock):
        log = sources()
        first = session(clock, log, SimulatedMeasurer(clock, faster(0.6), faster(0.7)))
        won = first.kernels[0].schedule
        known = set(log.measured(matmul(16)))

        def trial(schedule: Schedule) -> float:
            return 0.3e-3 if schedule not in known else faster(0.6)(schedule)

        def turns(schedule: Schedule) -> float:
            return 0.9e-3 if schedule not in known else faster(0.7)(schedule)

        measurer = SimulatedMeasurer(clock, trial, turns)
        second = session(clock, log, measurer)
        assert won in measurer.compared[-1]
        assert second.kernels[0].schedule == won
        assert second.kernels[0].best == pytest.approx(0.7e-3)

    def test_a_busy_machine_leaves_it_unknown_what_was_won(self, clock):
        measurer = SimulatedMeasurer(clock, faster(0.5), faster(0.8), busy=lambda number: True)
        result = session(clock, sources(), measurer)
        assert not result.compared
        assert not result.kernels[0].compared

    def test_a_busy_machine_lets_only_a_clear_winner_pass(self, clock):
        for share, wins in ((0.95, False), (0.5, True)):
            log = sources()
            measurer = SimulatedMeasurer(
                clock, faster(0.4), faster(share), busy=lambda number: True
            )
            session(clock, log, measurer)
            assert (log.best(matmul(16)).schedule != DEFAULT) == wins

    def test_an_older_log_is_compared_before_it_is_believed(self, clock):
        """Its fastest record may have been lucky."""
        log = sources()
        machine = SimulatedMeasurer(clock, faster(0.5), faster(1.5))
        shown = [
            Measurement(DEFAULT, Outcome.OK, (1e-3,)),
            Measurement(some_other(), Outcome.OK, (0.5e-3,)),
        ]
        for measurement in shown:
            log.add(machine.record(matmul(16), measurement))
        assert log.best(matmul(16)).schedule != DEFAULT
        session(clock, log, machine, trials=1)
        assert some_other() in machine.compared[0]
        assert log.best(matmul(16)).schedule == DEFAULT


def some_other() -> Schedule:
    space = registry.spaces(matmul(16), ZEN3)[0]
    return normal(next(iter(space.neighbours(space.default_schedule()))))


class TestWarmAndCold:
    def test_a_session_measures_as_its_sources_want(self, clock):
        for cold in (True, False):
            log, measurer = sources(cold), SimulatedMeasurer(clock, faster(0.5), faster(0.5))
            session(clock, log, measurer)
            assert {record.cold for record in log.own.records()} == {cold}

    def test_times_of_the_two_never_compare(self, clock):
        """What is 100 times faster with warm weights says nothing about cold ones."""
        log = sources(cold=False)
        session(clock, log, SimulatedMeasurer(clock, faster(0.01), faster(0.01)))
        records = list(log.own.records())
        cold = sources(True, records)
        assert cold.measured(matmul(16)) == {}
        assert list(cold.ranked(matmul(16))) == []
        assert cold.winner(matmul(16)) is None
        machine = SimulatedMeasurer(clock)
        cold.add(machine.record(matmul(16), Measurement(DEFAULT, Outcome.OK, (5.0,))))
        cold.add(machine.record(matmul(16), Measurement(some_other(), Outcome.OK, (4.0,))))
        assert cold.best(matmul(16)).schedule == some_other()
        assert cold.best(matmul(16)).record.seconds == 4.0

    def test_where_nothing_else_is_known_the_other_s_winner_is_built_and_tried_first(self, clock):
        log = sources(cold=True)
        session(clock, log, SimulatedMeasurer(clock, faster(0.5), faster(0.5)))
        won = log.best(matmul(16))
        assert won.schedule != DEFAULT
        warm = sources(False, list(log.own.records()))
        assert warm.best(matmul(16)) == won
        assert won.schedule in warm.hints(matmul(16))
        session(clock, warm, SimulatedMeasurer(clock, faster(2.0), faster(2.0)))
        assert warm.best(matmul(16)).schedule == DEFAULT
        assert sources(True, list(warm.own.records())).best(matmul(16)) == won
