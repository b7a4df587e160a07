"""The launches of ``bench.launch`` take place, with every number of threads, and make a table."""

from __future__ import annotations

from bench.launch import Cost, measure, table


def test_each_batch_is_timed_with_and_without_all_threads():
    costs = measure([1, 2], batches=3, launches=20)
    assert [c.threads for c in costs] == [1, 2]
    for cost in costs:
        assert len(cost.empty) == len(cost.meeting) == 3
        assert all(0 < seconds < 1 for seconds in (*cost.empty, *cost.meeting))


def test_the_table_has_microseconds_and_rates():
    cost = Cost(2, (1e-7, 2e-7, 3e-7), (1e-6, 1e-6, 1e-6))
    assert "| 2 | 0.200 (0.150 to 0.250) | 1.000 (1.000 to 1.000) | 1 million |" in table([cost])
