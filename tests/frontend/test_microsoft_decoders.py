"""What decoders of ONNX Runtime's domain are made of: caches, gates, streams, experts, states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from microsoft_models import agree, agree_alone, cases, runtime, single, typed
from onnx_models import TARGET, compute, floats, integers, positive
from test_microsoft_attention import WIDE, WIDE_TABLES, B, D, N, grouped, kept

from luthier.frontend import import_model

F16 = np.float16
H = N * D


def shared(rows: int, room: int, before: int, **attrs: Any) -> Any:
    """The same over a cache that keeps its size, which has something where nothing is yet."""
    op, given, attrs = grouped(rows, room, 2, lengths=[before + rows] * B, **attrs)
    arrays = list(given)
    arrays[6] = np.asarray(before + rows, np.int32)
    return op, tuple(arrays), attrs


IN_PLACE = {
    "a prompt": shared(9, 16, 0),
    "a prompt that fills it, turned": shared(16, 16, 0, do_rotary=1),
    "a token": shared(1, 16, 12),
    "the last token, turned": shared(1, 16, 15, do_rotary=1),
    "a token of a window": shared(1, 16, 12, local_window_size=4),
    "packed": shared(1, 16, 3, packed=True, do_rotary=1),
    "a bias of the scores there are": shared(1, 16, 3, more=(None, floats(B, 6, 1, 4))),
}


def masked(*arguments: np.ndarray | None, **attrs: Any) -> Any:
    return "DecoderMaskedMultiHeadAttention", arguments, {"num_heads": N, **attrs}


TOKEN = [floats(B, 1, H, seed=i) for i in range(3)]
OLD = [floats(B, N, 6, D, seed=i) for i in (7, 8)]
CROSS = [floats(B, N, 7, D, seed=i) for i in (5, 6)]
DECODERS = {
    "biased": masked(
        *TOKEN, None, None, *OLD, np.array([5], np.int32), None, None, floats(3 * H),
        outputs=(0, 1, 2), past_present_share_buffer=1, scale=0.2,
    ),
    "first of all": masked(
        *TOKEN, None, None, *OLD, np.array([0], np.int32),
        outputs=(0, 1, 2), past_present_share_buffer=1,
    ),
    "of given keys": masked(TOKEN[0], *CROSS),
    "in place": masked(
        *TOKEN, None, None, *OLD, np.array([4], np.int32),
        outputs=(0, 1, 2), past_present_share_buffer=1,
    ),
    "in place, masked": masked(
        *TOKEN, kept(B, 5), None, *OLD, np.array([4], np.int32),
        outputs=(0, 1, 2), past_present_share_buffer=1,
    ),
}  # fmt: skip


def layouts(count: int, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Random sparse matrices whose diagonals are there, in compressed rows."""
    rng = np.random.default_rng(count)
    every = [np.tril(rng.random((blocks, blocks)) < 0.4) | np.eye(blocks, dtype=bool)
             for _ in range(count)]  # fmt: skip
    most = max(int(each.sum()) for each in every)
    ends = np.array([[0, *np.cumsum(each.sum(axis=1))] for each in every], np.int32)
    columns = np.full((count, most), -1, np.int32)
    for row, each in zip(columns, every, strict=True):
        row[: each.sum()] = np.nonzero(each)[1]
    return ends, columns


def sparse(rows: int, before: int, count: int, **attrs: Any) -> Any:
    heads, groups, room = 4, 2, 64
    given = [floats(B, rows, n * WIDE, seed=i) for i, n in enumerate((heads, groups, groups))]
    past = [floats(B, groups, room, WIDE, seed=i) for i in (3, 4)]
    total = np.array([before + rows] * B, np.int32)
    tables = [np.cos(floats(room, WIDE // 2)), np.sin(floats(room, WIDE // 2))]
    given += [*past, *layouts(count, room // 16), np.asarray(before + rows, np.int32), total]
    given += tables if attrs.get("do_rotary") else []
    attrs = {"num_heads": heads, "kv_num_heads": groups, "sparse_block_size": 16, **attrs}
    return "SparseAttention", tuple(given), {"constants": (5, 6), "outputs": (0, 1, 2), **attrs}


def quantised(rows: int, kind: str, bits: int) -> Any:
    op, given, attrs = grouped(rows, 12, 2)
    if bits == 8:
        past = [integers(-128, 128, B, 2, 12, WIDE, seed=i, dtype="int8") for i in (3, 4)]
    else:
        past = [integers(0, 256, B, 2, 12, WIDE // 2, seed=i, dtype="uint8") for i in (3, 4)]
    shape = (1,) if kind == "PER_TENSOR" else (2, 1, WIDE)
    scales = [positive(*shape) * np.float32(0.02 if bits == 8 else 0.3) for _ in range(2)]
    given = (*given[:3], *past, *given[5:7], *[None] * 5, *scales)
    kinds = {"k_quant_type": kind, "v_quant_type": kind, "kv_cache_bit_width": bits}
    return op, given, {**attrs, **kinds}


CACHES = {
    "bytes": quantised(1, "PER_TENSOR", 8),
    "bytes by columns": quantised(1, "PER_CHANNEL", 8),
    "halves of bytes": quantised(1, "PER_CHANNEL", 4),
    "scores": grouped(9, 0, 2, softcap=3.0, qk_output=1, outputs=(0, 1, 2, 3)),
    "shares": grouped(1, 12, 2, qk_output=2, outputs=(0, 1, 2, 3)),
}
SPARSE = {
    "a prompt": sparse(40, 0, 1),
    "a prompt, turned": sparse(40, 0, 2, do_rotary=1),
    "a token": sparse(1, 40, 2),
    "a token, turned": sparse(1, 33, 4, do_rotary=1, scale=0.2),
}
ROTARY = {
    name: (
        "MRotaryEmbedding",
        (x, integers(0, 40, 3, B, 9), *WIDE_TABLES),
        {"mrope_section": sections, "num_heads": 3, **attrs},
    )
    for name, x, sections, attrs in (
        ("in sections", floats(B, 9, 3 * WIDE), [4, 2, 2], {}),
        ("in turns", floats(B, 9, 3 * WIDE), [4, 2, 2], {"mrope_layout": 1}),
        ("heads first", floats(B, 3, 9, WIDE), [3, 3, 2], {"mrope_layout": 1}),
        ("neighbours", floats(B, 9, 3 * WIDE), [8, 0, 0], {"interleaved": 1}),
    )
}
X, STREAMS = floats(2, 5, 12), floats(2, 5, 3, 8)
FLAT = STREAMS.reshape(2, 5, 24)
GATES = {
    "a gate of a decay": ("LinearAttentionGate", (X, floats(12), -positive(12)), {}),
    "and a rate": (
        "LinearAttentionGate",
        (X, floats(12), -positive(12), floats(2, 5, 12, seed=4)),
        {"outputs": (0, 1)},
    ),
    "a norm": ("GatedRMSNorm", (X, positive(12), X[::-1]), {}),
    "a norm of heads": (
        "GatedRMSNorm", (X, positive(4), X[::-1]), {"epsilon": 1e-3, "activation": "sigmoid"},
    ),
    "a norm of halves": (
        "GatedRMSNorm", tuple(a.astype(F16) for a in (X, positive(4), X[::-1])), {},
    ),
    "an engram": (
        "EngramGate",
        (STREAMS, STREAMS[::-1], floats(2, 5, 8), positive(3, 8), positive(3, 8) + 1),
        {},
    ),
    "and its norm": (
        "EngramGate",
        (STREAMS, STREAMS[::-1], floats(2, 5, 8), *[positive(3, 8)] * 3),
        {"outputs": (0, 1), "epsilon": 1e-3},
    ),
    "scaled": ("ScaledSiLU", (X,), {"alpha": 0.7}),
    "scaled by an input": ("ScaledSiLU", (X, np.float32(-0.3)), {}),
    "added": ("GatedAdd", (X, X[::-1], floats(2, 5, 1)), {}),
    "a norm of streams": ("BranchwiseRMSNorm", (STREAMS, positive(8)), {}),
    "a norm of each": ("BranchwiseRMSNorm", (FLAT, positive(24)), {"num_branches": 3}),
    "a norm by halves": ("BranchwiseRMSNorm", (STREAMS, positive(8).astype(F16)), {}),
    "a norm of halves by others": (
        "BranchwiseRMSNorm", (STREAMS.astype(F16), positive(8)), {},
    ),
    "no scale": ("BranchwiseRMSNorm", (STREAMS,), {"epsilon": 1e-2}),
    "streams together": ("HyperConnectionPreMix", (STREAMS, floats(2, 5, 3)), {}),
    "of columns": (
        "HyperConnectionPreMix",
        (FLAT, floats(2, 5, 24)),
        {"num_branches": 3, "reduction_scale": 0.5},
    ),
    "streams apart": (
        "HyperConnectionPostMix", (STREAMS, floats(2, 5, 8), floats(2, 5, 3)), {},
    ),
    "and mixed": (
        "HyperConnectionPostMix",
        (STREAMS, floats(2, 5, 8), floats(2, 5, 3, 1), floats(2, 5, 3, 3)),
        {},
    ),
}  # fmt: skip


def experts(rows: int, activation: str = "relu", **attrs: Any) -> Any:
    count, width, inner = 5, 8, 12
    wide = 2 * inner if activation == "swiglu" and attrs.get("swiglu_fusion") else inner
    given = [
        floats(rows, width), floats(rows, count, seed=2),
        floats(count, wide, width, seed=3), floats(count, wide, seed=4),
        floats(count, width, inner, seed=5), floats(count, width, seed=6),
    ]  # fmt: skip
    if activation == "swiglu" and not attrs.get("swiglu_fusion"):
        given += [floats(count, inner, width, seed=7), floats(count, inner, seed=8)]
    return "MoE", tuple(given), {"activation_type": activation, "k": 2, **attrs}


EXPERTS = {
    "many rows": experts(9),
    "a row": experts(1, "silu", normalize_routing_weights=1),
    "gelu": experts(9, "gelu", k=1),
    "identity": experts(2, "identity", k=4, normalize_routing_weights=1),
    "halves in turns": experts(
        9, "swiglu", swiglu_fusion=1, activation_alpha=1.7, swiglu_limit=1.0,
    ),
    "halves, a row": experts(
        1, "swiglu", swiglu_fusion=1, activation_alpha=1.7, activation_beta=1.0,
    ),
    "routed": (
        "MoEGroupRouter",
        (floats(9, 12), floats(12)),
        {"top_k": 3, "n_group": 4, "topk_group": 2, "group_topk": 2},
    ),
    "routed without groups": ("MoEGroupRouter", (floats(9, 12), floats(12)), {"top_k": 3}),
}  # fmt: skip


def few_bits(rows: int, bits: int, block: int, zeros: bool, **attrs: Any) -> Any:
    count, width, inner, per = 3, 32, 32, 8 // bits

    def layer(results: int, columns: int, seed: int) -> list[np.ndarray | None]:
        packed = integers(0, 256, count, results, columns // per, seed=seed, dtype="uint8")
        shape = (count, results, columns // block) if block else (count, results)
        return [packed, positive(*shape) * np.float32(0.02), floats(count, results, seed=seed)]

    given: list[np.ndarray | None] = [floats(rows, width), floats(rows, count, seed=2)]
    given += [*layer(inner, width, 3), *layer(width, inner, 4), None, None, None]
    if zeros:
        shape = (inner, -(-(width // block) // per)) if block else (-(-inner // per),)
        given += [integers(0, 256, count, *shape, seed=i, dtype="uint8") for i in (7, 8)]
    while given[-1] is None:
        given.pop()
    attrs = {"expert_weight_bits": bits, **({"block_size": block} if block else {}), **attrs}
    known = tuple(i for i in range(2, len(given)) if given[i] is not None)
    return "QMoE", tuple(given), {"k": 2, "constants": known, "activation_type": "silu", **attrs}


def routed(normalised: int) -> Any:
    op, given, attrs = few_bits(9, 8, 0, zeros=False)
    more = [None] * (14 - len(given))
    given = (*given, *more, positive(9, 3))
    return op, given, {**attrs, "normalize_routing_weights": normalised}


FEW = {
    "mixed otherwise": routed(0),
    "mixed otherwise, normalised": routed(1),
    "4 bits": few_bits(9, 4, 0, zeros=False),
    "4 bits in blocks": few_bits(1, 4, 16, zeros=False),
    "4 bits, centred": few_bits(9, 4, 16, zeros=True),
    "8 bits": few_bits(9, 8, 0, zeros=False),
}
FAMILIES = {
    "caches": CACHES, "decoders": DECODERS, "rotary": ROTARY, "gates": GATES, "experts": EXPERTS,
    "few bits": FEW,
}  # fmt: skip


@pytest.mark.parametrize(("op", "arguments", "attrs"), cases(FAMILIES))
def test_an_operator_means_what_onnx_runtime_computes(
    op: str, arguments: tuple[np.ndarray | None, ...], attrs: dict[str, Any]
) -> None:
    agree_alone(op, arguments, attrs)


@pytest.mark.parametrize(
    ("op", "arguments", "attrs"),
    [pytest.param(*case, id=name.replace(" ", "-"))
     for cases in (IN_PLACE, SPARSE) for name, case in cases.items()],
)  # fmt: skip
def test_caches_are_written_in_place_as_by_onnx_runtime(
    op: str, arguments: tuple[np.ndarray | None, ...], attrs: dict[str, Any]
) -> None:
    agree(*single(op, *arguments, **attrs), caches={"out1": "in3", "out2": "in4"})


@pytest.mark.parametrize(("rows", "before"), [(1, 4), (1, 0), (3, 2)])
def test_all_heads_are_written_in_place(rows: int, before: int) -> None:
    new = [floats(B, rows, H, seed=i) for i in range(3)]
    given = (*new, None, None, None, *OLD, np.array([before], np.int32))
    made = single("MultiHeadAttention", *given, num_heads=N, outputs=(0, 1, 2))
    agree(*made, caches={"out1": "in6", "out2": "in7"})


def test_a_decoder_whose_cache_grows_is_attention_over_all() -> None:
    """ONNX Runtime's own kernel wants caches that share a buffer."""
    _, (*given,), attrs = masked(*TOKEN, None, None, *OLD, outputs=(0, 1, 2))
    same, inputs = single("MultiHeadAttention", *TOKEN, None, None, None, *OLD, **attrs)
    wanted = runtime(same, inputs)
    proto, inputs = single("DecoderMaskedMultiHeadAttention", *given, **attrs)
    found = compute(import_model(typed(proto, wanted), TARGET), inputs)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, 1e-4, 1e-5)
