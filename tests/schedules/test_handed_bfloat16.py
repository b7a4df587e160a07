"""Kernels whose operands or results lie in memory as bfloat16.

They give what the same kernels make of float32 that is rounded, and that rounded.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from attentions import odd_sizes, packed, separate
from caller import RUNNABLE, TARGETS, Library, compare, draw, magnitude, reference, schedules
from rounded_kernels import (
    BF16,
    CONVOLUTIONS,
    PAD,
    PRODUCTS,
    TARGET,
    Array,
    chosen,
    compiled_for,
    rounded,
)
from workloads import Builder, conv, matmul, pool, separable

from luthier.schedules import Node, Target, Tensor, Workload
from luthier.schedules.ops.verify import verify as verify_types
from luthier.schedules.templates.registry import default, instantiate, spaces

__all__ = ["compiled_for"]  # a fixture
OPERANDS = {"attention": 3, "conv2d": 1, "conv2d_transpose": 1, "matmul": 1}


def handed(workload: Workload, takes: bool, gives: bool) -> Workload:
    """The same with its first operands, or its result, in bfloat16."""
    first, last = workload.nodes[0], workload.nodes[-1]
    inputs, nodes = list(workload.inputs), list(workload.nodes)
    for arg in first.args[: OPERANDS[first.op]] if takes else ():
        inputs[arg] = Tensor(inputs[arg].shape, "bfloat16")
    out = Tensor(last.out.shape, "bfloat16")
    if gives and last.op == "attention":
        nodes[-1] = replace(last, out=out)
    elif gives:
        nodes.append(Node("cast", (len(inputs) + len(nodes) - 1,), out))
    found = replace(workload, inputs=tuple(inputs), nodes=tuple(nodes))
    verify_types(found)
    return found


def verify(
    workload: Workload,
    compiled_for: Target,
    inputs: list[Array] | None = None,
    of_largest: float = 0.0,
) -> None:
    """All ways to hand operands and results, against float64 sums of the rounded operands."""
    inputs = draw(workload) if inputs is None else inputs
    given = [rounded(a) if i in workload.nodes[0].args[:3] else a for i, a in enumerate(inputs)]
    with np.errstate(all="ignore"):
        want = reference(workload, given)
        most = np.abs(want[np.isfinite(want)]).max(initial=0)
        limit = 1e-6 + 2e-6 * np.abs(want) + 1e-6 * magnitude(workload, given) + of_largest * most
    ways = [handed(workload, *way) for way in ((True, False), (False, True), (True, True))]
    made = []
    for changed in ways:
        found = chosen(changed, 1)
        assert default(changed, TARGET).template == found[0].template
        made += [(changed, schedule) for schedule in found]
    library = Library([instantiate(w, TARGET, schedule) for w, schedule in made], compiled_for)
    for i, (changed, schedule) in enumerate(made):
        arrays = [
            a.astype(BF16).view(np.uint16) if t.dtype == "bfloat16" else a
            for a, t in zip(inputs, changed.inputs, strict=True)
        ]
        got, short = library.run(i, arrays, random.Random(i)), changed.output.dtype == "bfloat16"
        wide = got.view(BF16).astype(np.float32) if short else got
        bound = limit + 2.0**-8 * np.abs(want) if short else limit
        compare(wide, want, bound, f"{schedule}, {changed}")


TAKEN = {
    name: workload
    for name, workload in (PRODUCTS | CONVOLUTIONS).items()
    if workload.constants[workload.nodes[0].args[1]] or workload.nodes[0].op == "matmul"
}


@pytest.mark.parametrize("name", TAKEN)
def test_products_and_convolutions(name: str, compiled_for: Target) -> None:
    verify(TAKEN[name], compiled_for)


@pytest.mark.parametrize("depth", [64, 1024, 2048])
def test_rows_that_share_sets_of_the_first_cache(depth: int, compiled_for: Target) -> None:
    verify(matmul((17, depth), (depth, 21), after="bias"), compiled_for)


@pytest.mark.parametrize("channels", [3, 8])
def test_a_product_before_a_depthwise_convolution(channels: int, compiled_for: Target) -> None:
    strides, shape = (2, 1) if channels == 3 else (1, 2), (2, 9, 11, channels)
    pair = separable(shape, 37, (3, 3), strides=strides, pads=PAD, between="clip", after="bias")
    verify(pair, compiled_for)


@pytest.mark.parametrize("seed", range(4))
def test_attention(seed: int, compiled_for: Target) -> None:
    rng = random.Random(seed)
    *sizes, depth, width = odd_sizes(rng)
    sizes = (*sizes, 2 * depth, width)
    mask = (sizes[0], 1, sizes[3], 1) if seed % 2 else None
    verify(separate(sizes, bool(seed & 2), mask), compiled_for, of_largest=2.0**-7)


def test_attention_of_operands_side_by_side(compiled_for: Target) -> None:
    verify(packed(1, 2, 131, 24, empty_is_zero=True), compiled_for, of_largest=2.0**-7)


def test_pairs_that_begin_between_two_are_not_taken() -> None:
    odd = handed(separate((1, 2, 9, 9, 5, 6), True), True, False)
    assert not any(_fits(odd))
    assert any(_fits(handed(separate((1, 2, 9, 9, 6, 5), True), True, False)))


def _fits(workload: Workload) -> list[str]:
    try:
        return [space.template for space in spaces(workload, TARGET)]
    except Exception:  # no template computes it
        return []


def test_other_templates_do_not_take_them() -> None:
    """They would read bits as floats."""
    plain = replace(TARGET, accuracy="standard")
    workloads = [matmul((5, 8), (8, 9)), conv((1, 6, 6, 8), 8, (3, 3), pads=PAD)]
    for workload in (*workloads, separate((1, 2, 20, 9, 6, 5), True)):
        for takes, gives in ((True, False), (False, True)):
            changed = handed(workload, takes, gives)
            assert all("bfloat16" in name for name in _fits(changed))
            saved = replace(TARGETS["x86-64-v3"], accuracy="standard")
            for target in (plain, saved):
                with pytest.raises(Exception, match="no template computes"):
                    spaces(changed, target)


@pytest.mark.parametrize("value", [0.0, -0.0, np.inf, -np.inf, np.nan, 3.4e38, 1e-39, -1e-45])
def test_extreme_results(value: float, compiled_for: Target) -> None:
    """Rounded as ``cast`` says, whatever they are; what is below normal numbers may be 0."""
    b = Builder()
    x, w = b.input((3, 2)), b.input((2, 35), constant=True)
    b.add("add", b.add("matmul", x, w, shape=(3, 35), transpose_b=False), b.input((35,)))
    workload = handed(b.workload, True, True)
    bias = np.full(35, value, np.float32)
    bias[::3] = 1.00390625  # half way between two
    arrays = [np.zeros((3, 2), np.uint16), np.zeros((2, 35), np.float32), bias]
    found = chosen(workload, 1)
    library = Library([instantiate(workload, TARGET, s) for s in found], compiled_for)
    with np.errstate(all="ignore"):
        want = np.broadcast_to(bias.astype(BF16), (3, 35)).astype(np.float32)
    for i, schedule in enumerate(found):
        got = library.run(i, arrays, random.Random(i)).view(BF16).astype(np.float32)
        tiny = np.abs(want) < np.finfo(np.float32).tiny
        assert (np.abs(got[tiny]) <= np.abs(want[tiny])).all()
        np.testing.assert_array_equal(got[~tiny], want[~tiny], str(schedule))


@pytest.mark.parametrize("level", RUNNABLE)
def test_the_largest_of_windows(level: str) -> None:
    """Exactly, whatever they are."""
    strides, window = {"strides": (2, 2), "pads": PAD}, (3, 3)
    workload = pool("max_pool2d", (2, 9, 11, 37), window, dtype="bfloat16", **strides)
    wide = draw(pool("max_pool2d", (2, 9, 11, 37), window, **strides))[0]
    wide[0, 2:5, 3, 1:5] = np.nan, np.inf, -np.inf, -0.0
    bits = wide.astype(BF16).view(np.uint16)
    target = TARGETS[level]
    found = list(schedules(workload, target, 1))
    library = Library([instantiate(workload, target, s) for s in found], target)
    want = reference(pool("max_pool2d", (2, 9, 11, 37), window, **strides), [rounded(wide)])
    for i, schedule in enumerate(found):
        got = library.run(i, [bits], random.Random(i)).view(BF16).astype(np.float32)
        np.testing.assert_array_equal(got, want, str(schedule))


def test_depthwise_convolutions_give_it(compiled_for: Target) -> None:
    """They take float32."""
    plain = conv((1, 6, 9, 37), 37, (3, 3), pads=PAD, groups=37, after="bias_relu")
    workload, inputs = handed(plain, False, True), draw(plain)
    schedule = default(workload, TARGET)
    assert schedule.template == default(plain, TARGET).template == "channelwise"
    assert "channelwise" not in _fits(handed(plain, True, True))
    library = Library([instantiate(workload, TARGET, schedule)], compiled_for)
    got = library.run(0, inputs, random.Random(0)).view(BF16).astype(np.float32)
    want = reference(plain, inputs)
    compare(got, want, 1e-6 + 2.0**-8 * np.abs(want), schedule)
