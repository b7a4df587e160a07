"""What a target promises, and how the machine is found out."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import archspec.cpu
import pytest
import tvm
from hypothesis import given
from hypothesis import strategies as st

from luthier.schedules import Target, TargetError, codegen, target
from luthier.schedules.ir.dtype import FLOAT32
from luthier.schedules.target.processors import PROCESSORS

V2 = {"sse3", "ssse3", "sse4_1", "sse4_2", "popcnt"}
V3 = V2 | {"avx", "avx2", "fma", "f16c", "bmi1", "bmi2"}
V4 = V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
LEVELS = {"x86-64-v2": V2, "x86-64-v3": V3, "x86-64-v4": V4}
SOME = Target("x86-64-v3", "znver3", 8, 32768, 524288, 33554432)


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_allows_its_features_and_those_below(level):
    assert set(Target(level, level, 1).features) == LEVELS[level]


def test_vectors_grow_with_the_level():
    seen = [(t.vector_bytes, t.lanes(FLOAT32), t.vector_registers) for t in map(_of_level, LEVELS)]
    assert seen == [(16, 4, 16), (32, 8, 16), (64, 16, 32)]


def test_a_way_of_l1_is_a_page():
    assert (SOME.l1_ways, replace(SOME, l1=48 * 1024).l1_ways) == (8, 12)


def _of_level(level: str) -> Target:
    return Target(level, level, 1)


@pytest.mark.parametrize(
    ("features", "level"),
    [
        (V2, "x86-64-v2"),
        (V3, "x86-64-v3"),
        (V4, "x86-64-v4"),
        (V4 | {"amx_tile", "avx512_fp16"}, "x86-64-v4"),
        (V4 - {"avx512vl"}, "x86-64-v3"),
        (V3 - {"fma"}, "x86-64-v2"),
        (V4 - {"fma"}, "x86-64-v2"),  # a virtual machine may hide any feature
    ],
)
def test_the_level_follows_from_features_alone(monkeypatch, features, level):
    monkeypatch.setattr(target.machine, "host_features", lambda: frozenset(features))
    assert target.host_level() == level


@pytest.mark.parametrize("missing", sorted(V2))
def test_less_than_v2_is_refused(monkeypatch, missing):
    monkeypatch.setattr(target.machine, "host_features", lambda: frozenset(V4 - {missing}))
    with pytest.raises(TargetError, match="x86-64-v2"):
        target.host_level()


def test_the_host_is_what_its_parts_say():
    here = target.host()
    assert here.level == target.host_level()
    assert set(here.features) <= target.host_features()
    assert 1 <= here.threads <= os.cpu_count()
    assert 8 << 10 <= here.l1 <= here.l2 <= here.l3
    assert target.host(threads=3).threads == 3
    assert target.parse("host") == here


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The folder that stands for the machine's own files."""
    monkeypatch.setattr(target.machine, "_ROOT", tmp_path)
    target.host_features.cache_clear()
    yield tmp_path
    target.host_features.cache_clear()


@pytest.mark.parametrize(
    ("line", "features"),
    [
        ("flags\t\t: pni ssse3 avx512_vnni", {"pni", "sse3", "ssse3", "avx512_vnni"}),
        ("flags\t\t:", set()),
        ("model name\t: flags : sse2", set()),
    ],
)
def test_features_are_what_linux_tells(root, line, features):
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(f"processor\t: 0\n{line}\nbugs\t\t: none\n")
    assert target.host_features() == features


def test_a_machine_that_tells_nothing_has_no_features(root):
    assert target.host_features() == frozenset()


@pytest.fixture
def no_machine(tmp_path, monkeypatch):
    """Nothing can be asked of the machine, but how many cores there are."""

    def asked(*_: object) -> None:
        raise AssertionError("a machine was asked what it is")

    for name in ("host_features", "host_cpu", "host_level", "_cache_bytes"):
        monkeypatch.setattr(target.machine, name, asked)
    monkeypatch.setattr(target.machine, "_ROOT", tmp_path)


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_the_same_on_every_machine(level, no_machine):
    assert target.parse(level, threads=5) == Target(level, level, 5, 32 << 10, 512 << 10, 16 << 20)
    assert target.parse(level, threads=5).is_generic


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_processor_is_the_same_on_every_machine(name, no_machine):
    parsed, known = target.parse(name, threads=5), PROCESSORS[name]
    assert parsed == Target(known.level, name, 5, known.l1, known.l2, known.l3)
    assert not parsed.is_generic
    assert Target.from_json(parsed.to_json()) == parsed


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_processor_has_all_that_its_level_promises_and_no_more(name):
    cpu = archspec.cpu.TARGETS[PROCESSORS[name].microarchitecture]
    fitting = [level for level in LEVELS if LEVELS[level] <= set(cpu.features)]
    assert PROCESSORS[name].level == fitting[-1]


def test_processors_have_llvm_s_names():
    every = tvm.get_global_func("target.llvm_get_cpu_archlist")
    assert set(PROCESSORS) <= set(every(codegen.llvm_target(SOME)))


def test_the_host_by_its_two_names():
    assert target.parse("native", 3) == target.parse("host", 3) == target.host(3)


@pytest.mark.parametrize("text", ["", "x86-64", "x86-64-v5", "Host", "zen4", "aarch64"])
def test_unknown_names_are_refused_with_the_known_ones(text):
    with pytest.raises(TargetError, match=r"choose one of host, native, x86-64-v2, .*, znver5$"):
        target.parse(text)


class TestCores:
    """Affinity and quotas, from files as the kernel writes them."""

    @pytest.fixture
    def files(self, tmp_path, monkeypatch):
        """Write files under a root that stands for the machine's; eight cores are allowed."""
        monkeypatch.setattr(target.machine, "_ROOT", tmp_path)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))

        def write(**contents: str) -> None:
            for name, text in contents.items():
                path = tmp_path / name.replace("__", "/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)

        return lambda contents: write(**contents)

    def test_no_quota_leaves_all_allowed_cores(self, files):
        assert target.available_cores() == 8
        files({"sys/fs/cgroup/cpu.max": "max 100000\n"})
        assert target.available_cores() == 8

    def test_affinity_counts(self, files, monkeypatch):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5})
        assert target.available_cores() == 2

    @pytest.mark.parametrize(
        ("quota", "cores"),
        [
            ("400000 100000", 4),
            ("250000 100000", 2),
            ("50000 100000", 1),
            ("1600000 100000", 8),
            ("30000 10000", 3),
        ],
    )
    def test_version_2_grants_whole_cores(self, files, quota, cores):
        files({"sys/fs/cgroup/cpu.max": quota + "\n"})
        assert target.available_cores() == cores

    def test_version_2_limits_a_group_and_all_its_parents(self, files):
        files(
            {
                "proc/self/cgroup": "0::/user.slice/work.service\n",
                "sys/fs/cgroup/user.slice/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/user.slice/work.service/cpu.max": "max 100000\n",
            }
        )
        assert target.available_cores() == 3
        files({"sys/fs/cgroup/user.slice/work.service/cpu.max": "200000 100000\n"})
        assert target.available_cores() == 2

    def test_version_1_limits_too(self, files):
        files({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n"})
        files({"sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"})
        assert target.available_cores() == 8
        files({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n"})
        assert target.available_cores() == 2
        files(
            {
                "proc/self/cgroup": "5:memory:/job\n4:cpu,cpuacct:/job\n0::/\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
            }
        )
        assert target.available_cores() == 1

    @pytest.mark.parametrize(
        "text", ["", "max", "200000", "a b", "200000 0", "1 2 3", "-5 100000", "\xff\xfe"]
    )
    def test_a_senseless_file_sets_no_limit(self, files, tmp_path, text):
        path = tmp_path / "sys/fs/cgroup/cpu.max"
        files({"sys/fs/cgroup/cpu.max": ""})
        path.write_bytes(text.encode("latin-1"))
        assert target.available_cores() == 8

    def test_files_that_cannot_be_read_set_no_limit(self, files, tmp_path):
        (tmp_path / "sys/fs/cgroup/cpu.max").mkdir(parents=True)
        assert target.available_cores() == 8

    @pytest.mark.parametrize(
        ("text", "size"),
        [("48K\n", 48 << 10), ("2M\n", 2 << 20), ("", 32 << 10), ("big", 32 << 10), ("0K", 1)],
    )
    def test_caches_are_read_from_files(self, files, text, size):
        files({"sys/devices/system/cpu/cpu0/cache/index0/size": text})
        found = target.host(threads=1)
        assert found.l1 == (size if size > 1 else 32 << 10)
        assert (found.l2, found.l3) == (512 << 10, 16 << 20)


@pytest.mark.parametrize(("threads", "cores"), [(2, 1), (9, 8), (1 << 40, 8)])
def test_threads_without_a_core_are_not_timed(monkeypatch, threads, cores):
    monkeypatch.setattr(target.machine, "available_cores", lambda: cores)
    target.check_cores(cores)
    with pytest.raises(TargetError, match=f"{threads} threads .* may use {cores} core"):
        target.check_cores(threads)
    with pytest.raises(TargetError, match="may use 1 core "):
        target.check_cores(2, 1)


@pytest.mark.parametrize("accuracy", target.ACCURACIES)
def test_accuracy_is_not_a_property_of_the_machine(accuracy):
    asked = replace(SOME, accuracy=accuracy)
    assert asked.machine == SOME
    assert asked.to_json() == SOME.to_json()
    assert (asked == SOME) == (accuracy == "standard")


def test_json_reads_back_as_the_same_target():
    assert Target.from_json(json.loads(json.dumps(SOME.to_json()))) == SOME
    assert SOME.to_json() == {
        "level": "x86-64-v3",
        "cpu": "znver3",
        "threads": 8,
        "l1": 32768,
        "l2": 524288,
        "l3": 33554432,
    }


def test_a_name_may_be_followed_by_extensions(no_machine):
    plain, extended = (target.parse(n, threads=2) for n in ("x86-64-v4", "x86-64-v4+vnni"))
    assert extended == replace(plain, extensions=("vnni",))
    assert extended.plain == plain
    assert extended.features == (*plain.features, "avx512_vnni")
    assert "+avx512vnni" in str(codegen.llvm_target(extended))
    assert extended.to_json() == {**plain.to_json(), "extensions": ["vnni"]}
    assert Target.from_json(json.loads(json.dumps(extended.to_json()))) == extended
    assert target.parse("znver5+vnni", threads=1).features == extended.features
    assert "avx_vnni" in target.parse("alderlake+avxvnni", threads=1).features
    several = target.parse("x86-64-v4+bf16+vnni", threads=1)
    assert several.extensions == ("vnni", "bf16")
    assert several == target.parse("x86-64-v4+vnni+bf16", threads=1)
    assert "+avx512bf16" in str(codegen.llvm_target(several))
    tiles = target.parse("sapphirerapids+amx", threads=1)
    assert tiles.features[-3:] == ("amx_tile", "amx_int8", "amx_bf16")
    assert "+amx-tile" in str(codegen.llvm_target(tiles))


@pytest.mark.parametrize(
    "name",
    ["x86-64-v3+vnni", "x86-64-v4+vnni+vnni", "x86-64-v4+", "host+vnni", "znver4+avx", "+vnni"],
)
def test_what_goes_not_with_a_name_is_refused(name):
    with pytest.raises(TargetError, match=r"x86-64-v[34]"):
        target.parse(name, threads=1)


@pytest.mark.parametrize(
    ("features", "extensions"),
    [
        (V4, ()),
        (V4 | {"avx512_vnni", "avx_vnni"}, ("vnni",)),
        (V4 | {"avx512_vnni", "avx512vbmi"}, ("vnni", "vbmi")),
        (V4 | {"avx512vbmi"}, ("vbmi",)),
        (V3 | {"avx_vnni"}, ("avxvnni",)),
    ],
)
def test_the_host_has_its_extensions(monkeypatch, features, extensions):
    monkeypatch.setattr(target.machine, "host_features", lambda: frozenset(features))
    assert target.host(1).extensions == extensions


HOSTILE = [
    {"extensions": ["vnni"]},
    {"extensions": ["avxvnni", "avxvnni"]},
    {"extensions": "avxvnni"},
    {"extensions": [["avxvnni"]]},
    {"extensions": None},
    None,
    [],
    "host",
    {},
    {"level": "x86-64-v9"},
    {"level": None},
    {"level": ["x86-64-v3"]},
    {"cpu": ""},
    {"cpu": "a b"},
    {"cpu": "x" * 41},
    {"cpu": "../../etc"},
    {"cpu": "znver3\n"},
    {"cpu": "ｚｎｖｅｒ"},
    {"cpu": None},
    {"threads": 0},
    {"threads": -1},
    {"threads": "8"},
    {"threads": 8.5},
    {"threads": True},
    {"threads": None},
    {"threads": float("inf")},
    {"threads": float("nan")},
    {"threads": 1 << 40},
    {"l1": 0},
    {"l2": [1]},
    {"l3": {}},
    {"l3": 1 << 80},
]


@pytest.mark.parametrize("change", HOSTILE, ids=repr)
def test_hostile_targets_are_refused(change):
    data = {**SOME.to_json(), **change} if isinstance(change, dict) and change else change
    with pytest.raises(TargetError) as caught:
        Target.from_json(data)
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(JSON, st.sampled_from([*SOME.to_json(), ""]))
def test_arbitrary_json_is_refused_or_reads_back(value, field):
    data = {**SOME.to_json(), field: value} if field else value
    try:
        read = Target.from_json(data)
    except TargetError:
        return
    assert Target.from_json(read.to_json()) == read


def test_the_package_reads_this_machine_and_no_other():
    """The tests above replace the root; it is the real one otherwise."""
    assert Path("/") == target.machine._ROOT
