"""Operators at the edges of what ONNX Runtime takes, against it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from microsoft_models import agree, cases, single, typed
from onnx_models import TARGET, compute, expected, floats, model

from luthier.frontend import import_model, read_model
from luthier.schedules import ModelError

X, SKIPPED, ROW = floats(2, 3, 8), floats(2, 3, 8, seed=1), floats(8)
ONNX = {"domain": ""}
ALL = (0, 1, 2, 3)
STATISTICS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "all of layers": ("SkipLayerNormalization", (X, SKIPPED, ROW, ROW, ROW), {"outputs": ALL}),
    "a mean": ("SkipLayerNormalization", (X, SKIPPED, ROW), {"outputs": (0, 1)}),
    "all without a mean": (
        "SkipSimplifiedLayerNormalization", (X, SKIPPED, ROW, ROW), {"outputs": ALL}),
    "an old layer": (
        "LayerNormalization", (X, ROW, ROW), {**ONNX, "opset": 13, "outputs": (0, 1, 2)}),
    "an axis": (
        "LayerNormalization", (X, floats(3, 8)),
        {**ONNX, "opset": 13, "axis": 1, "outputs": (0, 2)}),
    "a simple layer": ("SimplifiedLayerNormalization", (X, ROW), {**ONNX, "outputs": (0, 1)}),
    "halves": (
        "SkipLayerNormalization", tuple(a.astype("float16") for a in (X, SKIPPED, ROW)), {}),
}  # fmt: skip


def none(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


BYTE = np.uint8(3)
EIGHTEEN = {**ONNX, "opset": 18}
NOTHING = {
    "products": ("Gemm", (none(3, 0), none(0, 4), floats(4)), ONNX),
    "turned products": (
        "Gemm", (none(0, 3), none(4, 0), floats(3, 4)),
        {**ONNX, "transA": 1, "transB": 1, "beta": 0.5}),
    "updates": ("Scatter", (X, none(0, 3, 8, dtype="int64"), none(0, 3, 8)), {**ONNX, "opset": 9}),
    "a cache": (
        "TensorScatter", (X, none(2, 0, 8), none(2, dtype="int64")), {**ONNX, "opset": 24}),
    "steps": ("DynamicQuantizeLinear", (none(0, 3),), {**ONNX, "outputs": (0, 1, 2)}),
    **{
        f"{op} {dtype}": (
            op, (none(0, 3, dtype=dtype), np.array([0])), {**EIGHTEEN, "constants": (1,)})
        for op in ("ReduceLogSum", "ReduceLogSumExp")
        for dtype in ("int32", "int64")
    },
}  # fmt: skip
AXES = {
    f"rank {rank}": ("MeanVarianceNormalization", (floats(3, 4, 5)[(0,) * (3 - rank)],), ONNX)
    for rank in (1, 2, 3)
}


@pytest.mark.parametrize(
    ("op", "arguments", "attrs"),
    cases({"statistics": STATISTICS, "nothing": NOTHING, "axes": AXES}),
)
def test_as_the_runtime(op: str, arguments: tuple[Any, ...], attrs: dict[str, Any]) -> None:
    half = arguments[0].dtype == np.float16
    agree(
        *single(op, *arguments, **attrs), rtol=2e-3 if half else 1e-4, atol=2e-3 if half else 1e-5
    )


ROWS, COLUMNS = none(3, 0, dtype="uint8"), none(0, 4, dtype="uint8")
SUMS = {
    "of bytes": ("MatMulInteger", (ROWS, COLUMNS, BYTE, BYTE), ONNX, "int32"),
    "of rounded rows": (
        "DynamicQuantizeMatMul", (none(3, 0), COLUMNS, np.float32(0.1), BYTE), {}, "float32"),
}  # fmt: skip


@pytest.mark.parametrize("products", SUMS)
def test_sums_of_nothing_are_zeros(products: str) -> None:
    """ONNX Runtime leaves what lay in memory."""
    op, given, attrs, dtype = SUMS[products]
    made, inputs = single(op, *given, **attrs)
    zeros = none(3, 4, dtype=dtype)
    typed(made, {"out0": zeros})
    assert np.array_equal(compute(import_model(made, TARGET), inputs)["out0"], zeros)


BASES = np.array([-2, -1.5, -1, -0.0, 0, 1, 2, -np.inf, -0.9999999], np.float32)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float64"])
@pytest.mark.parametrize("base", ["float32", "float16"])
def test_large_odd_exponents(base: str, dtype: str, known: bool) -> None:
    """Which the type of the base does not hold: rounded, they would be even."""
    exponents = np.array([3, 4097, 2**24 + 1, -(2**24) - 1], dtype)
    node = onnx.helper.make_node("Pow", ["x", "n"], ["y"])
    inputs = {"x": BASES.astype(base)[:, None], "n": exponents}
    given = {n: inputs[n] for n in (["x"] if known else ["x", "n"])}
    made = model([node], given, ["y"], {"n": exponents} if known else {})
    with np.errstate(over="ignore"):
        ours = compute(import_model(made, TARGET), given)["y"]
    theirs = expected(made, given)["y"]
    np.testing.assert_allclose(ours, theirs, 2e-3 if base == "float16" else 1e-4)
    assert np.array_equal(np.signbit(ours), np.signbit(theirs))


def test_two_functions_of_one_name_are_refused() -> None:
    made = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 18, "own": 1]>
        twice (float[3] x) => (float[3] y) { y = own.f (x) }
        <domain: "own", opset_import: ["": 18]> f (x) => (y) { y = Relu (x) }""")
    made.functions.append(made.functions[0])
    with pytest.raises(ModelError, match="two functions 'f'"):
        read_model(made)
