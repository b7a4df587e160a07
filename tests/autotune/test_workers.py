"""Builders die, hang and babble at every moment: it costs no candidate its good name."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # builders are those of faulty.py

from faulty import plan

from luthier.autotune.measure import worker
from luthier.autotune.measure.builders import Builders
from luthier.autotune.measure.messages import Build as Answer
from luthier.autotune.measure.messages import BuildRequest, Built, Failed
from luthier.autotune.measure.worker import Worker
from luthier.autotune.records.record import Outcome
from luthier.schedules import Schedule, Target, ToolchainError, Workload

SCHEDULES = [Schedule("fake", 1, (("number", n),)) for n in range(3)]
REQUEST = BuildRequest("", Target("x86-64-v3", "znver3", 1), {"c0": SCHEDULES[0]}, "", 0)
MOMENTS = ("SIGKILL", "SIGSEGV", "SIGABRT", "exit", "half", "nonsense", "silence")
Build = Callable[..., list[Answer]]


@pytest.fixture
def builders(tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch) -> Iterator[Builders]:
    monkeypatch.setattr(
        "luthier.autotune.measure.builders.Worker", lambda module, folder: Worker("faulty", folder)
    )
    plan(tmp_path)
    opened = Builders(target, 0, tmp_path, 1)
    yield opened
    opened.close()


@pytest.fixture
def build(builders: Builders, workload: Workload, tmp_path: Path) -> Build:
    """What becomes of a few schedules while builders do what they are told."""

    def run(*words: str, count: int = 1, seconds: float = 20.0) -> list[Answer]:
        plan(tmp_path, *words)
        return builders.build(workload, SCHEDULES[:count], tmp_path, seconds)

    return run


def are_built(answers: list[Answer]) -> bool:
    return all(isinstance(answer, Built) for answer in answers)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("word", MOMENTS)
def test_a_builder_that_ends_once_costs_nothing(build, word, count):
    assert are_built(build(word, count=count))
    assert are_built(build())


@pytest.mark.parametrize("word", ["hang", "SIGSTOP"])
def test_a_builder_that_stands_still_once_costs_its_time(build, word):
    build()
    assert are_built(build(word, seconds=2.0))


@pytest.mark.parametrize(
    ("word", "outcome", "limit"),
    [
        ("SIGKILL", "build_failed", True),
        ("SIGTERM", "build_failed", True),
        ("exit", "build_failed", True),
        ("SIGSEGV", "build_failed", False),
        ("nonsense", "build_failed", False),
    ],
)
def test_one_that_ends_twice_says_whose_fault_that_may_be(build, word, outcome, limit):
    build()
    (answer,) = build(word, word)
    assert isinstance(answer, Failed)
    assert (answer.outcome.value, answer.limit) == (outcome, limit)
    assert are_built(build())


def test_what_ends_a_share_is_found_in_it(build):
    build(count=3)
    answers = build("SIGSEGV", "build", "SIGSEGV", "build", count=3)
    assert [isinstance(answer, Failed) for answer in answers] == [False, True, False]
    assert answers[1].outcome is Outcome.BUILD_FAILED
    assert "SIGSEGV" in answers[1].detail


def test_a_builder_that_dies_while_idle_is_replaced(build, builders):
    build()
    for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM):
        (pid,) = builders.pids
        os.kill(pid, number)
        psutil.wait_procs([psutil.Process(pid)], 5)
        assert are_built(build())
        assert builders.pids != [pid]


def test_a_request_longer_than_a_pipe_to_one_that_stands_still(build, builders, monkeypatch):
    monkeypatch.setattr(worker, "_SENDING", 4.0)
    build()
    (pid,) = builders.pids
    os.kill(pid, signal.SIGSTOP)
    request = builders._request

    def long(*arguments):
        return msgspec.structs.replace(request(*arguments), folder="x" * (1 << 20))

    monkeypatch.setattr(builders, "_request", long)
    assert are_built(build())


def test_builders_that_never_listen_end_the_session_in_one_line(
    builders, build, tmp_path, monkeypatch
):
    (tmp_path / "deaf").touch()
    started = builders._worker

    def late(slot: int) -> Worker:
        found = started(slot)
        psutil.wait_procs([psutil.Process(found.pid)], 10)
        return found

    monkeypatch.setattr(builders, "_worker", late)
    with pytest.raises(ToolchainError, match=r"the process for it died: MemoryError, 5 times"):
        build()


def test_an_interrupt_leaves_no_answer_for_the_next_request(builders, build, monkeypatch):
    build()

    def interrupted(workers, seconds):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("luthier.autotune.measure.builders.wait_any", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build(count=3)
    assert builders.pids == []
    assert len(build(count=2)) == 2


class TestStarting:
    def test_a_system_without_processes_for_a_moment(self, tmp_path, monkeypatch):
        start, failures = subprocess.Popen, iter([11, 12, 11])

        def scarce(*arguments, **settings):
            for number in failures:
                raise OSError(number, os.strerror(number))
            return start(*arguments, **settings)

        monkeypatch.setattr(worker, "_PAUSE", 0.01)
        monkeypatch.setattr("luthier.autotune.measure.worker.subprocess.Popen", scarce)
        plan(tmp_path)
        started = Worker("faulty", tmp_path)
        started.send(REQUEST)
        assert started.receive(time.monotonic() + 20, list[Answer])
        started.stop()

    @pytest.mark.parametrize("number", [11, 12, 24, 28])
    def test_a_system_that_has_none_is_told_in_one_line(self, tmp_path, monkeypatch, number):
        def none(*arguments, **settings):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(worker, "_PAUSE", 0.01)
        monkeypatch.setattr("luthier.autotune.measure.worker.subprocess.Popen", none)
        with pytest.raises(ToolchainError, match=f"cannot start.*{os.strerror(number)}"):
            Worker("faulty", tmp_path)

    def test_a_process_with_more_than_a_thousand_files(self, tmp_path):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 1500
        if 0 <= hard < wanted:
            pytest.fail(f"this machine allows {hard} descriptors only")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        many = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
        try:
            plan(tmp_path)
            started = Worker("faulty", tmp_path)
            assert started.fileno() > 1024
            started.send(REQUEST)
            assert started.receive(time.monotonic() + 20, list[Answer])
            started.stop()
        finally:
            for descriptor in many:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
