"""Products, convolutions and attention whose operands are rounded to bfloat16.

Sums are those of operands that were rounded, and bit for bit those of the instruction as Intel's
SDM writes it: by the instruction itself where there is one, and everywhere by the same in plain
LLVM instead of it.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from attentions import odd_sizes, packed, separate
from caller import (
    TARGETS,
    Library,
    compare,
    draw,
    in_turn,
    magnitude,
    reference,
    schedules,
)
from rounded_kernels import (
    CONVOLUTIONS,
    PAD,
    PRODUCTS,
    TARGET,
    TEMPLATES,
    Array,
    chosen,
    compiled_for,
    rounded,
)
from workloads import conv, matmul, separable

from luthier.schedules import Target, Workload, codegen
from luthier.schedules.target import parse
from luthier.schedules.templates.registry import default, instantiate, spaces
from luthier.schedules.tvm_late import tvm

__all__ = ["compiled_for"]  # a fixture


def verify(
    workload: Workload,
    compiled_for: Target,
    inputs: list[Array] | None = None,
    samples: int = 2,
    of_largest: float = 0.0,
) -> None:
    """Against float64 sums of the operands, which the first node's are, rounded."""
    inputs = draw(workload) if inputs is None else inputs
    given = [rounded(a) if i in workload.nodes[0].args[:3] else a for i, a in enumerate(inputs)]
    with np.errstate(all="ignore"):
        want = reference(workload, given)
        most = np.abs(want[np.isfinite(want)]).max(initial=0)
        limit = 1e-6 + 2e-6 * np.abs(want) + 1e-6 * magnitude(workload, given) + of_largest * most
    found = chosen(workload, samples)
    library = Library([instantiate(workload, TARGET, s) for s in found], compiled_for)
    for i, schedule in enumerate(found):
        got = library.run(i, inputs, random.Random(i))
        compare(got, want, limit, f"{schedule}, {workload}")


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name: str, compiled_for: Target) -> None:
    verify(PRODUCTS[name], compiled_for)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str, compiled_for: Target) -> None:
    verify(CONVOLUTIONS[name], compiled_for)


@pytest.mark.parametrize("channels", [3, 8])
def test_a_product_before_a_depthwise_convolution(channels: int, compiled_for: Target) -> None:
    strides, shape = (2, 1) if channels == 3 else (1, 2), (2, 9, 11, channels)
    pair = separable(shape, 37, (3, 3), strides=strides, pads=PAD, between="clip", after="bias")
    verify(pair, compiled_for)


@pytest.mark.parametrize("seed", range(4))
def test_attention(seed: int, compiled_for: Target) -> None:
    """Exponentials are rounded too, by 2^-9 of themselves at most."""
    rng = random.Random(seed)
    sizes = odd_sizes(rng)
    mask = (sizes[0], 1, sizes[3], 1) if seed % 2 else None
    verify(separate(sizes, bool(seed & 2), mask), compiled_for, samples=1, of_largest=2.0**-7)


def test_attention_of_several_blocks_of_rows_and_keys(compiled_for: Target) -> None:
    workload = packed(1, 2, 131, 24, empty_is_zero=True)
    verify(workload, compiled_for, samples=2, of_largest=2.0**-7)


def emulated(a: Array, b: Array) -> Array:
    """``vdpbf16ps`` along K: in each pair the second product first, each sum rounded to nearest
    once, and 0 for operands and sums that are below normal numbers. float64 holds what is rounded.
    """

    def flushed(x: Array) -> Array:
        return np.where(np.abs(x) < np.finfo(np.float32).tiny, x * np.float32(0), x)

    (m, k), n = a.shape, b.shape[1]
    wide = np.zeros((m, k + k % 2), np.float32), np.zeros((k + k % 2, n), np.float32)
    wide[0][:, :k], wide[1][:k] = flushed(rounded(a)), flushed(rounded(b))
    total = np.zeros((m, n), np.float32)
    for pair in range(0, k, 2):
        for step in (pair + 1, pair):
            product = wide[0][:, step, None].astype(np.float64) * wide[1][step]
            total = flushed((total + product).astype(np.float32))
    return total


def extremes(shape: tuple[int, ...], seed: int) -> Array:
    """All binary orders of magnitude, ties of the rounding among them."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**32, shape, np.uint32)
    bits[rng.random(shape) < 0.3] &= np.uint32(0xFFFF8000)
    array = bits.view(np.float32)
    return np.where(np.isfinite(array) & (np.abs(array) < 1e18), array, np.float32(1.5))


@pytest.mark.parametrize("depth", [1, 2, 37, 300])
def test_each_sum_is_what_the_manual_says(depth: int, compiled_for: Target) -> None:
    """Bit for bit, in every schedule; what is below normal numbers by the instruction alone."""
    workload = matmul((13, depth), (depth, 37))
    inputs = draw(workload)
    if compiled_for is TARGET:
        inputs = [extremes((13, depth), 1), extremes((depth, 37), 2)]
    want = emulated(*inputs)
    found = chosen(workload)
    library = Library([instantiate(workload, TARGET, s) for s in found], compiled_for)
    for i, schedule in enumerate(found):
        got = library.run(i, inputs, random.Random(i))
        np.testing.assert_array_equal(got, want, str(schedule))


def test_weights_are_packed_in_half_the_bytes() -> None:
    for workload in (PRODUCTS["one row"], CONVOLUTIONS["padded"]):
        kernel = instantiate(workload, TARGET, chosen(workload)[0])
        array = draw(workload)[1]
        assert kernel.pack(1, array).dtype == np.uint16


def test_the_kernels_multiply_by_the_instruction_alone() -> None:
    attention = packed(1, 1, 64, 32, empty_is_zero=False)
    for workload in (PRODUCTS["a prime of everything"], CONVOLUTIONS["padded"], attention):
        kernel = instantiate(workload, TARGET, chosen(workload)[0])
        lowered = codegen.lower({"k": kernel}, TARGET)
        build = tvm.get_global_func("target.build.llvm")
        text = build(lowered, codegen.llvm_target(TARGET)).inspect_source("asm")
        assert "vdpbf16ps" in text
        assert "vcvtne2ps2bf16" in text or "vcvtneps2bf16" in text
        assert "luthier_bf16" not in text


@pytest.mark.parametrize("accuracy", ["strict", "balanced", "standard"])
def test_only_where_it_is_asked_for(accuracy: str) -> None:
    target = replace(TARGET, accuracy=accuracy)
    for workload in (*PRODUCTS.values(), *CONVOLUTIONS.values()):
        assert not {s.template for s in spaces(workload, target)} & set(TEMPLATES)


def test_only_where_there_is_the_instruction() -> None:
    target = replace(TARGET, extensions=())
    for workload in (*PRODUCTS.values(), *CONVOLUTIONS.values()):
        assert not {s.template for s in spaces(workload, target)} & set(TEMPLATES)


@pytest.mark.parametrize("cpu", ["sapphirerapids", "emeraldrapids"])
def test_only_where_the_instruction_gains_anything(cpu: str) -> None:
    """It starts in every other cycle there, two multiply-adds of float32 in each."""
    slow = replace(parse(f"{cpu}+bf16", 1), accuracy="bf16")
    fast = replace(parse("znver5+bf16", 1), accuracy="bf16")
    for workload in (*PRODUCTS.values(), *CONVOLUTIONS.values()):
        assert {s.template for s in spaces(workload, fast)} & set(TEMPLATES)
        assert not {s.template for s in spaces(workload, slow)} & set(TEMPLATES)


ROWS = {
    "a row": matmul((1, 70), (70, 131), after="bias_relu"),
    "a row by rows": matmul((1, 31), (47, 31), transpose_b=True),
    "some rows": matmul((7, 37), (37, 53), after="scaled"),
    "pixels": conv((1, 2, 3, 9), 34, (1, 1), after="residual"),
}


@pytest.mark.parametrize(("name", "level"), in_turn(ROWS))
def test_few_rows_read_half_the_bytes_on_every_level(name: str, level: str) -> None:
    """The matrix alone is rounded."""
    workload, target = ROWS[name], replace(TARGETS[level], accuracy="bf16")
    found = [s for s in schedules(workload, target, 2) if s.template == "rows_bfloat16"]
    assert default(workload, target) == found[0]
    kernels = [instantiate(workload, target, s) for s in found]
    inputs = draw(workload)
    assert kernels[0].pack(1, inputs[1]).itemsize == 2
    given = [inputs[0], rounded(inputs[1]), *inputs[2:]]
    want = reference(workload, given)
    limit = 1e-6 + 2e-6 * np.abs(want) + 1e-6 * magnitude(workload, given)
    library = Library(kernels, target)
    for i, schedule in enumerate(found):
        compare(library.run(i, inputs, random.Random(i)), want, limit, str(schedule))
