"""Layers of ONNX Runtime's domain that go on from an earlier run, and others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from microsoft_models import agree_alone, cases
from onnx_models import floats, integers, positive

F16 = np.float16
IMAGE = floats(2, 3, 7, 9)


def byte(*shape: int, seed: int = 0) -> np.ndarray:
    return integers(0, 256, *shape, seed=seed, dtype="uint8")


def signed(*shape: int, seed: int = 0) -> np.ndarray:
    return integers(-64, 64, *shape, seed=seed, dtype="int8")


BOXES = np.array(
    [[0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9], [-0.3, 0.2, 1.2, 0.4], [0.9, 0.8, 0.1, 0.2]], np.float32
)
IMAGES = np.array([0, 1, 1, 0], np.int32)


def crops(down: int, across: int, **attrs: Any) -> Any:
    sizes = np.array([down, across], np.int32)
    return "CropAndResize", (IMAGE, BOXES, IMAGES, sizes), {"constants": (3,), **attrs}


WHOLE = np.stack([np.eye(4)[[1, 0, 3, 2]], *[np.eye(4) + 0.3 * floats(4, 4, seed=i)
                                             for i in range(4)]]).astype(np.float32)  # fmt: skip
LETTERS = np.where(floats(40, 6) > -0.5, integers(1, 9, 40, 6), 0).astype(np.int32)
LETTERS[:, 0] = 3
OTHERS = {
    "crops": crops(4, 5),
    "crops of a row": crops(1, 5, extrapolation_value=2.5),
    "nearest crops": crops(3, 1, mode="nearest", extrapolation_value=-1.0),
    "an inverse": ("Inverse", (floats(3, 3),), {}),
    "inverses": ("Inverse", (WHOLE.reshape(5, 1, 4, 4),), {"opset": 11}),
    "an inverse of halves": ("Inverse", (WHOLE.astype(F16),), {}),
    "a large inverse": (
        "Inverse", (np.eye(20, dtype=np.float32) + floats(20, 20) / 20,), {}),
    "an inverse of a hundred rows": (
        "Inverse", (np.eye(100, dtype=np.float32) + floats(2, 100, 100) / 20,), {}),
    "a pool of bytes": (
        "NhwcMaxPool", (byte(2, 7, 6, 4),),
        {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 1]},
    ),
    "an early pool of bytes": (
        "NhwcMaxPool", (signed(1, 7, 6, 4),), {"kernel_shape": [2, 2], "opset": 11},
    ),
    "pads as an input": (
        "ConvTransposeWithDynamicPads",
        (floats(1, 4, 5, 6), floats(4, 2, 3, 3), np.array([1, 0, 1, 2]), floats(2)),
        {"constants": (1, 2, 3), "strides": [2, 2]},
    ),
    "no repeats": (
        "NGramRepeatBlock",
        (np.array([[1, 2, 3, 1, 2], [4, 4, 4, 4, 4]]), floats(2, 7)),
        {"ngram_size": 3},
    ),
    "no words again": ("NGramRepeatBlock", (integers(0, 7, 2, 4), floats(2, 7)), {"ngram_size": 1}),
    "too few words": ("NGramRepeatBlock", (integers(0, 7, 2, 4), floats(2, 7)), {"ngram_size": 5}),
    "hashes": (
        "MurmurHash3",
        (integers(-(2**31), 2**31, 9, dtype="int32"),),
        {"seed": 42, "opset": 18},
    ),
    "hashes with a sign": (
        "MurmurHash3", (integers(0, 2**31, 9, dtype="uint32"),), {"positive": 0, "opset": 9},
    ),
    "hashes of words": (
        "NGramHashMapping",
        (integers(0, 9, 2, 6), np.array([3, 5, 7]), np.array([11, 13, 17, 19])),
        {"max_ngram_size": 3, "n_head_per_ngram": 2, "pad_id": 4, "outputs": (0, 1), "opset": 18},
    ),
    "hashes of sequences": (
        "NGramHashMapping",
        (
            integers(0, 4, 2, 9), np.array([3, -5, 7]), np.array([11, 13]), integers(0, 4, 2, 2),
            np.array([0, 11]), np.int64(2), np.sort(integers(0, 3, 2, 9, dtype="int32")),
        ),
        {"max_ngram_size": 3, "n_head_per_ngram": 1, "pad_id": 4, "reset_on_eos": 1,
         "outputs": (0, 1), "opset": 18},
    ),
    "numbers of 16 bits": (
        "MatMulInteger16",
        (integers(-999, 999, 2, 5, 6, dtype="int16"), integers(-999, 999, 6, 4, dtype="int16")),
        {},
    ),
    "words of letters": (
        "WordConvEmbedding",
        (
            LETTERS,
            floats(5, 1, 3, 4), floats(5, seed=1), floats(9, 4, seed=2),
        ),
        {},
    ),
    "words of a shorter window": (
        "WordConvEmbedding",
        (np.sort(LETTERS)[:, ::-1], floats(5, 1, 2, 4),
         floats(5, seed=1), floats(9, 4, seed=2)),
        {"opset": 11},
    ),
    "an embedding": (
        "QEmbedLayerNormalization",
        (
            integers(0, 9, 2, 5, dtype="int32"), integers(0, 3, 2, 5, dtype="int32"),
            byte(9, 12), byte(8, 12, seed=1), byte(3, 12, seed=2),
            byte(12, seed=3), byte(12, seed=4),
            integers(0, 2, 2, 5, dtype="int32"),
            *(np.float32(n) for n in (0.02, 0.03, 0.01, 0.01, 0.02)),
            *(np.uint8(n) for n in (120, 130, 99, 3, 128)),
        ),
        {"constants": tuple(range(2, 7)) + tuple(range(8, 18)), "outputs": (0, 1), "opset": 11},
    ),
}  # fmt: skip
EARLY = {
    "affine": ("Affine", (IMAGE,), {"alpha": 0.5, "beta": 2.0}),
    "an image": ("ImageScaler", (IMAGE,), {"scale": 0.5, "bias": [1.0, 2.0, 3.0]}),
    "a crop": ("Crop", (IMAGE,), {"border": [1, 2, 3, 1]}),
    "a crop of a size": ("Crop", (IMAGE,), {"border": [1, 2, 0, 0], "scale": [3, 4]}),
    "a slice": (
        "DynamicSlice", (IMAGE, np.array([1, -2]), np.array([5, 9]), np.array([2, 3])),
        {"constants": (1, 2, 3)},
    ),
    "a scale": ("Scale", (IMAGE,), {"scale": -2.0}),
    "a softplus": ("ParametricSoftplus", (IMAGE,), {"alpha": 0.5, "beta": 2.0}),
    "a tanh": ("ScaledTanh", (IMAGE,), {"alpha": 0.5, "beta": 2.0}),
    "normalised channels": ("MeanVarianceNormalization", (IMAGE,), {"opset": 8}),
    "a mean of all": (
        "MeanVarianceNormalization", (IMAGE,),
        {"opset": 8, "across_channels": 1, "normalize_variance": 0},
    ),
}  # fmt: skip
EARLY = {
    name: (op, given, {"domain": "", "opset": 9, **attrs})
    for name, (op, given, attrs) in EARLY.items()
}


def causal(rows: int, **attrs: Any) -> Any:
    taps, far = 4, attrs.get("dilation", 1)
    shape = (2, rows, 3, 2) if attrs.get("channels_last") else (2, 6, rows)
    past = (2, 3 * far, 3, 2) if attrs.get("channels_last") else (2, 6, 3 * far)
    given = floats(*shape), floats(6, 1, taps), floats(6), floats(*past, seed=4)
    return "CausalConvWithState", given, {"outputs": (0, 1), **attrs}


CONVOLUTIONS = {
    "rows": causal(9),
    "a row": causal(1, activation="silu"),
    "far apart": causal(9, dilation=2, activation="swish"),
    "channels last": causal(5, channels_last=1),
    "from nothing": (
        "CausalConvWithState",
        (floats(2, 6, 9), floats(6, 1, 3)),
        {"outputs": (0, 1)},
    ),
}


def linear(rows: int, rule: str, queries: int = 2, heads: int = 2, **more: Any) -> Any:
    batch, keys, values = 2, 4, 6
    k = floats(batch, rows, min(queries, heads) * keys, seed=1) / np.float32(2)
    each = keys if more.pop("each", 0) else 1
    given = [
        floats(batch, rows, queries * keys), k, floats(batch, rows, heads * values, seed=2),
        floats(batch, heads, keys, values, seed=3),
        -positive(batch, rows, heads * each) if "gated" in rule else None,
        positive(batch, rows, heads) / np.float32(4) if "delta" in rule else None,
    ]  # fmt: skip
    while given[-1] is None:
        given.pop()
    attrs = {"q_num_heads": queries, "kv_num_heads": heads, "update_rule": rule, **more}
    return "LinearAttention", tuple(given), {"outputs": (0, 1), **attrs}


STATES = {
    "plain": linear(5, "linear"),
    "with a decay": linear(5, "gated", each=1),
    "by the delta rule": linear(5, "delta", scale=0.3),
    "by both": linear(5, "gated_delta"),
    "by both, of columns": linear(5, "gated_delta", each=1),
    "a row": linear(1, "gated_delta"),
    "more queries": linear(5, "gated_delta", queries=4, heads=2),
    "more values": linear(5, "gated_delta", queries=2, heads=4),
}


def delta_net(batch: int, rows: int, **attrs: Any) -> Any:
    heads, groups, keys, values, total = 4, 2, 4, 6, batch * rows
    gates = attrs.get("gate_activation")
    given = [
        floats(total, groups, keys), floats(total, groups, keys, seed=1) / np.float32(2),
        floats(total, heads, values, seed=2), None,
        floats(total, heads, seed=3) if gates else -positive(total, heads),
        positive(total, heads) / np.float32(4), floats(batch, heads, values, keys, seed=5),
        *((floats(heads, seed=6), floats(heads, seed=7)) if gates else ()),
    ]  # fmt: skip
    return "GatedDeltaNet", tuple(given), {"outputs": (0, 1), **attrs}


STATES |= {
    "packed": delta_net(1, 6),
    "packed, of several": delta_net(2, 3, qk_l2_norm=1),
    "packed, gated": delta_net(1, 6, gate_activation="softplus", beta_activation="sigmoid"),
    "packed, bounded": delta_net(1, 1, gate_activation="sigmoid", qk_l2_norm=1, scale=0.3),
}


def lstm(rows: int, batch: int, direction: str, **more: Any) -> Any:
    width, hidden, both = 6, 5, 1 + (direction == "bidirectional")
    states = [floats(both, batch, hidden, seed=i) for i in (7, 8)] if more.pop("states", 0) else []
    scales = (both, 4 * hidden) if more.pop("each", 0) else (both,)
    matrices = [byte(both, n, 4 * hidden, seed=n) for n in (width, hidden)]
    ends = [positive(*scales) * np.float32(0.01), np.full(scales, 128, np.uint8)] * 2
    given = [
        floats(rows, batch, width), *matrices, floats(both, 8 * hidden), None,
        *(states or (None, None)), None, *ends,
    ]  # fmt: skip
    attrs = {"direction": direction, "hidden_size": hidden, **more}
    known = (1, 2, 3, 8, 9, 10, 11)
    return "DynamicQuantizeLSTM", tuple(given), {"constants": known, "outputs": (0, 1, 2), **attrs}


RECURRENT = {
    "forward": lstm(5, 1, "forward"),
    "from states": lstm(5, 1, "forward", states=1),
    "reverse": lstm(5, 1, "reverse", each=1),
    "both": lstm(4, 1, "bidirectional"),
    "a row": lstm(1, 3, "forward", states=1),
}


def bnb(kind: int, rows: int, depth: int, block: int) -> Any:
    total = rows * depth
    packed, scales = byte(-(-total // 2)), positive(-(-total // block))
    attrs = {"K": depth, "N": rows, "block_size": block, "quant_type": kind}
    return "MatMulBnb4", (floats(2, 3, depth), packed, scales), {**attrs, "constants": (1, 2)}


GROUPS = np.random.default_rng(0).permutation(np.arange(64) // 16).astype(np.int32)
FEW_BITS = {
    "a table of floats": bnb(0, 5, 32, 16),
    "a table of the normal distribution": bnb(1, 6, 48, 64),
    "rows in another order": (
        "MatMulNBits",
        (floats(3, 64), byte(6, 4, 8), positive(24) * np.float32(0.1), None, GROUPS, floats(6)),
        {"K": 64, "N": 6, "bits": 4, "block_size": 16, "constants": (1, 2, 4, 5)},
    ),
}
FAMILIES = {
    "others": OTHERS, "early": EARLY, "convolutions": CONVOLUTIONS, "states": STATES,
    "recurrent": RECURRENT, "few bits": FEW_BITS,
}  # fmt: skip


@pytest.mark.parametrize(("op", "arguments", "attrs"), cases(FAMILIES))
def test_an_operator_means_what_onnx_runtime_computes(
    op: str, arguments: tuple[np.ndarray | None, ...], attrs: dict[str, Any]
) -> None:
    agree_alone(op, arguments, attrs)
