"""Joules of a run, from the counters that Linux shows as files."""

from __future__ import annotations

from pathlib import Path

from luthier.machine.energy import joules, zones


def package(folder: Path, name: str, microjoules: int, most: int = 1_000_000) -> Path:
    zone = folder / name
    zone.mkdir()
    (zone / "max_energy_range_uj").write_text(f"{most}\n")
    (zone / "energy_uj").write_text(f"{microjoules}\n")
    return zone / "energy_uj"


def test_packages_are_added_and_counters_begin_again(tmp_path):
    first = package(tmp_path, "intel-rapl:0", 100)
    second = package(tmp_path, "intel-rapl:1", 900_000)
    package(tmp_path, "intel-rapl:0:0", 5)  # a part of the first

    def work() -> int:
        first.write_text("300100")
        second.write_text("100000")
        return 10

    assert joules(work, zones(tmp_path)) == (0.3 + 0.2) / 10


def test_without_a_counter_nothing_runs(tmp_path):
    (tmp_path / "intel-rapl:0").mkdir()
    assert zones(tmp_path) == ()
    assert joules(lambda: 1 // 0, ()) is None


def test_a_counter_that_ends_is_none(tmp_path):
    counter = package(tmp_path, "intel-rapl:0", 1)

    def work() -> int:
        counter.unlink()
        return 1

    assert joules(work, zones(tmp_path)) is None
