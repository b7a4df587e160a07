"""Cases of elementwise operators, comparisons, reductions and matrix products."""

from __future__ import annotations

import numpy as np
from onnx_models import Case, booleans, case, floats, integers, positive

X = floats(3, 5, 7)
SPECIAL = np.array([-np.inf, -2.5, -0.5, -0.0, 0.0, 0.5, 1.5, 2.5, np.inf, np.nan], np.float32)

UNARY = [
    *(case(op, X) for op in "Abs Ceil Cos Erf Exp Floor Neg Round Sigmoid Sign Sin Tanh".split()),
    *(case(op, floats(3, 5) * 0.3) for op in "Acos Asin Atan Atanh Cosh Sinh Tan Asinh".split()),
    *(case(op, positive(3, 5)) for op in "Log Sqrt Reciprocal".split()),
    case("Acosh", positive(3, 5) + 1),
    case("Abs", integers(-9, 9, 3, 5)),
    case("Abs", integers(-9, 9, 3, 5, dtype="int8")),
    case("Neg", integers(-9, 9, 3, 5, dtype="int32")),
    case("Sign", integers(-2, 3, 3, 5)),
    case("Round", np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4], np.float32), note="halves"),
    case("Not", booleans(4, 3)),
    case("BitwiseNot", integers(0, 255, 4, 3, dtype="uint8")),
    case("IsNaN", SPECIAL),
    case("IsInf", SPECIAL),
    case("IsInf", SPECIAL, detect_negative=0),
    case("IsInf", SPECIAL, detect_positive=0),
    case("IsInf", SPECIAL, detect_positive=0, detect_negative=0),
    case("Identity", X),
    case("Exp", floats(3, 5, dtype="float64")),
]

ACTIVATIONS = [
    case("Relu", X),
    case("LeakyRelu", X),
    case("LeakyRelu", X, alpha=0.3),
    case("Elu", X),
    case("Elu", X * 60, alpha=0.7, note="large"),
    case("Selu", X),
    case("Selu", X, alpha=1.2, gamma=0.9),
    case("Celu", X, alpha=1.5),
    case("Swish", X, alpha=0.7, opset=24),
    case("Gelu", X, opset=20),
    case("Gelu", X, approximate="tanh", opset=20),
    case("HardSigmoid", X),
    case("HardSigmoid", X, alpha=0.4, beta=0.3),
    case("HardSwish", X * 3),
    case("Mish", X),
    case("Mish", X * 60, note="large"),
    case("PRelu", X, floats(5, 1), constants=(1,)),
    case("PRelu", X, floats(1), constants=(1,)),
    case("PRelu", X, floats(3, 5, 7)),
    case("Softplus", X * 60, note="large"),
    case("Softsign", X),
    case("ThresholdedRelu", X),
    case("ThresholdedRelu", SPECIAL[:-1], alpha=0.5, note="infinite"),
    case("Shrink", X),
    case("Shrink", X, lambd=0.3, bias=0.2),
    case("Shrink", X, lambd=-0.3, bias=0.2, note="overlapping"),
    *(
        case("Shrink", np.array([0, 1, 2, 3, 9], t), lambd=1.5, bias=1.0, note=t)
        for t in ("uint8", "uint64", "int32", "int64")
    ),
    case("Shrink", np.array([-9, -2, -1, 0, 1, 2, 9], np.int8), lambd=1.5, bias=1.0),
    *(
        case(op, floats(3, 5, dtype="float64"), opset=opset)
        for op, opset in [("Softplus", 18), ("Elu", 18), ("HardSigmoid", 18), ("Gelu", 20)]
    ),
]

A, B, ROW, COLUMN = floats(3, 5, 7), floats(3, 5, 7, seed=1), floats(7), floats(5, 1)
K, J = integers(-20, 20, 3, 5, 7), integers(1, 6, 3, 5, 7, seed=1)

BINARY = [
    *(case(op, A, B) for op in "Add Sub Mul Div".split()),
    *(case(op, A, ROW) for op in "Add Sub Mul Div".split()),
    *(case(op, COLUMN, A, constants=(0,)) for op in "Add Sub Mul Div".split()),
    *(case(op, A, np.float32(0.3), constants=(1,)) for op in "Add Sub Mul Div".split()),
    *(case(op, K, J) for op in "Add Sub Mul Div".split()),
    case("Div", K, J * np.where(K > 0, 1, -1), note="towards-zero"),
    case("Div", K, np.int64(-3), constants=(1,), note="by-a-literal"),
    case("Add", K.astype("int32"), J.astype("int32")),
    case("Mul", A.astype("float64"), B.astype("float64")),
    case("Pow", positive(3, 5), floats(3, 5)),
    case("Pow", A, np.float32(2), constants=(1,)),
    case("Pow", A, np.int64(3), constants=(1,), note="integer-exponent"),
    case("Pow", J, np.array([2, 1, 3, 0, 2, 1, 2]), note="integers"),
    case("Pow", J, positive(7), note="integer-base"),
    case("Pow", integers(1000, 5000, 7), np.float32(3), note="exact"),
    case("Mod", K, np.int64(4), constants=(1,)),
    case("Mod", K, J * np.where(B > 0, 1, -1)),
    case("Mod", A, B, fmod=1),
    case("Mod", K, J * np.where(B > 0, 1, -1), fmod=1),
    *(case(op, K, J, note="integers") for op in "Equal Less Greater".split()),
    *(case(op, A, ROW) for op in "Less LessOrEqual Greater GreaterOrEqual".split()),
    case("Equal", integers(0, 3, 4, 5), integers(0, 3, 5, seed=1)),
    case("Equal", booleans(4, 5), booleans(5, seed=1)),
    *(case(op, booleans(4, 5), booleans(5, seed=1)) for op in "And Or Xor".split()),
    *(case(f"Bitwise{op}", K, J) for op in "And Or Xor".split()),
    case(
        "BitShift",
        integers(0, 99, 9, dtype="uint8"),
        np.arange(9, dtype="uint8") % 8,
        direction="LEFT",
    ),
    case(
        "BitShift",
        integers(0, 99, 9, dtype="uint32"),
        np.arange(9, dtype="uint32"),
        direction="RIGHT",
    ),
    case("Where", booleans(3, 5, 1), A, ROW),
    case("Where", booleans(7), A, np.float32(1), constants=(2,)),
    case("Where", booleans(3, 1, 7), K, J),
]

SEVERAL = [
    *(case(op, A, ROW, COLUMN) for op in "Max Min Sum Mean".split()),
    *(case(op, A) for op in "Max Min Sum Mean".split()),
    *(case(op, A, ROW, constants=(1,)) for op in "Max Min Sum Mean".split()),
    case("Max", K, J),
    case("Min", K.astype("int32"), J.astype("int32")),
    case("Max", floats(4, 5), np.float32(0), constants=(1,), note="zero"),
]

CASTS = [
    case("Cast", A * 9, to=6),
    case("Cast", A, to=11),
    case("Cast", positive(4, 5) * 99, to=2),
    case("Cast", A * 50, to=3),
    case("Cast", A * 300, to=3, note="wraps"),
    case("Cast", K * 100, to=3, note="integers-wrap"),
    case("Cast", positive(4, 5) * 2e9, to=12),
    case("Cast", A.astype("float64"), to=1),
    case("Cast", K, to=1),
    case("Cast", K, to=9),
    case("Cast", booleans(4, 5), to=1),
    case("Cast", A * 9, to=10),
    case("Cast", integers(0, 255, 4, 5, dtype="uint8"), to=7),
    case("CastLike", K, A),
    case("CastLike", A * 9, K.astype("int32")),
]

LIMITS = {
    t: np.array([np.iinfo(t).min, np.iinfo(t).max, 0, 1, 7], t)
    for t in ("int64", "uint64", "int32")
}
CLIPS = [
    case("Clip", A, min=-0.5, max=0.7, opset=7),
    case("Clip", A, max=0.7, opset=7),
    *(  # until operator set 11, the bounds that are not given are the largest float32s
        case("Clip", np.array([np.inf, -np.inf, np.nan, 1, 9], np.float32), opset=opset, **bound)
        for opset in (7, 10)
        for bound in ({"max": 3.0}, {"min": -3.0}, {})
    ),
    case("Clip", np.array([np.inf, -np.inf, 9], np.float32), None, np.float32(3), constants=(2,)),
    case("Clip", A, np.float32(-0.5), np.float32(0.7), constants=(1, 2)),
    case("Clip", A, None, np.float32(0.7), constants=(2,)),
    case("Clip", A, np.float32(0), np.float32(6), constants=(1, 2), note="relu6"),
    case("Clip", A, np.float32(-0.5)),
    case("Clip", A, np.float32(-0.5), np.float32(0.5), note="runtime"),
    case("Clip", A, opset=13, note="no-bounds"),
    case("Clip", A, np.float32(0.5), np.float32(-0.5), constants=(1, 2), note="crossed"),
    case("Clip", K, np.int64(-3), np.int64(4), constants=(1, 2)),
    case("Clip", K, None, np.int64(2**62 + 1), constants=(2,), note="exact"),
    *(
        case("Clip", LIMITS[t], *bounds, constants=c, note=f"{t}-one-bound")
        for t, low, high in (
            ("int64", np.int64(-3), np.int64(2**63 - 2)),
            ("uint64", np.uint64(3), np.uint64(2**64 - 2)),
            ("int32", np.int32(-(2**31) + 1), np.int32(4)),
        )
        for bounds, c in (((low,), (1,)), ((None, high), (2,)))
    ),
    case("Clip", K.astype("int8"), np.int8(-3), constants=(1,)),
]

_REDUCE = "L1 L2 LogSumExp Max Mean Min Prod Sum SumSquare".split()
REDUCTIONS = [
    *(case(f"Reduce{op}", A, axes=[1], opset=11) for op in _REDUCE),
    *(case(f"Reduce{op}", A, axes=[-1, 0], keepdims=0, opset=11) for op in _REDUCE),
    *(case(f"Reduce{op}", A, opset=13, note="all") for op in _REDUCE),
    *(case(f"Reduce{op}", A, np.array([1, -1]), constants=(1,), opset=18) for op in _REDUCE),
    *(case(f"Reduce{op}", A, opset=18, keepdims=0) for op in _REDUCE),
    case("ReduceLogSum", positive(3, 5, 7), axes=[1], opset=11),
    *(
        case(op, integers(low, 9, 3, 5, 7, dtype=dtype), axes=[1], opset=13, keepdims=keep)
        for op, low in (("ReduceL2", -9), ("ReduceLogSum", 1), ("ReduceLogSumExp", -9))
        for dtype, keep in (("int32", 0), ("int64", 1))
    ),
    case("ReduceL2", np.full((2, 3), 2**20, np.int32), axes=[1], opset=13),
    case("ReduceLogSumExp", np.full((2, 9), -100), axes=[1], opset=13),
    case("ReduceLogSumExp", integers(-9, 9, 2, 3), noop_with_empty_axes=1),
    case("ReduceLogSum", positive(3, 5, 7), np.array([-2]), constants=(1,), keepdims=0),
    case(
        "ReduceSum", A, np.array([], np.int64), constants=(1,), noop_with_empty_axes=1, note="noop"
    ),
    case("ReduceSum", A, np.array([], np.int64), constants=(1,), note="empty-axes"),
    case("ReduceSum", A, np.array([1]), constants=(1,), opset=13),
    case("ReduceMax", K, np.array([1]), constants=(1,)),
    case("ReduceMin", K.astype("int32"), np.array([0]), constants=(1,)),
    case("ReduceSum", K, np.array([0]), constants=(1,)),
    case("ReduceMean", A.astype("float64"), np.array([0]), constants=(1,)),
    *(case(op, A, axis=1) for op in ("ArgMax", "ArgMin")),
    *(case(op, A, axis=-1, keepdims=0) for op in ("ArgMax", "ArgMin")),
    *(
        case(op, integers(0, 3, 4, 9), axis=1, select_last_index=last)
        for op in ("ArgMax", "ArgMin")
        for last in (0, 1)
    ),
]

SUMS_ALONG = [
    case("CumSum", A, np.int64(1), constants=(1,)),
    case("CumSum", A, np.int64(-1), constants=(1,), exclusive=1),
    case("CumSum", A, np.int64(0), constants=(1,), reverse=1),
    case("CumSum", A, np.array([2]), constants=(1,), reverse=1, exclusive=1),
    case("CumSum", K, np.int64(1), constants=(1,)),
    case("CumSum", K.astype("int32"), np.int32(2), constants=(1,)),
]

PRODUCTS = [
    case("MatMul", floats(5, 7), floats(7, 3)),
    case("MatMul", floats(5, 7), floats(7, 3), constants=(1,)),
    case("MatMul", floats(2, 1, 5, 7), floats(3, 7, 4)),
    case("MatMul", floats(7), floats(7, 3)),
    case("MatMul", floats(2, 5, 7), floats(7)),
    case("MatMul", floats(7), floats(7, seed=1)),
    case("MatMul", integers(-5, 5, 3, 4, dtype="int32"), integers(-5, 5, 4, 2, dtype="int32")),
    case("Gemm", floats(5, 7), floats(7, 3), constants=(1,)),
    case("Gemm", floats(5, 7), floats(7, 3), floats(3), constants=(1, 2)),
    case("Gemm", floats(5, 7), floats(3, 7), floats(5, 1), transB=1, alpha=0.7, beta=0.3),
    case("Gemm", floats(7, 5), floats(7, 3), floats(1), transA=1, constants=(1, 2), beta=2.0),
    case("Gemm", floats(7, 5), floats(3, 7), floats(5, 3), transA=1, transB=1),
    case("Gemm", floats(5, 7), floats(7, 3), np.full(3, np.nan, "float32"), beta=0.0),
    case("Gemm", floats(5, 7), floats(7, 3), floats(3), alpha=0.0, beta=0.0),
    case(
        "Gemm",
        floats(5, 7) * np.float32(1e38),
        floats(7, 3) * np.float32(1e-37),
        alpha=9.0,
        note="large",
    ),
    case("Einsum", floats(5, 7), floats(7, 3), equation="ij,jk->ik"),
    case("Einsum", floats(5, 7), equation="ij->ji"),
    case("Einsum", floats(5, 7), equation="ij->i"),
    case("Einsum", floats(5, 7), equation="ij->"),
    case("Einsum", floats(5, 7), floats(7, 3), equation="ij,jk"),
    case("Einsum", floats(2, 5, 7), floats(2, 7, 3), equation="...ij,...jk->...ik"),
    case("Einsum", floats(2, 5, 7), floats(7, 3), equation="bij, jk -> bki"),
    case("Einsum", floats(4, 5, 5), equation="...ii->...i"),
    case("Einsum", floats(5, 5), equation="ii"),
    case("Einsum", floats(5), floats(7), equation="i,j->ij"),
    case("Einsum", floats(5), floats(5, seed=1), equation="i,i"),
    case("Einsum", floats(2, 3), floats(3, 4), floats(4, 5), equation="ab,bc,cd->ad"),
    case("Einsum", floats(2, 3), floats(2, 3, seed=1), floats(2), equation="ab,ab,a->b"),
    case("Einsum", floats(2, 6, 3, 4), floats(2, 5, 3, 4), equation="bqhd,bkhd->bhqk"),
    case("Einsum", floats(2, 1, 4), floats(3, 4), equation="...d,...d->..."),
]

CASES: list[Case] = [
    *UNARY,
    *ACTIVATIONS,
    *BINARY,
    *SEVERAL,
    *CASTS,
    *CLIPS,
    *REDUCTIONS,
    *SUMS_ALONG,
    *PRODUCTS,
]
