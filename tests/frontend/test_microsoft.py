"""ONNX Runtime's own operators compute what ONNX Runtime computes, with all of their attributes."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import test_microsoft_attention as attention
import test_microsoft_decoders as decoders
import test_microsoft_layers as layers
import test_microsoft_packed as packed
import test_microsoft_recurrent as recurrent
from microsoft_models import DOMAIN, agree, model, single, typed
from onnx import helper
from onnx_models import TARGET, compute, floats, integers, positive

from luthier.frontend import import_model
from luthier.frontend.onnx.microsoft.generation.operators import OPERATORS as GENERATION
from luthier.frontend.onnx.microsoft.operators import EARLY, SPELLED
from luthier.schedules import ModelError

X, ROWS = floats(2, 5, 12), floats(12, seed=1)
IMAGE = floats(2, 4, 7, 9)
F16 = np.float16


def byte(*shape: int, seed: int = 0) -> np.ndarray:
    return integers(0, 256, *shape, seed=seed, dtype="uint8")


def signed(*shape: int, seed: int = 0) -> np.ndarray:
    """Such that no pair of products of theirs overflows 16 bits, which some processors add up."""
    return integers(-64, 64, *shape, seed=seed, dtype="int8")


def number(value: float) -> np.ndarray:
    return np.asarray(value, np.float32)


ONE, TWO, THREE = number(0.021), number(0.013), number(0.037)
AT = np.uint8(119), np.uint8(131), np.uint8(97)
GAMMA, BETA = positive(12), floats(12, seed=3)
SUMS, SCALES = integers(-99, 99, 6, dtype="int32"), positive(6) * number(0.01)

NORMS = [
    ("LayerNormalization", (X, GAMMA, BETA), {"domain": "", "opset": 11, "epsilon": 1e-3}),
    ("LayerNormalization", (X, GAMMA), {"domain": "", "opset": 13}),
    (
        "LayerNormalization",
        (X, positive(5, 12), floats(5, 12)),
        {"domain": "", "opset": 11, "axis": 1},
    ),
    ("SimplifiedLayerNormalization", (X, GAMMA), {"domain": "", "opset": 14}),
    ("SimplifiedLayerNormalization", (X, GAMMA), {"domain": "", "opset": 17, "epsilon": 1e-2}),
    ("SkipLayerNormalization", (X, X[::-1], GAMMA, BETA, ROWS), {"outputs": (0, 3)}),
    ("SkipLayerNormalization", (X, X[:1], GAMMA), {"opset": 11, "epsilon": 1e-3}),
    ("SkipLayerNormalization", (X[0], X[1], GAMMA, BETA), {"opset": 12}),
    ("SkipLayerNormalization", tuple(a.astype(F16) for a in (X, X + 1, GAMMA, BETA)), {}),
    ("SkipSimplifiedLayerNormalization", (X, X[::-1], GAMMA), {"outputs": (0, 3)}),
    ("SkipSimplifiedLayerNormalization", (X, X[::-1], GAMMA, ROWS), {"opset": 13}),
    *(
        (
            "EmbedLayerNormalization",
            (
                integers(0, 9, 2, 5, dtype="int32"),
                integers(0, 3, 2, 5, dtype="int32") if kinds else None,
                floats(9, 12),
                floats(8, 12, seed=4),
                floats(3, 12, seed=5) if kinds else None,
                GAMMA,
                BETA,
                integers(0, 2, 2, 5, dtype="int32") if masked else None,
                *((integers(0, 8, 1, 5, dtype="int32"),) if placed else ()),
            ),
            {"constants": (2, 3, 4, 5, 6), "outputs": (0, 1), "opset": 11, "epsilon": 1e-5},
        )
        for kinds, masked, placed in ((1, 1, 0), (0, 0, 0), (1, 0, 1))
    ),
]
ACTIVATIONS = [
    ("Gelu", (X,), {"opset": 11}),
    ("BiasGelu", (X, ROWS), {"opset": 11}),
    ("FastGelu", (X, ROWS), {"opset": 11}),
    ("FastGelu", (X,), {}),
    ("QuickGelu", (X,), {}),
    ("QuickGelu", (X,), {"alpha": 0.5}),
]
PRODUCTS = [
    ("FusedMatMul", (floats(3, 4, 5), floats(3, 5, 6)), {"alpha": 0.5}),
    ("FusedMatMul", (floats(3, 5, 4), floats(3, 5, 6)), {"transA": 1}),
    ("FusedMatMul", (floats(3, 5, 4), floats(3, 6, 5)), {"transA": 1, "transB": 1, "opset": 11}),
    ("FusedMatMul", (floats(4, 3, 5), floats(3, 5, 6)), {"transBatchA": 1}),
    ("FusedMatMul", (floats(3, 4, 5), floats(6, 3, 5)), {"transB": 1, "transBatchB": 1}),
    ("TransposeMatMul", (floats(3, 4, 5), floats(3, 6, 5)), {"transB": 1, "alpha": 2.0}),
    ("FusedGemm", (floats(4, 5), floats(5, 6), floats(6)), {"activation": "Relu", "alpha": 0.5}),
    (
        "FusedGemm",
        (floats(5, 4), floats(6, 5), floats(4, 6)),
        {"activation": "LeakyRelu", "activation_alpha": 0.2, "transA": 1, "transB": 1},
    ),
    *(
        ("FusedGemm", (floats(4, 5), floats(5, 6)), {"activation": name, "opset": 13, **more})
        for name, more in (
            ("Celu", {"activation_alpha": 0.5}),
            ("Elu", {"activation_alpha": 0.5}),
            ("Selu", {"activation_alpha": 1.5, "activation_gamma": 2.0}),
            ("Softplus", {}),
            ("Softsign", {}),
            ("ThresholdedRelu", {"activation_alpha": 0.5}),
        )
    ),
    *(
        (
            "FusedConv",
            (IMAGE, floats(6, 4, 3, 3), floats(6)),
            {"activation": name, "constants": (1, 2), "pads": [1, 1, 1, 1], "opset": opset, **more},
        )
        for name, opset, more in (
            ("Relu", 11, {}),
            ("Tanh", 11, {}),
            ("Sigmoid", 17, {"strides": [2, 2]}),
            ("LeakyRelu", 11, {"activation_params": [0.3]}),
            ("Clip", 10, {"activation_params": [-0.5, 0.5]}),
            ("Clip", 17, {"activation_params": [-0.5, 0.5]}),
            ("HardSigmoid", 17, {"activation_params": [0.3, 0.4]}),
        )
    ),
    (
        "FusedConv",
        (IMAGE, floats(6, 4, 1, 1), floats(6), floats(2, 6, 7, 9)),
        {"activation": "Relu", "constants": (1, 2)},
    ),
]
MOVEMENTS = [
    ("CDist", (floats(5, 3), floats(4, 3)), {"metric": "sqeuclidean"}),
    ("CDist", (floats(5, 3), floats(4, 3)), {"metric": "euclidean", "opset": 12}),
    ("ExpandDims", (X, np.int32(-2)), {"constants": (1,), "opset": 11}),
    ("ExpandDims", (X, np.int32(0)), {"constants": (1,)}),
    ("GatherND", (X, integers(0, 2, 3, 2)), {"opset": 12}),
    ("GatherND", (X, integers(0, 2, 3, 2, dtype="int32")), {}),
    ("GridSample", (IMAGE, floats(2, 3, 4, 2)), {"padding_mode": "border", "align_corners": 1}),
    ("GridSample", (IMAGE, floats(2, 3, 4, 2)), {"mode": "bicubic", "opset": 20}),
    ("GridSample", (IMAGE, floats(2, 3, 4, 2)), {"mode": "bicubic", "opset": 11}),
    ("Pad", (X, np.array([0, 1, 2, 0, 0, 1]), number(7)), {"constants": (1, 2), "opset": 11}),
    ("Pad", (X, np.array([[0, 1, 2, 0, 0, 1]])), {"constants": (1,), "mode": "reflect"}),
    ("Range", (np.int64(2), np.int64(11), np.int64(3)), {"constants": (0, 1, 2)}),
    ("Range", (np.float32(2), np.float32(6)), {"constants": (0, 1)}),
    ("SampleOp", (X,), {}),
    ("Trilu", (floats(2, 5, 7), np.int64(-1)), {"constants": (1,), "upper": 0}),
    ("Trilu", (floats(2, 5, 7),), {"opset": 14}),
    ("Trilu", (floats(2, 5, 7),), {"opset": 12}),
    ("Trilu", (floats(5, 4), np.int64(1)), {"opset": 12}),
    ("Trilu", (integers(-9, 9, 3, 5), np.int64(-1)), {"opset": 9, "upper": 0}),
    ("UnfoldTensor", (X,), {"dim": -1, "size": 5, "step": 2}),
    ("UnfoldTensor", (X,), {"dim": 1, "size": 2}),
]
QUANTIZED = [
    *((op, (byte(2, 5, 7), ONE, AT[0], byte(5, 1, seed=1), TWO, AT[1], THREE, AT[2]), {})
      for op in ("QLinearAdd", "QLinearMul")),
    ("QLinearAdd", (signed(3, 4), ONE, np.int8(3), signed(3, 4, seed=1), TWO, np.int8(9), THREE,
      np.int8(-7)), {}),
    ("QLinearSigmoid", (byte(3, 50), THREE, AT[0], number(1 / 256), np.uint8(0)), {}),
    ("QLinearLeakyRelu", (signed(3, 50), ONE, np.int8(4), TWO, np.int8(-9)), {"alpha": 0.2}),
    *(
        ("QLinearSoftmax", (byte(2, 5, 6), THREE, AT[0], number(1 / 256), np.uint8(0)),
         {"axis": axis, "opset_": opset})
        for axis, opset in ((-1, 13), (1, 13), (1, 12), (2, 12))
    ),
    ("QLinearConcat", (THREE, AT[2], byte(2, 3), ONE, AT[0], byte(2, 4), TWO, AT[1]), {"axis": 1}),
    ("QLinearWhere",
     (integers(0, 2, 3, 4).astype(bool), byte(3, 4), ONE, AT[0], byte(4, seed=1), TWO, AT[1],
      THREE, AT[2]), {}),
    ("QLinearGlobalAveragePool", (byte(2, 4, 5, 6), ONE, AT[0], TWO, AT[1]), {}),
    ("QLinearGlobalAveragePool", (byte(2, 5, 6, 4), ONE, AT[0], TWO, AT[1]), {"channels_last": 1}),
    ("QLinearAveragePool", (byte(2, 4, 7, 6), ONE, AT[0], TWO, AT[1]),
     {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("QLinearAveragePool", (byte(2, 7, 6, 4), ONE, AT[0], TWO, AT[1]),
     {"kernel_shape": [3, 3], "channels_last": 1, "count_include_pad": 1, "pads": [1, 0, 1, 0]}),
    ("QuantizeLinear", (X, ONE, AT[0]), {}),
    ("QuantizeLinear", (X, positive(5), byte(5)), {"axis": 1}),
    ("DequantizeLinear", (byte(2, 5, 7), ONE, AT[0]), {"opset": 11}),
    ("DequantizeLinear", (signed(2, 5, 7), positive(7), np.zeros(7, np.int8)), {"axis": 2}),
    *(("DequantizeLinear",
       (integers(np.iinfo(kind).min, np.iinfo(kind).max, 2, 5, dtype=kind), number(1e-4), zero),
       {"opset": opset})
      for kind, zero, opset in (("int16", np.int16(-9), 17), ("uint16", np.uint16(40000), 13),
                                ("int16", None, 12))),
    *(("QuantizeLinear", (X, number(1e-4), zero), {"opset": 15})
      for zero in (np.int16(-9), np.uint16(40000))),
]  # fmt: skip
QUANTIZED_PRODUCTS = [
    ("MatMulIntegerToFloat", (byte(2, 5, 8), signed(8, 6), ONE, TWO), {}),
    ("MatMulIntegerToFloat",
     (byte(5, 8), signed(8, 6), ONE, positive(6), AT[0], signed(6, seed=2), floats(6)),
     {"constants": (1, 3, 5, 6)}),
    ("DynamicQuantizeMatMul", (floats(2, 5, 8), signed(8, 6), ONE, np.int8(3)),
     {"constants": (1, 2, 3)}),
    ("DynamicQuantizeMatMul",
     (floats(5, 8), signed(8, 6), positive(6), signed(6, seed=2), floats(6)),
     {"constants": (1, 2, 3, 4)}),
    ("QGemm", (byte(5, 8), ONE, AT[0], signed(8, 6), TWO, np.int8(0), SUMS,
               THREE, AT[2]), {"constants": (3, 4, 5, 6)}),
    ("QGemm", (byte(8, 5), ONE, AT[0], signed(6, 8), SCALES, signed(6) * 0, None),
     {"transA": 1, "transB": 1, "alpha": 0.5, "constants": (3, 4, 5)}),
    *(
        ("QLinearConv",
         (byte(*shape), ONE, AT[0], signed(6, 4, 3, 3), positive(6) * number(0.01),
          np.zeros(6, np.int8), THREE, AT[2], integers(-500, 500, 6, dtype="int32")),
         {"channels_last": last, "pads": [1, 1, 1, 1], "constants": (3, 4, 5, 8)})
        for last, shape in ((0, (1, 4, 7, 5)), (1, (1, 7, 5, 4)))
    ),
]  # fmt: skip


def few_bits(bits: int, rows: int, depth: int, block: int, *, zeros: str = "", **more: Any) -> Any:
    """A product with a random matrix of few bits."""
    blocks = -(-depth // block)
    b = byte(rows, blocks, block * bits // 8)
    scales = positive(rows * blocks) * number(0.1)
    zero = {
        "": None,
        "packed": byte(rows * -(-blocks * bits // 8), seed=2),
        "floats": positive(rows, blocks) * number(8),
    }[zeros]
    attrs = {"K": depth, "N": rows, "bits": bits, "block_size": block}
    return (
        "MatMulNBits",
        (floats(2, 3, depth), b, scales, zero),
        {**attrs, "constants": (1, 2, 3), **more},
    )


FEW_BITS = [
    few_bits(4, 6, 32, 16),
    few_bits(4, 5, 40, 16, opset=11),
    few_bits(4, 6, 64, 16, zeros="packed"),
    few_bits(4, 6, 48, 16, zeros="packed"),
    few_bits(4, 6, 48, 16, zeros="floats"),
    few_bits(8, 6, 64, 32),
    few_bits(8, 6, 64, 32, zeros="packed"),
    few_bits(2, 6, 64, 32),
]
TABLE = byte(9, 16)
WORDS = integers(0, 9, 2, 3)
NARROW = integers(-8, 8, 9, 20, 5, dtype="int8").astype(ml_dtypes.int4)
GATHERED = [
    ("GatherBlockQuantized", (byte(9, 32), WORDS, positive(9, 2), byte(9, 2)),
     {"bits": 8, "block_size": 16, "opset": 21}),
    ("GatherBlockQuantized", (byte(9, 3, 8), WORDS - 9, positive(9, 3, 2).astype(F16)),
     {"bits": 2, "block_size": 16, "quantize_axis": 2, "opset": 21}),
    *(("GatherBlockQuantized", (NARROW, integers(0, 5, 2, 3), positive(*blocks)),
       {"block_size": 16, "gather_axis": 2, "quantize_axis": axis, "opset": 21,
        "constants": (0, 2)})
      for axis, blocks in ((1, (9, 2, 5)), (2, (9, 20, 1)))),
    *(("GatherBlockQuantized", (table, integers(0, 9, 2, 3), positive(9, 2, 5)),
       {"block_size": 16, "opset": 17, "constants": (0, 2)})
      for table in (NARROW, byte(9, 20, 5).astype(ml_dtypes.uint4),
                    floats(9, 20, 5).astype(ml_dtypes.float8_e5m2),
                    floats(9, 20, 5).astype(ml_dtypes.float8_e4m3fn))),
    ("GatherBlockQuantized",
     (TABLE, integers(0, 9, 2, 3), positive(9, 2)),
     {"bits": 4, "block_size": 16, "quantize_axis": 1, "gather_axis": 0, "opset": 17}),
    ("GatherBlockQuantized",
     (TABLE, integers(0, 9, 2, 3), positive(9, 2), byte(9, 1)),
     {"bits": 4, "block_size": 16, "quantize_axis": 1, "gather_axis": 0, "opset": 17}),
]  # fmt: skip
FAMILIES = {
    "norms": NORMS,
    "activations": ACTIVATIONS,
    "products": PRODUCTS,
    "movements": MOVEMENTS,
    "quantized": QUANTIZED,
    "products of few bits": [*QUANTIZED_PRODUCTS, *FEW_BITS, *GATHERED],
}
CASES = [
    pytest.param(*case, id=f"{case[0]}-{i}")
    for cases in FAMILIES.values()
    for i, case in enumerate(cases)
]
SKIPPED = {"opset_": "opset"}


@pytest.mark.parametrize(("op", "arguments", "attrs"), CASES)
def test_an_operator_means_what_onnx_runtime_computes(
    op: str, arguments: tuple[np.ndarray | None, ...], attrs: dict[str, Any]
) -> None:
    proto, inputs = single(op, *arguments, **{k: v for k, v in attrs.items() if k != "opset_"})
    if "opset_" in attrs:  # the attribute of that name is not an operator set of the model
        (node,) = proto.graph.node
        node.attribute.append(helper.make_attribute("opset", attrs["opset_"]))
    half = any(a is not None and a.dtype == F16 for a in arguments)
    agree(proto, inputs, rtol=2e-3 if half else 1e-4, atol=2e-3 if half else 1e-5)


# ---- of which ONNX Runtime has no kernel for processors ----


def half_of_gelu(x: np.ndarray) -> np.ndarray:
    left, right = np.split(x, 2, axis=-1)
    erf = np.vectorize(math.erf)
    return (left * right * 0.5 * (1 + erf(right / math.sqrt(2)))).astype(np.float32)


LAST, KERNEL = floats(1, 6, 5, 3), floats(4, 3, 1, 1)
CONVOLVED = np.einsum("nhwc,kc->nhwk", LAST, KERNEL[:, :, 0, 0])
GROUPED = positive(3), floats(3, seed=2)


def by_groups(x: np.ndarray, epsilon: float, groups: int) -> np.ndarray:
    """Of images with channels last."""
    apart = x.reshape(*x.shape[:3], groups, -1)
    mean = apart.mean((1, 2, 4), keepdims=True)
    spread = np.sqrt(apart.var((1, 2, 4), keepdims=True) + epsilon)
    y = ((apart - mean) / spread).reshape(x.shape)
    return (y * GROUPED[0] + GROUPED[1]).astype(np.float32)


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


WINNERS = integers(0, 9, 2, 3)
BYTES, CHARS = byte(2, 5), signed(2, 5, seed=1)
FACTORS = (BYTES.astype(np.int32) - AT[0]) * (byte(5, seed=1).astype(np.int32) - AT[1])
MEAN = np.round((BYTES.astype(np.float32) - AT[0]).mean(1) * (ONE / THREE)) + AT[2]
BY_TEXT = [
    ("MulInteger", (BYTES, AT[0], byte(5, seed=1), AT[1]), {}, FACTORS),
    ("MulInteger", (CHARS, None, CHARS, np.int8(3)), {}, CHARS * 1 * (CHARS.astype("int32") - 3)),
    ("ReduceSumInteger", (BYTES,), {"axes": [1], "keepdims": 0}, BYTES.sum(1, dtype="uint32")),
    ("ReduceSumInteger", (CHARS,), {"axes": [0]}, CHARS.sum(0, dtype="int32", keepdims=True)),
    (
        "QLinearReduceMean",
        (BYTES, ONE, AT[0], THREE, AT[2]),
        {"axes": [1], "keepdims": 0},
        MEAN.astype(np.uint8),
    ),
    ("BiasAdd", (X, ROWS, X[::-1]), {}, X + ROWS + X[::-1]),
    ("BiasDropout", (X, ROWS, X[::-1]), {}, X + ROWS + X[::-1]),
    ("BiasSplitGelu", (X, ROWS), {}, half_of_gelu(X + ROWS)),
    ("IsAllFinite", (X, ROWS), {}, np.array(True)),
    ("IsAllFinite", (X, np.array([1, np.nan], np.float32)), {}, np.array(False)),
    ("IsAllFinite", (np.array([1, -np.inf], np.float32),), {"isnan_only": 1}, np.array(True)),
    ("IsAllFinite", (np.array([1, -np.inf], np.float32),), {"isinf_only": 1}, np.array(False)),
    ("NhwcConv", (LAST, KERNEL), {"constants": (1,)}, CONVOLVED),
    (
        "NhwcFusedConv",
        (LAST, KERNEL),
        {"constants": (1,), "activation": "Relu"},
        np.maximum(CONVOLVED, 0),
    ),
    ("TorchEmbedding", (floats(9, 4), WINNERS), {}, floats(9, 4)[WINNERS]),
    ("GroupNorm", (LAST, *GROUPED), {"groups": 1, "epsilon": 1e-3}, by_groups(LAST, 1e-3, 1)),
    (
        "SkipGroupNorm",
        (LAST, *GROUPED, LAST[:, 0, 0], floats(3)),
        {"groups": 3, "activation": 1},
        silu(by_groups(LAST + LAST[:, :1, :1] + floats(3), 1e-5, 3)),
    ),
]


@pytest.mark.parametrize(
    ("op", "arguments", "attrs", "wanted"), BY_TEXT, ids=[case[0] for case in BY_TEXT]
)
def test_an_operator_means_what_its_text_says(
    op: str, arguments: tuple[np.ndarray, ...], attrs: dict[str, Any], wanted: np.ndarray
) -> None:
    proto, inputs = single(op, *arguments, **attrs)
    typed(proto, {"out0": wanted})
    (ours,) = compute(import_model(proto, TARGET), inputs).values()
    assert (ours.dtype, ours.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_allclose(ours, wanted, 1e-4, 1e-5)


@pytest.mark.parametrize("opset", [7, 8])
def test_an_old_operator_set_has_no_constants_of_whole_numbers(opset: int) -> None:
    agree(*single("UnfoldTensor", floats(3, 9), dim=-1, size=3, step=2, opset=opset))


def test_every_operator_has_a_case() -> None:
    here = [case for family in FAMILIES.values() for case in family]
    others = (attention, decoders, layers, packed, recurrent)
    there = [case for o in others for family in o.FAMILIES.values() for case in family.values()]
    alone = (attention.ROTARY, decoders.SPARSE, packed.PRODUCTS)
    there += [case for cases in alone for case in cases.values()]
    tested = {case[0] for case in [*here, *there, *BY_TEXT]}
    # Of which test_microsoft_sizes.py, test_sparse.py and test_generation.py have some.
    alone_too = {"BifurcationDetector", "SparseToDenseMatMul", "Unique", *GENERATION}
    assert tested | alone_too == {*SPELLED, *EARLY}


# ---- what is refused ----

REFUSED = [
    (
        "Frobnicate",
        (X,),
        {},
        r"com.microsoft.Frobnicate \(1 node, 'the_node'\): export without ONNX Runtime's fusions",
    ),
    ("Gelu", (X,), {"colour": 1}, "Gelu 'the_node': its attribute 'colour' is not supported"),
    ("Gelu", (X, X), {}, "Gelu 'the_node': it has 2 inputs, not 1"),
    ("QuickGelu", (X,), {"alpha": "much"}, "its attribute 'alpha' is of another type"),
    ("QuickGelu", (X,), {"alpha": float("nan")}, "its attribute 'alpha' is nan"),
    ("BiasGelu", (X, floats(5)), {}, "its inputs do not go together"),
    ("BiasSplitGelu", (X,), {}, "its input 1 is left out"),
    ("BiasSplitGelu", (floats(2, 3), floats(3)), {}, "a last dimension of 3"),
    ("Attention", (X, floats(12, 36), floats(36)), {"num_heads": 5}, "5 heads of 12 columns"),
    ("Attention", (X, floats(12, 36), floats(36)), {"num_heads": 0}, "'num_heads' is 0"),
    ("Attention", (X, floats(12, 36)), {}, "'num_heads' is 0"),
    (
        "Attention",
        (X, floats(12, 36), floats(36)),
        {"num_heads": 2, "qkv_hidden_sizes": [1, 2]},
        "36 columns for",
    ),
    ("Attention", (X[0, 0], floats(12, 36), floats(36)), {"num_heads": 2}, "the_node"),
    (
        "Attention",
        (X, floats(12, 36), floats(36), np.zeros((1, 2, 3), np.int32)),
        {"num_heads": 2},
        "a mask of the shape",
    ),
    ("MultiHeadAttention", (X,), {"num_heads": 2}, "keys that are left out"),
    (
        "GroupQueryAttention",
        (X, X, X, None, None, np.zeros(2, np.int32), np.int32(5)),
        {"num_heads": 3, "kv_num_heads": 2},
        "3 heads in 2 groups",
    ),
    ("FusedGemm", (X[0], ROWS[:, None]), {"activation": "Wobble"}, "the activation 'Wobble'"),
    (
        "MatMulNBits",
        (X, byte(6, 1, 7), positive(6)),
        {"K": 12, "N": 6, "bits": 4, "block_size": 16},
        "a matrix of the shape",
    ),
    (
        "MatMulNBits",
        (X, byte(6, 1, 8), positive(6)),
        {"K": 12, "N": 6, "bits": 4, "block_size": 2**40},
        "'block_size' is 1099511627776",
    ),
    (
        "MatMulNBits",
        (X, byte(6, 1, 8), positive(6)),
        {"K": 12, "N": 6, "bits": 9, "block_size": 16},
        "bits=9",
    ),
    (
        "MatMulNBits",
        (X, byte(6, 1, 8), positive(6), None, np.full(12, 7, np.int32)),
        {"K": 12, "N": 6, "bits": 4, "block_size": 16, "constants": (1, 2, 4)},
        "'g_idx' names blocks that are not there",
    ),
    (
        "MatMulBnb4",
        (X, byte(3), positive(3)),
        {"K": 12, "N": 6, "block_size": 16, "quant_type": 1, "constants": (1, 2)},
        "3 bytes and 3 scales of 6 by 12",
    ),
    (
        "GatherBlockQuantized",
        (byte(4, 4), WORDS, positive(4, 1)),
        {"quantize_axis": 0},
        "bytes of several numbers",
    ),
    (
        "CropAndResize",
        (IMAGE, floats(2, 4), np.zeros(2, "int32"), np.array([2**30, 2], "int32")),
        {"constants": (3,)},
        r"crops of \[1073741824, 2\]",
    ),
    ("NGramRepeatBlock", (integers(0, 9, 2, 5), X[0]), {"ngram_size": 10**6}, "more than 64"),
    ("Inverse", (floats(2, 3),), {}, r"a matrix of the shape \[2, 3\]"),
    ("Inverse", (np.zeros((4097, 4097), F16),), {}, "a matrix of 4097 rows"),
    (
        "CropAndResize",
        (IMAGE, floats(2, 4), np.zeros(2, "int32"), np.ones(2, "int32")),
        {},
        "computed at run time",
    ),
    ("MoE", (X[0], floats(5, 2), *[floats(2, 12, 12), None] * 2), {"k": 3}, "3 of 2 experts"),
    (
        "MoE",
        (X[0], floats(5, 2), *[floats(2, 12, 12), None] * 2),
        {"activation_type": "swiglu"},
        "swiglu_fusion=0 without a third layer",
    ),
    (
        "QMoE",
        (X[0], floats(5, 2), *[byte(2, 12, 6), positive(2, 12), None] * 2),
        {},
        "weights of run time",
    ),
    ("LinearAttention", (X, X, X), {"q_num_heads": 5, "kv_num_heads": 2}, "5 and 2 heads"),
    (
        "LinearAttention",
        (X, X, X),
        {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "new"},
        "update_rule='new'",
    ),
    (
        "DynamicQuantizeLSTM",
        (X, byte(1, 12, 8), byte(1, 2, 8)),
        {"hidden_size": 2, "clip": -1.0},
        "clip=-1.0",
    ),
    ("CausalConvWithState", (X, floats(5, 1, 3)), {"ndim": 2}, "more than one dimension"),
    ("SparseAttention", (X, X, X), {"num_heads": 2, "kv_num_heads": 2}, "a cache that is left out"),
    ("DecoderMaskedMultiHeadAttention", (X, X, X), {"num_heads": 2}, "5 rows of queries"),
    (
        "MRotaryEmbedding",
        (X, integers(0, 9, 3, 2, 5), floats(9, 6), floats(9, 6)),
        {"mrope_section": [1, 2, 4], "num_heads": 1},
        r"mrope_section=\[1, 2, 4\] of 6 columns",
    ),
    ("UnfoldTensor", (X,), {"dim": 7, "size": 2}, "along dimension 7"),
    ("UnfoldTensor", (floats(30000),), {"dim": 0, "size": 15000}, "a table of 225015000 elements"),
    ("IsAllFinite", (), {}, "its input 0 is left out"),
    ("EmbedLayerNormalization", (np.int32(1), *[X] * 6), {}, "words of 0 dimensions"),
    ("QLinearConcat", (ONE, AT[0], byte(2, 3), ONE), {"axis": 0}, "4 inputs"),
    ("ExpandDims", (X, np.int32(9)), {"constants": (1,)}, "the axis 9"),
]


@pytest.mark.parametrize(
    ("op", "arguments", "attrs", "said"), REFUSED, ids=[f"{c[0]}-{c[3]}" for c in REFUSED]
)
def test_what_is_not_taken_is_refused_in_one_line(
    op: str, arguments: tuple[np.ndarray | None, ...], attrs: dict[str, Any], said: str
) -> None:
    proto, _ = single(op, *arguments, **attrs)
    for output in proto.graph.output:
        output.type.tensor_type.elem_type = 1
    with pytest.raises(ModelError, match=said) as refused:
        import_model(proto, TARGET)
    assert "\n" not in str(refused.value)
    assert "cannot be converted" not in str(refused.value)


def test_shapes_that_arithmetic_tells_and_inference_does_not_are_known() -> None:
    """onnx's inference follows no Min of sizes."""
    x = floats(9)
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Min", ["shape", "most"], ["count"]),
        helper.make_node("TopK", ["x", "count"], ["best", "places"]),
        helper.make_node("UnfoldTensor", ["best"], ["y"], domain=DOMAIN, dim=0, size=3, step=1),
    ]
    known = {"most": np.array([5])}
    agree(model(nodes, {"x": x}, ["y"], known), {"x": x})
