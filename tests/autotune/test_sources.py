"""What is built from records: the closest machine first, then the order of sources."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from luthier.autotune.records.machine import Machine
from luthier.autotune.records.record import Outcome
from luthier.autotune.records.retention import best_of, latest, winners
from luthier.autotune.records.trust import Asker, Trust
from luthier.autotune.records.validity import Validity
from luthier.schedules import Knob, Schedule, Space, Target

ASK = Asker.of  # conftest puts a Zen 3 in its place


@pytest.fixture(autouse=True)
def equal_burden(monkeypatch):
    """The fake template has no loop nest to weigh."""
    monkeypatch.setattr("luthier.autotune.records.sources.is_light", lambda *a: True)


def chosen(sources, workload):
    """The number of the schedule that is built, how far it is trusted, and where it is from."""
    choice = sources.best(workload)
    return choice and (choice.schedule["number"], choice.trust, choice.source)


class TestOnThisKindOfMachine:
    def test_without_records_the_default_is_built(self, make_sources, workload):
        assert make_sources([]).best(workload) is None
        assert make_sources(None).best(workload) is None
        assert make_sources(None, []).hints(workload) == []

    def test_the_fastest_of_one_s_own_wins(self, make_sources, make_record, workload):
        sources = make_sources([make_record(n, s) for n, s in ((1, 3e-3), (2, 1e-3), (3, None))])
        assert chosen(sources, workload) == (2, Trust.EXACT, "own")
        assert [r.schedule["number"] for r in sources.ranked(workload)] == [2, 1]
        assert len(sources.measured(workload)) == 3

    def test_a_noisy_record_wins_only_where_noise_does_not_explain_it(
        self, make_sources, make_record, workload
    ):
        def noisy(record):
            return replace(record, timing=replace(record.timing, disturbed=True))

        close = [make_record(1, 1e-3), noisy(make_record(2, 0.95e-3))]
        assert chosen(make_sources(close), workload)[0] == 1
        apart = [make_record(1, 1e-3), noisy(make_record(2, 0.8e-3))]
        assert chosen(make_sources(apart), workload)[0] == 2

    def test_one_s_own_measurements_count_before_packs(self, make_sources, make_record, workload):
        own = [make_record(0, 2e-3), make_record(1, 1e-3)]
        first, second = [make_record(2, 1e-4)], [make_record(3, 1e-5)]
        assert chosen(make_sources(own, first, second), workload) == (1, Trust.EXACT, "own")
        assert chosen(make_sources([], first, second), workload) == (2, Trust.EXACT, "pack 1")
        assert chosen(make_sources(None, [], second), workload) == (3, Trust.EXACT, "pack 2")

    def test_a_source_that_knows_the_default_alone_leaves_the_word_to_others(
        self, make_sources, make_record, workload
    ):
        own, pack = [make_record(0, 2e-3)], [make_record(0, 2e-3), make_record(2, 1e-3)]
        assert chosen(make_sources(own, pack), workload) == (2, Trust.EXACT, "pack 1")
        assert chosen(make_sources(own), workload) == (0, Trust.EXACT, "own")

    def test_stale_versions_and_unknown_knobs_are_not_used(
        self, make_sources, make_record, workload
    ):
        stale = [make_record(1, 1e-6, version=2), make_record(5000, 1e-6)]
        assert make_sources(stale, stale).best(workload) is None
        assert make_sources(stale).measured(workload) == {}

    def test_the_space_is_that_of_the_accuracy_asked_for(
        self, make_sources, make_record, workload, target
    ):
        """Records tell of the machine alone; what is not exact enough is not in the space."""

        def halved(workload, target):
            most = 500 if target.accuracy == "strict" else 1000
            knobs = Knob("number", tuple(range(most)), ""), Knob("order", ("rows",), "")
            return (Space("fake", 1, knobs, {"number": 0, "order": "rows"}),)

        records = [make_record(700, 1e-6), make_record(300, 1.0)]
        strict = make_sources(records, on=replace(target, accuracy="strict"))
        strict._validity = Validity(halved)
        assert chosen(strict, workload)[0] == 300
        assert strict.elsewhere(workload) == 0
        assert chosen(make_sources(records), workload)[0] == 700


class TestWhatWasTimedInTurns:
    """Only that compares: see winner.py. Records of one comparison have one time."""

    @pytest.fixture
    def compare(self, make_record):
        """Records of schedules by number, with their seconds, timed in turns; 0 is the default."""

        def make(day: int, seconds: dict[int, float], *, disturbed: bool = False, **about):
            at = f"2025-01-{day:02d}T00:00:00.000Z"
            found = []
            for number, time in seconds.items():
                record = make_record(number, time, time=at, **about)
                timing = replace(record.timing, default=seconds[0], disturbed=disturbed)
                found.append(replace(record, timing=timing))
            return found

        return make

    def test_a_faster_record_that_was_not_compared_does_not_win(
        self, make_sources, make_record, compare, workload
    ):
        records = [make_record(3, 1e-9), *compare(1, {0: 2e-3, 1: 1e-3, 2: 1.5e-3})]
        assert chosen(make_sources(records), workload) == (1, Trust.EXACT, "own")
        assert chosen(make_sources(None, records), workload) == (1, Trust.EXACT, "pack 1")

    def test_a_default_that_was_not_beaten_is_the_last_word(
        self, make_sources, make_record, compare, workload
    ):
        """Also against packs and against what was measured on other machines."""
        own = [make_record(3, 1e-9), *compare(1, {0: 1e-3, 1: 1.2e-3})]
        pack = [make_record(0, 1e-3), make_record(4, 1e-4)]
        assert chosen(make_sources(own, pack), workload) == (0, Trust.EXACT, "own")

    def test_the_latest_comparison_counts(self, make_sources, compare, workload):
        first, second = compare(1, {0: 2e-3, 1: 1e-3}), compare(2, {0: 2e-3, 2: 1.8e-3})
        for records in ([*first, *second], [*second, *first]):
            assert chosen(make_sources(records), workload)[0] == 2
        kept = compare(3, {0: 1e-3})
        assert chosen(make_sources([*first, *second, *kept]), workload)[0] == 0

    def test_it_counts_though_the_default_was_measured_again_alone(
        self, make_sources, make_record, compare, workload
    ):
        records = [*compare(1, {0: 2e-3, 1: 1e-3}), make_record(0, 1e-9), make_record(5, 1e-4)]
        assert chosen(make_sources(records), workload)[0] == 1

    def test_what_was_wrong_since_is_out(self, make_sources, make_record, compare, workload):
        wrong = make_record(1, None, outcome=Outcome.WRONG_RESULT)
        records = [*compare(1, {0: 2e-3, 1: 1e-3, 2: 1.5e-3}), wrong]
        assert chosen(make_sources(records), workload)[0] == 2

    @pytest.mark.parametrize(("share", "number"), [(0.85, 1), (0.95, 0)])
    def test_on_a_busy_machine_only_a_clear_winner_counts(
        self, make_sources, compare, workload, share, number
    ):
        records = compare(1, {0: 1e-3, 1: share * 1e-3}, disturbed=True)
        assert chosen(make_sources(records), workload)[0] == number

    @pytest.mark.parametrize(("share", "number"), [(0.98, 1), (0.995, 0), (1.0, 0)])
    def test_a_gain_that_nobody_notices_is_none(
        self, make_sources, compare, workload, share, number
    ):
        records = compare(1, {0: 1e-3, 1: share * 1e-3})
        assert chosen(make_sources(records), workload)[0] == number

    def test_a_default_does_not_lose_by_its_mark_alone(self, make_sources, make_record, workload):
        """Nothing was compared: an older log."""
        default = make_record(0, 1e-3)
        noisy = replace(default, timing=replace(default.timing, disturbed=True))
        assert chosen(make_sources([noisy, make_record(1, 1.05e-3)]), workload)[0] == 0
        assert chosen(make_sources([noisy, make_record(1, 0.9e-3)]), workload)[0] == 1

    def test_others_comparisons_are_inherited_as_one_s_own(
        self, make_sources, make_record, compare, workload, target
    ):
        on = replace(target, threads=8)
        records = [make_record(3, 1e-9, on=on), *compare(1, {0: 2e-3, 1: 1e-3}, on=on)]
        assert chosen(make_sources(None, records), workload) == (1, Trust.SAME_CPU, "pack 1")
        kept = [make_record(3, 1e-9, on=on), *compare(1, {0: 1e-3, 1: 1e-3}, on=on)]
        assert chosen(make_sources(None, kept), workload) == (0, Trust.SAME_CPU, "pack 1")

    def test_what_is_exported_and_pruned_decides_the_same(
        self, make_sources, make_record, compare, workload, monkeypatch
    ):
        """Here the default of a fake template is not known: it is told by its own time."""
        records = [
            *(make_record(n, 1e-6 * n) for n in range(10, 20)),
            *compare(1, {0: 2e-3, 1: 1e-3, 2: 1.5e-3}),
            make_record(0, 3e-3),
        ]
        default = records[10].schedule
        monkeypatch.setattr(Validity, "default", lambda self, workload, target: default)
        for few in (latest(records), winners(records, 1), winners(latest(records), 2)):
            assert chosen(make_sources(few), workload)[0] == 1
        assert best_of(records)[workload, records[0].target].schedule["number"] == 1


class TestWhatWasWrongSomewhere:
    @pytest.mark.parametrize("outcome", [Outcome.WRONG_RESULT, Outcome.CRASHED])
    def test_is_not_believed_of_others(self, make_sources, make_record, workload, target, outcome):
        good = [make_record(1, 1e-6), make_record(2, 1e-3)]
        elsewhere = make_record(1, None, outcome=outcome, on=replace(target, threads=64))
        for stores in ([[], [*good, elsewhere]], [[], good, [elsewhere]], [[elsewhere], good]):
            sources = make_sources(*stores)
            assert chosen(sources, workload)[0] == 2
            assert [s["number"] for s in sources.hints(workload)] == [2]

    def test_is_not_inherited_where_it_was_wrong_here(
        self, make_sources, make_record, workload, target
    ):
        elsewhere = [
            make_record(n, s, on=replace(target, threads=8)) for n, s in ((0, 1), (1, 0.5))
        ]
        assert chosen(make_sources(elsewhere), workload) == (1, Trust.SAME_CPU, "own")
        wrong_here = make_record(1, None, outcome=Outcome.WRONG_RESULT)
        assert chosen(make_sources([*elsewhere, wrong_here]), workload)[0] == 0

    def test_is_believed_once_it_was_right_here(self, make_sources, make_record, workload, target):
        elsewhere = make_record(1, None, outcome=Outcome.WRONG_RESULT, on=replace(target, l2=1))
        sources = make_sources([make_record(0, 1.0), make_record(1, 1e-6), elsewhere])
        assert chosen(sources, workload) == (1, Trust.EXACT, "own")

    def test_here_counts_like_any_later_record(self, make_sources, make_record, workload):
        times = ("2025-01-01T00:00:00.000Z", "2025-01-01T00:00:01.000Z")
        records = [
            make_record(1, 1e-6, time=times[0]),
            make_record(1, None, outcome=Outcome.WRONG_RESULT, time=times[1]),
            make_record(2, 1e-3),
        ]
        assert chosen(make_sources(records), workload)[0] == 2


class TestOnOtherMachines:
    @pytest.fixture
    def others(self, target):
        return {
            Trust.SAME_CPU: (replace(target, threads=8), "zen3"),
            Trust.RELATED: (replace(target, cpu="znver2"), "zen2"),
            Trust.HINT: (replace(target, level="x86-64-v4", cpu="znver4"), "zen4"),
        }

    def test_the_closest_machine_is_inherited_from_and_timings_never_compare(
        self, make_sources, make_record, workload, others
    ):
        """The farther a machine the faster it is here; nearness counts all the same."""
        exact = [make_record(0, 1.0), make_record(9, 0.5)]
        records = {Trust.EXACT: exact}
        for number, (trust, (on, cpu)) in enumerate(others.items(), 1):
            fast = 10.0 ** -(number + 2)
            pair = make_record(0, 2 * fast, on=on), make_record(number, fast, on=on)
            records[trust] = [
                replace(r, machine=replace(r.machine, microarchitecture=cpu)) for r in pair
            ]
        order = [Trust.EXACT, Trust.SAME_CPU, Trust.RELATED]
        wanted = [9, 1, 2]
        for size in range(1, 5):
            for kinds in itertools.combinations(list(Trust), size):
                sources = make_sources([], [r for kind in kinds for r in records[kind]])
                best = next((k for k in order if k in kinds), None)
                found = chosen(sources, workload)
                assert found == (best and (wanted[order.index(best)], best, "pack 1"))

    def test_a_default_that_is_best_there_is_an_answer(
        self, make_sources, make_record, workload, others
    ):
        on, _ = others[Trust.SAME_CPU]
        alone = [make_record(0, 1e-3, on=on)]
        for records in (alone, [*alone, make_record(1, 2e-3, on=on)]):
            assert chosen(make_sources([], records), workload) == (0, Trust.SAME_CPU, "pack 1")

    def test_the_default_that_is_built_is_the_one_of_the_machine_asked_about(
        self, make_sources, make_record, workload, target
    ):
        """Another machine's default may have other knobs."""
        on = replace(target, threads=8)

        def spaces(workload, target):
            knobs = Knob("number", tuple(range(9)), ""), Knob("order", ("rows",), "")
            return (Space("fake", 1, knobs, {"number": target.threads, "order": "rows"}),)

        sources = make_sources([], [make_record(8, 1e-3, on=on), make_record(3, 2e-3, on=on)])
        sources._validity = Validity(spaces)
        choice = sources.best(workload)
        assert (choice.record.schedule["number"], choice.schedule["number"]) == (8, 2)

    def test_a_farther_machine_has_the_word_where_a_closer_one_knows_its_default_alone(
        self, make_sources, make_record, workload, others
    ):
        (near, _), (far, cpu) = others[Trust.SAME_CPU], others[Trust.RELATED]
        winner = make_record(3, 1e-3, on=far, microarchitecture=cpu)
        sources = make_sources([], [make_record(0, 1e-4, on=near), winner])
        assert chosen(sources, workload) == (3, Trust.RELATED, "pack 1")

    def test_nothing_is_inherited_that_is_more_work_here(
        self, make_sources, make_record, workload, others, monkeypatch
    ):
        monkeypatch.setattr("luthier.autotune.records.sources.is_light", lambda *a: False)
        on, _ = others[Trust.SAME_CPU]
        sources = make_sources([], [make_record(0, 1e-3, on=on), make_record(1, 1e-4, on=on)])
        assert sources.best(workload) is None
        assert [s["number"] for s in sources.hints(workload)] == [1]

    def test_records_of_others_are_counted_and_are_no_measurements(
        self, make_sources, make_record, workload, others
    ):
        records = [make_record(i, 1e-3, on=on) for i, (on, _) in enumerate(others.values())]
        sources = make_sources(records, records[:1])
        assert sources.elsewhere(workload) == 4
        assert sources.measured(workload) == {}
        assert list(sources.ranked(workload)) == []
        assert sources.groups() == []
        assert sources.count() == 0


def test_a_processor_whose_name_a_hypervisor_hides_is_of_its_kind(
    make_sources, make_record, workload
):
    """archspec sees a level there, and LLVM the processor: the target is the same."""
    hidden = make_record(2, 1e-4)
    machine = replace(hidden.machine, microarchitecture="x86_64_v3", vendor="generic")
    records = [make_record(1, 1e-3), replace(hidden, machine=machine)]
    for own in (records, records[::-1]):
        assert chosen(make_sources(own), workload) == (2, Trust.EXACT, "own")


class TestLevels:
    """A level is not a processor: whoever asks gets the same answer, and two's times stay apart."""

    LEVEL = Target("x86-64-v3", "x86-64-v3", 2)

    @pytest.fixture
    def of_level(self, make_sources, monkeypatch):
        """Sources for the level, as a machine with this micro-architecture has them."""

        def make(host, *stores):
            machine = Machine(self.LEVEL, "AuthenticAMD", host)
            monkeypatch.setattr(Machine, "host", lambda target: machine)
            sources = make_sources(*stores, on=self.LEVEL)
            sources._asker = ASK(self.LEVEL)
            return sources

        return make

    @pytest.fixture(params=["own", "pack"])
    def stores(self, request):
        return lambda records: (records,) if request.param == "own" else (None, records)

    def test_the_same_is_built_on_every_machine(self, of_level, make_record, workload, stores):
        def measured(number, seconds, by):
            return make_record(number, seconds, on=self.LEVEL, microarchitecture=by)

        records = [
            measured(0, 1e-6, by="zen3"),
            measured(1, 9e-7, by="zen3"),
            *(measured(n, 1e-3 / (n + 1), by="haswell") for n in range(3)),
        ]
        for host in ("zen3", "haswell", "x86_64_v4"):
            found = chosen(of_level(host, *stores(records)), workload)
            assert found[:2] == (2, Trust.EXACT), "most is known of the Haswell"

    def test_what_another_processor_measured_is_a_hint_and_no_time(
        self, of_level, make_record, workload
    ):
        theirs = make_record(1, 1e-3, on=self.LEVEL, microarchitecture="haswell")
        ours = make_record(2, 1e-1, on=self.LEVEL, microarchitecture="zen3")
        sources = of_level("zen3", [theirs, ours])
        assert [s["number"] for s in sources.measured(workload)] == [2]
        assert [r.schedule["number"] for r in sources.ranked(workload)] == [2]
        assert sources.count() == sum(map(len, sources.groups())) == 1
        assert [s["number"] for s in sources.hints(workload)] == [1]

    def test_processors_of_the_level_are_inherited_from(
        self, of_level, make_record, workload, target
    ):
        records = [make_record(0, 2e-3, on=target), make_record(7, 1e-3, on=target)]
        for host in ("zen3", "haswell"):
            found = chosen(of_level(host, None, records), workload)
            assert found == (7, Trust.RELATED, "pack 1")


class TestHints:
    def test_the_closest_machine_s_come_first_and_there_are_few(
        self, make_sources, make_record, workload, target
    ):
        near, far = replace(target, threads=4), replace(target, threads=64)
        records = [
            *(make_record(n, 1e-3 * n, on=near) for n in range(1, 6)),
            *(make_record(n, 1e-6 * n, on=far) for n in range(11, 16)),
        ]
        hints = make_sources([], records).hints(workload)
        assert [s["number"] for s in hints] == [1, 2, 11]

    def test_what_was_tried_here_and_the_default_are_none(
        self, make_sources, make_record, workload, target
    ):
        on = replace(target, threads=4)
        pack = [make_record(n, 1e-3, on=on) for n in (0, 1, 2)]
        hints = make_sources([make_record(1, 1e-3)], pack).hints(workload)
        assert [s["number"] for s in hints] == [2]

    def test_winners_of_this_kind_of_machine_are_hints_until_they_are_measured(
        self, make_sources, make_record, workload
    ):
        hints = make_sources([], [make_record(1, 1e-3)]).hints(workload)
        assert [s["number"] for s in hints] == [1]

    def test_the_schedule_most_like_one_that_is_none_any_more_is_a_hint(
        self, make_sources, make_record, workload
    ):
        stale = [
            make_record(1, 3e-6, version=2),
            make_record(5000, 2e-6),
            make_record(schedule=Schedule("gone", 1, (("number", 7),)), seconds=1e-6),
        ]
        for sources in (make_sources(stale), make_sources([], stale)):
            hints = sources.hints(workload)
            assert [(s.version, s["number"]) for s in hints] == [(1, 999), (1, 1)]
        refuted = make_record(999, None)
        hints = make_sources([], stale, [refuted]).hints(workload)
        assert [s["number"] for s in hints] == [1]

    def test_what_others_measured_here_is_told_relative_to_their_default(
        self, make_sources, make_record, workload
    ):
        pack = [make_record(0, 4e-3), make_record(1, 1e-3), make_record(2, None)]
        without_default = [make_record(3, 1e-3)]
        found = make_sources([], pack, without_default).borrowed(workload)
        assert {s["number"]: factor for s, factor in found.items()} == {
            0: 1.0,
            1: 0.25,
            2: float("inf"),
        }
