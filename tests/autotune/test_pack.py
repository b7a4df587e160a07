"""Packs are sets of records as text: merging is a union, and nothing damages the rest."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.autotune.records.kind import Kind
from luthier.autotune.records.machine import Machine
from luthier.autotune.records.pack import Pack, write_pack
from luthier.autotune.records.record import Outcome, Record, Timing
from luthier.autotune.records.retention import latest
from luthier.autotune.records.store import Store
from luthier.records.sources import opened
from luthier.schedules import LogError, Schedule, Target, Tensor, Workload, node

VERSIONS = Path(__file__).parent / "records"


TIMES = [f"{year}-01-01T00:00:00.00{i}Z" for year in (1970, 2025, 2999) for i in range(2)]


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Any of a few kernels, machines, schedules, outcomes and times."""
    size = draw(st.integers(1, 3))
    out = Tensor((size, 4))
    workload = Workload((out,), (False,), (node("relu", (0,), out),))
    target = Target("x86-64-v3", "znver3", draw(st.integers(1, 2)))
    seconds = draw(st.none() | st.sampled_from([1e-6, 2e-6, 3e-3]))
    return Record(
        workload,
        Machine(target, "AuthenticAMD", "zen3", ("avx2",), 4, True),
        Schedule("fake", 1, (("number", draw(st.integers(0, 3))),)),
        Outcome.OK if seconds else Outcome.CRASHED,
        Timing.of([seconds]) if seconds else None,
        True,
        "",
        (("tvm", "0.27.0"),),
        draw(st.sampled_from(TIMES)),
    )


SETS = st.lists(records(), max_size=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packs")


def text(folder: Path, *sets: list[Record]) -> str:
    """What a pack of all these says."""
    write_pack(folder / "out.jsonl", itertools.chain(*sets))
    return (folder / "out.jsonl").read_text()


def merged(folder: Path, *texts: str) -> str:
    """The pack that packs merge into."""
    found: list[Record] = []
    for i, content in enumerate(texts):
        (folder / f"{i}.jsonl").write_text(content)
        found += Pack(folder / f"{i}.jsonl").records()
    return text(folder, found)


@settings(max_examples=100, deadline=None)
@given(SETS, SETS, SETS)
def test_merging_is_associative_commutative_and_idempotent(folder, a, b, c):
    a, b, c = (text(folder, s) for s in (a, b, c))
    whole = merged(folder, a, b, c)
    assert merged(folder, merged(folder, a, b), c) == whole
    assert merged(folder, a, merged(folder, b, c)) == whole
    assert merged(folder, b, a) == merged(folder, a, b)
    assert merged(folder, a, a) == a
    assert merged(folder, whole, b) == whole


@settings(max_examples=50, deadline=None)
@given(SETS, st.randoms(use_true_random=False))
def test_a_pack_is_what_its_records_are_whatever_their_order(folder, some, rng):
    before = text(folder, some)
    shuffled = [*some, *some]
    rng.shuffle(shuffled)
    assert text(folder, shuffled) == before
    assert set(Pack(folder / "out.jsonl").records()) == set(some)


@settings(max_examples=50, deadline=None)
@given(SETS, SETS)
def test_stores_merge_as_packs_do(folder, a, b):
    one, other = Store.in_memory("one", [*a, *b]), Store.in_memory("other", [*b, *a, *b])
    assert list(one.records()) == list(other.records())
    assert text(folder, list(one.records())) == text(folder, a, b)


@settings(max_examples=50, deadline=None)
@given(SETS, st.randoms(use_true_random=False))
def test_which_records_count_depends_on_no_order_and_is_the_same_in_stores_and_packs(some, rng):
    """And what is from the future supersedes nothing that is not."""
    expected = {record.hash for record in latest(some)}
    assert {record.hash for record in latest(rng.sample(some, len(some)))} == expected
    store = Store.in_memory("some", rng.sample(some, len(some)))
    groups = [store.groups([machine]) for machine in store.machines()]
    found = [r for each in groups for group in each for r in group.values()]
    assert {record.hash for record in found} == expected
    kinds: dict[object, list[Record]] = {}
    for record in set(some):
        kinds.setdefault((record.workload, record.machine, record.schedule), []).append(record)
    for group in kinds.values():
        (counts,) = (record for record in group if record.hash in expected)
        past = [record.time for record in group if record.time < "2026"]
        assert counts.time == (max(past) if past else max(record.time for record in group))


@settings(max_examples=50, deadline=None)
@given(SETS, st.booleans(), st.booleans())
def test_what_counts_of_a_pack_is_found_without_reading_the_rest(folder, some, odd, filtered):
    """Whatever its lines' formatting, the sources see what they see of all records."""
    formatted = [
        json.dumps(json.loads(r.line)) if odd and i % 2 else r.line for i, r in enumerate(some)
    ]
    (folder / "counting.jsonl").write_text("\n".join(formatted))
    workloads = sorted({record.workload for record in some}, key=lambda w: w.key)
    wanted = workloads[::2] if filtered else workloads
    pack = Pack(folder / "counting.jsonl")
    found = Store.in_memory("some", pack.counting(wanted if filtered else None))
    every = Store.in_memory("all", some)
    assert pack.skipped == 0
    for workload in wanted:
        machines = list(every.machines())
        for kinds in (machines, *([machine] for machine in machines)):
            assert found.latest(workload, kinds) == every.latest(workload, kinds)
            assert list(found.ranked(workload, kinds)) == list(every.ranked(workload, kinds))
        assert found.refuted(workload) == every.refuted(workload)
    assert {r.workload for r in found.records()} <= {*wanted} or odd


@st.composite
def compared_records(draw: st.DrawFn) -> Record:
    """With cold and warm weights; timed in turns with the default, which is number 0, or alone."""
    record = replace(draw(records()), cold=draw(st.booleans()))
    if record.timing is None or draw(st.booleans()):
        return record
    is_default = record.schedule["number"] == 0
    beside = record.timing.median * (1 if is_default else 2)
    return replace(record, timing=replace(record.timing, default=beside))


@settings(max_examples=100, deadline=None)
@given(st.lists(compared_records(), max_size=16))
def test_what_was_compared_counts_in_packs_as_in_stores(folder, some):
    (folder / "compared.jsonl").write_text("\n".join(record.line for record in some))
    found = Store.in_memory("some", Pack(folder / "compared.jsonl").counting())
    every = Store.in_memory("all", some)
    default = Schedule("fake", 1, (("number", 0),))
    for workload in {record.workload for record in some}:
        for machine in every.machines():
            for cold in (True, False):
                ours, theirs = (
                    [
                        Kind(store, (machine,), cold).compared(workload, default),
                        list(store.ranked(workload, [machine], cold=cold)),
                        store.latest(workload, [machine], cold=cold),
                    ]
                    for store in (found, every)
                )
                assert ours == theirs


def test_of_thousands_of_schedules_the_fastest_are_kept(tmp_path, make_record, monkeypatch):
    monkeypatch.setattr("luthier.autotune.records.condensed._FASTEST", 10)
    some = [make_record(n, 1e-6 * (1 + n * 7919 % 997)) for n in range(400)]
    wrong = [make_record(n, None) for n in range(500, 530)]
    write_pack(tmp_path / "pack.jsonl", [*some, *wrong])
    kept = list(Pack(tmp_path / "pack.jsonl").counting())
    fastest = sorted(some, key=lambda r: r.seconds)[:10]
    assert {r.hash for r in fastest} <= {r.hash for r in kept}
    assert {r.hash for r in wrong} <= {r.hash for r in kept}
    assert len({r.hash for r in kept}) <= 10 + 30


def test_what_is_damaged_is_told_though_only_what_counts_is_read(tmp_path, make_record, workload):
    first, second = make_record(1), make_record(2)
    forged = first.line.replace('"samples":1', '"samples":2')
    of = replace(workload, constants=(False, False, False))
    other = make_record(3, of=of).line
    lines = [first.line, forged, "nonsense", second.line[:100], other, second.line]
    (tmp_path / "pack.jsonl").write_text("\n".join(lines))
    pack = Pack(tmp_path / "pack.jsonl")
    assert {r.hash for r in pack.counting([workload])} == {first.hash, second.hash}
    assert pack.skipped == 3
    assert [problem.split(":")[1] for problem in pack.problems] == ["2", "3", "4"]
    (tmp_path / "pack.jsonl").write_text("nonsense\n")
    with pytest.raises(LogError, match="is not a tuning log"):
        list(pack.counting([workload]))


SPELLINGS = {
    "mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "mark in the middle": lambda text: text.encode().replace(b"\n", b"\n\xef\xbb\xbf", 1),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, big": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "CR LF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "zeros at the end": lambda text: text.encode() + b"\0" * 512,
    "a zero at each line": lambda text: text.replace("}\n", "}\0\n").encode(),
    "an end of long ago": lambda text: text.replace("\n", "\r\n").encode() + b"\x1a",
    "no end": lambda text: text.strip().encode(),
}


@pytest.mark.parametrize("block", [1 << 22, 5, 64])
@pytest.mark.parametrize("kind", SPELLINGS)
def test_however_a_file_s_text_is_spelled(tmp_path, make_record, kind, block, monkeypatch):
    monkeypatch.setattr("luthier.autotune.records.pack._BLOCK", block)
    some = [make_record(n) for n in range(3)]
    path = tmp_path / "pack.jsonl"
    path.write_bytes(SPELLINGS[kind]("".join(f"{record.line}\n" for record in some)))
    with opened(path) as pack:
        assert list(pack.records()) == some
        padding = kind == "zeros at the end"
        assert pack.skipped == padding, "zeros in a line of their own may have been records"
        assert {record.hash for record in pack.counting()} == {record.hash for record in some}
    damaged = SPELLINGS[kind](f"{some[0].line}\n\n{some[1].line[:50]}\n")
    path.write_bytes(damaged)
    assert len(list(pack.records())) == 1
    assert pack.problems[0].startswith(f"{path}:3: ")


def test_a_compressed_pack_is_told(tmp_path, make_record):
    path = tmp_path / "pack.jsonl.gz"
    path.write_bytes(gzip.compress(make_record(1).line.encode()))
    for read in (Pack(path).records, Pack(path).counting):
        with pytest.raises(LogError, match="gunzip"):
            list(read())


def test_records_of_a_kernel_and_machine_stand_together(tmp_path, make_record, target):
    some = [make_record(n, time=f"2025-01-01T00:00:0{n}.000Z") for n in range(5)]
    lines = text(tmp_path, random.Random(0).sample(some, 5)).splitlines()
    assert [json.loads(line)["schedule"]["knobs"]["number"] for line in lines] == [0, 1, 2, 3, 4]
    more = text(tmp_path, some, [make_record(7)]).splitlines()
    assert [line for line in more if line in lines] == lines


@pytest.mark.parametrize(
    "damage",
    [
        b"{broken\n",
        b"\xff\xfe\x00binary\n",
        b'{"schema":99}\n',
        b"x" * (3 << 20) + b"\n",
        b"\0" * 4096 + b"\n",
    ],
    ids=["json", "binary", "newer", "endless", "zeros"],
)
def test_damaged_lines_are_skipped_counted_and_reported(tmp_path, make_record, damage):
    path = tmp_path / "pack.jsonl"
    one, two = make_record(1), make_record(2)
    path.write_bytes(f"{one.line}\n".encode() + damage + two.line.encode())
    found = Pack(path)
    assert list(found.records()) == [one, two]
    assert found.skipped == len(found.problems) == 1
    assert found.problems[0].startswith(f"{path}:2: ")


def test_blank_lines_are_no_damage(tmp_path, make_record):
    path = tmp_path / "pack.jsonl"
    path.write_text(f"\n{make_record(1).line}\n\n  \n{make_record(2).line}\r\n\n")
    found = Pack(path)
    assert (len(list(found.records())), found.skipped) == (2, 0)


@pytest.mark.parametrize("content", [b"\x7fELF\0\0\0", b"# Notes\n\nBuy milk.\n"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(LogError, match="is not a tuning log"):
        list(Pack(tmp_path / "file").records())


def test_what_cannot_be_read_is_told_in_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe", "/dev/zero", "a\0b"):
        with pytest.raises(LogError) as caught:
            list(Pack(path).records())
        assert "\n" not in str(caught.value)


def test_urls_are_read_by_fsspec(make_record):
    import fsspec

    with fsspec.open("memory://team/pack.jsonl", "wb") as file:
        file.write(make_record(1).line.encode())
    assert len(list(Pack("memory://team/pack.jsonl").records())) == 1
    for url in ("memory://team/missing.jsonl", "nosuch://host/pack.jsonl"):
        with pytest.raises(LogError, match="cannot read the pack") as caught:
            list(Pack(url).records())
        assert "\n" not in str(caught.value)


def test_a_pack_replaces_another_in_one_step(tmp_path, make_record, monkeypatch):
    path = tmp_path / "pack.jsonl"
    write_pack(path, [make_record(1)])
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LogError, match="No space left on device"):
        write_pack(path, [make_record(2)])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["pack.jsonl"]


def test_a_pack_is_written_where_a_file_can_be(tmp_path, make_record):
    for path in (tmp_path, tmp_path / "nowhere" / "pack", Path("/dev/null"), Path("a\0b")):
        with pytest.raises(LogError, match=r"pack|regular file") as caught:
            write_pack(path, [make_record(1)])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("*.jsonl")), ids=lambda p: p.stem)
def test_every_past_version_is_read(path, tmp_path):
    """Each file was written by a Luthier of its time: schema_N.jsonl has records of schema N."""
    found = Pack(path)
    records = list(found.records())
    assert found.skipped == 0
    assert len(records) >= 3
    schemas = {json.loads(record.line)["schema"] for record in records}
    assert schemas == {int(path.stem.removeprefix("schema_"))}
    write_pack(tmp_path / "again.jsonl", records)
    assert sorted((tmp_path / "again.jsonl").read_text().splitlines()) == sorted(
        path.read_text().splitlines()
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x1f\x8b\x08\x00 \n", "is not a tuning log but compressed: unpack it with gunzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html>\n<html></html>\n", "a page of markup"),
        (b"Dear diary,\n", "a pack one of 'luthier logs export'"),
    ],
)
def test_what_is_no_log_is_told_with_what_to_do(tmp_path, content, words):
    (tmp_path / "file").write_bytes(content)
    for read in (lambda path: [*Pack(path).records()], Store.open):
        with pytest.raises(LogError, match=words):
            read(tmp_path / "file")


def test_a_store_is_no_pack(tmp_path):
    Store.open(tmp_path / "luthier.db", create=True).close()
    with pytest.raises(
        LogError, match="is a store, not a pack: give it with --log, or make a pack"
    ):
        list(Pack(tmp_path / "luthier.db").records())
