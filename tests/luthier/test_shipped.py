"""The packs that ship with Luthier: sound, small, and the last source of every build."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

import luthier
import luthier.logs
from luthier.autotune import Outcome, Pack, Record, Sources, Store, Trust, write_pack
from luthier.records.sources import SHIPPED, _shipped
from luthier.schedules.target import parse
from luthier.schedules.templates.registry import TEMPLATES

FOLDER = Path(__file__).parents[2] / "logs"
PACKS = sorted(FOLDER.glob("*.jsonl"))
LARGEST = 5 << 20  # bytes, since they lie in git
VERSIONS = {template.name: template.version for template in TEMPLATES}
LEAST = 0.7  # of a pack's records


def counted(path: Path) -> list[Record]:
    """Records of templates as they are today; those of others wait for such a machine."""
    records = list(Pack(path).records())
    found = [r for r in records if VERSIONS[r.schedule.template] == r.schedule.version]
    assert len(found) >= LEAST * len(records), "tune it anew"
    return found


def test_there_are_packs_and_they_are_installed():
    installed = {e.name for e in resources.files("luthier.packs").iterdir()}
    assert PACKS
    assert {path.name for path in PACKS} <= installed


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_a_pack_is_sound_small_and_of_one_processor(path, tmp_path):
    found = Pack(path)
    records = list(found.records())
    assert found.skipped == 0
    assert path.stat().st_size <= LARGEST
    assert {record.target.cpu for record in records} == {path.stem}
    assert {record.outcome for record in records} == {Outcome.OK}
    write_pack(tmp_path / "again.jsonl", records)
    assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes(), "sorted, each once"


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_every_kernel_of_it_is_built_from_it_on_such_a_machine(path):
    records = counted(path)
    store = Store.in_memory(path.stem, records)
    for target in {record.target for record in records}:
        sources = Sources(None, [store], target)
        for workload in {record.workload for record in records if record.target == target}:
            choice = sources.best(workload)
            assert choice is not None
            exact = [r for r in records if (r.workload, r.target) == (workload, target)]
            assert choice.trust is Trust.EXACT or len(exact) == 1, "only its default was tried"


def test_the_pack_of_a_zen_3_hits_from_anywhere():
    """As ``build --target znver3`` asks for it."""
    records = counted(FOLDER / "znver3.jsonl")
    store = Store.in_memory("shipped", records)
    for threads in (1, 2):
        sources = Sources(None, [store], parse("znver3", threads))
        kernels = {r.workload for r in records if r.target.threads == threads}
        assert kernels
        assert all(sources.best(kernel) for kernel in kernels)


def test_what_ships_is_the_last_source(cli, model, tmp_path, monkeypatch):
    """A fresh installation builds what somebody else tuned, and measures nothing."""
    luthier.tune(model, trials=6, log="luthier.db", threads=2, timed=False)
    (tmp_path / "packs").mkdir()
    luthier.logs.export("luthier.db", "packs/here.jsonl")
    luthier.logs.export("luthier.db", "given.jsonl")
    Path("luthier.db").unlink()
    monkeypatch.setattr("luthier.records.sources._shipped", _shipped)
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path / "packs")
    monkeypatch.setattr("luthier.autotune.measure.measurer.Measurer.__init__", None)
    done = cli("build", model, "-o", "out", "--threads", "2", "--require-hits")
    assert done.code == 0
    assert f"  {SHIPPED}: 2 measured on this kind of machine\n" in done.out
    done = cli("build", model, "-o", "out", "--threads", "2", "--pack", "given.jsonl")
    assert "  given.jsonl: 2 measured on this kind of machine\n" in done.out
    done = cli("build", model, "-o", "out", "--threads", "2", "--no-log")
    assert "kernels: 0 from records" in done.out
