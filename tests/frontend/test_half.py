"""float16 operators compute in float32: what overflows float16 on the way is right at the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from both_ways import at_run_time, differing, folded
from cases_signals import CASES as OF_SIGNALS
from onnx_models import Case, case, expected, floats

from luthier.frontend.onnx.operators import OPERATORS


def half(*values: float) -> np.ndarray:
    return np.array(values, np.float16)


def full(value: float, *shape: int) -> np.ndarray:
    return np.full(shape, value, np.float16)


LARGE = full(300, 2, 3, 4, 5) * np.where(floats(2, 3, 4, 5) > 0, 1, -1).astype(np.float16)
ONES, BIAS = full(1, 3), full(-30000, 3)
AXIS = np.array([0])

SUMS = [
    case("ReduceSum", full(1, 20000)),
    case("ReduceSum", full(1, 20000, 3), AXIS, constants=(1,), note="columns"),
    case("ReduceSum", half(60000, 60000, -60000)),
    case("ReduceMean", full(60000, 3, 700)),
    case("ReduceMean", full(60000, 3, 7, 5), AXIS, constants=(1,)),
    case("ReduceL1", half(30000, 30000, 5000)),
    case("ReduceL2", half(3000, -4000)),
    case("ReduceL2", full(4000, 70)),
    case("ReduceSumSquare", full(0.5, 20000)),
    case("ReduceLogSum", full(60000, 300)),
    case("ReduceLogSumExp", full(11, 300)),
    case("ReduceProd", half(300, 300, 0.001, 7)),
    case("ReduceProd", half(0.001, 0.001, 0.001, 30000, 30000)),
    case("ReduceMax", half(60000, 65504, -np.inf)),
    case("ReduceMin", half(60000, 65504, np.inf)),
    case("CumSum", half(60000, 60000, -60000, -60000), np.int64(0), constants=(1,)),
    case("CumSum", full(1, 4000), np.int64(0), constants=(1,), note="ones"),
    case("Sum", half(60000, 1), half(60000, 2), half(-60000, 3)),
    case("Mean", half(60000, 1), half(60000, 2), half(60000, 3)),
    case("Einsum", half(300, 300), half(300, -299), equation="i,i->"),
    case("Einsum", LARGE[0], half(*[300] * 5), full(0.01, 3), equation="ijk,k,i->ij"),
]
WINDOWS = [
    case("GlobalAveragePool", full(50, 1, 1, 60, 60)),
    case("GlobalAveragePool", full(60000, 1, 2, 9)),
    case("GlobalAveragePool", full(60000, 1, 2, 3, 4, 5)),
    case("GlobalMaxPool", full(60000, 1, 2, 9)),
    *(
        case("AveragePool", full(60000, *shape), kernel_shape=[3] * rank, pads=[1, 1] * rank)
        for rank, shape in ((1, (1, 2, 9)), (2, (1, 2, 7, 9)), (3, (1, 2, 5, 6, 7)))
    ),
    case("AveragePool", full(60000, 1, 2, 7, 9), kernel_shape=[2, 3], count_include_pad=1),
    case("LRN", LARGE, size=3, alpha=1.0),
    case("LRN", LARGE, size=3, alpha=1e-6, bias=2.0),
    case("Resize", full(60000, 1, 1, 4, 5), None, np.float32([1, 1, 2, 2]), constants=(2,)),
    *(
        case(
            "Resize",
            np.tile(half(65000, 65000, 0, 65000, 65000), (1, 1, 4, 1)),
            None,
            np.float32([1, 1, 2.5, 2]),
            constants=(2,),
            mode=mode,
        )
        for mode in ("linear", "cubic")
    ),
    case("Upsample", LARGE, np.float32([1, 1, 2, 2]), constants=(1,), mode="linear", opset=9),
    case("GridSample", LARGE, floats(2, 4, 4, 2).clip(-1, 1).astype(np.float16), opset=16),
]
PRODUCTS = [
    case("MatMul", full(300, 2, 3), half(300, -300, 1).reshape(3, 1)),
    case("Gemm", full(300, 2, 2), full(300, 2, 2), full(20000, 2), alpha=0.1, beta=0.5),
    case("Gemm", full(300, 2, 2), full(300, 2, 2), full(-60000, 2), alpha=0.6),
    case("Conv", full(300, 1, 2, 4, 5), full(150, 3, 2, 1, 1), BIAS, constants=(1, 2)),
    case("Conv", full(300, 1, 2, 9), full(150, 3, 2, 1), BIAS, constants=(1, 2)),
    case("Conv", full(300, 1, 2, 3, 4, 5), full(150, 3, 2, 1, 1, 1), BIAS, constants=(1, 2)),
    case("ConvTranspose", full(300, 1, 2, 4, 5), full(150, 2, 3, 1, 1), BIAS, constants=(1, 2)),
    case("ConvTranspose", full(300, 1, 2, 9), full(150, 2, 3, 1), BIAS, constants=(1, 2)),
]
NORMS = [
    case("Softmax", half(60000, -60000, 59968)),
    case("LogSoftmax", half(60000, 0, 59968)),
    case("LayerNormalization", LARGE * 100, full(1, 5)),
    case("RMSNormalization", LARGE * 100, full(1, 5), opset=23),
    case("InstanceNormalization", LARGE * 100, ONES, ONES),
    case("GroupNormalization", LARGE * 100, ONES, ONES, num_groups=3, opset=21),
    case("MeanVarianceNormalization", LARGE * 100),
    case("BatchNormalization", LARGE * 200, ONES, ONES, full(-60000, 3), full(60000, 3)),
]
X = np.concatenate([half(0, -0.0, 65504, -65504, 60, -60, 300, -300, 1e-4), floats(30) * 4])
ACTIVATIONS = [
    *(
        case(op, X.astype(np.float16))
        for op in "Elu HardSigmoid Mish Selu Shrink Sigmoid Softplus Softsign Tanh".split()
    ),
    case("PRelu", X.astype(np.float16), half(0.3)),
    case("HardSwish", X.astype(np.float16)),
]
GELUS = [
    case("Gelu", X.astype(np.float16), opset=20),
    case("Gelu", X.astype(np.float16), approximate="tanh", opset=20),
]
SWISH = [case("Swish", X.astype(np.float16), alpha=5.0, opset=24)]
NEW = """
    Col2Im CumProd DFT DeformConv Det GlobalLpPool LpNormalization LpPool STFT
""".split()
# One of each, in halves; of one operator set.
SIGNALS = [
    replace(
        next(c for c in OF_SIGNALS if c.op == op and c.attrs.get("axis", 0) == 0),
        arguments=tuple(
            a.astype(np.float16) if a is not None and a.dtype == np.float32 else a
            for a in next(
                c for c in OF_SIGNALS if c.op == op and c.attrs.get("axis", 0) == 0
            ).arguments
        ),
        opset=26 if op == "CumProd" else 20,
    )
    for op in NEW
]


def recurrent(op: str, gates: int) -> Case:
    """Gates far from where they bend: what is added up for them overflows float16."""
    signs = np.where(floats(1, 2 * gates, 1) > 0, 1, -1).astype(np.float16)
    weights = full(300, 1, 2 * gates, 2) * signs
    return case(op, full(300, 3, 1, 2), weights, full(0.5, 1, 2 * gates, 2), hidden_size=2)


RECURRENT = [recurrent("RNN", 1), recurrent("GRU", 3), recurrent("LSTM", 4)]
IMAGES = [
    case("AffineGrid", full(30000, 1, 2, 3), np.array([1, 1, 2, 3]), constants=(1,), opset=20),
]
ALL = [
    *IMAGES,
    *RECURRENT,
    *SUMS,
    *WINDOWS,
    *PRODUCTS,
    *NORMS,
    *ACTIVATIONS,
    *GELUS,
    *SWISH,
    *SIGNALS,
]


def is_left_to_relax(one: Case) -> bool:
    """Those have no meaning in NumPy, and stay kernels."""
    return one.op in ("Conv", "ConvTranspose", "AveragePool") and one.arguments[0].ndim == 5


def in_float32(one: Case) -> np.ndarray:
    """What float32 gives, rounded at the end."""
    wide = [a.astype(np.float32) if a is not None else a for a in one.arguments]
    kept = [
        a if a is None or a.dtype != np.float16 else w
        for a, w in zip(one.arguments, wide, strict=True)
    ]
    proto = replace(one, arguments=tuple(kept))
    with np.errstate(over="ignore"):
        return expected(proto.model, proto.inputs)["out0"].astype(np.float16)


@pytest.mark.parametrize("opset", sorted({c.opset for c in ALL}))
def test_only_what_overflows_at_the_end_does(opset: int) -> None:
    cases = [c for c in ALL if c.opset == opset]
    for one, ran in zip(cases, at_run_time(cases), strict=True):
        assert not differing(ran, in_float32(one), rtol=2e-3, atol=2e-6), one


def test_folding_gives_the_same() -> None:
    cases = [c for c in ALL if c.opset == 18 and not is_left_to_relax(c)]
    for one, constant in zip(cases, folded(cases), strict=True):
        assert not differing(constant, in_float32(one), rtol=2e-3, atol=2e-6), one


def test_every_operator_of_several_steps_has_a_case() -> None:
    assert {c.op for c in ALL} >= {name for name, each in OPERATORS.items() if each.in_steps}
