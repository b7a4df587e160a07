"""What ONNX Runtime's domain packs: sequences one after the other, rows of tables, pools' masks."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from microsoft_models import agree, agree_alone, cases, runtime, single, typed
from onnx_models import TARGET, compute, floats, integers, positive
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from luthier.frontend import import_model
from luthier.schedules import ModelError

F16 = np.float16
LENGTHS = {"some": (3, 1, 5), "one": (7,), "one of none": (2, 0, 4), "a row each": (1, 1, 1)}


def sums(lengths: tuple[int, ...]) -> np.ndarray:
    return np.cumsum([0, *lengths]).astype(np.int32)


def convolution(lengths: tuple[int, ...], taps: int = 4, **attrs: Any) -> Any:
    rows, channels, kept = sum(lengths), 6, (taps - 1) * attrs.get("dilation", 1)
    given = [
        floats(rows, channels), floats(channels, 1, taps), sums(lengths), floats(channels),
        floats(len(lengths), channels, kept, seed=4),
    ]  # fmt: skip
    outputs = (0, 1)
    if attrs.get("state_update_capacity"):
        given.append(np.arange(len(lengths), dtype=np.int32) + 1)
        outputs = (0, 1, 2)
    return "VarlenCausalConvWithState", tuple(given), {"outputs": outputs, **attrs}


CONVOLUTIONS = {name: convolution(each) for name, each in LENGTHS.items() if 0 not in each} | {
    "far apart": convolution((5, 9), dilation=2, activation="silu"),
    "of one tap": convolution((5, 2), taps=1),
    "with what comes in": convolution((5, 2, 1), state_update_capacity=3, activation="swish"),
}
HALVES = ("VarlenCausalConvWithState", tuple(
    a if a.dtype == np.int32 else a.astype(F16) for a in convolution((3, 4))[1]
), {"outputs": (0, 1)})  # fmt: skip


def hashes(lengths: tuple[int, ...], *, whole: bool = True, dtype: str = "int64") -> Any:
    rows, count = sum(lengths), len(lengths)
    given: list[np.ndarray | None] = [
        integers(0, 5, rows, dtype=dtype), np.array([3, -5, 7], dtype),
        np.array([11, 13, 17, 19], dtype), sums(lengths),
    ]  # fmt: skip
    attrs = {"max_ngram_size": 3, "n_head_per_ngram": 2, "pad_id": 4, "outputs": (0, 1)}
    if whole:
        given += [
            integers(0, 5, count, 2, seed=1, dtype=dtype), np.array([0, 7, 20, 39], dtype),
            np.array(2, dtype), np.sort(integers(0, 3, rows, dtype="int32")),
            integers(0, 2, count, 2, seed=3, dtype="int32"),
        ]  # fmt: skip
        attrs |= {"reset_on_eos": 1, "outputs": (0, 1, 2)}
    return "VarlenNGramHashMapping", tuple(given), {**attrs, "opset": 18}


def captured(lengths: tuple[int, ...]) -> Any:
    op, given, attrs = hashes(lengths)
    counts = np.arange(len(lengths), dtype=np.int32) + 1
    attrs = {**attrs, "state_update_capacity": 2, "outputs": (0, 1, 2, 3)}
    return op, (*given, counts), attrs


def of_segments() -> Any:
    op, given, attrs = hashes((1, 4, 3))
    return op, (*given[:4], None, None, None, given[7]), {**attrs, "reset_on_eos": 0}


HASHES = {name: hashes(each) for name, each in LENGTHS.items() if 0 not in each} | {
    "from nothing": hashes((3, 4), whole=False),
    "of 32 bits": hashes((3, 4), dtype="int32"),
    "with states": captured((3, 1, 4)),
    "of segments alone": of_segments(),
}


def delta_net(lengths: tuple[int, ...], **attrs: Any) -> Any:
    heads, groups, keys, values, rows = 4, 2, 4, 6, sum(lengths)
    kind = attrs.pop("kind", np.float32)
    given = [
        floats(rows, groups, keys), floats(rows, groups, keys, seed=1) / np.float32(2),
        floats(rows, heads, values, seed=2), sums(lengths), -positive(rows, heads),
        positive(rows, heads) / np.float32(4), floats(len(lengths), heads, values, keys, seed=5),
    ]  # fmt: skip
    given[:3] = [a.astype(kind) for a in given[:3]]
    return "GatedDeltaNet", tuple(given), {"outputs": (0, 1), **attrs}


STATES = {name: delta_net(each) for name, each in LENGTHS.items() if 0 not in each} | {
    "normalised": delta_net((4, 2), qk_l2_norm=1, scale=0.3),
    "of halves": delta_net((4, 2), kind=F16),
}


def table(kind: int, size: int, columns: int, dtype: str = "int64", **attrs: Any) -> Any:
    """Random bytes, but for scales that are ordinary floats of 16 bits."""
    rng = np.random.default_rng(kind)
    blocks = rng.integers(0, 256, (7, columns // _NUMBERS[kind], size)).astype(np.uint8)
    for place in _SCALES[kind]:
        scale = (rng.standard_normal(blocks.shape[:2]) / 8).astype(F16)
        blocks[..., place : place + 2] = scale[..., None].view(np.uint8)
    rows = integers(0, 7, 2, 3, dtype=dtype)
    attrs = {"packed_type": kind, "K": columns, "output_dtype": 1, **attrs}
    return "GatherPacked", (blocks.reshape(7, -1), rows), {"constants": (0,), **attrs}


_NUMBERS = {2: 32, 6: 32, 8: 32, 13: 256, 14: 256, 20: 32, 23: 256}
_SCALES = {2: (0,), 6: (0,), 8: (0,), 13: (0, 2), 14: (208,), 20: (0,), 23: (0,)}
_PLAIN = floats(7, 6)
TABLES = {
    "Q4_0": table(2, 18, 96),
    "Q5_0": table(6, 22, 64),
    "Q8_0": table(8, 34, 64, dtype="int32"),
    "Q5_K": table(13, 176, 512),
    "Q6_K": table(14, 210, 512),
    "IQ4_NL": table(20, 18, 64),
    "IQ4_XS": table(23, 136, 512),
    "Q6_K as halves": table(14, 210, 256, output_dtype=10),
    **{
        f"floats of {kind}": (
            "GatherPacked",
            (_PLAIN.astype(dtype).view(np.uint8).reshape(7, -1), integers(0, 7, 5)),
            {"packed_type": kind, "K": 6, "output_dtype": 1, "constants": (0,)},
        )
        for kind, dtype in ((0, np.float32), (1, F16), (30, ml_dtypes.bfloat16))
    },
}


def of_blocks(kind: int, rows: int, depth: int) -> Any:
    head, blocks = 4 + kind, -(-depth // 32)
    packed = integers(0, 256, rows, blocks, head + 16, dtype="uint8")
    packed[..., :4] = (positive(rows, blocks) / 8)[..., None].view(np.uint8)
    if kind:
        packed[..., 4] %= 16
    arrays = floats(2, 3, depth), packed.reshape(-1), np.array([depth, rows])
    return "MatMulFpQ4", arrays, {"blk_quant_type": kind, "constants": (1, 2)}


PRODUCTS = {
    "of blocks": of_blocks(0, 6, 64),
    "with zero points": of_blocks(1, 5, 96),
    "of a part of a block": of_blocks(0, 4, 40),
}


def pooled(shape: tuple[int, ...], planes: tuple[int, int], **attrs: Any) -> Any:
    x = floats(2, 3, *shape)
    x.flat[5:40:7] = np.nan
    x.flat[6:40:9] = -np.inf
    mask = (np.random.default_rng(0).random((*planes, *shape)) < 0.8).astype(np.int32)
    return "MaxpoolWithMask", (x, mask), attrs


POOLS = {
    "rows": pooled((9,), (1, 1), kernel_shape=[3]),
    "padded rows": pooled((9,), (1, 1), kernel_shape=[3], pads=[1, 2], strides=[2]),
    "an image": pooled((5, 7), (1, 1), kernel_shape=[2, 3], pads=[1, 1, 0, 1]),
    "an image each": pooled((5, 7), (2, 3), kernel_shape=[2, 3], strides=[2, 1]),
    "the same size": pooled((5, 7), (1, 1), kernel_shape=[3, 2], auto_pad="SAME_UPPER"),
    "the same size, below": pooled(
        (5, 7), (1, 1), kernel_shape=[3, 2], auto_pad="SAME_LOWER", strides=[2, 2]),
    "a volume": pooled((3, 4, 5), (1, 1), kernel_shape=[2, 2, 3], pads=[0, 1, 1, 1, 0, 1]),
}  # fmt: skip
HASHED = {
    "whole numbers of 64 bits": ("MurmurHash3", (integers(-(2**62), 2**62, 9),), {"opset": 18}),
    "of 64 bits without a sign": (
        "MurmurHash3", (integers(0, 2**62, 9, dtype="uint64"),), {"seed": 7, "opset": 18},
    ),
    "floats": ("MurmurHash3", (floats(9),), {"positive": 0, "opset": 26}),
    "floats of an old set": ("MurmurHash3", (floats(9),), {"opset": 18}),
    "doubles": ("MurmurHash3", (floats(9).astype(np.float64),), {"opset": 26}),
}  # fmt: skip
FAMILIES = {
    "convolutions": CONVOLUTIONS, "hashes": HASHES, "states": STATES, "tables": TABLES,
    "pools": POOLS, "hashed": HASHED,
}  # fmt: skip


@pytest.mark.parametrize(("op", "arguments", "attrs"), cases(FAMILIES))
def test_an_operator_means_what_onnx_runtime_computes(
    op: str, arguments: tuple[np.ndarray | None, ...], attrs: dict[str, Any]
) -> None:
    agree_alone(op, arguments, attrs)


def of_numbers(packed: np.ndarray, depth: int, rows: int, kind: int) -> np.ndarray:
    """The matrix [depth, rows] of ``of_blocks``, a number after the other."""
    blocks, matrix = packed.reshape(rows, -(-depth // 32), 4 + kind + 16), np.zeros((depth, rows))
    for row, place in np.ndindex(rows, depth):
        block, at = blocks[row, place // 32], place % 32
        byte = int(block[4 + kind + at % 16])
        zero = int(block[4]) if kind else 8
        number = (byte >> 4 if at >= 16 else byte & 15) - zero
        matrix[place, row] = number * block[:4].view(np.float32)[0]
    return matrix


@pytest.mark.parametrize("name", PRODUCTS)
def test_blocks_of_4_bits_are_a_matrix(name: str) -> None:
    op, (x, packed, shape), attrs = PRODUCTS[name]
    wanted = (x @ of_numbers(packed, *map(int, shape), attrs["blk_quant_type"])).astype(np.float32)
    proto, inputs = single(op, x, packed, shape, **attrs)
    (found,) = compute(import_model(typed(proto, {"out0": wanted}), TARGET), inputs).values()
    np.testing.assert_allclose(found, wanted, 1e-4, 1e-5)
    with suppress(Fail):  # ONNX Runtime has it for AVX-512 alone
        np.testing.assert_allclose(wanted, runtime(proto, inputs)["out0"], 1e-4, 1e-5)


def test_halves_are_convolved_in_floats() -> None:
    op, given, attrs = HALVES
    agree(*single(op, *given, **attrs), rtol=2e-3, atol=2e-3)


def test_changes_of_states_are_those_of_the_first_rows() -> None:
    """Beyond what is counted ONNX Runtime leaves them open."""
    lengths, counts = (4, 1, 3), np.array([2, 3, 1], np.int32)
    op, given, _ = delta_net(lengths)
    arguments = (*given, None, None, counts)
    proto, inputs = single(op, *arguments, outputs=(0, 1, 2), state_update_capacity=3, qk_l2_norm=1)
    theirs = runtime(proto, inputs)
    ours = compute(import_model(typed(proto, theirs), TARGET), inputs)
    for name in ("out0", "out1"):
        np.testing.assert_allclose(ours[name], theirs[name], 1e-4, 1e-5)
    assert ours["out2"].shape == theirs["out2"].shape
    for begin, width in ((0, 4), (12, 8), (36, 24)):  # decays, keys, changes
        parts = [a["out2"][:, begin : begin + 3 * width].reshape(3, 3, width)
                 for a in (ours, theirs)]  # fmt: skip
        for sequence, count in enumerate(np.minimum(counts, lengths)):
            mine, wanted = (each[sequence, :count] for each in parts)
            np.testing.assert_allclose(mine, wanted, 1e-4, 1e-5)
            assert not parts[0][sequence, count:].any()


def test_a_row_is_of_bfloat16_where_nothing_else_is_said() -> None:
    op, arguments, attrs = table(14, 210, 256)
    floats_, inputs = single(op, *arguments, **attrs)
    (wanted,) = runtime(floats_, inputs).values()
    proto, _ = single(op, *arguments, **{k: v for k, v in attrs.items() if k != "output_dtype"})
    wanted = wanted.astype(ml_dtypes.bfloat16)
    (found,) = compute(import_model(typed(proto, {"out0": wanted}), TARGET), inputs).values()
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("ends", [(0, 99, -3, 7), (5, 2, 9, 7), (0, 0, 0, 0)])
def test_sums_of_no_lengths_read_nothing_that_is_not_there(ends: tuple[int, ...]) -> None:
    """Results are anything, of their shapes."""
    op, given, attrs = convolution((3, 1, 3))
    arguments = (*given[:2], np.array(ends, np.int32), *given[3:])
    proto, inputs = single(op, *arguments, **attrs)
    shapes = {"out0": given[0], "out1": given[4]}
    found = compute(import_model(typed(proto, shapes), TARGET), inputs, kernels=True)
    assert [a.shape for a in found.values()] == [a.shape for a in shapes.values()]


REFUSED = [
    (("GatherPacked", (np.zeros((2, 144), np.uint8), integers(0, 2, 3)),
      {"packed_type": 12, "K": 256}), "packed_type=12"),
    (("GatherPacked", (np.zeros((2, 66), np.uint8), integers(0, 2, 3)),
      {"packed_type": 16, "K": 256}), "packed_type=16"),
    (("GatherPacked", (np.zeros((2, 19), np.uint8), integers(0, 2, 3)),
      {"packed_type": 2, "K": 32}), r"a table \[2, 19\]"),
    (("MatMulFpQ4", (floats(2, 64), np.zeros(36, np.uint8), np.array([64, 1])),
      {"blk_quant_type": 2, "constants": (1, 2)}), "blk_quant_type=2"),
    (("MatMulFpQ4", (floats(2, 64), np.zeros(36, np.uint8), np.array([64, 1])),
      {"blk_quant_type": 0, "constants": (1, 2)}), "36 bytes"),
    (("MaxpoolWithMask", (floats(1, 1, 4), np.ones((1, 1, 5), np.int32)), {"kernel_shape": [2]}),
     r"a mask of the shape \[1, 1, 5\]"),
    (("MaxpoolWithMask", (floats(1, 1, 4), np.ones((1, 1, 4), np.int32)), {"kernel_shape": [9]}),
     r"windows \[9\] of \[4\]"),
    (("VarlenCausalConvWithState", (*convolution((3,))[1][:4], floats(1, 6, 9)), {}), "9 rows"),
    (("CausalConvWithState", (floats(1, 4, 5), floats(4, 1, 3)), {"state_length": 4}),
     "state_length=4"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "said"), REFUSED)
def test_what_is_not_taken_is_refused_in_one_line(case: Any, said: str) -> None:
    op, arguments, attrs = case
    proto, _ = single(op, *arguments, **attrs)
    for output in proto.graph.output:
        output.type.tensor_type.elem_type = 1
    with pytest.raises(ModelError, match=said) as refused:
        import_model(proto, TARGET)
    assert "\n" not in str(refused.value)
    assert "cannot be converted" not in str(refused.value)
