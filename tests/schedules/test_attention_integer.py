"""Attention of whole numbers: exact products, each rounding in its place, wherever operands lie."""

from __future__ import annotations

import random

import numpy as np
import pytest
from caller import EXTENDED, RUNNABLE, TARGETS, Library, draw, reference, schedules
from open_workloads import Make, opened, runs
from test_whole_products import emulated
from whole_attentions import STEP, Stored, whole_attention

from luthier.schedules import Target, Workload, codegen
from luthier.schedules.emit import dot_products
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.target import host_features
from luthier.schedules.templates.attention_integer.form import IntegerAttention
from luthier.schedules.templates.open_kernels import instantiate_open
from luthier.schedules.templates.registry import default, instantiate
from luthier.schedules.tvm_late import tvm

SIGNED = {
    "q": Stored("int8", zero=-11),
    "k": Stored("int8", zero=0),
    "v": Stored("int8", zero=5),
    "shares": Stored("int8", STEP, -128),
}
CASES = {
    "heads side by side": whole_attention((2, 3), 21, 37, 32, 32, heads_last=True),
    "whole vectors": whole_attention((1, 2), 16, 64, 64, 64),
    "signed numbers": whole_attention((3,), 13, 50, 20, 24, **SIGNED),
    "one row, one key": whole_attention((1,), 1, 1, 4, 1),
    "odd sizes": whole_attention((2, 1), 7, 19, 12, 21, shares=Stored(scale=STEP, zero=3)),
    "no batch": whole_attention((), 9, 70, 40, 67),
    "a mask of keys": whole_attention((2, 3), 11, 33, 8, 16, heads_last=True, mask=(2, 1, 1, 33)),
    "a mask of rows": whole_attention((2, 3), 11, 20, 8, 16, mask=(11, 20), rounds=False),
    "no zero points": whole_attention(
        (2,), 10, 40, 16, 16, q=Stored(zero=0), k=Stored("int8", zero=0), v=Stored("int8", zero=0)
    ),
}


def within_a_step(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    far = np.abs(ours.astype(int) - theirs.astype(int))
    assert far.max() <= 1
    assert np.mean(far) <= 0.01 + 1 / far.size


def inputs_of(workload: Workload) -> list[np.ndarray]:
    rng = np.random.default_rng(len(workload.text))
    given = draw(workload)
    return [
        rng.integers(*np.iinfo(t.dtype).min + np.array([0, 256]), t.shape).astype(t.dtype)
        if t.element.is_whole
        else array
        for t, array in zip(workload.inputs, given, strict=True)
    ]


def check(workload: Workload, target: Target, plain: Target, samples: int = 2) -> None:
    chosen = list(schedules(workload, target, samples))
    assert {schedule.template for schedule in chosen} == {"attention_integer"}
    library = Library([instantiate(workload, target, s) for s in chosen], plain)
    inputs = inputs_of(workload)
    wanted = reference(workload, inputs)
    for i in range(len(chosen)):
        within_a_step(library.run(i, inputs, random.Random(i)), wanted)


@pytest.mark.parametrize("name", CASES)
def test_any_sizes_types_and_places(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the instruction as its manual writes it, which this machine may not have."""
    monkeypatch.setattr(dot_products, "add_four_products", emulated)
    check(CASES[name], EXTENDED["x86-64-v3"], TARGETS["x86-64-v3"])


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("name", CASES)
def test_any_sizes_in_pairs(name: str, level: str) -> None:
    check(CASES[name], TARGETS[level], TARGETS[level])


@pytest.mark.parametrize("name", CASES)
def test_any_sizes_by_the_instruction(name: str) -> None:
    ready = [t for t in EXTENDED.values() if host_features().issuperset(t.features)]
    for target in ready:
        check(CASES[name], target, target)


B, T, P = Symbol("b", 1, 5), Symbol("t", 1, 70), Symbol("p", 1, 40)
OPEN: dict[str, tuple[Make, tuple[Symbol, ...]]] = {
    "batch and rows": (
        lambda b, t: whole_attention((b, 3), t, t, 32, 16, heads_last=True, mask=(b, 1, 1, t)),
        (B, T),
    ),
    "a row to a cache": (lambda p: whole_attention((2,), 1, p, 12, 21, **SIGNED), (P,)),
    "rows to other keys": (lambda t, p: whole_attention((2,), t, p, 8, 8), (T, P)),
}


OPEN_ON = {**EXTENDED, "pairs": TARGETS["x86-64-v3"]}


@pytest.mark.parametrize("on", OPEN_ON)
@pytest.mark.parametrize("name", OPEN)
def test_sizes_that_are_open(name: str, on: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, symbols = OPEN[name]
    target = OPEN_ON[on]
    if not host_features().issuperset(target.features):
        monkeypatch.setattr(dot_products, "add_four_products", emulated)
    plain = target if host_features().issuperset(target.features) else TARGETS["x86-64-v3"]
    workload = opened(make, [symbol.name for symbol in symbols])
    kernel = instantiate_open(workload, symbols, target)
    assert {a.kernel.schedule.template for a in kernel.alternatives} == {"attention_integer"}
    for made, inputs, got in runs(kernel, symbols, plain, inputs_of):
        within_a_step(got, reference(made, inputs))


def assembly(target: Target) -> str:
    workload = CASES["whole vectors"]
    kernel = instantiate(workload, target, default(workload, target))
    lowered = codegen.lower({"k": kernel}, target)
    build = tvm.get_global_func("target.build.llvm")
    return str(build(lowered, codegen.llvm_target(target)).inspect_source("asm"))


@pytest.mark.parametrize("level", EXTENDED)
def test_both_products_are_of_fours(level: str) -> None:
    text = assembly(EXTENDED[level])
    assert text.count("vpdpbusd") > 2
    assert "vpmaddwd" not in text


def test_both_are_of_pairs_where_there_is_no_such_instruction() -> None:
    text = assembly(TARGETS["x86-64-v3"])
    assert text.count("vpmaddwd") > 2
    assert "vpmulld" not in text


@pytest.mark.parametrize("target", [EXTENDED["x86-64-v4"], TARGETS["x86-64-v3"]])
def test_a_depth_of_no_whole_fours_is_not_taken(target: Target) -> None:
    assert IntegerAttention.match(whole_attention((2,), 9, 9, 6, 8), target) is None
