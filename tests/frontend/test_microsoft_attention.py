"""Attention of ONNX Runtime's domain means what ONNX Runtime computes, and is one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from microsoft_models import agree, runtime, single, typed
from onnx_models import TARGET, compute, floats, integers, positive

from luthier.frontend import Program, import_model

B, S, N, D = 2, 9, 3, 8
H = N * D
X = floats(B, S, H)
WEIGHTS, BIAS = floats(H, 3 * H) * np.float32(0.3), floats(3 * H, seed=1)
PAST = floats(2, B, N, 4, D, seed=2)
ENDS = np.array([5, 9], np.int32)
STARTS = np.array([5, 9, 1, 3], np.int32)


def kept(*shape: int) -> np.ndarray:
    """A mask of which every row keeps its first key at least."""
    mask = integers(0, 2, *shape, seed=7, dtype="int32")
    mask[..., 0] = 1
    return mask


def operators(program: Program) -> list[str]:
    return [node.op for call in program.calls for node in call.workload.nodes]


def attention(*rest: np.ndarray | None, bias: np.ndarray | None = BIAS, **attrs: Any) -> Any:
    given = (X, WEIGHTS, bias, *rest)
    attrs = {"num_heads": N, "constants": (1, 2), "opset": 11, **attrs}
    return "Attention", given, attrs


ATTENTION = {
    "plain": attention(),
    "causal": attention(unidirectional=1),
    "scaled": attention(scale=0.2),
    "by ends": attention(ENDS),
    "by ends and starts": attention(STARTS),
    "by keys": attention(kept(B, S)),
    "by rows": attention(kept(B, S, S)),
    "by keys, causal": attention(kept(B, S), unidirectional=1),
    "by keys, filtered otherwise": attention(kept(B, S), mask_filter_value=-1e4, opset=17),
    "with a past": attention(None, PAST, outputs=(0, 1), unidirectional=1, opset=17),
    "with a past and a mask": attention(kept(B, S + 4), PAST, outputs=(0, 1)),
    "with a bias of scores": attention(None, None, floats(B, N, S, S)),
    "with a bias of all scores": attention(kept(B, S), None, floats(1, N, S, S)),
    "of other sizes": (
        "Attention",
        (X, floats(H, 2 * 24 + 30), floats(78)),
        {"num_heads": N, "qkv_hidden_sizes": [24, 24, 30], "constants": (1, 2)},
    ),
}


def heads(*arguments: np.ndarray | None, **attrs: Any) -> Any:
    return "MultiHeadAttention", arguments, {"num_heads": N, **attrs}


K, V = floats(B, S, H, seed=3), floats(B, S, H, seed=4)
FEW, WIDER = floats(B, 7, H, seed=3), floats(B, 7, 2 * H, seed=4)
FOUR = [floats(B, N, 7, D, seed=i) for i in (5, 6)]
OLD = [floats(B, N, 4, D, seed=i) for i in (7, 8)]
MANY = {
    "of other keys": heads(X, FEW, WIDER),
    "biased": heads(X, FEW, FEW[::-1], floats(3 * H), opset=11),
    "by ends": heads(X, FEW, WIDER, None, np.array([3, 7], np.int32)),
    "by keys": heads(X, FEW, WIDER, None, kept(B, 7)),
    "by rows": heads(X, FEW, WIDER, None, kept(B, S, 7)),
    "with a bias of scores": heads(X, FEW, WIDER, None, None, floats(1, N, S, 7)),
    "with a bias of all": heads(X, FEW, WIDER, None, None, floats(B, 1, S, 7), scale=0.1),
    "causal": heads(X, X[::-1], X, unidirectional=1),
    "heads first": heads(X, *FOUR),
    "with a past": heads(X, X[::-1], X + 1, None, None, None, *OLD, outputs=(0, 1, 2)),
    "with a past, causal": heads(
        X, X[::-1], X + 1, None, None, None, *OLD, outputs=(0, 1, 2), unidirectional=1
    ),
    "a row with a past": heads(
        X[:, :1], X[:, 1:2], X[:, 2:3], floats(3 * H), None, None, *OLD, outputs=(0, 1, 2)
    ),
}

TABLES = [np.cos(floats(40, 4)), np.sin(floats(40, 4))]
WIDE = 16  # columns of a head that ONNX Runtime turns
WIDE_TABLES = [np.cos(floats(40, 8)), np.sin(floats(40, 8))]


def grouped(
    rows: int, past: int, groups: int, *, lengths: list[int] | None = None, **attrs: Any
) -> Any:
    """Queries, keys and values of ``rows`` after ``past``."""
    every = 6
    q = floats(B, rows, every * WIDE)
    k, v = (floats(B, rows, groups * WIDE, seed=i) for i in (1, 2))
    if attrs.pop("packed", False):
        q, k, v = np.concatenate([q, k, v], axis=2), None, None
    old = [floats(B, groups, past, WIDE, seed=i) if past else None for i in (3, 4)]
    last = np.array(lengths or [past + rows] * B, np.int32) - 1
    total = np.asarray(last.max() + 1, np.int32)
    rotary = WIDE_TABLES if attrs.get("do_rotary") else [None, None]
    given = [q, k, v, *old, last, total, *rotary, *attrs.pop("more", ())]
    while given[-1] is None:
        given.pop()
    attrs = {"num_heads": every, "kv_num_heads": groups, "outputs": (0, 1, 2), **attrs}
    return "GroupQueryAttention", tuple(given), attrs


GROUPED = {
    "a prompt": grouped(9, 0, 2),
    "a head each": grouped(9, 0, 6),
    "one for all": grouped(9, 0, 1),
    "packed": grouped(9, 0, 2, packed=True),
    "turned": grouped(9, 0, 2, do_rotary=1),
    "turned by neighbours": grouped(9, 0, 3, do_rotary=1, rotary_interleaved=1),
    "packed and turned": grouped(9, 0, 2, packed=True, do_rotary=1),
    "a token": grouped(1, 12, 2),
    "a token, turned": grouped(1, 12, 2, do_rotary=1, scale=0.2),
    "tokens of other lengths": grouped(1, 12, 2, do_rotary=1, lengths=[9, 13]),
    "a window": grouped(9, 0, 2, local_window_size=4),
    "a token of a window": grouped(1, 12, 2, local_window_size=4),
    "capped": grouped(9, 0, 2, softcap=5.0),
    "smooth": grouped(9, 0, 2, smooth_softmax=1),
    "a bias of scores": grouped(9, 0, 2, more=(None, floats(B, 6, 9, 9))),
    "a bias of all scores": grouped(9, 0, 2, more=(None, floats(1, 1, 9, 9))),
    "sinks": grouped(9, 0, 2, more=(None, None, floats(6))),
    "both ways": grouped(9, 0, 2, causal=0),
    "a token, both ways": grouped(1, 12, 2, causal=0, lengths=[9, 13], smooth_softmax=-1),
}
ROTARY = {
    "heads first": ("RotaryEmbedding", (floats(B, N, S, D), integers(0, 40, B, S), *TABLES), {}),
    "rows first": ("RotaryEmbedding", (X, integers(0, 40, B, S), *TABLES), {}),
    "from a place on": ("RotaryEmbedding", (X, np.array([7]), *TABLES), {"opset": 11}),
    "neighbours": ("RotaryEmbedding", (X, np.array([7]), *TABLES), {"interleaved": 1}),
    "a scale": ("RotaryEmbedding", (X, np.array([7]), *TABLES), {"scale": 2.0}),
    "a part": (
        "RotaryEmbedding",
        (X, np.array([7]), TABLES[0][:, :2], TABLES[1][:, :2]),
        {"num_heads": N, "rotary_embedding_dim": 4},
    ),
}
QUANTIZED = {
    name: (
        "QAttention",
        (
            integers(0, 256, B, S, H, dtype="uint8"),
            integers(-64, 64, H, 3 * H, dtype="int8"),
            BIAS,
            np.float32(0.01),
            scale,
            mask,
            np.uint8(127),
            zero,
        ),
        {"num_heads": N, "constants": (1, 2, 3, 4, 6, 7), **attrs},
    )
    for name, scale, zero, mask, attrs in (
        ("a scale", np.float32(0.003), np.int8(0), None, {}),
        ("by ends", np.float32(0.003), np.int8(3), ENDS, {"opset": 11}),
        ("causal", np.float32(0.003), np.int8(0), None, {"unidirectional": 1}),
        ("a scale each", positive(3 * H) * np.float32(0.003), np.zeros(3 * H, "int8"), None, {}),
    )
}
FAMILIES = {"one": ATTENTION, "many": MANY, "quantized": QUANTIZED, "grouped": GROUPED}
CASES = [
    pytest.param(*case, id=f"{family}-{name.replace(' ', '-')}")
    for family, cases in FAMILIES.items()
    for name, case in cases.items()
]


@pytest.mark.parametrize(("op", "arguments", "attrs"), CASES)
def test_attention_means_what_onnx_runtime_computes_in_one_kernel(
    op: str, arguments: tuple[np.ndarray | None, ...], attrs: dict[str, Any]
) -> None:
    program = agree(*single(op, *arguments, **attrs))
    found = operators(program)
    several = any(attrs.get(name) for name in ("softcap", "smooth_softmax"))
    several |= op == "GroupQueryAttention" and len(arguments) > 11
    several |= arguments[0].shape[1] == 1  # of few rows a kernel of their own is slower
    assert found.count("softmax") == several
    assert found.count("attention") == (not several)


def test_a_mask_of_all_rows_is_that_of_the_rows_there_are() -> None:
    """ONNX Runtime has no kernel of it for processors."""
    every = kept(B, 1, 12, 12)
    apart, given = single("Attention", X, WEIGHTS, BIAS, every[:, 0, :S, :S], num_heads=N)
    wanted = runtime(apart, given)
    proto, inputs = single("Attention", X, WEIGHTS, BIAS, every, num_heads=N)
    ours = compute(import_model(typed(proto, wanted), TARGET), inputs)
    np.testing.assert_allclose(ours["out0"], wanted["out0"], 1e-4, 1e-5)


def packed(*parts: np.ndarray) -> np.ndarray:
    """[batch, rows, heads * columns] of each, side by side in each head."""
    return np.stack([part.reshape(*part.shape[:2], N, D) for part in parts], axis=3)


@pytest.mark.parametrize("bias", [None, floats(3 * H)], ids=["plain", "biased"])
@pytest.mark.parametrize("arguments", [(packed(X, K, V),), (X, packed(K, V))], ids=["all", "two"])
def test_packed_operands_are_what_they_are_apart(
    arguments: tuple[np.ndarray, ...], bias: np.ndarray | None
) -> None:
    """ONNX Runtime has no kernel of them for processors."""
    apart, given = single("MultiHeadAttention", X, K, V, bias, num_heads=N)
    wanted = runtime(apart, given)
    whole = [*arguments, *[None] * (3 - len(arguments)), bias]
    proto, inputs = single("MultiHeadAttention", *whole, num_heads=N)
    ours = compute(import_model(typed(proto, wanted), TARGET), inputs)
    np.testing.assert_allclose(ours["out0"], wanted["out0"], 1e-4, 1e-5)


@pytest.mark.parametrize(("op", "arguments", "attrs"), ROTARY.values(), ids=ROTARY)
def test_a_rotation_means_what_onnx_runtime_computes(
    op: str, arguments: tuple[np.ndarray, ...], attrs: dict[str, Any]
) -> None:
    agree(*single(op, *arguments, **attrs))
