"""Measuring real kernels, and candidates written in C that do what no candidate should."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from luthier.autotune.measure.harness import Effort
from luthier.autotune.measure.inputs import draw
from luthier.autotune.measure.measurer import Limits, Measurement, Measurer
from luthier.autotune.measure.messages import Built
from luthier.autotune.records.parse import parse_record
from luthier.autotune.records.record import Outcome
from luthier.schedules import Schedule, Target, Tensor, ToolchainError, Workload, node
from luthier.schedules.target import available_cores, host
from luthier.schedules.templates import registry
from luthier.schedules.toolchain import find_compiler

pytestmark = pytest.mark.alone

SIZE = 4096
CANDIDATE = Schedule("pointwise", 1, (("grain", 1024),))
Inject = Callable[..., Measurement]


@pytest.fixture(scope="module")
def here() -> Target:
    return host(threads=2)


@pytest.fixture(scope="module")
def relu() -> Workload:
    tensor = Tensor((SIZE,))
    return Workload((tensor,), (False,), (node("relu", (0,), tensor),))


@pytest.fixture(scope="module")
def matmul() -> Workload:
    out = Tensor((64, 96))
    return Workload(
        (Tensor((64, 128)), Tensor((128, 96)), Tensor((96,))),
        (False, True, True),
        (node("matmul", (0, 1), out), node("add", (3, 2), out), node("relu", (4,), out)),
    )


@pytest.fixture(scope="module")
def measurer(here: Target) -> Iterator[Measurer]:
    with Measurer(here, limits=Limits(run=2.0), builders=1) as opened:
        yield opened


@pytest.fixture
def inject(
    measurer: Measurer, relu: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Inject:
    """Measure a C function of the kernel ABI as if it had been built for ``relu``."""
    default = registry.default(relu, measurer.target)
    assert all(m.outcome is Outcome.OK for m in measurer.measure(relu, [default]))

    def run(body: str, chunks: int = 4, before: str = "") -> Measurement:
        source, library = tmp_path / "c.c", tmp_path / "c.so"
        source.write_text(
            "#include <stdint.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n"
            f"#include <sys/mman.h>\n{before}\n"
            "void c(void *const *buffers, void *scratch, int32_t begin, int32_t end) {\n"
            "  const float *in = buffers[0]; float *out = buffers[1]; (void)in; (void)out;\n"
            f"  (void)scratch; (void)begin; (void)end;\n{body}\n}}\n"
        )
        find_compiler().run(["-O1", "-shared", "-fPIC", str(source), "-o", str(library)], tmp_path)
        built = Built(str(library), ("c",), (chunks,), {}, (), 0)
        real = measurer._build

        def build(of, schedules, folder):
            return [built] if list(schedules) == [CANDIDATE] else real(of, schedules, folder)

        with monkeypatch.context() as patch:
            patch.setattr(measurer, "_build", build)
            (shown,) = measurer.measure(relu, [CANDIDATE])
        return shown

    return run


RIGHT = f"""
  for (int c = begin; c < end; c++)
    for (int i = c * {SIZE // 4}; i < (c + 1) * {SIZE // 4}; i++) out[i] = in[i] > 0 ? in[i] : 0;
"""


def children(measurer: Measurer) -> list[psutil.Process]:
    """All processes of the session."""
    return psutil.Process().children(recursive=True)


class TestCandidates:
    def test_a_right_one_is_ok(self, inject):
        shown = inject(RIGHT)
        assert shown.outcome is Outcome.OK, shown.detail
        assert shown.samples == tuple(sorted(shown.samples))
        assert 1e-8 < shown.samples[0] < 1e-2

    def test_one_that_crashes(self, inject):
        shown = inject("*(volatile int *)8 = 1;")
        assert shown.outcome is Outcome.CRASHED
        assert shown.detail == "killed by SIGSEGV"

    def test_one_that_aborts_or_leaves(self, inject):
        assert inject("abort();").detail == "killed by SIGABRT"
        assert inject("_exit(3);").outcome is Outcome.CRASHED

    def test_one_that_hangs(self, inject):
        begin = time.monotonic()
        shown = inject("for (;;) pause();")
        assert shown.outcome is Outcome.TIMED_OUT
        assert time.monotonic() - begin < 6

    def test_one_that_forks_and_hangs_its_children_with_it(self, inject):
        assert inject('for (;;) __asm__ volatile("");').outcome is Outcome.TIMED_OUT

    def test_one_that_takes_all_memory(self, inject):
        before = psutil.virtual_memory().available
        shown = inject("for (;;) { char *p = malloc(1 << 26); memset(p, 1, 1 << 22); }")
        assert shown.outcome is Outcome.CRASHED
        assert psutil.virtual_memory().available > before - (4 << 30)

    def test_one_that_computes_something_else(self, inject):
        shown = inject(RIGHT.replace("in[i] : 0", "in[i] : 1"))
        assert shown.outcome is Outcome.WRONG_RESULT
        assert f"of {SIZE} elements differ" in shown.detail

    def test_one_that_is_slightly_off(self, inject):
        assert inject(RIGHT.replace("in[i] : 0", "in[i] * 1.0001f : 0")).outcome is Outcome.OK
        wrong = inject(RIGHT.replace("in[i] : 0", "in[i] * 1.01f : 0"))
        assert wrong.outcome is Outcome.WRONG_RESULT

    def test_one_that_leaves_a_part_undone(self, inject):
        shown = inject(RIGHT, chunks=3)
        assert shown.outcome is Outcome.WRONG_RESULT
        assert "nan" in shown.detail

    def test_one_that_adds_to_what_was_there(self, inject):
        before = f"static float sum[{SIZE}];"
        body = RIGHT.replace("out[i] =", "out[i] = (sum[i] +=").replace(": 0;", ": 0);")
        shown = inject(body, before=before)
        assert shown.outcome is Outcome.WRONG_RESULT
        assert shown.detail.startswith("in a later run")

    @pytest.mark.parametrize("index", [-1, SIZE, SIZE + 40])
    def test_one_that_writes_outside_its_output(self, inject, index):
        shown = inject(RIGHT + f"out[{index}] = 1;")
        assert shown.outcome is Outcome.WRONG_RESULT
        assert shown.detail == "wrote outside its buffers"

    def test_one_that_writes_to_its_input(self, inject):
        shown = inject(RIGHT + "((float *)in)[0] = 1;")
        assert (shown.outcome, shown.detail) == (Outcome.CRASHED, "killed by SIGSEGV")

    def test_one_that_does_not_load(self, inject):
        shown = inject("missing();", before="void missing(void);")
        assert shown.outcome is Outcome.CRASHED

    def test_one_that_talks_is_not_taken_at_its_word(self, inject):
        shown = inject(RIGHT + 'write(1, "{\\"outcome\\":\\"ok\\"}\\n", 17);')
        assert shown.outcome is Outcome.OK
        assert len(shown.samples) > 1

    def test_one_that_is_clearly_slower_is_given_up_early(self, inject, measurer, monkeypatch):
        limits = Limits(trial=Effort(best=3e-5, seconds=30, least=10))
        monkeypatch.setattr(measurer, "limits", limits)
        monkeypatch.setattr("luthier.autotune.measure.measurer.replace", lambda effort, **_: effort)
        shown = inject(RIGHT + "usleep(2000);")
        assert shown.outcome is Outcome.OK
        assert len(shown.samples) == 5

    def test_one_that_is_slower_is_timed_as_exactly_as_its_rank_needs(
        self, inject, measurer, monkeypatch
    ):
        """Of times that chance makes, many for half a percent, and few to know the half."""
        before = "#include <stdlib.h>\n#include <unistd.h>\n"
        monkeypatch.setattr("luthier.autotune.measure.measurer.replace", lambda effort, **_: effort)

        def samples(best: float) -> tuple[float, ...]:
            effort = Effort(best=best, precision=0.005, seconds=5, most=400)
            monkeypatch.setattr(measurer, "limits", Limits(trial=effort))
            return inject(RIGHT + "usleep(rand() % 2000);", before=before).samples

        alone = samples(best=0.0)
        behind = samples(best=alone[len(alone) // 2] / 2)
        assert len(behind) < 0.5 * len(alone)

    def test_the_session_goes_on_after_all_of_that(self, inject, measurer):
        assert inject(RIGHT).outcome is Outcome.OK
        zombies = [p for p in children(measurer) if p.status() == psutil.STATUS_ZOMBIE]
        assert not zombies


class TestWorkers:
    def test_the_runner_is_small(self, measurer, inject):
        """A fork of a process with TVM or XGBoost in it would be slow, and unsafe."""
        inject(RIGHT)
        assert measurer._runner is not None
        maps = Path(f"/proc/{measurer._runner.pid}/maps").read_text()
        assert "tvm" not in maps
        assert "xgboost" not in maps
        assert psutil.Process(measurer._runner.pid).num_threads() == 1

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
    def test_a_runner_that_dies_is_replaced_and_costs_no_candidate(self, measurer, inject, number):
        inject(RIGHT)
        os.kill(measurer._runner.pid, number)
        assert inject(RIGHT).outcome is Outcome.OK

    def test_a_runner_that_dies_whatever_it_runs_is_the_machine_s(
        self, measurer, relu, monkeypatch
    ):
        list(measurer.measure(relu, [CANDIDATE]))
        monkeypatch.setattr(
            "luthier.autotune.measure.worker._BOOT", "raise SystemExit('MemoryError')"
        )
        measurer._stop_runner()
        with pytest.raises(ToolchainError, match=r"at present: the runner died: MemoryError"):
            list(measurer.measure(relu, [CANDIDATE]))
        monkeypatch.undo()
        (shown,) = measurer.measure(relu, [CANDIDATE])
        assert shown.outcome is Outcome.OK

    def test_builders_start_before_they_are_needed(self, here):
        with Measurer(here) as measurer:
            assert len(measurer._builders.pids) == min(8, available_cores())

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
    def test_a_builder_that_dies_while_idle_is_replaced(self, measurer, relu, number):
        list(measurer.measure(relu, [CANDIDATE]))
        (pid,) = measurer._builders.pids
        os.kill(pid, number)
        psutil.wait_procs([psutil.Process(pid)], 5)
        (shown,) = measurer.measure(relu, [CANDIDATE])
        assert shown.outcome is Outcome.OK

    def test_what_was_built_together_is_built_again_alone(self, measurer, matmul):
        """One of several candidates of a share ends their builder, and nobody knows which."""
        default = registry.spaces(matmul, measurer.target)[0].default_schedule()
        list(measurer.measure(matmul, [default]))
        os.kill(measurer._builders.pids[0], signal.SIGKILL)
        shown = list(measurer.measure(matmul, [default] * 4))
        assert [m.outcome for m in shown] == [Outcome.OK] * 4

    def test_builds_that_all_take_too_long_are_the_machine_s(self, measurer, relu, monkeypatch):
        monkeypatch.setattr(measurer, "limits", Limits(build=0.0))
        with pytest.raises(ToolchainError, match="at present: the build took too long"):
            list(measurer.measure(relu, [CANDIDATE]))
        monkeypatch.undo()
        (shown,) = measurer.measure(relu, [CANDIDATE])
        assert shown.outcome is Outcome.OK

    def test_what_no_template_builds_fails_alone(self, measurer, relu):
        nonsense = Schedule("pointwise", 1, (("grain", 3),))
        shown = list(measurer.measure(relu, [nonsense, CANDIDATE]))
        assert [m.outcome for m in shown] == [Outcome.BUILD_FAILED, Outcome.OK]
        assert "grain" in shown[0].detail

    def test_nothing_is_left_behind(self, here, relu, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        before = {p.pid for p in psutil.Process().children(recursive=True)}

        def interrupted() -> None:
            with Measurer(here, builders=1) as measurer:
                next(iter(measurer.measure(relu, [CANDIDATE])))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert list(tmp_path.iterdir()) == []
        assert {p.pid for p in psutil.Process().children(recursive=True)} <= before

    def test_no_compiler_is_told_in_one_line(self, here, monkeypatch, tmp_path):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        monkeypatch.setenv("CC", "/nowhere/cc")
        with pytest.raises(ToolchainError, match="/nowhere/cc"):
            Measurer(here)
        assert list(tmp_path.iterdir()) == []


class TestKernels:
    def test_every_sampled_schedule_of_a_matmul_is_right(self, measurer, matmul):
        space = registry.spaces(matmul, measurer.target)[0]
        import random

        rng = random.Random(1)
        schedules = [space.default_schedule(), *(space.sample(rng) for _ in range(5))]
        for shown in measurer.measure(matmul, schedules):
            assert shown.outcome is Outcome.OK, (shown.schedule, shown.detail)
            record = measurer.record(matmul, shown)
            assert parse_record(record.line) == record
            assert dict(record.tools).keys() == {"luthier", "tvm", "llvm"}

    def test_the_reference_is_what_numpy_computes(self, measurer, matmul):
        list(measurer.measure(matmul, [registry.default(matmul, measurer.target)]))
        a, b, bias = (draw(matmul, i, 0) for i in range(3))
        stored = np.fromfile(measurer._references[matmul.key], np.float32).reshape(64, 96)
        np.testing.assert_allclose(stored, np.maximum(a @ b + bias, 0), rtol=1e-3, atol=1e-4)

    def test_winners_are_compared_in_turns(self, measurer, matmul):
        space = registry.spaces(matmul, measurer.target)[0]
        default = space.default_schedule()
        other = next(iter(space.neighbours(default)))
        shown = measurer.compare(matmul, [default, other], rounds=3)
        assert [m.schedule for m in shown] == [default, other]
        for m in shown:
            assert m.outcome is Outcome.OK
            assert len(m.samples) >= Limits().final.least  # rounds that noise hit do not count
            assert list(m.samples) == sorted(m.samples)


def test_inputs_are_the_same_in_every_process(relu, matmul):
    for workload in (relu, matmul):
        for i, tensor in enumerate(workload.inputs):
            first, second = draw(workload, i, 7), draw(workload, i, 7)
            assert first.shape == tensor.shape
            assert str(first.dtype) == tensor.dtype
            np.testing.assert_array_equal(first, second)
            assert not np.array_equal(first, draw(workload, i, 8))


def test_indices_stay_in_the_axis_they_index():
    ids, table = Tensor((4, 16), "int64"), Tensor((100, 8))
    wide = Tensor((4, 16), "int32")
    workload = Workload(
        (ids, table),
        (False, True),
        (node("cast", (0,), wide), node("take", (1, 2), Tensor((4, 16, 8)), axis=0)),
    )
    drawn = draw(workload, 0, 0)
    assert drawn.dtype == np.int64
    assert drawn.min() >= 0
    assert 50 < drawn.max() <= 99


def test_indices_stay_in_the_axis_they_are_taken_along():
    x, places = Tensor((100, 8)), Tensor((50, 8), "int64")
    taken = node("take_along", (0, 1), Tensor((50, 8)), axis=0)
    drawn = draw(Workload((x, places), (False, False), (taken,)), 1, 0)
    assert drawn.min() >= 0
    assert 50 < drawn.max() <= 99


def test_roots_and_divisors_are_positive():
    tensor = Tensor((1000,))
    workload = Workload((tensor,), (False,), (node("sqrt", (0,), tensor),))
    assert draw(workload, 0, 0).min() >= 0.5
    flags = Tensor((100,), "bool")
    workload = Workload((flags,), (False,), (node("logical_not", (0,), flags),))
    assert json.dumps(sorted(set(draw(workload, 0, 0).tolist()))) == "[0, 1]"
