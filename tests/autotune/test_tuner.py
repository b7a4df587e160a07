"""Tuning real kernels: resumable, interruptible, and never worse than the defaults."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import psutil
import pytest

from luthier.autotune import (
    Outcome,
    Progress,
    Record,
    Sources,
    Store,
    TuneResult,
    tune,
)
from luthier.autotune.measure.measurer import Measurement, Measurer
from luthier.autotune.records.record import normal
from luthier.autotune.search.budget import Policy
from luthier.schedules import Target, TargetError, Tensor, UsageError, Workload, node
from luthier.schedules.target import available_cores, host
from luthier.schedules.templates import registry

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def here() -> Target:
    return host(threads=2)


def matmul(rows: int) -> Workload:
    out = Tensor((rows, 64))
    inputs = (Tensor((rows, 32)), Tensor((32, 64)), Tensor((64,)))
    nodes = (node("matmul", (0, 1), out), node("add", (3, 2), out), node("relu", (4,), out))
    return Workload(inputs, (False, True, True), nodes)


def relu(size: int) -> Workload:
    tensor = Tensor((size,))
    return Workload((tensor,), (False,), (node("relu", (0,), tensor),))


@pytest.fixture
def lucky(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Trials make all but the default look twice as fast, and they are not; lists comparisons."""
    compared: list[tuple[str, ...]] = []
    measure, compare = Measurer.measure, Measurer.compare

    def timed(
        self: Measurer, shown: Measurement, other: float, beside: float | None = None
    ) -> Measurement:
        default = normal(registry.default(WORKLOADS[0], self.target))
        seconds = 1e-4 if normal(shown.schedule) == default else other
        return replace(shown, samples=(seconds,) * 3, disturbed=False, beside=beside)

    def measured(self, workload, schedules, best=None):
        return (timed(self, m, 5e-5) for m in measure(self, workload, schedules, best))

    def comparison(self, workload, schedules):
        compared.append(tuple(str(s) for s in schedules))
        shown = compare(self, workload, schedules, rounds=1)
        return [timed(self, m, 2e-4, beside=1e-4) for m in shown]

    monkeypatch.setattr(Measurer, "measure", measured)
    monkeypatch.setattr(Measurer, "compare", comparison)
    return compared


WORKLOADS = (matmul(48),)


@pytest.fixture
def opened(here) -> Callable[[Path], Sources]:
    """A log in a folder, alone."""
    return lambda folder: Sources(Store.open(folder / "log", create=True), (), here)


def test_a_session_from_the_first_trial_to_the_last(tmp_path, here, opened):
    workloads = {matmul(48): 3, relu(50_000): 1}
    log = opened(tmp_path)
    events: list[Progress] = []
    result = tune(workloads, 24, log, on_progress=events.append)

    assert result.trials == 24 == sum(result.outcomes.values())
    assert result.outcomes.keys() == {Outcome.OK}
    assert not result.interrupted
    for kernel in result.kernels:
        records = log.measured(kernel.workload)
        default = normal(registry.default(kernel.workload, here))
        every = [r for r in log.own.records() if r.workload == kernel.workload]
        assert min(every, key=lambda r: r.time).schedule == default, "it is the first trial"
        assert len(records) == kernel.trials
        best = log.winner(kernel.workload)
        assert (kernel.best, kernel.schedule) == (best.seconds, best.schedule)
        assert kernel.best <= kernel.default < math.inf
        assert log.best(kernel.workload).schedule == kernel.schedule
    assert result.after <= result.before
    assert list(opened(tmp_path).own.records()) == list(log.own.records())

    assert {"workers", "trials"} <= {e.stage for e in events} <= {"workers", "trials", "confirm"}
    assert all(e.doing for e in events)
    trials = [e for e in events if e.stage == "trials" and e.doing == "measuring"]
    assert [e.trials for e in trials] == list(range(1, 25))
    assert all(e.total == 24 and e.eta >= 0 for e in events)
    assert trials[-1].before == pytest.approx(
        sum(k.count * k.default for k in result.kernels), rel=1
    )
    assert {e.kernel for e in trials} == {str(w) for w in workloads}


def test_a_resumed_session_measures_nothing_again(tmp_path, here, opened):
    workloads = {relu(50_000): 1, matmul(48): 1}
    first = tune(workloads, 6, opened(tmp_path))
    log = opened(tmp_path)
    known = {w: set(log.measured(w)) for w in workloads}
    second = tune(workloads, 6, log)
    assert first.trials == second.trials == 6
    for kernel in second.kernels:
        tried = set(log.measured(kernel.workload))
        assert len(tried) == len(known[kernel.workload]) + kernel.trials
        assert math.isfinite(kernel.default)


def test_no_trials_no_measuring(tmp_path, here, opened, monkeypatch):
    log = opened(tmp_path)
    monkeypatch.setattr(Measurer, "measure", None)
    result = tune({relu(100): 1}, 0, log)
    assert result.trials == 0
    assert log.own.count() == 0


def test_an_exhausted_space_ends_the_session(tmp_path, here, opened):
    workload = relu(5000)
    size = registry.spaces(workload, here)[0].upper_size
    result = tune({workload: 1}, 1000, opened(tmp_path))
    assert result.trials == size


def test_minutes_end_a_session(tmp_path, here, opened):
    begin = time.monotonic()
    result = tune({matmul(48): 1}, 100_000, opened(tmp_path), minutes=0.06)
    assert 1 <= result.trials < 1000
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize(("trials", "minutes"), [(-1, None), (1, 0.0), (1, -2.0), (1, math.nan)])
def test_senseless_budgets_are_refused(tmp_path, here, opened, trials, minutes):
    with pytest.raises(UsageError):
        tune({relu(9): 1}, trials, opened(tmp_path), minutes=minutes)


def test_a_lucky_winner_does_not_hold(tmp_path, here, opened, lucky):
    log = opened(tmp_path)
    result = tune({WORKLOADS[0]: 1}, 8, log)
    (kernel,) = result.kernels
    default = registry.default(WORKLOADS[0], here)
    assert all(normal_text(first) == normal_text(str(default)) for first, *_ in lucky)
    assert kernel.dropped == sum(len(finalists) - 1 for finalists in lucky) == 7
    assert kernel.schedule == normal(default)
    assert log.winner(WORKLOADS[0]).seconds == kernel.best == kernel.default == 1e-4
    assert (kernel.compared, kernel.default_kept, result.defaults_kept) == (True, True, 1)
    assert log.best(WORKLOADS[0]).schedule == kernel.schedule, "a later build decides the same"


def test_once_the_time_is_up_nothing_is_compared_until_the_next_session(
    tmp_path, here, opened, lucky, monkeypatch
):
    begin, passed = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: begin() + passed[0])

    def an_hour_later(progress: Progress) -> None:
        if progress.doing == "measuring" and progress.trials == 8:
            passed[0] = 3600.0

    log, workloads = opened(tmp_path), {WORKLOADS[0]: 1}
    result = tune(workloads, 100_000, log, minutes=30, on_progress=an_hour_later)
    assert lucky == []
    assert not result.compared
    assert tune(workloads, 1, log).compared
    assert max(len(schedules) for schedules in lucky) == 4


def test_minutes_that_are_left_buy_more_patience(tmp_path, here, opened, lucky):
    """One kernel, a batch at a time, and no trial better than the first after the default."""
    few, workloads = Policy(patience=4), {WORKLOADS[0]: 1}
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    by_trials = tune(workloads, 1000, opened(first), policy=few)
    assert by_trials.trials == 1 + 8
    by_minutes = tune(workloads, 1000, opened(second), policy=few, minutes=30)
    assert by_minutes.trials == 1 + 3 * 8


def normal_text(schedule: str) -> list[str]:
    return sorted(schedule.split())


def test_records_of_another_machine_are_not_used(tmp_path, here, opened):
    workload, other = relu(50_000), replace(here, threads=here.threads + 1)
    log = opened(tmp_path)
    with Measurer(here, builders=1) as measurer:
        (shown,) = measurer.measure(workload, [registry.default(workload, here)])
        record = measurer.record(workload, shown)
    machine = replace(record.machine, target=other)
    log.add(replace(record, machine=machine))
    result = tune({workload: 1}, 1, log)
    assert result.trials == 1
    assert log.elsewhere(workload) == 1
    assert next(log.ranked(workload)).target == here


def test_a_kernel_whose_default_fails_is_reported_and_left(tmp_path, here, opened, monkeypatch):
    broken, fine = matmul(48), relu(50_000)
    run = Measurer._run

    def crash(self, workload, schedule, build, effort):
        if workload == broken:
            return Measurement(schedule, Outcome.CRASHED, (), "killed by SIGSEGV")
        return run(self, workload, schedule, build, effort)

    monkeypatch.setattr(Measurer, "_run", crash)
    log = opened(tmp_path)
    result = tune({broken: 1, fine: 1}, 12, log)
    by_workload = {k.workload: k for k in result.kernels}
    assert "SIGSEGV" in by_workload[broken].failure
    assert by_workload[broken].schedule is None
    assert by_workload[broken].trials == 0
    assert {r.workload for r in log.own.records()} == {fine}, "it says nothing about the schedule"
    assert by_workload[fine].trials > 1


SESSION = """
import sys
sys.path[:] = {path!r}
from luthier.autotune import Sources, Store, tune
from luthier.schedules.target import host
from luthier.schedules import Tensor, Workload, node
out = Tensor((48, 64))
inputs = (Tensor((48, 32)), Tensor((32, 64)), Tensor((64,)))
nodes = (node("matmul", (0, 1), out), node("add", (3, 2), out), node("relu", (4,), out))
workload = Workload(inputs, (False, True, True), nodes)
show = lambda p: print(p.trials, flush=True)
sources = Sources(Store.open({log!r}, create=True), (), host(threads=2))
result = tune({{workload: 1}}, 100000, sources, on_progress=show)
print("interrupted" if result.interrupted else "ended", result.trials)
"""


def interruptible() -> None:
    """Ctrl-C counts, even where these tests run in the background of a shell that ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def session(tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """A tuning session in a process of its own, after its tenth trial."""

    def start() -> subprocess.Popen[str]:
        code = SESSION.format(path=sys.path, log=str(tmp_path / "log"))
        folder = tmp_path / "tmp"
        folder.mkdir(exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=interruptible,  # noqa: PLW1509 - no threads here
            env={**os.environ, "TMPDIR": str(folder)},
        )
        assert process.stdout is not None
        while process.stdout.readline().strip() != "10":
            assert process.poll() is None, process.stderr
        return process

    return start


def gone(processes: list[psutil.Process], within: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=within)
    return not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


def test_ctrl_c_keeps_every_record_and_leaves_nothing(tmp_path, session, opened):
    process = session()
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert err == ""
    last = out.splitlines()[-1].split()
    assert last[0] == "interrupted"
    log = opened(tmp_path)
    assert log.skipped == 0
    assert 10 <= int(last[1]) <= log.own.count() <= int(last[1]) + 1
    assert gone(workers, within=5)
    assert list((tmp_path / "tmp").iterdir()) == []

    known = log.own.count()
    resumed = tune({WORKLOADS[0]: 1}, 4, opened(tmp_path))
    assert resumed.trials == 4
    assert len(opened(tmp_path).measured(WORKLOADS[0])) == known + 4


def test_kill_9_keeps_every_record_and_no_worker_outlives_it(tmp_path, session, opened):
    process = session()
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    log = opened(tmp_path)
    assert log.own.count() >= 10
    assert log.skipped <= 1
    assert gone(workers, within=30)


def test_cores_that_are_taken_away_end_a_session_and_keep_what_it_measured(
    tmp_path, here, opened, monkeypatch
):
    """The runner says how many it had; what it timed with fewer than threads is not a record."""
    ask, asked = Measurer._ask_runner, []

    def with_fewer(self, request):
        asked.append(request)
        answer = ask(self, request)
        return msgspec.structs.replace(answer, cores=1) if len(asked) == 5 else answer

    monkeypatch.setattr(Measurer, "_ask_runner", with_fewer)
    with pytest.raises(TargetError, match=r"2 threads .* may use 1 core"):
        tune({WORKLOADS[0]: 1}, 100, opened(tmp_path))
    assert len(asked) == 5
    assert opened(tmp_path).own.count() == 4


def test_the_runner_tells_how_many_cores_it_had(here):
    with Measurer(here, builders=1) as measurer:
        answers = []
        ask = measurer._ask_runner
        measurer._ask_runner = lambda request: answers.append(ask(request)) or answers[-1]
        list(measurer.measure(relu(100), [registry.default(relu(100), here)]))
    assert [answer.cores for answer in answers] == [available_cores()]


def test_a_result_adds_up(tmp_path, here, opened):
    result: TuneResult = tune({relu(50_000): 5}, 2, opened(tmp_path))
    (kernel,) = result.kernels
    assert result.before == 5 * kernel.default
    assert result.after == 5 * kernel.best
    assert kernel.count == 5


@pytest.fixture
def claimed(make_record) -> Callable[..., list[Record]]:
    """Somebody's records: what each schedule is said to take on a machine."""
    return lambda workload, target, seconds: [
        make_record(seconds=time, of=workload, on=target, schedule=schedule)
        for schedule, time in seconds.items()
    ]


def test_verify_tries_what_won_elsewhere_and_nothing_else(here, claimed):
    """Four trials a kernel at most; what is no faster than the default does not win."""
    workload, other = matmul(48), replace(here, threads=here.threads + 1)
    space = registry.spaces(workload, here)[0]
    rng = random.Random(3)
    schedules = [s for _ in range(8) if (s := space.sample(rng)) != space.default_schedule()]
    pack = claimed(workload, other, {s: 1e-9 * (i + 1) for i, s in enumerate(schedules)})
    sources = Sources(Store.in_memory("own"), [Store.in_memory("pack", pack)], here)
    hints = sources.hints(workload)
    assert len(hints) == 3
    result = tune({workload: 1}, 1000, sources, verify=True)
    (kernel,) = result.kernels
    assert (result.trials, result.hints, kernel.trials) == (4, 3, 4)
    assert set(sources.measured(workload)) == {normal(space.default_schedule()), *hints}
    default = sources.measured(workload)[normal(space.default_schedule())]
    assert sources.winner(workload).rank <= default.rank
    assert kernel.best > 1e-8, "what others claim is not a measurement"
    assert tune({workload: 1}, 1000, sources, verify=True).trials == 0


def test_what_was_measured_on_this_kind_of_machine_is_not_measured_again(here, claimed):
    workload = relu(50_000)
    space = registry.spaces(workload, here)[0]
    pack = claimed(workload, here, {s: 1e-3 * (i + 1) for i, s in enumerate(space)})
    sources = Sources(Store.in_memory("own"), [Store.in_memory("pack", pack)], here)
    hints = sources.hints(workload)
    result = tune({workload: 1}, 1000, sources)
    assert len(pack) > result.trials
    assert set(sources.measured(workload)) == {normal(space.default_schedule()), *hints}
