"""Attention of 8 bits: which products and softmaxes become one kernel, whoever wrote the pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import sized_models
from onnx_models import TARGET, compute, floats
from pairs import Pairs, plainly

from luthier.frontend import Program, import_entry, import_model
from luthier.frontend.program import at
from luthier.schedules import Target

FOURS = replace(TARGET, level="x86-64-v3", cpu="x86-64-v3", extensions=("avxvnni",))
ROWS, HEADS, DEPTH = 12, 4, 8
WIDE = HEADS * DEPTH


def heads(b: Pairs, x: str, perm: tuple[int, ...], zero: int) -> str:
    """A projection, rounded, with its heads apart."""
    y = b.pair(b.node("MatMul", x, b.weights(WIDE, WIDE, axis=1)), 0.02, zero)
    split = b.node("Reshape", y, b.const(np.array([2, -1, HEADS, DEPTH])))
    return b.node("Transpose", split, perm=perm)


def joined(b: Pairs, shares: str, v: str) -> str:
    y = b.node("Transpose", b.pair(b.node("MatMul", shares, v), 0.02), perm=[0, 2, 1, 3])
    return b.node("Reshape", y, b.const([2, -1, WIDE]))


def operands(b: Pairs) -> tuple[str, str, str]:
    x = b.input(2, ROWS, WIDE)
    places = ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3))
    q, k, v = (heads(b, x, perm, 109 + i) for i, perm in enumerate(places))
    return q, k, v


def plain(b: Pairs) -> str:
    q, k, v = operands(b)
    scores = b.pair(b.node("MatMul", q, k), 0.05, 121)
    return joined(b, b.pair(b.node("Softmax", scores, axis=-1), 1 / 255, 0), v)


def scaled(b: Pairs) -> str:
    """With a scale, rounded, before a softmax whose result is rounded twice."""
    q, k, v = operands(b)
    scores = b.pair(b.node("MatMul", q, k), 0.05, 121)
    scores = b.pair(b.node("Mul", scores, b.const(np.float32(0.5))), 0.031, 120)
    shares = b.pair(b.node("Softmax", scores, axis=-1), 1 / 256, 0)
    shares = b.node("Where", b.node("IsNaN", shares), b.const(np.float32(0)), shares)
    return joined(b, b.pair(shares, 1 / 256, 0), v)


def masked(b: Pairs) -> str:
    """With what is added to the scores."""
    q, k, v = operands(b)
    scores = b.pair(b.node("MatMul", q, k), 0.05, 121)
    mask = b.const(np.linspace(-3, 0, 2 * ROWS, dtype="float32").reshape(2, 1, 1, ROWS))
    scores = b.pair(b.node("Add", scores, mask), 0.05, 140)
    return joined(b, b.pair(b.node("Softmax", scores, axis=-1), 1 / 255, 0), v)


def unrounded(b: Pairs) -> str:
    """With scores that stay floats."""
    q, k, v = operands(b)
    scores = b.node("Mul", b.pair(b.node("MatMul", q, k), 0.05, 121), b.const(np.float32(0.7)))
    return joined(b, b.pair(b.node("Softmax", scores, axis=-1), 1 / 255, 0), v)


def rounded_again(b: Pairs) -> str:
    """With queries and keys that are scaled, and rounded to other steps, before they are moved."""
    q, k, v = operands(b)
    factor = b.const(np.float32(0.37))
    q, k = (b.pair(b.node("Mul", x, factor), 0.0081, 100) for x in (q, k))
    scores = b.pair(b.node("MatMul", q, k), 0.0051, 121)
    return joined(b, b.pair(b.node("Softmax", scores, axis=-1), 1 / 255, 0), v)


def shared(b: Pairs) -> str:
    """With shares that another one reads."""
    q, k, v = operands(b)
    scores = b.pair(b.node("MatMul", q, k), 0.05, 121)
    shares = b.pair(b.node("Softmax", scores, axis=-1), 1 / 255, 0)
    more = b.node("ReduceMax", shares, b.const([1, 3]), keepdims=0)
    return b.node("Add", joined(b, shares, v), b.node("Unsqueeze", more, b.const([2])))


def attentions(program: Program) -> list[list[str]]:
    """The operators of each kernel with a softmax."""
    kernels = [[node.op for node in call.workload.nodes] for call in program.calls]
    return [ops for ops in kernels if "softmax" in ops]


def program_of(layer: Callable[[Pairs], str], dtype: str, target: Target) -> tuple[Pairs, Program]:
    b = Pairs(dtype)
    return b, import_model(b.model(b.stored(layer(b), 0.02, 110)), target)


LAYERS = (plain, scaled, masked, unrounded, rounded_again)


@pytest.mark.parametrize("target", [FOURS, TARGET], ids=["fours", "pairs"])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize(
    "layer", [plain, scaled, masked, unrounded, rounded_again], ids=lambda f: f.__name__
)
def test_it_is_one_kernel_that_reads_projections_where_they_lie(
    layer: Callable[[Pairs], str], dtype: str, target: Target
) -> None:
    b, program = program_of(layer, dtype, target)
    (ops,) = attentions(program)
    assert ops.count("matmul_integer") == 2
    assert ops.count("transpose") == 4
    kernels = [{node.op for node in call.workload.nodes} for call in program.calls]
    assert {"transpose"} not in kernels
    (ours,) = compute(program, b.inputs).values()
    (theirs,) = plainly(b.model(program.outputs[0][0]), b.inputs)
    far = np.abs(ours.astype(int) - theirs.astype(int))
    assert far.max() <= 1
    assert np.mean(far) <= 0.01


@pytest.mark.parametrize("layer", [plain, scaled, rounded_again], ids=lambda f: f.__name__)
def test_rows_may_be_open(layer: Callable[[Pairs], str]) -> None:
    b = Pairs()
    proto = b.model(b.stored(layer(b), 0.02, 110))
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "rows"
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    del proto.graph.value_info[:]
    entry = import_entry(proto, FOURS, {"rows": "1..40"})
    for sizes in sized_models.sizes_of(entry, 4, seed=1):
        program = entry.variant(sizes)
        assert program is not None
        if sizes["rows"] > 1:
            (ops,) = attentions(program)
            assert ops.count("matmul_integer") == 2
        inputs = {"x": floats(2, sizes["rows"], WIDE)}
        (ours,) = compute(at(program, sizes), inputs).values()
        (theirs,) = plainly(proto, inputs)
        far = np.abs(ours.astype(int) - theirs.astype(int))
        assert far.max() <= 1
        assert np.mean(far) <= 0.01


def test_what_another_one_reads_stays_apart() -> None:
    _, program = program_of(shared, "uint8", FOURS)
    (ops,) = attentions(program)
    assert "matmul_integer" not in ops
