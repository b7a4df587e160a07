"""The model learns, the search finds, the budget goes where it pays: all on made-up timings."""

from __future__ import annotations

import itertools
import math
import random
import time
from dataclasses import replace

import numpy as np
import pytest

from luthier.autotune.records.record import normal
from luthier.autotune.search.budget import Policy, next_kernel, patience
from luthier.autotune.search.features import columns, schedule_columns
from luthier.autotune.search.history import History
from luthier.autotune.search.model import CostModel, Examples
from luthier.autotune.search.proposals import KernelSearch, Options
from luthier.schedules import Knob, Schedule, ScheduleError, Space, Tensor, Workload, node
from luthier.schedules.templates import registry

POWERS = tuple(2**i for i in range(8))
FINE = tuple(range(1, 100))
ANY = Schedule("pointwise", 1, ())
SPACE = Space(
    "conv_direct",
    2,
    (
        Knob("tile_w", tuple(range(1, 17)), ""),
        Knob("vectors", (1, 2, 3, 4, 6), ""),
        Knob("rows", POWERS, ""),
        Knob("columns", (64,), ""),
        Knob("panels", (1, 2), ""),
        Knob("order", ("rows", "panels"), ""),
    ),
    {"tile_w": 1, "vectors": 1, "rows": 1, "columns": 64, "panels": 1, "order": "rows"},
    lambda config: int(config["tile_w"]) * int(config["vectors"]) <= 28,
)
LARGE = Space(
    "conv_direct",
    2,
    tuple(replace(k, choices=FINE) if k.name == "panels" else k for k in SPACE.knobs),
    SPACE.default,
    SPACE.valid,
)


def conv(channels: int, size: int) -> Workload:
    out = Tensor((1, size, size, channels))
    attrs = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "groups": 1}
    inputs = (Tensor((1, size, size, channels)), Tensor((channels, 3, 3, channels)))
    return Workload(inputs, (False, True), (node("conv2d", (0, 1), out, **attrs),))


def seconds(workload: Workload, schedule: Schedule, rng: random.Random | None = None) -> float:
    """A register tile should be large, those of a row are equal, and blocks have a best size."""
    size = workload.output.shape[1]
    most, vectors, rows = (int(schedule[k]) for k in ("tile_w", "vectors", "rows"))
    tile = size / math.ceil(size / most)
    loads = (tile + vectors) / (tile * vectors)
    distance = abs(math.log2(rows) - math.log2(max(1, size // 4)))
    order = 1.0 if schedule["order"] == "panels" else 1.15
    noise = math.exp(rng.gauss(0, 0.02)) if rng else 1.0
    return 1e-4 * (1 + 2 * loads) * (1 + 0.1 * distance) * order * noise


def examples(workload: Workload, target, count: int, rng: random.Random) -> Examples:
    schedules = [SPACE.sample(rng) for _ in range(count)]
    return Examples(workload, target, schedules, [seconds(workload, s, rng) for s in schedules])


def mean(model, table):
    """What the members believe on average."""
    return model.predict(table).mean(axis=0)


def pairwise_accuracy(scores, truth) -> float:
    """Share of pairs, at least 5% apart, that the scores order rightly."""
    pairs = [
        (scores[i] > scores[j]) == (truth[i] < truth[j])
        for i, j in itertools.combinations(range(len(truth)), 2)
        if abs(math.log(truth[i] / truth[j])) > 0.05
    ]
    return float(np.mean(pairs))


class TestFeatures:
    def test_uneven_tiles_show_what_the_border_wastes(self, target):
        knobs = {k.name: np.full(4, SPACE.default[k.name]) for k in SPACE.knobs}
        knobs["tile_w"] = np.array([4, 5, 8, 16])
        table = columns(conv(16, 8), target, "conv_direct", knobs)
        np.testing.assert_allclose(table["border"], [0, 0.2, 0, 0.5])

    def test_unknown_templates_have_none(self, target):
        with pytest.raises(ScheduleError, match="no template 'fake'"):
            columns(conv(16, 8), target, "fake", {"rows": np.array([1])})

    def test_columns_of_schedules_and_of_choices_agree(self, target):
        schedules = list(itertools.islice(SPACE, 50))
        one = schedule_columns(conv(16, 8), target, schedules)
        knobs = {k.name: np.array([s[k.name] for s in schedules]) for k in SPACE.knobs}
        other = columns(conv(16, 8), target, "conv_direct", knobs)
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])

    def test_a_hundred_thousand_candidates_take_little_time(self, target):
        rng = np.random.default_rng(0)
        names = ("tile_w", "vectors", "rows", "columns", "panels")
        knobs = {name: rng.integers(1, 64, 100_000) for name in names}
        knobs["order"] = np.array(["rows", "panels"])[rng.integers(0, 2, 100_000)]
        begin = time.process_time()
        columns(conv(64, 56), target, "conv_direct", knobs)
        assert time.process_time() - begin < 2  # 20 microseconds each, on any machine

    def test_any_workload_has_features(self, target):
        scalar = Workload((Tensor(()),), (False,), (node("relu", (0,), Tensor(())),))
        softmax = Tensor((4, 10))
        anchor = Workload((softmax,), (False,), (node("softmax", (0,), softmax, axis=1),))
        for workload, template in ((scalar, "pointwise"), (anchor, "normalize")):
            table = columns(workload, target, template, {"grain": np.array([1, 1024])})
            assert all(np.isfinite(v).all() and v.dtype == np.float32 for v in table.values())


class TestModel:
    def test_it_orders_unseen_schedules(self, target):
        rng = random.Random(0)
        model = CostModel()
        model.fit(
            [examples(conv(64, 56), target, 100, rng), examples(conv(128, 28), target, 100, rng)]
        )
        for workload in (conv(64, 56), conv(128, 28)):
            held_out = [SPACE.sample(rng) for _ in range(200)]
            scores = mean(model, schedule_columns(workload, target, held_out))
            assert pairwise_accuracy(scores, [seconds(workload, s) for s in held_out]) > 0.85

    def test_it_orders_schedules_of_unseen_workloads(self, target):
        rng = random.Random(1)
        model = CostModel()
        seen = [conv(c, s) for c, s in ((16, 112), (32, 56), (64, 28), (256, 14), (64, 56))]
        model.fit([examples(w, target, 60, rng) for w in seen])
        workload = conv(128, 28)
        held_out = [SPACE.sample(rng) for _ in range(200)]
        scores = mean(model, schedule_columns(workload, target, held_out))
        assert pairwise_accuracy(scores, [seconds(workload, s) for s in held_out]) > 0.75

    def test_it_does_not_answer_before_it_has_seen_enough(self, target):
        model = CostModel()
        model.fit([])
        assert not model.ready
        model.fit([examples(conv(64, 56), target, 19, random.Random(0))])
        assert not model.ready

    def test_failures_rank_last(self, target):
        rng = random.Random(2)
        schedules = [SPACE.sample(rng) for _ in range(120)]
        failing = [s["order"] == "panels" for s in schedules]
        times = [math.inf if f else 1e-3 * (1 + rng.random()) for f in failing]
        model = CostModel()
        model.fit([Examples(conv(64, 56), target, schedules, times)])
        scores = mean(model, schedule_columns(conv(64, 56), target, schedules))
        assert max(s for s, f in zip(scores, failing, strict=True) if f) < -1
        assert min(s for s, f in zip(scores, failing, strict=True) if not f) > -2

    def test_workloads_that_make_no_sense_are_left_out(self, target):
        broken = Workload(
            (Tensor((4,)), Tensor((4,))), (False, True), (node("conv2d", (0, 1), Tensor((4,))),)
        )
        rng = random.Random(3)
        nothing = Examples(conv(8, 8), target, [SPACE.sample(rng)], [math.inf])
        model = CostModel()
        good = examples(conv(64, 56), target, 50, rng)
        model.fit(
            [
                examples(broken, target, 0, rng),
                Examples(broken, target, good.schedules, [1.0] * 50),
                nothing,
                good,
            ]
        )
        assert model.ready
        assert model.rows == 50

    def test_the_same_seed_gives_the_same_model(self, target):
        one, other = CostModel(seed=5), CostModel(seed=5)
        for model in (one, other):
            model.fit([examples(conv(64, 56), target, 50, random.Random(4))])
        table = schedule_columns(conv(64, 56), target, list(itertools.islice(SPACE, 100)))
        np.testing.assert_array_equal(one.predict(table), other.predict(table))


def search(workload: Workload, target, space: Space, trials: int, *, learn: bool) -> list[float]:
    """Best seconds after each trial, with the model or without."""
    history, model = History(workload), CostModel()
    kernel = KernelSearch(history, target, [space], seed=1)
    default = space.default_schedule()
    known = {default: seconds(workload, default)}
    history.tell(default, known[default])
    while len(known) < trials:
        if learn:
            model.fit([Examples(workload, target, list(known), list(known.values()))])
        for schedule in kernel.propose(8, model):
            known[schedule] = seconds(workload, schedule)
            history.tell(schedule, known[schedule])
    return list(itertools.accumulate(known.values(), min))


class TestRefined:
    def test_a_few_measurements_correct_a_model_that_knows_other_workloads(self, target):
        rng = random.Random(5)
        model = CostModel()
        model.fit([examples(conv(c, s), target, 60, rng) for c, s in ((16, 112), (32, 56))])
        workload = conv(128, 28)

        def backwards(schedule: Schedule) -> float:
            return 1e-9 / seconds(workload, schedule)

        known, held_out = ([SPACE.sample(rng) for _ in range(n)] for n in (48, 200))
        own = Examples(workload, target, known, [backwards(s) for s in known])
        table = schedule_columns(workload, target, held_out)
        truth = [backwards(s) for s in held_out]
        assert pairwise_accuracy(mean(model, table), truth) < 0.5
        assert pairwise_accuracy(mean(model.refined(own), table), truth) > 0.75

    def test_one_measurement_changes_nothing(self, target):
        workload, model = conv(64, 56), CostModel()
        schedules = [SPACE.sample(random.Random(i)) for i in range(9)]
        table = schedule_columns(workload, target, schedules)
        refined = model.refined(Examples(workload, target, schedules[:1], [1e-3]))
        np.testing.assert_array_equal(refined.predict(table), model.predict(table))

    def test_without_records_the_busiest_thread_decides(self, target):
        knobs = {k.name: np.full(2, SPACE.default[k.name]) for k in SPACE.knobs}
        knobs["tile_w"] = np.array([1, 14])  # a register tile of one sum waits for itself
        table = columns(conv(64, 56), target, "conv_direct", knobs)
        one, many = mean(CostModel(), table)
        assert many > one

    def test_members_disagree_about_what_none_has_seen(self, target):
        workload, model, rng = conv(64, 56), CostModel(), random.Random(6)
        refined = model.refined(examples(workload, target, 16, rng))
        table = schedule_columns(workload, target, [SPACE.sample(rng) for _ in range(50)])
        assert refined.predict(table).std(axis=0).max() > 0.01


class TestSearch:
    def test_it_gets_within_a_hundredth_of_the_optimum_in_64_trials(self, target):
        for workload in (conv(64, 56), conv(256, 14)):
            optimum = min(seconds(workload, s) for s in SPACE)
            assert search(workload, target, SPACE, 64, learn=True)[63] < 1.01 * optimum

    def test_the_model_is_worth_its_trials(self, target):
        workload = conv(64, 56)
        for space in (SPACE, LARGE):
            with_model = search(workload, target, space, 72, learn=True)
            without = search(workload, target, space, 72, learn=False)
            assert with_model[-1] <= without[-1]

    @pytest.mark.parametrize("space", [SPACE, LARGE], ids=["enumerated", "sampled"])
    def test_nothing_is_proposed_twice_or_out_of_the_space(self, target, space):
        history, model = History(conv(64, 56)), CostModel()
        kernel = KernelSearch(history, target, [space])
        told = [space.sample(random.Random(i)) for i in range(20)]
        for schedule in told:
            history.tell(normal(schedule), 1.0)
        proposed = [s for _ in range(10) for s in kernel.propose(8, model)]
        assert len({normal(s) for s in (*proposed, *told)}) == 80 + len({normal(s) for s in told})
        for schedule in proposed:
            assert space.schedule(dict(schedule.knobs)) == schedule

    def test_a_space_is_exhausted_once_and_whole(self, target):
        single = [Knob(k.name, (SPACE.default[k.name],), "") for k in SPACE.knobs[1:]]
        tiles = Knob("tile_w", (1, 2, 3, 4, 5), "")
        tiny = Space("conv_direct", 2, (tiles, *single), SPACE.default)
        history = History(conv(8, 8))
        kernel = KernelSearch(history, target, [tiny])
        history.tell(tiny.default_schedule(), 1.0)
        assert len(kernel.propose(3, CostModel())) == 3
        assert not kernel.exhausted
        assert len(kernel.propose(3, CostModel())) == 1
        assert kernel.exhausted
        assert kernel.propose(3, CostModel()) == []

    def test_all_templates_take_part(self, target):
        history = History(conv(64, 56))
        both = registry.spaces(history.workload, target)
        kernel = KernelSearch(history, target, both, options=Options(explore=1.0))
        names = {s.template for _ in range(30) for s in kernel.propose(8, CostModel())}
        assert names == {"conv_direct", "winograd"}

    @pytest.mark.parametrize("space", [SPACE, LARGE], ids=["enumerated", "sampled"])
    def test_near_the_best_only_one_knob_differs(self, target, space):
        history = History(conv(64, 56))
        kernel = KernelSearch(history, target, [space])
        best, other = space.sample(random.Random(0)), space.sample(random.Random(1))
        history.tell(other, 2.0)
        history.tell(best, 1.0)
        near = kernel.propose(8, CostModel(), near=True)
        assert len(near) == 8
        for schedule in near:
            assert sum(best[k] != v for k, v in schedule.knobs) == 1
        while kernel.propose(8, CostModel(), near=True):
            pass
        assert not kernel.exhausted

    def test_stale_records_are_not_in_the_way(self, target):
        history = History(conv(64, 56))
        kernel = KernelSearch(history, target, [SPACE])
        history.tell(Schedule("conv_direct", 2, SPACE.default_schedule().knobs), 1.0)
        history.tell(Schedule("conv_direct", 1, (("rows", 99),)), 1.0)
        history.tell(Schedule("gone", 1, ()), 1.0)
        assert len(kernel.propose(8, CostModel())) == 8


class TestBudget:
    def kernels(self, *times: float, counts: tuple[int, ...] | None = None) -> list[History]:
        states = []
        for i, t in enumerate(times):
            state = History(conv(64, 56), counts[i] if counts else 1)
            state.tell(ANY, t)
            states.append(state)
        return states

    def spread(self, states: list[History], trials: int, win) -> list[int]:
        """Trials that each kernel gets when a trial of kernel i takes ``win(i, n)`` seconds."""
        given = [0] * len(states)
        for _ in range(trials):
            state = next_kernel(states, Policy())
            if state is None:
                break
            i = next(i for i, s in enumerate(states) if s is state)
            given[i] += 1
            state.tell(ANY, win(i, given[i]))
        return given

    def test_unmeasured_kernels_come_first(self):
        states = self.kernels(1.0, 2.0)
        states.append(History(conv(8, 8), 1))
        assert next_kernel(states, Policy()) is states[2]

    def test_what_weighs_more_gets_more(self):
        given = self.spread(self.kernels(1e-3, 1e-3, counts=(1, 10)), 40, lambda i, n: 1e-3)
        assert given[1] > 2 * given[0] > 0

    def test_slow_kernels_of_the_same_work_get_more(self):
        given = self.spread(self.kernels(1e-3, 5e-3), 40, lambda i, n: (1e-3, 5e-3)[i])
        assert given[1] > 3 * given[0]

    def test_kernels_that_improve_get_more(self):
        times = (lambda n: 2e-3, lambda n: 2e-3 * 0.95**n)
        states = [*self.kernels(2e-3, 2e-3), *self.kernels(2e-4)]
        given = self.spread(states, 60, lambda i, n: times[i](n) if i < 2 else 2e-4)
        assert given[1] > given[0]

    def test_what_memory_bounds_is_left_for_what_can_still_win(self):
        def product(rows: int, depth: int, columns: int) -> Workload:
            out = Tensor((rows, columns))
            inputs = (Tensor((rows, depth)), Tensor((depth, columns)))
            return Workload(inputs, (False, True), (node("matmul", (0, 1), out),))

        states = [
            History(product(1, 8192, 4096), 1, [5e-3]),
            History(product(256, 256, 256), 1, [5e-4]),
            History(product(128, 256, 256), 1, [1e-3]),
        ]
        given = self.spread(states, 60, lambda i, n: (5e-3, 5e-4, 1e-3)[i])
        assert given[2] > given[0] > 0

    def test_converged_and_exhausted_kernels_get_nothing(self):
        states = self.kernels(1e-3, 5e-3)
        states[1].done = True
        given = self.spread(states, 1000, lambda i, n: 1e-3)
        assert given == [patience(states, Policy())[0], 0]
        assert next_kernel(states, Policy()) is None

    def test_what_can_win_more_is_given_more_patience(self):
        states = self.kernels(1e-3, 1e-3, 1e-3, 1e-6, counts=(1, 1, 9, 1))
        alike, other, more, least = patience(states, Policy())
        assert alike == other < more <= Policy().most * Policy().patience
        assert least == Policy().least * Policy().patience
        assert patience(states[:2], Policy()) == [Policy().patience] * 2

    def test_a_model_that_computes_nothing_has_trials_too(self):
        moved = Workload(
            (Tensor((8, 4)),), (False,), (node("transpose", (0,), Tensor((4, 8)), axes=(1, 0)),)
        )
        states = [History(moved, 1, [1e-3])]
        assert next_kernel(states, Policy()) is states[0]

    def test_who_was_not_measured_yet_is_given_the_mean(self):
        states = [*self.kernels(1e-3, 1e-6), History(conv(8, 8), 1)]
        assert patience(states, Policy())[2] == Policy().patience
        assert patience(states[2:], Policy()) == [Policy().patience]
        assert patience([], Policy()) == []

    def test_a_kernel_whose_trials_all_fail_converges(self):
        state = History(conv(8, 8), 1)
        given = self.spread([state], 1000, lambda i, n: math.inf)
        assert given[0] <= Policy().patience + 1

    def test_no_kernels_no_trial(self):
        assert next_kernel([], Policy()) is None
