"""Caches of decoders in ONNX Runtime's domain: of windows, of rows that are padded, of beams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from microsoft_models import agree, runtime, single, typed
from onnx_models import TARGET, compute, floats, integers
from test_microsoft_attention import WIDE, WIDE_TABLES, B, D, N, kept
from test_microsoft_decoders import TOKEN, masked

from luthier.frontend import import_model
from luthier.schedules import ModelError

GROUPS, HEADS, ROOM = 2, 6, 12
H = N * D


def grouped(
    rows: int, totals: list[int], counts: list[int] | None = None, *, room: int = ROOM, **attrs: Any
) -> tuple[str, tuple[np.ndarray | None, ...], dict[str, Any]]:
    """Over caches that have ``totals`` keys after this run, of which ``counts`` are new."""
    batch = len(totals)
    more = attrs.pop("bias", None)
    rotary = WIDE_TABLES if attrs.get("do_rotary") else (None, None)
    given = [
        floats(batch, rows, HEADS * WIDE), *(floats(batch, rows, GROUPS * WIDE, seed=i)
                                             for i in (1, 2)),
        *(floats(batch, GROUPS, room, WIDE, seed=i) for i in (3, 4)),
        np.array(totals, np.int32) - 1, np.asarray(max(totals), np.int32), *rotary, None, more,
        None, None, None, None, None, None if counts is None else np.array(counts, np.int32),
    ]  # fmt: skip
    while given[-1] is None:
        given.pop()
    attrs = {"num_heads": HEADS, "kv_num_heads": GROUPS, "outputs": (0, 1, 2), **attrs}
    return "GroupQueryAttention", tuple(given), attrs


def held(total: int, room: int, window: int) -> int:
    """Rows that a sliding cache holds after so many."""
    at_once = room - window + 1
    return total if total <= room else total - at_once * -(-(total - room) // at_once)


PADDED = {
    "a prompt": (grouped(5, [5, 3], [5, 3]), [5, 3], [5, 3]),
    "later rows": (grouped(4, [9, 6], [4, 1], do_rotary=1), [4, 1], [9, 6]),
    "a row or none": (grouped(1, [7, 4], [1, 0]), [1, 0], [7, 4]),
    "of a window": (grouped(4, [8, 7], [3, 4], local_window_size=3), [3, 4], [8, 7]),
}


@pytest.mark.parametrize("name", PADDED)
def test_rows_that_are_padded_leave_the_others_as_they_are(name: str) -> None:
    """Results of padding, and what a cache holds after its last row, are left open."""
    (op, arguments, attrs), counts, totals = PADDED[name]
    compare(op, arguments, attrs, counts, totals)


def compare(op: str, arguments: Any, attrs: Any, counts: list[int], totals: list[int]) -> None:
    proto, inputs = single(op, *arguments, **attrs)
    theirs = runtime(proto, inputs)
    ours = compute(import_model(typed(proto, theirs), TARGET), inputs)
    for b, (count, total) in enumerate(zip(counts, totals, strict=True)):
        np.testing.assert_allclose(ours["out0"][b, :count], theirs["out0"][b, :count], 1e-4, 1e-5)
        for cache in ("out1", "out2"):
            mine, wanted = (a[cache][b, :, :total] for a in (ours, theirs))
            np.testing.assert_allclose(mine, wanted, 1e-6, 1e-6)
    assert {n: a.shape for n, a in ours.items()} == {n: a.shape for n, a in theirs.items()}


WINDOWS = {
    "a prompt that fits": (5, [5], None, 4, 8),
    "a prompt that does not": (13, [13], None, 4, 8),
    "a row before it is full": (1, [6, 3], None, 4, 8),
    "a row that slides": (1, [9, 14], None, 4, 8),
    "no slack": (1, [9, 4], None, 8, 8),
    "several rows": (3, [11], None, 4, 8),
    "padded rows": (4, [11, 6], [4, 2], 4, 8),
    "padded rows, no slack": (4, [19, 6], [3, 4], 8, 8),
}


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("name", WINDOWS)
def test_a_cache_of_a_window_slides_as_in_onnx_runtime(name: str, turned: int) -> None:
    rows, totals, counts, window, room = WINDOWS[name]
    op, arguments, attrs = grouped(
        rows, totals, counts, room=room, local_window_size=window, sliding_window_cache=1,
        do_rotary=turned,
    )  # fmt: skip
    new = counts or [min(rows, total) for total in totals]
    compare(op, arguments, attrs, new, [held(total, room, window) for total in totals])


def test_a_bias_of_scores_is_of_places_from_the_start() -> None:
    bias = floats(1, HEADS, 1, 14)
    op, arguments, attrs = grouped(
        1, [9, 14], room=8, local_window_size=4, sliding_window_cache=1, bias=bias
    )
    compare(op, arguments, attrs, [1, 1], [held(n, 8, 4) for n in (9, 14)])


def test_a_window_larger_than_its_cache_is_refused() -> None:
    op, arguments, attrs = grouped(1, [9], room=8, local_window_size=9, sliding_window_cache=1)
    with pytest.raises(ModelError, match="a sliding cache of 8 rows for a window of 9"):
        import_model(single(op, *arguments, **attrs)[0], TARGET)


# ---- orders of beams ----

BEAMS, MOST = 4, 7
ROWS = [floats(BEAMS, 1, H, seed=i) for i in range(3)]
OLD = [floats(BEAMS, N, MOST, D, seed=i) for i in (5, 6)]


@pytest.mark.parametrize("beams", [2, 4, 1])
@pytest.mark.parametrize("before", [0, 3, MOST - 1])
@pytest.mark.parametrize("op", ["DecoderMaskedMultiHeadAttention", "MultiHeadAttention"])
def test_beams_read_the_caches_of_those_that_they_come_from(
    op: str, beams: int, before: int
) -> None:
    order = integers(0, beams, BEAMS // beams, beams, MOST, dtype="int32")
    past = np.array([before], np.int32)
    if op == "MultiHeadAttention":
        arguments: Any = (*ROWS, None, None, None, *OLD, past, order)
        attrs = {}
    else:
        arguments = (*ROWS, None, None, *OLD, past, np.array([beams], np.int32), order)
        attrs = {"past_present_share_buffer": 1}
    made = single(op, *arguments, num_heads=N, outputs=(0, 1, 2), **attrs)
    names = ("in6", "in7") if op == "MultiHeadAttention" else ("in5", "in6")
    agree(*made, caches=dict(zip(("out1", "out2"), names, strict=True)))


def test_an_order_of_other_beams_is_refused() -> None:
    order = np.zeros((2, 3, MOST), np.int32)
    arguments = (*ROWS, None, None, None, *OLD, np.array([3], np.int32), order)
    made, _ = single("MultiHeadAttention", *arguments, num_heads=N, outputs=(0, 1, 2))
    with pytest.raises(ModelError, match=r"an order of beams \[2, 3, 7\] of 4 caches"):
        import_model(made, TARGET)


# ---- scores as a result ----

TOKENS = [floats(B, 3, H, seed=i) for i in range(3)]
PARTS = [floats(B, rows, H, seed=i) for i, rows in enumerate((3, 5, 5))]


def shown(op: str, *arguments: np.ndarray | None, **attrs: Any) -> Any:
    proto, inputs = single(op, *arguments, num_heads=N, **attrs)
    proto.graph.output[-1].type.tensor_type.elem_type = 1
    return proto, inputs


SCORES = {
    "of all": shown("MultiHeadAttention", *PARTS, outputs=(0, 1, 2, 3)),
    "biased": shown(
        "MultiHeadAttention", *PARTS, None, None, floats(1, N, 3, 5), outputs=(0, 3), scale=0.4),
    "masked": shown("MultiHeadAttention", *PARTS, None, kept(B, 5), outputs=(0, 3)),
    "after others": shown(
        "MultiHeadAttention", *TOKENS, None, None, None,
        *(floats(B, N, 2, D, seed=i) for i in (7, 8)), outputs=(0, 1, 2, 3), unidirectional=1),
    "of given keys": shown(
        "DecoderMaskedMultiHeadAttention", TOKEN[0], *(floats(B, N, 7, D, seed=i) for i in (5, 6)),
        outputs=(0, 3), output_qk=1),
}  # fmt: skip


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_a_result(name: str) -> None:
    agree(*SCORES[name])


def test_scores_of_as_many_keys_as_a_run_says_are_refused() -> None:
    _, given, attrs = masked(
        *TOKEN, None, None, *(floats(B, N, 6, D, seed=i) for i in (7, 8)),
        np.array([4], np.int32), outputs=(0, 1, 2, 3), past_present_share_buffer=1, output_qk=1,
    )  # fmt: skip
    proto, _ = single("DecoderMaskedMultiHeadAttention", *given, **attrs)
    proto.graph.output[-1].type.tensor_type.elem_type = 1
    with pytest.raises(ModelError, match="its result 'out3' is not supported"):
        import_model(proto, TARGET)
