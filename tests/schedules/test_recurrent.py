"""Recurrent layers: kernels against NumPy, of all cells, odd sizes and any order of chunks."""

from __future__ import annotations

import ctypes
import itertools
import random
import threading
from dataclasses import replace

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Block, Library, compare, in_turn, reference, verify
from open_workloads import opened
from recurrences import EVERY, inputs, layer
from test_open_kernels import fixed

from luthier.schedules import Tensor, Workload, node
from luthier.schedules.ir.core import IRError
from luthier.schedules.ir.kernel import Kernel
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.ops.activations import ACTIVATIONS
from luthier.schedules.ops.evaluate import run
from luthier.schedules.ops.recurrent_form import Use
from luthier.schedules.ops.verify import verify as verify_workload
from luthier.schedules.templates.open_kernels import instantiate_open
from luthier.schedules.templates.recurrent.activations import WRITTEN
from luthier.schedules.templates.recurrent.form import Knobs, RecurrentLayer
from luthier.schedules.templates.recurrent.weights import packings
from luthier.schedules.templates.registry import default, forms, instantiate, spaces

TARGET = TARGETS[RUNNABLE[-1]]
BOTH = (False, True)
LSTM = ("hidden", "cell", "peepholes", "lengths")
CASES = {
    "one unit": layer("lstm", (2, 1, 1)),
    "three units": layer("lstm", (7, 2, 3), LSTM, gives=EVERY["lstm"]),
    "a vector": layer("lstm", (7, 1, 16), gives=("hidden", "cell")),
    "a vector and a unit": layer("lstm", (2, 5, 17), ("hidden", "cell"), reverse=(True,)),
    "two directions": layer("lstm", (7, 2, 64), LSTM, reverse=BOTH, gives=EVERY["lstm"]),
    "many units": layer("lstm", (7, 1, 100), ("cell", "lengths"), coupled=True, clip=0.5),
    "many rows": layer("lstm", (2, 11, 33), ("lengths",), reverse=BOTH),
    "run-time weights": layer("lstm", (3, 5, 35), ("peepholes",), constant=False),
    "weights beyond L2": layer("lstm", (3, 9, 200), reverse=BOTH),
    "a block's share": layer("lstm", (4, 12, 184), ("lengths",), gives=EVERY["lstm"]),
    "gru, a block's share": layer("gru", (5, 9, 216), ("hidden",), reverse=BOTH),
    "one step": layer("lstm", (1, 1, 48), ("hidden", "cell"), gives=EVERY["lstm"]),
    "gru": layer("gru", (7, 1, 64), ("hidden",), gives=EVERY["gru"]),
    "gru, three units": layer("gru", (7, 5, 3), ("lengths",), reverse=BOTH, gives=EVERY["gru"]),
    "gru, before": layer("gru", (7, 2, 17), ("bias", "hidden"), before=True),
    "gru, before, no bias": layer("gru", (3, 1, 100), ("lengths",), before=True, clip=0.5),
    "gru, run-time weights": layer("gru", (2, 2, 21), constant=False, gives=("hidden",)),
    "rnn": layer("rnn", (7, 1, 100), ("hidden",), gives=EVERY["gru"]),
    "rnn, one unit": layer("rnn", (7, 2, 1), ("lengths",), reverse=(True,)),
    "rnn, many rows": layer("rnn", (2, 13, 64), reverse=BOTH, gives=("hidden",)),
}


@pytest.mark.parametrize(("name", "level"), in_turn(CASES))
def test_a_layer_is_right_however_it_is_cut(name: str, level: str) -> None:
    workload = CASES[name]
    verify(workload, level, samples=1, inputs=inputs(workload), absolute=1e-5, relative=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_double_precision_is_one(cell: str) -> None:
    workload = layer(cell, (5, 2, 19), ("lengths",), reverse=BOTH, dtype="float64")
    verify(workload, RUNNABLE[-1], inputs=inputs(workload), absolute=1e-14, relative=1e-14)


EXTREMES = (0.0, -0.0, 1e-8, -1e-3, 0.3, -1.0, 1.0, 5.0, -9.0, 60.0, -87.0, 1e30, -1e30)
NOT_FINITE = (np.inf, -np.inf, np.nan)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_of_extreme_numbers(dtype: str) -> None:
    """What the first step of an RNN gives is the activation of its input."""
    x = np.array([*EXTREMES, *NOT_FINITE], dtype).reshape(1, 1, -1)
    numbers = (Use("affine", 0.0, 0.0), Use("affine", -2.0, 0.3), Use("hardsigmoid", 0.7, 0.0))
    assert WRITTEN.keys() == ACTIVATIONS.keys()
    uses = [Use(n, a.alpha or 0.0, a.beta or 0.0) for n, a in ACTIVATIONS.items()]
    workloads = [
        layer("rnn", (1, 1, x.size), activations=(use,), dtype=dtype) for use in (*uses, *numbers)
    ]
    library = Library([instantiate(w, TARGET, default(w, TARGET)) for w in workloads], TARGET)
    nothing = np.zeros((1, x.size, x.size), dtype)
    for index, workload in enumerate(workloads):
        got = library.run(index, [x, nothing], random.Random(1))
        want = reference(workload, [x, nothing])
        limit = (1e-6 if dtype == "float32" else 1e-14) * (1 + np.abs(want))
        compare(got, want, limit, workload.nodes[0].attr("activations"))


def test_sequences_end_where_they_end() -> None:
    """Lengths that no sequence can have are none, or all; what is behind the end does not count."""
    workload = layer("gru", (6, 5, 20), ("hidden", "lengths"), reverse=BOTH, gives=EVERY["gru"])
    x, w, h, _ = inputs(workload)
    lengths = np.array([0, 3, 6, -7, 2**31 - 1], np.int32)
    clean = x.copy()
    for row, length in enumerate(lengths):
        x[max(0, length) :, row] = np.nan
    library = Library([instantiate(workload, TARGET, default(workload, TARGET))], TARGET)
    got = library.run(0, [x, w, h, lengths], random.Random(2))
    compare(got, reference(workload, [clean, w, h, lengths]), 1e-5)
    assert not got[:, :, [0, 3]].any()  # no step


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_rows_of_a_tile_end_before_others(cell: str) -> None:
    """Sorted, as exporters want them, or not: of tiles that have ended nothing is multiplied."""
    workload = layer(
        cell, (5, 15, 19), ("lengths",), reverse=BOTH, gives=EVERY.get(cell, EVERY["gru"])
    )
    library = Library([instantiate(workload, TARGET, default(workload, TARGET))], TARGET)
    given = inputs(workload)[:-1]
    longest_first = np.array([5, 4, 4, 2] + [1] * 4 + [0] * 7, np.int32)
    for lengths in (longest_first, longest_first[::-1].copy(), np.roll(longest_first, 6)):
        got = library.run(0, [*given, lengths], random.Random(3))
        compare(got, reference(workload, [*given, lengths]), 1e-5)


def test_what_follows_does_not_change_what_came_before() -> None:
    """The states of a prefix are those of the whole."""
    whole = layer("lstm", (6, 2, 20), ("hidden", "cell"), gives=EVERY["lstm"])
    begin = layer("lstm", (4, 2, 20), ("hidden", "cell"), gives=EVERY["lstm"])
    rest = layer("lstm", (2, 2, 20), ("hidden", "cell"), gives=EVERY["lstm"])
    library = Library(
        [instantiate(w, TARGET, default(w, TARGET)) for w in (whole, begin, rest)], TARGET
    )
    x, w, h, c = inputs(whole)
    all_at_once = library.run(0, [x, w, h, c], random.Random(0))
    first = library.run(1, [x[:4], w, h, c], random.Random(0))
    second = library.run(2, [x[4:], w, first[4], first[5]], random.Random(0))
    assert np.array_equal(all_at_once, [*first[:4], *second])


# ---- chunks that share steps ----


def shared(workload: Workload, parts: int, threads: int = 4) -> Kernel:
    target = replace(TARGET, threads=threads)
    (space,) = spaces(workload, target)
    knobs = dict(space.default_schedule().knobs)
    vectors = {"vectors": 1, "parts": parts, "batch": max(space.knobs[4].choices)}
    return instantiate(workload, target, space.schedule({**knobs, **vectors}))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("parts", [2, 3, 4])
def test_chunks_that_share_steps_may_run_in_any_order(cell: str, parts: int) -> None:
    workload = layer(
        cell, (5, 3, 100), ("lengths",), reverse=BOTH, gives=EVERY.get(cell, ("hidden",))
    )
    kernel, arrays = shared(workload, parts), inputs(workload)
    assert kernel.phases[-1].chunks == 2 * parts
    library = Library([kernel], TARGET)
    want = reference(workload, arrays)
    results = [library.run(0, arrays, random.Random(seed)) for seed in range(6)]
    compare(results[0], want, 1e-5)
    assert all(np.array_equal(results[0], each) for each in results)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_chunks_that_share_steps_may_run_at_once(cell: str) -> None:
    workload = layer(cell, (300, 1, 80), gives=EVERY[cell])
    kernel, arrays = shared(workload, 4), inputs(workload)
    library = Library([kernel], TARGET)
    alone = library.run(0, arrays, random.Random(0))
    blocks = [Block.of(kernel.pack(i, a) if i == 1 else a) for i, a in enumerate(arrays)]
    out = Block.like(workload.output)
    blocks += [*(Block(size) for size in kernel.temps), out]
    table = (ctypes.c_void_p * len(blocks))(*(block.address for block in blocks))
    prepare, work = (library._functions[f"k0_{phase}"] for phase in range(2))
    for _ in range(20):
        out.poison()
        prepare(table, None, 0, 1)
        threads = [threading.Thread(target=work, args=(table, None, i, i + 1)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert np.array_equal(out.elements(workload.output), alone)


# ---- sizes that are known only at run time ----


@pytest.mark.parametrize(
    ("cell", "operands", "reverse"),
    [("lstm", ("hidden", "cell"), (False,)), ("gru", ("lengths",), BOTH), ("rnn", (), (True,))],
)
def test_open_steps_and_batches(
    cell: str, operands: tuple[str, ...], reverse: tuple[bool, ...]
) -> None:
    def make(s: int, b: int) -> Workload:
        return layer(
            cell, (s, b, 20), operands, reverse=reverse, gives=EVERY.get(cell, ("sequence",))
        )

    symbols = [Symbol("s", 1, 9), Symbol("b", 1, 7)]
    workload = opened(make, ("s", "b"))
    kernel = instantiate_open(workload, symbols, TARGET, names=("s", "b"))
    kernels = [alternative.kernel for alternative in kernel.alternatives]
    library = Library(kernels, TARGET)
    for s, b in itertools.product((1, 2, 9), (1, 3, 4, 7)):
        sizes = {"s": s, "b": b}
        index = next(i for i, a in enumerate(kernel.alternatives) if a.fits(sizes))
        library.kernels = [
            fixed(kernel, i, sizes) if i == index else each for i, each in enumerate(kernels)
        ]
        made = workload.at(sizes)
        arrays = inputs(made, seed=s * b)
        got = library.run(index, arrays, random.Random(1), np.array([s, b], np.int64))
        compare(got, run(made, arrays), 1e-5, sizes)


# ---- what the tuner and strangers see ----


def form(workload: Workload, threads: int = 2, level: str = "x86-64-v4") -> RecurrentLayer:
    (found,) = forms(workload, replace(TARGETS[level], threads=threads, l2=2 << 20))
    assert isinstance(found, RecurrentLayer)
    return found


def test_threads_share_rows_directions_or_units() -> None:
    assert form(layer("lstm", (32, 1, 64))).default().parts == 1  # a step is shorter than a meeting
    assert form(layer("lstm", (32, 1, 512))).default().parts == 2
    assert form(layer("lstm", (32, 1, 512)), threads=1).default().parts == 1
    assert form(layer("lstm", (32, 1, 512), reverse=BOTH)).default().parts == 1
    assert form(layer("lstm", (32, 8, 128))).default() == Knobs(4, 1, 4, 4, 4, 1)
    assert form(layer("lstm", (32, 8, 1024))).default()[4:] == (8, 2)  # each reads half of them


def test_threads_have_rows_of_their_own_where_l3_gives_weights_as_fast_as_these_are_used() -> None:
    """Of 16 bytes a cycle: enough for four rows with 8 lanes, for eight with 16."""

    def apart(level: str, batch: int, hidden: int) -> bool:
        target = replace(TARGETS[level], threads=2, l2=512 << 10, l3=32 << 20)
        (found,) = forms(layer("lstm", (32, batch, hidden)), target)
        return isinstance(found, RecurrentLayer) and found.default().parts == 1

    assert apart("x86-64-v3", 8, 256)
    assert apart("x86-64-v3", 8, 512)
    assert not apart("x86-64-v3", 6, 256)
    assert not apart("x86-64-v3", 8, 1024)  # 16 MB are much for L3
    assert not apart("x86-64-v4", 8, 256)
    assert apart("x86-64-v4", 16, 256)


def test_rows_share_weights_that_come_from_beyond_l1() -> None:
    """Gate by gate, where more rows are in registers then."""

    def tile(batch: int, hidden: int) -> tuple[int, ...]:
        return form(layer("lstm", (32, batch, hidden)), threads=1).default()[:3]

    assert tile(8, 64) == (4, 1, 4)  # a block's weights are in L1
    assert tile(8, 256) == (8, 2, 1)
    assert tile(4, 256) == (4, 1, 4)
    assert tile(1, 256) == (1, 4, 4)


def test_rows_that_are_few_registers_share_less() -> None:
    """With 16 of them gate by gate, in three vectors of units: two give no more sums than wait for
    each other."""

    def tile(cell: str, batch: int, hidden: int) -> tuple[int, ...]:
        workload = layer(cell, (32, batch, hidden), before=cell == "gru")
        return form(workload, threads=1, level="x86-64-v3").default()[:3]

    assert tile("lstm", 8, 64) == (4, 3, 1)
    assert tile("lstm", 8, 256) == (4, 3, 1)
    assert tile("lstm", 2, 256) == (2, 1, 4)
    assert tile("lstm", 1, 256) == (1, 2, 4)
    assert tile("gru", 8, 256) == (4, 1, 3)
    assert tile("rnn", 8, 256) == (4, 3, 1)


@pytest.mark.parametrize(("batch", "hidden", "unroll"), [(1, 256, 4), (1, 512, 2), (8, 512, 2)])
def test_few_steps_ask_at_once_for_weights_beyond_l2(batch: int, hidden: int, unroll: int) -> None:
    assert form(layer("lstm", (32, batch, hidden)), threads=1).default().unroll == unroll


def test_a_part_whose_weights_are_in_l2_does_not_ask_for_them() -> None:
    found = form(layer("lstm", (32, 1, 512)))  # 4 MB, and 2 MB of L2
    assert found.asks(1)
    assert not found.asks(2)


@pytest.mark.parametrize("level", TARGETS)
@pytest.mark.parametrize("name", CASES)
def test_every_default_is_in_its_space(name: str, level: str) -> None:
    for threads in (1, 2, 64):
        found = form(CASES[name], threads, level)
        assert found.fits(found.default())
        assert found.space.default_schedule().template == "recurrent"


X, W = Tensor((3, 2, 20)), Tensor((1, 5, 20))
GOOD = dict(layer("lstm", (3, 2, 5)).nodes[0].attrs)
OUT = Tensor((3, 1, 2, 5))


def of(x: Tensor = X, w: Tensor = W, out: Tensor = OUT, **changed: object) -> Workload:
    return Workload((x, w), (False, True), (node("recurrent", (0, 1), out, **{**GOOD, **changed}),))


WRONG = {
    "another cell": of(cell="elman"),
    "gates of another number": of(cell="gru"),
    "more units": of(out=Tensor((3, 1, 2, 6))),
    "more steps": of(out=Tensor((4, 1, 2, 5))),
    "weights of other units": of(w=Tensor((1, 6, 20))),
    "two directions": of(reverse=(False, True)),
    "no direction": of(reverse=()),
    "an unknown activation": of(activations=(("sin", 0.0, 0.0),) * 3),
    "few activations": of(activations=(("tanh", 0.0, 0.0),)),
    "numbers that are none": of(activations=(("affine", float("nan"), 0.0),) * 3),
    "results in another order": of(gives=("hidden", "sequence")),
    "no result": of(gives=()),
    "operands that are not there": of(operands=("gates", "weights", "hidden")),
    "operands of another name": of(operands=("gates", "hidden")),
    "a bound below zero": of(clip=-1.0),
    "whole numbers": of(Tensor((3, 2, 20), "int32"), Tensor((1, 5, 20), "int32")),
    "two types": of(w=Tensor((1, 5, 20), "float64")),
    "a cell of an rnn": Workload(
        (Tensor((3, 2, 5)), Tensor((1, 5, 5))),
        (False, True),
        (
            node(
                "recurrent",
                (0, 1),
                Tensor((1, 1, 2, 5)),
                **{**GOOD, "cell": "rnn", "activations": (("tanh", 0.0, 0.0),), "gives": ("cell",)},
            ),
        ),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_strangers_may_say_is_verified(name: str) -> None:
    """A kernel of it would read or write where it must not."""
    verify_workload(of())
    with pytest.raises(IRError):
        verify_workload(WRONG[name])


def test_a_workload_is_read_from_what_was_written() -> None:
    for workload in CASES.values():
        assert Workload.from_json(workload.to_json()) == workload


def test_weights_of_one_shape_are_in_one_order() -> None:
    """Which kernels share them is told by what they are packed to."""
    every = [
        layer("gru", (3, 1, 64)),
        layer("gru", (3, 1, 64), before=True),
        layer("lstm", (3, 1, 64)),
        layer("lstm", (3, 1, 64), coupled=True),
    ]
    orders: dict[object, bytes] = {}
    for workload in every:
        weights = np.random.default_rng(0).standard_normal(workload.inputs[1].shape)
        found = form(workload, level=TARGET.level)
        gates = dict(zip(Knobs._fields, found.choices(), strict=True))["gates"].choices
        for vectors, together in itertools.product((1, 2, 4), gates):
            (packing,) = packings(found, found.lanes * vectors, together).values()
            packed = packing.apply(weights)
            assert packed.shape == packing.shape
            key = (weights.shape, packed.shape)
            assert orders.setdefault(key, packed.tobytes()) == packed.tobytes()
    assert len(orders) == 3 * (1 + 2 + 3 + 2)
