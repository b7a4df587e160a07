"""The benchmark of logs: made-up records are always the same, and each number is of something."""

from __future__ import annotations

from bench.logs import KERNELS, made_up, measured
from luthier.autotune.records.parse import parse_record


def test_made_up_records_are_records_and_always_the_same():
    first, again = list(made_up(300)), list(made_up(200, 100))
    assert first[100:] == again
    assert len({record.hash for record in first}) == 300
    assert parse_record(first[0].line) == first[0]
    assert len({record.workload for record in made_up(2 * KERNELS)}) == KERNELS


def test_each_line_is_measured(tmp_path):
    rows, reading = measured(1000, tmp_path)
    assert len(rows) == 6
    assert all(" s" in time or " ms" in time for _, time in rows)
    assert "1,000 made-up records" in reading
