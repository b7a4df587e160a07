"""What is kept for later processes: the same bytes for the same key, and nothing in doubt."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caller import TARGETS

from luthier.schedules import Tensor, ToolchainError, Workload, codegen, node
from luthier.schedules.codegen import compile_object, kept_object
from luthier.schedules.kept import VARIABLE, kept
from luthier.schedules.templates.registry import default, instantiate
from luthier.schedules.toolchain import Compiler, find_compiler

TARGET = TARGETS["x86-64-v2"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "deep" / "kept"))
    return tmp_path / "deep" / "kept"


class Made:
    """Counts how often it is made."""

    def __init__(self, *parts: bytes) -> None:
        self.parts, self.count = parts, 0

    def __call__(self) -> Sequence[bytes]:
        self.count += 1
        return self.parts


def test_it_is_made_once_for_each_key(cache: Path) -> None:
    rng = random.Random(0)
    lists = [(), (b"",), (b"", b"\n[1]\n", b"")]
    lists += [tuple(rng.randbytes(rng.choice([0, 1, 9999])) for _ in range(4)) for _ in range(9)]
    for i, parts in enumerate(lists):
        made = Made(*parts)
        key = [b"number", str(i).encode()]
        assert [kept(key, made) for _ in range(3)] == [parts] * 3
        assert made.count == 1
    assert len(list(cache.iterdir())) == len(lists)


def test_parts_of_a_key_do_not_run_together(cache: Path) -> None:
    keys = [[b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""], [b"c", b"ab"], []]
    for i, key in enumerate(keys):
        assert kept(key, Made(bytes([i]))) == (bytes([i]),)
    assert [kept(key, Made()) for key in keys] == [(bytes([i]),) for i in range(len(keys))]


def test_nothing_is_kept_where_no_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in ("", None):
        monkeypatch.setenv(VARIABLE, "") if value is not None else monkeypatch.delenv(VARIABLE)
        made = Made(b"x")
        assert kept([b"k"], made) == kept([b"k"], made) == (b"x",)
        assert made.count == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["shorter", "longer", "a bit", "empty", "another's content"])
def test_what_is_damaged_is_made_anew(cache: Path, damage: str) -> None:
    kept([b"k"], Made(b"right", b"parts"))
    (file,) = cache.iterdir()
    data = bytearray(file.read_bytes())
    for place in range(len(data)) if damage == "a bit" else [0]:
        spoilt = bytearray(data)
        spoilt[place] ^= 4
        files = {
            "shorter": data[:-1],
            "longer": data + b"x",
            "a bit": spoilt,
            "empty": b"",
            "another's content": b"x" * 99,
        }
        file.write_bytes(files[damage])
        assert kept([b"k"], Made(b"right", b"parts")) == (b"right", b"parts")
        assert file.read_bytes() == data


@pytest.mark.parametrize("open_to_all", ["the file", "the folder", "a link"])
def test_what_others_may_have_written_does_not_count(cache: Path, open_to_all: str) -> None:
    kept([b"k"], Made(b"theirs"))
    (file,) = cache.iterdir()
    if open_to_all == "a link":
        file.rename(cache.parent / "elsewhere")
        file.symlink_to(cache.parent / "elsewhere")
    else:
        (file if open_to_all == "the file" else cache).chmod(0o777)
    assert kept([b"k"], Made(b"ours")) == (b"ours",)


def test_a_folder_that_takes_nothing_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in ("file", "file/below", "/proc/none", "\udcff" * 3000):
        monkeypatch.setenv(VARIABLE, str(tmp_path / place))
        assert kept([b"k"], Made(b"x")) == (b"x",)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_is_full_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert kept([b"k"], Made(b"x")) == (b"x",)
    assert not list(cache.iterdir())


# ---- kernels ----


def test_the_same_kernel_is_compiled_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    emitted = codegen._emitted

    def counted(*arguments: Any) -> bytes:
        nonlocal count
        count += 1
        return emitted(*arguments)

    monkeypatch.setattr(codegen, "_emitted", counted)

    def code(width: int, name: str = "k", level: str = "x86-64-v2") -> bytes:
        x, target = Tensor((width,)), TARGETS[level]
        workload = Workload((x,), (False,), (node("relu", (0,), x),))
        kernel = instantiate(workload, target, default(workload, target))
        return kept_object({name: kernel}, target)

    first = code(64)
    assert (code(64), count) == (first, 1)
    others = [code(65), code(64, "other"), code(64, level="x86-64-v3")]
    assert count == 4
    assert first not in others
    monkeypatch.delenv(VARIABLE)
    assert (code(64), count) == (first, 5)


def test_numbers_that_differ_in_their_last_bit_are_two_kernels(cache: Path) -> None:
    """A text of a kernel may round them."""
    x = Tensor((8,))
    one = np.float32(0.1)
    codes = []
    for slope in (one, np.nextafter(one, np.float32(1)), one):
        leaky = node("leaky_relu", (0,), x, alpha=float(slope))
        workload = Workload((x,), (False,), (leaky,))
        kernel = instantiate(workload, TARGET, default(workload, TARGET))
        codes.append(kept_object({"k": kernel}, TARGET))
        assert codes[-1] == compile_object({"k": kernel}, TARGET)
    assert codes[0] == codes[2] != codes[1]
    assert len(list(cache.iterdir())) == 2


# ---- C ----


@pytest.fixture
def counting(tmp_path: Path) -> Compiler:
    """A compiler that notes its calls."""
    real = find_compiler()
    script = tmp_path / "counting"
    script.write_text(f'#!/bin/sh\necho call >> {tmp_path}/calls\nexec {real.command[0]} "$@"\n')
    script.chmod(0o755)
    return Compiler((str(script),), real.version)


def test_c_is_compiled_anew_where_something_changed(
    cache: Path, counting: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, header = tmp_path / "a.c", tmp_path / "a.h"
    source.write_text('#include "a.h"\nint f(void) { return N; }\n')
    header.write_text("#define N 1\n")

    def calls(*flags: str) -> int:
        objects = counting.compiled(["-O1", *flags], [source], [header], tmp_path)
        assert [each[:4] for each in objects] == [b"\x7fELF"]
        return len((tmp_path / "calls").read_text().splitlines())

    assert [calls(), calls()] == [1, 1]
    header.write_text("#define N 2\n")
    assert [calls(), calls()] == [2, 2]
    source.write_text('#include "a.h"\nint f(void) { return -N; }\n')
    assert [calls(), calls()] == [3, 3]
    assert [calls("-DM"), calls("-DM"), calls()] == [4, 4, 4]
    monkeypatch.setenv("CPATH", str(tmp_path))
    assert [calls(), calls()] == [5, 5]
    Path(counting.command[0]).touch()
    assert [calls(), calls()] == [6, 6]
    monkeypatch.delenv(VARIABLE)
    assert [calls(), calls()] == [7, 8]
    assert not list(tmp_path.glob("*.o"))


def test_what_fails_is_not_kept(cache: Path, counting: Compiler, tmp_path: Path) -> None:
    source = tmp_path / "a.c"
    source.write_text("int f(void) { return N; }\n")
    for _ in range(2):
        with pytest.raises(ToolchainError, match="undeclared"):
            counting.compiled(["-O1"], [source], [], tmp_path)
    assert len((tmp_path / "calls").read_text().splitlines()) == 2
