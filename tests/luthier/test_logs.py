"""``luthier logs``: looking into logs, sharing them, checking them and cleaning them."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import luthier
import luthier.logs
from luthier.autotune import Pack, Record, Store, write_pack
from luthier.autotune.records.parse import parse_record
from luthier.autotune.records.record import Outcome, now
from luthier.correctness.compare import Outputs
from luthier.correctness.states import run_from


@pytest.fixture(scope="module")
def tuned(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with ten records of the small model for two threads; tests must not change it."""
    log = tmp_path_factory.mktemp("tuned") / "luthier.db"
    luthier.tune(model, trials=10, log=log, threads=2, timed=False)
    return log


@pytest.fixture
def log(tuned: Path) -> Path:
    """A copy of it that a test may change, which is the default log."""
    shutil.copy(tuned, "luthier.db")
    return Path("luthier.db")


def records(path: Path | str) -> list[Record]:
    with Store.open(path) as store:
        return list(store.records())


def slower(record: Record, factor: float, time: str) -> Record:
    """The same schedule, measured again."""
    timing = record.timing
    assert timing is not None
    names = ("median", "q1", "q3", "default")
    times = {name: getattr(timing, name) for name in names}
    later = replace(timing, **{name: t and t * factor for name, t in times.items()})
    return replace(record, timing=later, time=time)


def test_stats_count_what_is_there(cli, log):
    report = luthier.logs.stats()
    assert report.records == sum(report.outcomes.values()) == len(records(log))
    assert (report.kernels, report.skipped, report.problems) == (2, 0, ())
    assert sum(report.machines.values()) == sum(report.templates.values()) == report.records
    done = cli("logs", "stats")
    assert done.code == 0
    assert done.out.startswith(f"luthier.db: {report.records} records of 2 kernels\n")
    assert "threads: 2" in done.out
    assert json.loads(cli("logs", "stats", "--json").out)["records"] == report.records


def test_best_is_what_build_takes(cli, log, model):
    found = luthier.logs.best(threads=2)
    assert [b.trust for b in found] == ["exact", "exact"]
    luthier.build(model, "out", threads=2)
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert {k["record"] for k in manifest["kernels"]} == {b.record.hash for b in found}
    done = cli("logs", "best", "--threads", "2")
    assert found[0].record.hash in done.out
    assert "luthier.db" in done.out
    assert len(json.loads(cli("logs", "best", "--threads", "2", "--json").out)) == 2


def test_the_default_log_may_be_missing_however_it_is_spelled(cli):
    here = Path.cwd()
    for log in ("luthier.db", "./luthier.db", f"../{here.name}/luthier.db", here / "luthier.db"):
        assert cli("logs", "best", "--log", log).out == "no kernel has a record\n"
    assert cli("logs", "best", "--log", "./other.db").code == 4


def test_best_of_nothing(cli):
    assert cli("logs", "best").out == "no kernel has a record\n"


def test_show_prints_lines_that_are_records(cli, log):
    record = records(log)[0]
    done = cli("logs", "show", record.hash[:8])
    assert parse_record(done.out.strip()) == record
    (found,) = json.loads(cli("logs", "show", record.hash, "--json").out)
    assert found["schedule"] == record.schedule.to_json()
    for prefix, code in (("abc", 2), ("xyzw", 2), ("0000000000000000", 4)):
        assert cli("logs", "show", prefix).code == code


class TestSharing:
    def test_export_and_import_lose_nothing(self, cli, log):
        done = cli("logs", "export", "-o", "pack.jsonl")
        count = len(records(log))
        assert done.out == f"pack.jsonl: {count} records, {count} of them new\n"
        done = cli("logs", "import", "pack.jsonl", "--log", "other.db")
        assert done.out == f"other.db: {count} records, {count} of them new\n"
        assert records("other.db") == records(log)
        done = cli("logs", "import", "pack.jsonl", "luthier.db", "--log", "other.db", "--json")
        assert json.loads(done.out)["added"] == 0

    def test_the_best_are_few_and_have_the_default_with_them(self, cli, log, model):
        report = luthier.logs.export(log, "best.jsonl", best=1)
        assert report.records <= 4
        assert luthier.logs.export(log, "all.jsonl").records == len(records(log))
        built = luthier.build(model, "out", log=log, threads=2)
        again = luthier.build(model, "again", packs=["best.jsonl"], threads=2)
        assert (again.from_records, built.from_records) == (2, 2)
        with pytest.raises(luthier.UsageError, match="at least 1"):
            luthier.logs.export(log, "best.jsonl", best=0)

    def test_merging_is_a_union_in_any_order(self, cli, log):
        every = records(log)
        write_pack(Path("a.jsonl"), every[:6])
        write_pack(Path("b.jsonl"), every[4:])
        for out, sources in (("ab", ("a.jsonl", "b.jsonl")), ("ba", ("b.jsonl", log, "a.jsonl"))):
            assert cli("logs", "merge", *sources, "-o", f"{out}.jsonl").code == 0
        assert Path("ab.jsonl").read_bytes() == Path("ba.jsonl").read_bytes()
        assert cli("logs", "merge", "ab.jsonl", "-o", "ab.jsonl", "--json").code == 0
        assert Path("ab.jsonl").read_bytes() == Path("ba.jsonl").read_bytes()

    def test_what_is_damaged_is_counted_and_left_out(self, cli, log):
        cli("logs", "export", "-o", "pack.jsonl")
        lines = Path("pack.jsonl").read_text().splitlines()
        Path("pack.jsonl").write_text("\n".join([lines[0][:-9], *lines[1:]]))
        done = cli("logs", "merge", "pack.jsonl", "-o", "sound.jsonl")
        assert done.code == 0
        assert f"sound.jsonl: {len(lines) - 1} records" in done.out
        assert "skipped: 1 record, unreadable\n  pack.jsonl:1: " in done.out

    def test_a_pack_may_lie_behind_a_url(self, cli, log):
        done = cli("logs", "export", "-o", "memory://team/pack.jsonl")
        assert done.out.startswith(f"memory://team/pack.jsonl: {len(records(log))} records")
        done = cli("logs", "verify", "memory://team/pack.jsonl")
        assert done.out == f"memory://team/pack.jsonl: {len(records(log))} sound records\n"

    def test_a_server_is_no_pack(self, cli, log):
        done = cli("logs", "export", "-o", "postgresql://me:secret@host/db")
        assert done.code == 2
        assert "luthier logs import" in done.err
        assert "secret" not in done.err

    def test_diff_tells_records_and_winners_apart(self, cli, log):
        every = records(log)
        fastest = luthier.logs.best(threads=2)[0].record
        cli("logs", "export", "-o", "theirs.jsonl")
        same = luthier.logs.diff(log, "theirs.jsonl")
        assert (same.only_first, same.only_second, same.both) == (0, 0, len(every))
        assert same.kernels == ()
        write_pack(Path("theirs.jsonl"), [r for r in every if r != fastest])
        report = luthier.logs.diff(log, "theirs.jsonl")
        assert (report.only_first, report.only_second, report.both) == (1, 0, len(every) - 1)
        assert [k.workload for k in report.kernels] == [fastest.workload]
        assert report.kernels[0].first == fastest.seconds
        assert "only in the first: 1," in cli("logs", "diff", log, "theirs.jsonl").out


class TestPruning:
    def test_what_was_measured_again_goes(self, cli, log):
        """The latest comparison, or a record, and what the session itself measured again."""
        timed = [r for r in records(log) if r.timing]
        compared = [r.time for r in timed if r.timing and r.timing.default is not None]
        last = max(compared, default=timed[0].time)
        old = [r for r in timed if r.time == last]
        with Store.open(log, create=True) as store:
            count, time = store.count(), now()
            store.add([slower(record, 2, time) for record in old])
        done = cli("logs", "prune", "--dry-run", "--json")
        report = json.loads(done.out)
        assert (report["superseded"] >= len(old) > 0, report["dry_run"]) == (True, True)
        assert len(records(log)) == count + len(old)
        done = cli("logs", "prune")
        gone = report["superseded"]
        said = f"luthier.db: {gone} record{'s' * (gone != 1)} removed (0 stale,"
        assert done.out.startswith(said)
        assert len(records(log)) == report["left"]
        assert not {r.hash for r in old} & {r.hash for r in records(log)}

    def test_stale_and_slow_records_go_when_asked_to(self, cli, log):
        record = records(log)[0]
        changed = replace(record, schedule=replace(record.schedule, version=99))
        with Store.open(log, create=True) as store:
            store.add([changed])
        assert luthier.logs.prune(dry_run=True).stale == 0
        report = luthier.logs.prune(stale=True, best=1)
        assert report.stale == 1
        assert report.left == len(records(log)) <= 4

    def test_a_log_that_is_missing_is_not_made(self, cli):
        assert cli("logs", "prune", "--log", "none.db").code == 4
        assert not Path("none.db").exists()


class TestVerifying:
    def test_sound_sources(self, cli, log):
        cli("logs", "export", "-o", "pack.jsonl")
        done = cli("logs", "verify", log, "pack.jsonl")
        count = len(records(log))
        assert done.code == 0
        assert done.out == f"luthier.db: {count} sound records\npack.jsonl: {count} sound records\n"

    def test_damage_is_told_and_ends_with_exit_code_4(self, cli, log):
        cli("logs", "export", "-o", "pack.jsonl")
        text = Path("pack.jsonl").read_text()
        Path("pack.jsonl").write_text(text.replace('"samples":', '"samples":1', 1))
        done = cli("logs", "verify", "pack.jsonl")
        assert done.code == 4
        assert "the content does not match its hash" in done.out
        assert json.loads(cli("logs", "verify", "pack.jsonl", "--json").out)["ok"] is False

    def test_a_sample_is_measured_again(self, cli, log):
        done = cli("logs", "verify", log, "--sample", "3", "--json")
        report = json.loads(done.out)
        assert done.code == 0
        assert [r["outcome"] for r in report["remeasured"]] == ["ok"] * 3
        assert all(0 < r["seconds"] < 1 for r in report["remeasured"])
        done = cli("logs", "verify", log, "--sample", "1")
        assert " -> " in done.out

    def test_records_of_other_machines_cannot_be_measured(self, log):
        other = [
            replace(r, machine=replace(r.machine, target=replace(r.target, l3=12345)))
            for r in records(log)
        ]
        write_pack(Path("other.jsonl"), other)
        assert luthier.logs.verify(["other.jsonl"], sample=5).remeasured == ()

    @pytest.fixture
    def key(self) -> Path:
        """A key of someone who may sign."""
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "team", "-f", "key"], check=True
        )
        Path("signers").write_text(f"team@example.org {Path('key.pub').read_text()}")
        return Path("key")

    def test_a_signed_pack(self, cli, log, key):
        cli("logs", "export", "-o", "pack.jsonl")
        sign = ["ssh-keygen", "-q", "-Y", "sign", "-n", "luthier", "-f", str(key), "pack.jsonl"]
        unsigned = cli("logs", "verify", "pack.jsonl", "--signers", "signers")
        assert unsigned.code == 4
        assert "'pack.jsonl.sig' is missing" in unsigned.err
        subprocess.run(sign, check=True)
        done = cli("logs", "verify", "pack.jsonl", "--signers", "signers")
        assert done.code == 0
        assert "signed by team@example.org" in done.out

        with Path("pack.jsonl").open("a") as file:
            file.write("\n")
        changed = cli("logs", "verify", "pack.jsonl", "--signers", "signers")
        assert changed.code == 4
        assert "the signature of 'pack.jsonl' is not valid" in changed.err

    def test_a_stranger_s_signature(self, cli, log, key):
        cli("logs", "export", "-o", "pack.jsonl")
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "other"]
        sign = ["ssh-keygen", "-q", "-Y", "sign", "-n", "luthier", "-f", "other", "pack.jsonl"]
        for command in (make, sign):
            subprocess.run(command, check=True)
        done = cli("logs", "verify", "pack.jsonl", "--signers", "signers")
        assert done.code == 4
        assert "Traceback" not in done.err


class TestBuildingFromLayers:
    def test_packs_stand_behind_the_log(self, cli, model, log):
        cli("logs", "export", "-o", "pack.jsonl")
        Path("luthier.db").unlink()
        done = cli("build", model, "-o", "out", "--threads", "2", "--pack", "pack.jsonl")
        assert done.code == 0
        assert "  pack.jsonl: 2 measured on this kind of machine\n" in done.out
        assert not Path("luthier.db").exists()

    def test_hits_can_be_required(self, cli, model, log):
        done = cli("build", model, "-o", "out", "--threads", "2", "--require-hits")
        assert done.code == 0
        Path("luthier.db").unlink()
        done = cli("build", model, "-o", "none", "--threads", "2", "--require-hits")
        assert done.code == 4
        assert done.err.startswith("luthier: error: 2 of 2 kernels have no record, among them ")
        assert not Path("none").exists()

    def test_a_required_hit_that_is_missed_for_damage_says_so(self, cli, model, log):
        cli("logs", "export", "-o", "pack.jsonl")
        Path("luthier.db").unlink()
        text = Path("pack.jsonl").read_text()
        Path("pack.jsonl").write_text(re.sub(r'"samples":(\d)', r'"samples":1\1', text))
        command = ("build", model, "-o", "out", "--threads", "2", "--pack", "pack.jsonl")
        done = cli(*command, "--require-hits")
        assert done.code == 4
        assert "(records that could not be read: " in done.err
        assert "the first pack.jsonl:1: the content does not match its hash)" in done.err

    @pytest.mark.parametrize(
        "arguments",
        [("--no-log", "--pack", "p"), ("--no-log", "--require-hits"), ("--no-log", "--trials", "1"),
         ("--trials", "1", "--require-hits")],
    )  # fmt: skip
    def test_what_makes_no_sense_together(self, cli, model, arguments):
        assert cli("build", model, "-o", "out", *arguments).code == 2

    def test_a_library_that_would_be_wrong_is_built_without_the_records(
        self, cli, model, log, monkeypatch
    ):
        """A stranger's record may say that a wrong schedule is right; the outputs tell."""
        monkeypatch.setattr("luthier.building.trial.run_from", _wrong_from_records)
        done = cli("build", model, "-o", "out", "--threads", "2", "--json")
        report = json.loads(done.out)
        assert (done.code, report["from_records"], report["layers"]) == (0, 0, [])
        assert report["problems"][0].startswith("records were not used: ")
        done = cli("build", model, "-o", "other", "--threads", "2", "--require-hits")
        assert done.code == 9
        assert not Path("other").exists()

    def test_verify_measures_what_won_elsewhere_and_nothing_else(self, cli, model, log):
        """Two threads' winners on one thread: at most four trials a kernel, none slower."""
        done = cli("tune", model, "--verify", "--threads", "1", "--untimed", "--json")
        report = json.loads(done.out)
        assert done.code == 0
        assert report["hints"] <= 3 * len(report["kernels"])
        assert report["trials"] <= 4 * len(report["kernels"])
        for kernel in report["kernels"]:
            assert kernel["trials"] <= 4
            if kernel["trials"]:
                assert kernel["best"] <= 1.1 * kernel["default"]  # a noisy time counts as more
        again = json.loads(cli("tune", model, "--verify", "--threads", "1", "--json").out)
        assert again["trials"] == 0


def _wrong_from_records(artifact: luthier.Artifact, inputs: Outputs) -> Outputs:
    """What the artifact gives, and 1 more if it was built from records."""
    recorded = any(kernel.source == "record" for kernel in artifact.manifest.kernels)
    return {k: v + recorded for k, v in run_from(artifact, inputs).items()}


def test_failures_are_shared(log):
    crashed = replace(records(log)[0], outcome=Outcome.CRASHED, timing=None, detail="SIGSEGV")
    record = replace(crashed, time=now())
    with Store.open(log, create=True) as store:
        store.add([record])
    luthier.logs.export(log, "best.jsonl", best=1)
    assert record in Pack("best.jsonl").records()


def test_records_from_the_future_are_told_by_verify_and_win_nothing(cli, log):
    best = luthier.logs.best(threads=2)[0].record
    with Store.open(log, create=True) as store:
        store.add([slower(best, 0.1, "2099-01-01T00:00:00.000Z")])
    assert luthier.logs.best(threads=2)[0].record.hash == best.hash
    done = cli("logs", "verify", log)
    assert done.code == 4
    assert "records with a time that is still to come: 1, among them" in done.out


def test_what_is_no_file_is_refused_at_once(cli, log, tmp_path):
    """Opening a pipe would wait for somebody to write, a device may never end."""
    os.mkfifo("pipe")
    Path("folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for name in ("pipe", "folder", "socket", "/dev/zero", "/dev/null", "/dev/tty"):
            for command in (
                ("logs", "stats", name),
                ("logs", "show", "0123", name),
                ("logs", "verify", name),
                ("logs", "verify", log, "--signers", name),
                ("logs", "diff", log, name),
                ("logs", "merge", log, name, "-o", "out.jsonl"),
                ("logs", "merge", log, "-o", name),
                ("logs", "export", "-o", name),
                ("logs", "import", name, "--log", "new.db"),
                ("logs", "import", log, "--log", name),
                ("logs", "best", "--log", name),
                ("logs", "best", "--pack", name),
                ("logs", "prune", "--log", name),
            ):
                done = cli(*command)
                assert (done.code, done.out) == (4, ""), command
                assert done.err.count("\n") == 1
                words = ("regular file", "directory", "no such device")
                assert any(word in done.err.lower() for word in words), done.err
    assert sorted(p.name for p in Path().iterdir()) == ["folder", "luthier.db", "pipe", "socket"]
