"""Kernels for sizes that are known only at run time, at the ends, tile edges and between."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import attentions
import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library, compare, draw, in_turn, magnitude, reference
from coded_workloads import few_bits
from open_workloads import Make, fixed, opened, runs
from whole_workloads import whole_conv, whole_matmul
from workloads import (
    Builder,
    conv,
    conv_transpose,
    group_norm,
    matmul,
    pool,
    separable,
    unary,
)

from luthier.schedules import ScheduleError, Target, Workload
from luthier.schedules.ir.kernel import OpenKernel
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import UnknownSizeError
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.templates.conv.form import Conv
from luthier.schedules.templates.conv_dots.form import ConvDots
from luthier.schedules.templates.open_kernels import instantiate_open
from luthier.schedules.templates.registry import default, forms
from luthier.schedules.templates.relax_op.form import RelaxOp
from luthier.schedules.templates.winograd.form import Winograd

B, T, P = Symbol("b", 1, 5), Symbol("t", 1, 70), Symbol("p", 1, 40)
FEW = Symbol("t", 1, 11)


def verify_open(
    workload: OpenWorkload,
    symbols: Sequence[Symbol],
    target: Target,
    relative: float = 2e-5,
    compiled_for: Target | None = None,
) -> OpenKernel:
    """At the ends of all ranges and at some of the edges between."""
    kernel = instantiate_open(workload, symbols, target)
    for made, inputs, got in runs(kernel, symbols, compiled_for or target, draw):
        want = reference(made, inputs)
        limit = 1e-5 + relative * (np.abs(want) + magnitude(made, inputs))
        compare(got, want, limit, f"{made} on {target.level}")
    return kernel


def normalised(op: str, *parameters: str) -> Make:
    def make(b: int, t: int) -> Workload:
        w = Builder()
        x = w.input((b, t, 48))
        rest = [w.input((48,), constant=True) for _ in parameters]
        w.add(op, x, *rest, shape=(b, t, 48), axis=2) if op == "softmax" else w.add(
            op, x, *rest, shape=(b, t, 48), epsilon=1e-5
        )
        return w.workload

    return make


def softmax_over(axis: int) -> Make:
    def make(b: int, t: int) -> Workload:
        w = Builder()
        shape = (b, 5, t) if axis == 2 else (b, t, 20)
        w.add("softmax", w.input(shape), shape=shape, axis=axis)
        return w.workload

    return make


def reduced(op: str, axes: tuple[int, ...]) -> Make:
    def make(b: int, t: int) -> Workload:
        w = Builder()
        whole = (b, t, 24)
        kept = tuple(n for d, n in enumerate(whole) if d not in axes)
        w.add(op, w.input(whole), shape=kept, axes=axes, keepdims=False)
        return w.workload

    return make


def column_sums(b: int, t: int) -> Workload:
    w = Builder()
    w.add("sum", w.input((b, t)), shape=(1, t), axes=(0,), keepdims=True)
    return w.workload


def joined(axis: int) -> Make:
    """A cache and what is new."""

    def make(p: int, t: int) -> Workload:
        w = Builder()
        shapes = [(2, n, 6) if axis == 1 else (2, 6, n) for n in (p, t)]
        whole = (2, p + t, 6) if axis == 1 else (2, 6, p + t)
        w.add("concat", *map(w.input, shapes), shape=whole, axis=axis)
        return w.workload

    return make


def transposed(axes: tuple[int, ...]) -> Make:
    def make(b: int, t: int) -> Workload:
        w = Builder()
        whole = (b, t, 3, 10)
        w.add("transpose", w.input(whole), shape=tuple(whole[a] for a in axes), axes=axes)
        return w.workload

    return make


def table(b: int, t: int) -> Workload:
    """Rows of a table and those of another, by position."""
    w = Builder()
    words, places = w.input((11, 20), constant=True), w.input((1, 70, 20), constant=True)
    ids = w.input((b, t), "int64")
    rows = w.add("take", words, ids, shape=(b, t, 20), dtype="float32", axis=0)
    begin, steps = (0, 0, 0), (1, 1, 1)
    some = w.add("slice", places, shape=(1, t, 20), begin=begin, steps=steps)
    w.add("add", rows, some)
    return w.workload


def picked(t: int) -> Workload:
    """The same columns of all rows, of which there may be fewer than lanes."""
    w = Builder()
    columns = w.input((25,), "int32", constant=True)
    w.add("take", w.input((t, 9)), columns, shape=(t, 25), dtype="float32", axis=1)
    return w.workload


def masked(b: int, t: int) -> Workload:
    w = Builder()
    keep, row = w.input((b, 1, 1, t), "bool"), w.input((1, 1, t, 1), "bool")
    both = w.add("logical_and", keep, row)
    w.add("where", both, w.const(0.0), w.const(-10.0), shape=(b, 1, t, t))
    return w.workload


def counted(t: int) -> Workload:
    w = Builder()
    w.add("iota", shape=(t,), dtype="int64", start=3, step=2)
    return w.workload


def padded(b: int, t: int) -> Workload:
    w = Builder()
    x = w.input((b, t, 7))
    w.add("pad", x, shape=(b, t + 3, 9), before=(0, 1, 2), value=1.5, mode="constant")
    return w.workload


def padded_before(b: int, t: int) -> Workload:
    """As far as is open, too."""
    w = Builder()
    x = w.input((b, t))
    w.add("pad", x, shape=(b, 90), before=(0, 75 - t), value=1.5, mode="constant")
    return w.workload


CASES: dict[str, tuple[Make, tuple[Symbol, ...]]] = {
    "rows of a product": (lambda b, t: matmul((b, t, 24), (24, 70), after="gelu"), (B, T)),
    "many columns": (lambda t: matmul((t, 40), (40, 300), after="bias"), (T,)),
    "a transposed constant": (lambda t: matmul((t, 33), (50, 33), transpose_b=True), (T,)),
    "large matrices": (lambda t: matmul((t, 600), (600, 1200), after="residual"), (T,)),
    "a matrix of few bits": (lambda b, t: few_bits((b, t), 48, 40, 8, 16), (B, T)),
    "one, and rounded rows": (
        lambda b, t: few_bits((b, t), 48, 40, 8, 16, rounded=True),
        (B, T),
    ),
    "scores": (
        lambda b, t: matmul((b, 2, t, 16), (b, 2, t, 16), transpose_b=True, constant=False),
        (B, T),
    ),
    "scores of a cache": (
        lambda t, p: matmul((t, 16), (p, 16), transpose_b=True, constant=False),
        (T, P),
    ),
    "scores of open depth": (
        lambda b, t: matmul((b, 5, t), (b, 9, t), transpose_b=True, constant=False),
        (B, T),
    ),
    "scores of a row": (
        lambda p: matmul((1, 16), (p, 16), transpose_b=True, constant=False),
        (P,),
    ),
    "columns": (lambda b, t: matmul((b, 6, 16), (b, 16, t), constant=False), (B, T)),
    "values": (lambda b, t: matmul((b, 2, t, t), (b, 2, t, 16), constant=False), (B, T)),
    "pixels": (lambda b: conv((b, 6, 5, 24), 40, (1, 1), after="bias_relu"), (B,)),
    "relu": (lambda b, t: unary("tanh", (b, t, 5)), (B, T)),
    "truth": (lambda t: unary("logical_not", (t,), "bool"), (T,)),
    "mask": (masked, (B, T)),
    "table": (table, (B, T)),
    "columns of few rows": (picked, (T,)),
    "count": (counted, (T,)),
    "pad": (padded, (B, T)),
    "pad to a size": (padded_before, (B, T)),
    "cache of rows": (joined(1), (P, T)),
    "cache of columns": (joined(2), (P, T)),
    "layer norm": (normalised("layer_norm", "gamma", "beta"), (B, T)),
    "softmax": (softmax_over(2), (B, T)),
    "softmax down": (softmax_over(1), (B, T)),
    "sum of rows": (reduced("sum", (2,)), (B, T)),
    "mean over a size": (reduced("mean", (1,)), (B, T)),
    "largest of all": (reduced("max", (1, 2)), (B, T)),
    "columns of a matrix": (column_sums, (B, T)),
    "heads first": (transposed((0, 2, 1, 3)), (B, T)),
    "heads last": (transposed((0, 2, 3, 1)), (B, T)),
    "turned": (transposed((0, 3, 1, 2)), (B, T)),
    "attention": (
        lambda b, t: attentions.separate((b, 3, t, t, 20, 24), heads_first=False),
        (B, T),
    ),
    "attention with a mask": (
        lambda b, t: attentions.separate((b, 2, t, t, 8, 8), True, (b, 1, t, t)),
        (B, T),
    ),
    "attention to a cache": (
        lambda b, p: attentions.separate((b, 2, 3, p, 16, 16), heads_first=True),
        (B, P),
    ),
    "a query to a cache": (
        lambda b, p: attentions.separate((b, 2, 1, p, 16, 16), True, (b, 1, p, 1)),
        (B, P),
    ),
    "convolution": (
        lambda b: conv((b, 9, 8, 12), 20, (3, 3), pads=(1, 1, 1, 1), strides=(2, 2)),
        (B,),
    ),
    "winograd": (
        lambda b: conv((b, 12, 12, 32), 48, (3, 3), pads=(1, 1, 1, 1), after="bias_relu"),
        (B,),
    ),
    "few channels": (lambda b: conv((b, 9, 9, 3), 5, (5, 5)), (B,)),
    "depthwise": (
        lambda b: conv((b, 9, 8, 20), 20, (3, 3), pads=(1, 1, 1, 1), groups=20),
        (B,),
    ),
    "separable": (
        lambda b: separable((b, 14, 14, 16), 96, (3, 3), pads=(1, 1, 1, 1), after="clip"),
        (B,),
    ),
    "transposed convolution": (
        lambda b: conv_transpose((b, 5, 4, 12), 20, (3, 3), strides=(2, 2)),
        (B,),
    ),
    "transposed convolution of open rows": (
        lambda t: conv_transpose((2, t, 4, 12), 20, (3, 3), after="bias_relu"),
        (T,),
    ),
    "transposed convolution of open rows, apart": (
        lambda b, t: conv_transpose((b, t, 4, 12), 20, (2, 3), strides=(3, 2)),
        (B, T),
    ),
    "transposed convolution of open rows to few channels": (
        lambda t: conv_transpose((2, t, 4, 16), 3, (3, 3), strides=(2, 2)),
        (T,),
    ),
    "convolution of open rows": (
        lambda t: conv((2, t, 8, 12), 20, (3, 3), pads=(1, 1, 1, 1), after="bias_relu"),
        (T,),
    ),
    "winograd of open rows": (
        lambda t: conv((2, t, 12, 32), 48, (3, 3), pads=(1, 1, 1, 1)),
        (T,),
    ),
    "winograd of an open width": (
        lambda t: conv((1, 2, t, 32), 48, (1, 5), pads=(0, 6, 0, 2), dilations=(1, 2)),
        (T,),
    ),
    "winograd of open lines": (
        lambda t: conv((2, t, 1, 32), 48, (3, 1), pads=(4, 0, 2, 0), dilations=(3, 1)),
        (T,),
    ),
    "depthwise of open rows": (
        lambda b, t: conv((b, t, 8, 20), 20, (3, 3), pads=(1, 1, 1, 1), groups=20),
        (B, T),
    ),
    "separable of open rows": (
        lambda t: separable((2, t, 14, 16), 96, (3, 3), pads=(1, 1, 1, 1)),
        (T,),
    ),
    "convolution of a sequence": (
        lambda t: conv((1, 1, t, 12), 20, (1, 3), pads=(0, 2, 0, 2), dilations=(1, 2)),
        (T,),
    ),
    "convolution of a sequence by large steps": (
        lambda t: conv((1, 1, 10 * t + 30, 1), 32, (1, 40), strides=(1, 10)),
        (Symbol("t", 1, 40),),
    ),
    "convolution of open rows and columns": (
        lambda b, t: conv(
            (1, b, 2 * t, 12), 20, (3, 3), pads=(1,) * 4, strides=(1, 2), after="residual"
        ),
        (B, Symbol("t", 1, 33)),
    ),
    "few sums of a sequence": (
        lambda b, t: conv((b, 1, t, 32), 1, (1, 7), pads=(0, 3, 0, 3), after="bias_relu"),
        (B, T),
    ),
    "transposed convolution of a sequence": (
        lambda t: conv_transpose((1, 1, t, 12), 20, (1, 4), strides=(1, 2), pads=(0, 1, 0, 1)),
        (T,),
    ),
    "depthwise of a sequence and long": (
        lambda t: conv((1, 1, t, 8), 8, (1, 35), pads=(0, 17, 0, 17), groups=8),
        (FEW,),
    ),
    "separable of open columns": (
        lambda t: separable((1, 14, t, 16), 96, (3, 3), pads=(1, 1, 1, 1)),
        (FEW,),
    ),
    "means of open columns": (
        lambda t: pool("avg_pool2d", (1, 3, t, 8), (3, 3), pads=(1, 1, 1, 1)),
        (FEW,),
    ),
    "convolution of whole numbers, open columns": (
        lambda t: whole_conv((2, 1, t, 4), 9, (1, 3), ("uint8", "int8"), pads=(0, 1, 0, 1)),
        (T,),
    ),
    "depthwise of whole numbers, open columns": (
        lambda t: whole_conv(
            (1, 3, t, 20), 20, (3, 3), ("uint8", "int8"), groups=20, pads=(1, 1, 1, 1)
        ),
        (FEW,),
    ),
    "largest": (lambda b: pool("max_pool2d", (b, 9, 8, 20), (3, 3), strides=(2, 2)), (B,)),
    "means of open rows": (
        lambda t: pool("avg_pool2d", (3, t, 5, 8), (3, 2), pads=(1, 1, 1, 0)),
        (T,),
    ),
    "largest of open rows": (
        lambda t: pool("max_pool2d", (3, t, 5, 8), (3, 2), pads=(1, 1, 1, 0)),
        (T,),
    ),
    "rows of whole numbers": (lambda b, t: whole_matmul((b, t, 33), (33, 50), to="uint8"), (B, T)),
    "whole numbers of both": (
        lambda b, t: whole_matmul((b, t, 16), (b, 16, 21), ("uint8", "uint8"), constant=False),
        (B, T),
    ),
    "scores of whole numbers": (
        lambda t: whole_matmul((2, t, 16), (2, 16, t), constant=False),
        (T,),
    ),
    "convolution of whole numbers": (
        lambda b: whole_conv((b, 7, 5, 4), 9, (3, 3), ("uint8", "int8"), strides=(2, 2)),
        (B,),
    ),
    "convolution of whole numbers, open rows": (
        lambda t: whole_conv((2, t, 5, 4), 9, (3, 3), ("uint8", "int8"), pads=(1, 1, 1, 1)),
        (T,),
    ),
    "depthwise of whole numbers, open rows": (
        lambda t: whole_conv(
            (2, t, 5, 20), 20, (3, 3), ("uint8", "int8"), groups=20, pads=(1, 1, 1, 1)
        ),
        (T,),
    ),
    "winograd of whole numbers": (
        lambda b: whole_conv(
            (b, 12, 12, 32), 48, (3, 3), ("uint8", "int8"), pads=(1, 1, 1, 1), to="uint8"
        ),
        (B,),
    ),
    "depthwise of whole numbers": (
        lambda b: whole_conv((b, 7, 5, 20), 20, (3, 3), ("uint8", "int8"), groups=20),
        (B,),
    ),
    "group norm of few places": (lambda b, t: group_norm((b, t, 24), 4), (B, T)),
    "group norm of rows": (lambda t: group_norm((2, t, 9, 24), 3, after="gelu"), (T,)),
    "group norm": (lambda b: group_norm((b, 6, 5, 24), 4), (B,)),
}


@pytest.mark.parametrize(("name", "level"), in_turn(CASES))
def test_it_computes_the_workload_of_the_sizes(name: str, level: str) -> None:
    make, symbols = CASES[name]
    workload = opened(make, [symbol.name for symbol in symbols])
    verify_open(workload, symbols, TARGETS[level], 1e-3 if name.startswith("winograd") else 2e-5)


EMPTY = {
    "pad": "t", "cache of rows": "p", "cache of columns": "t", "sum over a size": "t",
    "rows of a product": "t", "table": "b", "attention": "b", "layer norm": "t",
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_a_size_of_zero(name: str) -> None:
    """Results without elements need no kernel; others have what is left."""
    make, symbols = {**CASES, "sum over a size": (reduced("sum", (1,)), (B, T))}[name]
    symbols = tuple(replace(s, least=0 if s.name == EMPTY[name] else 2) for s in symbols)
    workload = opened(make, [symbol.name for symbol in symbols])
    kernel = verify_open(workload, symbols, TARGETS[RUNNABLE[-1]])
    sizes = {s.name: s.least for s in symbols}
    chosen = next(a for a in kernel.alternatives if a.fits(sizes))
    assert bool(chosen.kernel.phases) is (workload.at(sizes).output.size > 0)


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint16", "float16", "float32"])
def test_a_search(dtype: str) -> None:
    """All are found, some, one or none; there is room for less, or more."""

    def make(m: int, n: int) -> Workload:
        w = Builder()
        w.add("nonzero", w.input((m, 3, 50), dtype), shape=(3, n), dtype="int64")
        return w.workload

    symbols = (Symbol("m", 0, 60), Symbol("n", 0, 9000))
    workload, target = opened(make, ["m", "n"]), TARGETS[RUNNABLE[-1]]
    kernel = instantiate_open(workload, symbols, target, names=("m", "n"))
    kernels = [alternative.kernel for alternative in kernel.alternatives]
    library, rng = Library(kernels, target), np.random.default_rng(3)
    for m, share in itertools.product((0, 1, 2, 33, 60), (0, 0.01, 0.5, 1)):
        x = (rng.random((m, 3, 50)) < share).astype(dtype)
        if m and share and dtype.startswith("float"):
            x[0, 0, :3] = np.nan, -0.0, -1
        for more in (0, 7, -5):
            sizes = {"m": m, "n": min(9000, max(0, np.count_nonzero(x) + more))}
            index = next(i for i, a in enumerate(kernel.alternatives) if a.fits(sizes))
            library.kernels = [
                fixed(kernel, i, sizes) if i == index else each for i, each in enumerate(kernels)
            ]
            given = np.array([*sizes.values()], np.int64)
            got = library.run(index, [x], random.Random(1), given)
            wanted = np.array(np.nonzero(x))[:, : sizes["n"]]
            assert np.array_equal(got[:, : wanted.shape[1]], wanted)
            assert not got[:, wanted.shape[1] :].any()


def test_constants_are_packed_once() -> None:
    workload = opened(CASES["many columns"][0], ["t"])
    kernel = instantiate_open(workload, (T,), TARGETS[RUNNABLE[-1]])
    assert len(kernel.alternatives) > 1
    packings = [a.kernel.packings for a in kernel.alternatives]
    assert len({tuple(p and p.shape for p in each) for each in packings}) == 1


def test_every_choice_of_sizes_has_a_kernel() -> None:
    workload = opened(CASES["rows of a product"][0], ["b", "t"])
    kernel = instantiate_open(workload, (B, T), TARGETS[RUNNABLE[-1]])
    for b, t in itertools.product(range(B.least, B.most + 1), range(T.least, T.most + 1)):
        assert any(a.fits({"b": b, "t": t}) for a in kernel.alternatives)


def test_the_schedule_is_that_of_the_largest_sizes() -> None:
    workload, target = opened(CASES["large matrices"][0], ["t"]), TARGETS[RUNNABLE[-1]]
    asked = []

    def choose(fixed: Workload) -> object:
        asked.append(fixed)
        return default(fixed, target)

    kernel = instantiate_open(workload, (T,), target, choose=choose)  # type: ignore[arg-type]
    assert asked == [workload.at({"t": T.most})]
    assert kernel.alternatives[0].kernel.schedule.template == "gemm"


def test_another_template_takes_over_from_one_that_writes_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make, symbols = CASES["winograd of open rows"]
    workload, target = opened(make, ["t"]), TARGETS[RUNNABLE[-1]]
    assert default(make(t=70), target).template == "winograd"

    def unwritten(*given: object) -> object:
        raise UnknownSizeError("the size t is not known before it runs")

    monkeypatch.setattr(Winograd, "resized_kernel", unwritten)
    kernel = instantiate_open(workload, symbols, target)
    assert kernel.alternatives[0].kernel.schedule.template == "conv_direct"
    monkeypatch.setattr(Conv, "resized_kernel", unwritten)
    monkeypatch.setattr(ConvDots, "resized_kernel", unwritten)
    monkeypatch.setattr(RelaxOp, "resized_kernel", unwritten)
    with pytest.raises(ScheduleError, match="no kernel is written for its sizes while"):
        instantiate_open(workload, symbols, target)


def test_cases_reach_all_templates() -> None:
    reached = set()
    for make, symbols in CASES.values():
        made = make(**{symbol.name: symbol.most for symbol in symbols})
        reached.add(forms(made, TARGETS[RUNNABLE[-1]])[0].name)
    assert reached >= {
        "attention", "attention_rows", "channelwise", "conv_direct", "conv_transpose",
        "few_bits_gemm", "few_bits_integer", "gemm", "group_norm", "normalize", "pointwise",
        "reduction", "separable", "transpose", "winograd",
        "channelwise_integer", "conv_integer", "gemm_integer", "winograd_integer",
    }  # fmt: skip
