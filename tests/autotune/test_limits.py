"""A limit of the machine is never held against a schedule, in nobody's records."""

from __future__ import annotations

import errno
import functools
import resource
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest

from luthier.autotune import tune
from luthier.autotune.measure import limits
from luthier.autotune.measure.measurer import Measurement, Measurer
from luthier.autotune.records.record import Outcome, normal
from luthier.autotune.records.sources import Sources
from luthier.autotune.records.store import Store
from luthier.schedules import LogError, Tensor, ToolchainError, Workload, node
from luthier.schedules.target import host
from luthier.schedules.templates import registry

RELU = Workload((Tensor((50_000,)),), (False,), (node("relu", (0,), Tensor((50_000,))),))


@pytest.fixture
def ulimit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Hard limits of all processes that are started to measure."""

    def limit(**hard: int) -> None:
        def begin() -> None:
            for name, value in hard.items():
                resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))

        start = functools.partial(subprocess.Popen, preexec_fn=begin)
        monkeypatch.setattr("luthier.autotune.measure.worker.subprocess.Popen", start)

    return limit


def test_hard_limits_that_leave_enough_change_nothing(tmp_path, ulimit):
    ulimit(FSIZE=1 << 26, AS=1 << 33, CORE=0, STACK=1 << 20)
    log = Store.open(tmp_path / "log.db", create=True)
    result = tune({RELU: 1}, 4, Sources(log, (), host(threads=2)))
    assert result.outcomes == {Outcome.OK: 4}


def test_hard_limits_that_leave_too_little_end_the_session_and_record_nothing(tmp_path, ulimit):
    ulimit(AS=150 << 20)
    log = Store.open(tmp_path / "log.db", create=True)
    with pytest.raises(ToolchainError, match=r"on this machine at present: .*ulimit -a") as caught:
        tune({RELU: 1}, 4, Sources(log, (), host(threads=2)))
    assert "\n" not in str(caught.value)
    assert log.count() == 0


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EFBIG, "File too large"),
        OSError("c.so: failed to map segment from shared object: Cannot allocate memory"),
        RuntimeError("std::bad_alloc"),
        ToolchainError("cannot start 2 threads (error 11)"),
    ],
)
def test_errors_of_the_machine(error):
    assert limits.is_limit(error)


@pytest.mark.parametrize(
    "error", [OSError("c.so: undefined symbol: missing"), ValueError("no"), LogError("no")]
)
def test_errors_of_a_schedule(error):
    assert not limits.is_limit(error)


def test_signals():
    assert all(limits.is_outside(n) for n in (signal.SIGKILL, signal.SIGTERM, signal.SIGXFSZ))
    own = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
    assert not any(limits.is_outside(n) for n in own)
    assert limits.signal_name(signal.SIGSEGV) == "SIGSEGV"
    assert limits.signal_name(signal.SIGRTMIN + 1) == f"signal {signal.SIGRTMIN + 1}"


def test_what_a_limit_ended_is_told_and_not_recorded(tmp_path, monkeypatch):
    """Every schedule but the default meets it; with another failure each is recorded."""
    here = host(threads=2)
    default, run = normal(registry.default(RELU, here)), Measurer._run

    def fails(limit: bool) -> None:
        def failing(self, workload, schedule, build, effort):
            if workload != RELU or normal(schedule) == default:
                return run(self, workload, schedule, build, effort)
            return Measurement(schedule, Outcome.CRASHED, detail="MemoryError", limit=limit)

        monkeypatch.setattr(Measurer, "_run", failing)

    for limit in (True, False):
        fails(limit)
        log = Store.open(tmp_path / f"{limit}.db", create=True)
        result = tune({RELU: 1}, 4, Sources(log, (), here))
        assert result.trials == 4
        assert {r.schedule for r in log.records()} == {default} if limit else log.count() == 4
        told = [problem for problem in result.problems if "limits of this machine" in problem]
        assert len(told) == limit
        assert all("MemoryError" in problem for problem in told)


def test_a_failure_counts_where_it_comes_twice_and_the_default_runs(monkeypatch):
    here = host(threads=2)
    space = registry.spaces(RELU, here)[0]
    default = normal(space.default_schedule())
    candidate = next(s for s in map(normal, space.neighbours(default)) if s != default)
    with Measurer(here, builders=1) as measurer:
        (shown,) = measurer.measure(RELU, [default])
        assert shown.outcome is Outcome.OK
        answers: list[Outcome] = []
        crashed = Measurement(candidate, Outcome.CRASHED, detail="killed by SIGSEGV")

        def answering(workload, schedule, build, effort):
            return replace(crashed, schedule=schedule, outcome=answers.pop(0))

        monkeypatch.setattr(measurer, "_run", answering)
        bad, good = Outcome.CRASHED, Outcome.OK
        for coming, outcome in (
            ([good], good),
            ([bad, good], good),
            ([bad, bad, good], bad),
            ([bad, bad, bad, good], bad),
        ):
            answers[:] = coming
            (shown,) = measurer.measure(RELU, [candidate])
            assert (shown.outcome, answers) == (outcome, [])
        answers[:] = [bad] * 4
        with pytest.raises(ToolchainError, match="at present: killed by SIGSEGV"):
            list(measurer.measure(RELU, [candidate]))
