"""Attributes, shapes and types of every operator at their limits and beyond.

ONNX Runtime says which are valid, not this list.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx_models import Case, case, floats, integers, positive

from luthier.frontend.onnx.operators import SUPPORTED

HUGE, NEGATIVE = 2**62, -(2**62)
SCALAR, NOTHING = np.float32(0.5), floats(2, 0, 3)
LINE, MATRIX, CUBE, IMAGE = floats(5), floats(3, 4), floats(2, 3, 4), floats(1, 4, 6, 5)
DEEP = floats(1, 2, 1, 3, 2, 1, 2)
RANKS = (SCALAR, LINE, MATRIX, CUBE, IMAGE, DEEP, NOTHING)
AXES = (-8, -5, -4, -3, -1, 0, 1, 2, 3, 4, 7, HUGE, NEGATIVE)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


UNARY = """
    Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid
    HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Reciprocal Relu Round Selu Shrink Sigmoid
    Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu
""".split()
BINARY = "Add Div Mod Mul PRelu Pow Sub Equal Greater GreaterOrEqual Less LessOrEqual".split()
VARIADIC = "Max Mean Min Sum".split()
LOGIC = "And Or Xor".split()
BITS = "BitwiseAnd BitwiseOr BitwiseXor".split()
REDUCTIONS = """
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare
""".split()
OPSETS = {"Gelu": 20, "Swish": 24, "RMSNormalization": 23, "GroupNormalization": 21}


def of_any_rank() -> Iterator[Case]:  # noqa: PLR0915 - a table
    for op, x in itertools.product(UNARY, RANKS):
        yield case(op, x, opset=OPSETS.get(op, 18))
    for op, (x, y) in itertools.product(
        BINARY, itertools.product(RANKS, [SCALAR, floats(1), LINE])
    ):
        attrs = {"fmod": 1} if op == "Mod" else {}
        yield case(op, np.abs(x), np.abs(y) + 1, **attrs, note=f"{y.shape}")
    for op, x in itertools.product(VARIADIC, RANKS):
        yield case(op, x)
        yield case(op, x, SCALAR, x)
    for op, x in itertools.product(LOGIC, RANKS):
        yield case(op, x > 0, np.bool_(True))
    for op, x in itertools.product(BITS, RANKS):
        yield case(op, (x * 9).astype(np.int32), np.int32(5))
    for x in RANKS:
        yield case("Not", x > 0)
        yield case("BitwiseNot", (x * 9).astype(np.int32))
        yield case("BitShift", np.abs(x * 9).astype(np.uint32), np.uint32(3), direction="LEFT")
        yield case("Where", x > 0, x, SCALAR)
        yield case("Where", np.bool_(True), x, x)
        yield case("Clip", x, np.float32(-0.25), np.float32(0.25), constants=(1, 2))
        yield case("Clip", x, SCALAR, np.float32(1))
        yield case("Cast", x, to=7)
        yield case("CastLike", x, np.int8(1))
        yield case("Shape", x)
        yield case("Size", x)
        yield case("Dropout", x, opset=12)
        yield case("QuantizeLinear", x, np.float32(0.1), np.uint8(3))
        yield case("DequantizeLinear", (x * 9).astype(np.int8), np.float32(0.1))
        yield case("Range", SCALAR, np.float32(3), np.float32(1), constants=(0, 1, 2))
        yield case("Expand", x, ints(*x.shape), constants=(1,))
        yield case("Tile", x, ints(*[2] * x.ndim), constants=(1,))
        yield case("Reshape", x, ints(-1), constants=(1,))
        yield case("Transpose", x)
        yield case(
            "OneHot", np.zeros(x.shape, np.int64), np.int64(3), np.array([0, 1]), constants=(1,)
        )
        yield case("Trilu", x)
        yield case("EyeLike", x)
        yield case("Concat", x, x, axis=0)
        yield case("Flatten", x, axis=0)
        yield case("MatMul", x, x)
        yield case("MatMul", x, LINE)
        yield case("Gemm", x, x, transB=1)
        yield case("Split", x, outputs=1, num_outputs=1)
        yield case("Pad", x, ints(*[1] * 2 * x.ndim), constants=(1,))
        yield case("Pad", x, ints(*[0] * 2 * x.ndim), constants=(1,))
        for op in ("GlobalAveragePool", "GlobalMaxPool"):
            yield case(op, x)
        for op in ("MaxPool", "AveragePool"):
            yield case(op, x, kernel_shape=[2] * max(x.ndim - 2, 1))
        yield case("Conv", x, floats(2, *x.shape[1:2], *[1] * max(x.ndim - 2, 0)))
        yield case("LRN", x, size=3)
        channels = [positive(*x.shape[1:2], seed=i) for i in range(4)]
        yield case("BatchNormalization", x, *channels)
        yield case("InstanceNormalization", x, *channels[:2])
        yield case("MeanVarianceNormalization", x, axes=[0])
        yield case("DepthToSpace", x, blocksize=2)
        yield case("SpaceToDepth", x, blocksize=2)
        yield case("Resize", x, None, np.array([2.0] * x.ndim, np.float32), constants=(2,))
        yield case("ConstantOfShape", ints(*x.shape), constants=(0,))
        yield case("GatherND", x, np.zeros((1, 1), np.int64))
        yield case("GatherElements", x, np.zeros(x.shape, np.int64))
        yield case("ScatterElements", x, np.zeros(x.shape, np.int64), x)
        yield case("ScatterND", x, np.zeros((1, 1), np.int64), x[:1] if x.ndim else x)


def of_axes() -> Iterator[Case]:
    for axis, x in itertools.product(AXES, (SCALAR, LINE, MATRIX, CUBE, NOTHING)):
        for op in ("Softmax", "LogSoftmax", "Hardmax", "ArgMax", "ArgMin"):
            yield case(op, x, axis=axis, opset=13)
        for op in ("Softmax", "LogSoftmax", "Hardmax"):
            yield case(op, x, axis=axis, opset=11)
        yield case("Concat", x, x, axis=axis)
        yield case("Flatten", x, axis=axis)
        yield case("Gather", x, ints(0), axis=axis)
        yield case("Gather", x, np.int64(-1), axis=axis, constants=(1,))
        yield case("GatherElements", x, np.zeros(x.shape, np.int64), axis=axis)
        yield case("ScatterElements", x, np.zeros(x.shape, np.int64), x, axis=axis)
        yield case("CumSum", x, np.int64(axis), constants=(1,))
        yield case("CumSum", x, ints(axis), constants=(1,), exclusive=1, reverse=1)
        yield case("Split", x, outputs=1, axis=axis, num_outputs=1)
        yield case("Squeeze", x, ints(axis), constants=(1,))
        yield case("Squeeze", x, np.int64(axis), constants=(1,))
        yield case("Squeeze", x, axes=[axis], opset=11)
        yield case("Unsqueeze", x, ints(axis), constants=(1,))
        yield case("Unsqueeze", x, np.int64(axis), constants=(1,))
        yield case("Unsqueeze", x, axes=[axis], opset=11)
        yield case(
            "OneHot",
            integers(0, 3, *x.shape),
            np.int64(3),
            np.array([0, 1]),
            constants=(1,),
            axis=axis,
        )
        yield case("LayerNormalization", x, np.float32([1]), axis=axis)
        yield case("RMSNormalization", x, np.float32([1]), axis=axis, opset=23)
        yield case("Slice", x, ints(0), ints(1), ints(axis), constants=(1, 2, 3))
        yield case("Shape", x, start=axis)
        yield case("Shape", x, end=axis)
        yield case("MeanVarianceNormalization", x, axes=[axis])
        yield case("QuantizeLinear", x, positive(4), axis=axis, constants=(1,))
        yield case(
            "DequantizeLinear", (x * 9).astype(np.int8), positive(4), axis=axis, constants=(1,)
        )
        yield case("Pad", x, ints(1, 0), None, ints(axis), constants=(1, 3))
    for axis, op in itertools.product(AXES, REDUCTIONS):
        for x in (SCALAR, MATRIX, NOTHING):
            yield case(op, np.abs(x), ints(axis), constants=(1,))
    for op, x in itertools.product(REDUCTIONS, RANKS):
        yield case(op, np.abs(x))
        yield case(op, np.abs(x), keepdims=0)
        yield case(op, np.abs(x), ints(), constants=(1,), noop_with_empty_axes=1)
        yield case(op, np.abs(x), ints(0, 0), constants=(1,), note="twice")
        yield case(op, np.abs(x), np.int64(0), constants=(1,), note="axes of rank 0")
        yield case(op, np.abs(x), axes=[0], opset=11)
    for perm in ([0], [0, 0, 1], [0, 1, 3], [0, 1, -1], [2, 1, 0], [0, 1, 2, 3], [], [HUGE, 0, 1]):
        yield case("Transpose", CUBE, perm=perm)
    for axes in ([0, 0], [0, -4], [3, 4], [0, 5], [1, 0], []):
        yield case("Unsqueeze", CUBE, ints(*axes), constants=(1,))
        yield case("Squeeze", floats(1, 3, 1), ints(*axes), constants=(1,))


def of_windows() -> Iterator[Case]:  # noqa: C901 - a table
    weights, small = floats(6, 4, 3, 3), floats(1, 4, 2, 2)
    geometry: list[dict[str, Any]] = [
        *({"strides": s} for s in ([0, 1], [-1, 1], [HUGE, 1], [9, 9], [1], [1, 1, 1])),
        *({"dilations": d} for d in ([0, 1], [-1, 1], [HUGE, 1], [3, 3], [1], [2, 2])),
        *(
            {"pads": p}
            for p in ([-1, 0, 0, 0], [-1, -1, -1, -1], [-3, 0, -3, 0], [HUGE] * 4, [1, 1])
        ),
        *({"pads": p} for p in ([9, 9, 9, 9], [3, 3, 3, 3], [0, 0, 4, 4], [])),
        *({"auto_pad": a} for a in ("SAME", "SAME_UPPER", "VALID", "")),
        {"auto_pad": "SAME_UPPER", "pads": [1, 1, 1, 1]},
    ]
    for attrs, x in itertools.product(geometry, (IMAGE, small)):
        note = f"{attrs}{x.shape}"
        yield case("Conv", x, weights, constants=(1,), note=note, **attrs)
        yield case("ConvTranspose", x, floats(4, 2, 3, 3), constants=(1,), note=note, **attrs)
        for op in ("MaxPool", "AveragePool"):
            yield case(op, x, kernel_shape=[3, 3], note=note, **attrs)
            yield case(op, x, kernel_shape=[3, 3], ceil_mode=1, note=note, **attrs)
            yield case(op, x, kernel_shape=[1, 2], count_include_pad=1, note=note, **attrs)
    for kernel in ([0, 3], [-1, 3], [HUGE, 3], [3], [3, 3, 3], [2, 2], [3, 4], [7, 6], []):
        yield case("Conv", IMAGE, weights, constants=(1,), kernel_shape=kernel)
        for op in ("MaxPool", "AveragePool"):
            yield case(op, IMAGE, kernel_shape=kernel)
    for op in ("MaxPool", "AveragePool"):
        yield case(op, IMAGE)
        yield case(op, LINE, kernel_shape=[2])
        yield case(op, IMAGE, kernel_shape=[2, 2], outputs=2)
    for group in (0, -1, 2, 3, 4, 5, HUGE):
        yield case("Conv", IMAGE, weights, constants=(1,), group=group)
        yield case("Conv", IMAGE, floats(6, 2, 3, 3), constants=(1,), group=group)
        yield case("ConvTranspose", IMAGE, floats(4, 2, 3, 3), constants=(1,), group=group)
    for shape in (
        (6, 4, 7, 3),
        (6, 4, 3, 6),
        (6, 5, 3, 3),
        (6, 4, 3),
        (6, 4, 0, 3),
        (0, 4, 3, 3),
        (6, 4),
    ):
        yield case("Conv", IMAGE, floats(*shape), constants=(1,))
        yield case("Conv", IMAGE, floats(*shape), note="runtime")
        yield case("ConvTranspose", IMAGE, floats(*shape), constants=(1,))
    for bias in (floats(5), floats(1), floats(6, 1), SCALAR, floats(0)):
        yield case("Conv", IMAGE, weights, bias, constants=(1, 2), note=f"bias{bias.shape}")
        yield case(
            "ConvTranspose",
            IMAGE,
            floats(4, 6, 3, 3),
            bias,
            constants=(1, 2),
            note=f"bias{bias.shape}",
        )
    for extra in ([1, 1], [-1, 0], [2, 2], [HUGE, 0], [1]):
        yield case("ConvTranspose", IMAGE, floats(4, 2, 3, 3), constants=(1,), output_padding=extra)
        yield case(
            "ConvTranspose",
            IMAGE,
            floats(4, 2, 3, 3),
            constants=(1,),
            output_padding=extra,
            strides=[2, 2],
        )
    for size in ([8, 7], [1, 1], [0, 7], [-1, 7], [99, 99], [HUGE, 7], [8], [1, 2, 8, 7]):
        yield case("ConvTranspose", IMAGE, floats(4, 2, 3, 3), constants=(1,), output_shape=size)
    for x, w in ((floats(1, 4, 2), floats(3, 4, 5)), (floats(1, 4, 9, 2), floats(3, 4, 3, 5))):
        yield case("Conv", x, w, constants=(1,))
        yield case("Conv", x, w, note="runtime")
    yield case("Conv", floats(1, 2, 3, 3, 3), floats(2, 2, 4, 1, 1), constants=(1,))
    yield case("ConvTranspose", floats(1, 4, 2), floats(4, 3, 5), constants=(1,), pads=[3, 3])


def of_numbers() -> Iterator[Case]:  # noqa: C901, PLR0912, PLR0915 - a table
    for size in (-1, 0, 1, 2, 3, 8, HUGE):
        yield case("DepthToSpace", IMAGE, blocksize=size)
        yield case("SpaceToDepth", IMAGE, blocksize=size)
        yield case("LRN", IMAGE, size=size)
        yield case(
            "GroupNormalization", IMAGE, floats(4), floats(4, seed=1), num_groups=size, opset=21
        )
        yield case("OneHot", integers(0, 3, 4), np.int64(size), np.array([0, 1]), constants=(1,))
        yield case("OneHot", integers(0, 3, 4), ints(size), np.array([0, 1]), constants=(1,))
        yield case("ConstantOfShape", ints(2, size), constants=(0,))
        yield case("Expand", floats(3, 1), ints(3, size), constants=(1,))
        yield case("Tile", MATRIX, ints(1, size), constants=(1,))
        yield case("Trilu", MATRIX, np.int64(size), constants=(1,))
        yield case("EyeLike", MATRIX, k=size)
        yield case(
            "BitShift", integers(0, 9, 4, dtype="uint32"), np.uint32(size % 2**32), direction="LEFT"
        )
        yield case("Range", np.int64(0), np.int64(size), np.int64(2), constants=(0, 1, 2))
        yield case("Range", np.int64(0), np.int64(5), np.int64(size), constants=(0, 1, 2))
        yield case("Gather", MATRIX, ints(size), constants=(1,))
        yield case("ReduceMax", MATRIX, ints(1), constants=(1,), keepdims=size)
        yield case("ArgMax", MATRIX, select_last_index=size)
        yield case("Dropout", MATRIX, opset=11, ratio=float(min(size, 9)))
    for begin, end, step in itertools.product(
        (-9, -1, 0, 2, 9, HUGE), (-9, 0, 3, 9, NEGATIVE), (-3, 0, 1, 9)
    ):
        yield case(
            "Slice", LINE, ints(begin), ints(end), ints(0), ints(step), constants=(1, 2, 3, 4)
        )
    for parts in ([3, 3], [6], [0, 6], [6, 0], [-1, 7], [3, 2], [4, 4], [HUGE, 1], [2, 2, 2]):
        yield case("Split", floats(6), ints(*parts), constants=(1,), outputs=len(parts))
        yield case("Split", floats(6), outputs=len(parts), split=parts, opset=11)
        yield case(
            "Split", floats(6), ints(*parts), constants=(1,), outputs=2, note=f"{parts} to 2"
        )
    for shape in (
        [0, -1],
        [-1, -1],
        [5, 5],
        [12, 0],
        [3, 0],
        [-2, 4],
        [HUGE, 4],
        [],
        [12],
        [1, 12, 1],
        [0, 0],
        [0, 0, 0],
    ):
        yield case("Reshape", MATRIX, ints(*shape), constants=(1,))
        yield case("Reshape", MATRIX, ints(*shape), constants=(1,), allowzero=1)
        yield case("Reshape", NOTHING, ints(*shape), constants=(1,))
        yield case("Expand", MATRIX, ints(*shape), constants=(1,))
    for pads in (
        [1, 1],
        [0] * 4,
        [-3, 0, 0, 0],
        [-2, 0, -2, 0],
        [-3, 0, 3, 0],
        [HUGE, 0, 0, 0],
        [3, 4, 3, 4],
        [1, 1, 1, 1, 1],
    ):
        for mode in ("constant", "reflect", "edge", "wrap", "odd"):
            yield case("Pad", MATRIX, ints(*pads), constants=(1,), mode=mode, opset=19)
    for repeats in ([1], [0, 1], [2, 0], [1, 1, 1], [HUGE, HUGE]):
        yield case("Tile", MATRIX, ints(*repeats), constants=(1,))
    for index in (-4, -3, 2, 3, HUGE):
        for x in (MATRIX,):
            yield case("GatherElements", x, np.full((3, 4), index), constants=(1,))
            yield case("GatherND", x, np.full((2, 1), index), constants=(1,))
            yield case("ScatterND", x, np.full((1, 1), index), floats(1, 4), constants=(1,))
            yield case("ScatterElements", x, np.full((1, 4), index), floats(1, 4), constants=(1,))
    for shape in ((2, 3), (2, 0), (0, 2), (2,), (1, 1, 2)):
        yield case("GatherND", CUBE, np.zeros(shape, np.int64))
        yield case(
            "ScatterND",
            CUBE,
            np.zeros(shape, np.int64),
            floats(*shape[:-1], *CUBE.shape[shape[-1] :]),
        )
    yield case("GatherND", CUBE, np.zeros((2, 1), np.int64), batch_dims=1)
    yield case("GatherND", CUBE, np.zeros((2, 1), np.int64), batch_dims=3)
    yield case("GatherND", CUBE, np.zeros((2, 1), np.int64), batch_dims=-1)
    for dtype in ("int64", "int32", "uint8", "float64", "float16"):
        info = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
        x = integers(0, 9, 4).astype(dtype)
        ends = [np.array(v, dtype) for v in (info.min, 3, info.max)]
        for low, high in itertools.product([None, *ends], [None, *ends]):
            constants = tuple(i for i, v in ((1, low), (2, high)) if v is not None)
            yield case("Clip", x, low, high, constants=constants, note=f"{low},{high}")
            yield case("Clip", x, low, high, note=f"{low},{high} runtime")
    yield case("Clip", LINE, min=1.0, opset=6 + 1)
    yield case("Clip", LINE, max=np.inf, opset=7)
    yield case("Clip", LINE, np.array([0.0], np.float32), constants=(1,), note="bound of rank 1")
    for m, n in itertools.product(
        ((3, 4), (4, 3), (0, 4), (3, 0), (1, 4)), ((4, 2), (3, 2), (0, 2), (4, 0))
    ):
        for ta in (0, 1):
            yield case("Gemm", floats(*m), floats(*n), transA=ta, note=f"{m}{n}{ta}")
        yield case("MatMul", floats(*m), floats(*n), note=f"{m}{n}")
    for c in (SCALAR, floats(2), floats(3), floats(3, 1), floats(1, 3, 2), floats(0)):
        yield case("Gemm", floats(3, 4), floats(4, 2), c, note=f"C{c.shape}")
        yield case(
            "Gemm",
            floats(3, 4),
            floats(4, 2),
            c,
            constants=(1, 2),
            alpha=0.0,
            beta=2.0,
            note=f"C{c.shape}",
        )
    for scale in (
        floats(4),
        floats(3, 4),
        floats(2, 3, 4),
        floats(1),
        floats(5),
        floats(2, 1, 1),
        SCALAR,
    ):
        for axis in (-1, 1):
            yield case("LayerNormalization", CUBE, scale, axis=axis, note=f"{axis}{scale.shape}")
            yield case(
                "RMSNormalization", CUBE, scale, axis=axis, opset=23, note=f"{axis}{scale.shape}"
            )
    for sizes in ((5,), (1,), (4, 1), (), (0,)):
        parts = [positive(*sizes, seed=i) for i in range(4)]
        yield case("BatchNormalization", IMAGE, *parts, note=f"{sizes}")
        yield case("InstanceNormalization", IMAGE, *parts[:2], note=f"{sizes}")
        yield case("GroupNormalization", IMAGE, *parts[:2], num_groups=2, opset=21, note=f"{sizes}")
    for slope in (
        floats(4, 1, 1),
        floats(4),
        floats(5),
        floats(1, 4, 6, 5),
        floats(2, 1, 1, 1),
        floats(1, 1),
        SCALAR,
    ):
        yield case("PRelu", IMAGE, slope, note=f"{slope.shape}")
        yield case("PRelu", IMAGE, slope, constants=(1,), note=f"{slope.shape}c")
    for scale in (
        np.float32(0),
        np.float32(-0.5),
        np.float32(np.nan),
        np.float32(np.inf),
        np.float32(1e-40),
        positive(3),
        positive(0),
    ):
        for dtype in ("uint8", "int8", "int16", "int32"):
            if dtype != "int32":
                yield case(
                    "QuantizeLinear",
                    MATRIX,
                    scale,
                    np.zeros(scale.shape, dtype),
                    axis=0,
                    opset=21,
                    note=f"{scale}{dtype}",
                )
            yield case(
                "DequantizeLinear",
                integers(0, 9, 3, 4, dtype=dtype),
                scale,
                axis=0,
                opset=21,
                note=f"{scale}{dtype}",
            )
    grid = floats(1, 3, 2, 2)
    for mode, padding, x in itertools.product(
        ("linear", "nearest", "cubic", "odd"),
        ("zeros", "border", "reflection", "odd"),
        (IMAGE, CUBE),
    ):
        yield case("GridSample", x, grid, mode=mode, padding_mode=padding, opset=20)
    yield case("GridSample", IMAGE, floats(2, 3, 2, 2), opset=20)
    yield case("GridSample", IMAGE, floats(1, 3, 2, 3), opset=20)
    for equation in (
        "ij,jk",
        "ij,jk->",
        "ij->ji",
        "i->i",
        "ii",
        "ij,jk->ikz",
        "...",
        "",
        "->",
        "ij,ij->k",
    ):
        yield case("Einsum", MATRIX, floats(4, 4), equation=equation)
        yield case("Einsum", MATRIX, equation=equation)


ODD_ATTRS: list[tuple[str, Any]] = [
    ("axis", 1.5), ("axis", "x"), ("axis", [0]), ("axes", 0), ("axes", [0.5]), ("keepdims", 2),
    ("alpha", "x"), ("alpha", [1.0]), ("alpha", np.nan), ("alpha", np.inf), ("beta", -np.inf),
    ("epsilon", 0.0), ("epsilon", -1.0), ("epsilon", np.nan), ("perm", 0), ("to", 0), ("to", 99),
    ("to", 8), ("to", 16), ("to", -1), ("mode", 3), ("kernel_shape", 3), ("direction", "UP"),
    ("blocksize", 2.0), ("speed", 1), ("approximate", "odd"), ("equation", 3), ("dtype", 99),
    ("value", 3), ("group", 1.0), ("strides", "x"), ("mode", "odd"), ("gamma", np.nan),
    ("transA", 2), ("fmod", 2), ("detect_positive", 7), ("saturate", 0), ("output_dtype", 99),
]  # fmt: skip
PLAIN: dict[str, Case] = {}


def plain() -> dict[str, Case]:
    """One valid node of each operator."""
    if not PLAIN:
        from cases_math import CASES as MATH
        from cases_movement import CASES as MOVEMENT
        from cases_nn import CASES as NN

        PLAIN.update({c.op: c for c in reversed([*MATH, *MOVEMENT, *NN]) if c.op in SUPPORTED})
    return PLAIN


def changed(c: Case, note: str, **fields: Any) -> Case:
    kept = dict(
        arguments=c.arguments,
        attrs=c.attrs,
        constants=c.constants,
        outputs=c.outputs,
        opset=c.opset,
    )
    return Case(c.op, **(kept | fields), note=note)  # type: ignore[arg-type]


def of_every_operator() -> Iterator[Case]:  # noqa: C901 - a table
    """Inputs too few, too many, of another type, empty; attributes missing and of another type."""
    for c in plain().values():
        count = len(c.arguments)
        for kept in range(count):
            constants = tuple(i for i in c.constants if i < kept)
            yield changed(c, f"{kept} inputs", arguments=c.arguments[:kept], constants=constants)
            skipped = tuple(None if i == kept else a for i, a in enumerate(c.arguments))
            left = tuple(i for i in c.constants if i != kept)
            yield changed(c, f"no input {kept}", arguments=skipped, constants=left)
        yield changed(c, "more inputs", arguments=(*c.arguments, *[SCALAR] * 8))
        yield changed(c, "more outputs", outputs=c.outputs + 4)
        for name in c.attrs:
            rest = {k: v for k, v in c.attrs.items() if k != name}
            yield changed(c, f"without {name}", attrs=rest)
        for name, value in ODD_ATTRS:
            if (
                name in c.attrs
                or (name == "axis" and c.op in ("Softmax", "Concat", "Gather"))
                or name in ("speed", "alpha", "epsilon", "mode")
            ):
                yield changed(c, f"{name}={value}", attrs={**c.attrs, name: value})
        for i, dtype in itertools.product(
            range(count),
            ("float32", "float64", "float16", "int64", "int32", "uint8", "int8", "bool", "uint64"),
        ):
            if c.arguments[i] is not None and c.arguments[i].dtype != dtype:
                with np.errstate(invalid="ignore"):
                    one = c.arguments[i].astype(dtype)
                arguments = tuple(one if k == i else a for k, a in enumerate(c.arguments))
                yield changed(c, f"input {i} {dtype}", arguments=arguments)
        first = c.arguments[0] if count else None
        for dtype in (
            "float64",
            "float16",
            "int64",
            "int32",
            "uint8",
            "int8",
            "bool",
            "uint64",
            "int16",
            "uint16",
            "uint32",
        ):
            if first is not None:
                with np.errstate(invalid="ignore"):
                    arguments = tuple(
                        a.astype(dtype) if a is not None and a.dtype == first.dtype else a
                        for a in c.arguments
                    )
                yield changed(c, f"all {dtype}", arguments=arguments)
        for i in range(count):
            if c.arguments[i] is not None:
                for shape in ((0,), (), (1,), (1, 1, 1, 1, 1, 1)):
                    one = np.zeros(shape, c.arguments[i].dtype)
                    arguments = tuple(one if k == i else a for k, a in enumerate(c.arguments))
                    yield changed(c, f"input {i} of shape {shape}", arguments=arguments)


def limits() -> Iterator[Case]:
    """All of them."""
    yield from of_any_rank()
    yield from of_axes()
    yield from of_windows()
    yield from of_numbers()
    yield from of_every_operator()
