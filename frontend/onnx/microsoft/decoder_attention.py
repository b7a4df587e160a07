"""Attention of one row of queries, as decoders of ONNX Runtime's domain have it."""

from __future__ import annotations

from .attention import Heads, attend, in_place, of_beams, packed_biases, padding_mask, split_heads
from .spelling import Operators, Results, Spelled, Spelling, attributes

_PAST, _LENGTH = (5, 6), 7  # inputs: keys and values of earlier runs, and how many these are


def _decoded(call: Spelling) -> Results:
    """Of keys that are given for good there are no present ones."""
    q, k, v = _operands(call)
    given_for_good = bool(k) and call.rank(k) == 4
    biases = packed_biases(call, call.input(10), q)
    if biases:
        q = call.emit("Add", q, biases[0])
        if not given_for_good:
            k, v = (call.emit("Add", x, b) for x, b in zip((k, v), biases[1:], strict=True))
    count = call.count("num_heads")
    q = split_heads(call, q, count)
    if call.shape(q)[2] != 1:
        raise call.unsupported(f"{call.shape(q)[2]} rows of queries")
    if given_for_good:
        y, shown = _attended(call, Heads(q, k, v), [])
        return y, "", "", shown
    k, v = (split_heads(call, x, count) for x in (k, v))
    if not call.input(_PAST[0]):
        y, shown = _attended(call, Heads(q, k, v), [])
        return y, k, v, shown
    past = call.given(_PAST[0]), call.given(_PAST[1])
    if not call.attr("past_present_share_buffer", 0):
        k, v = (call.emit("Concat", *each, axis=2) for each in zip(past, (k, v), strict=True))
        y, shown = _attended(call, Heads(q, k, v, call.shape(past[0])[2]), [])
        return y, k, v, shown
    k, v, later = in_place(call, past, (k, v), call.given(_LENGTH))
    read = of_beams(call, (k, v), call.input(9), call.given(_LENGTH))
    y, _ = _attended(call, Heads(q, *read), [later])
    return y, k, v  # as many scores as keys so far are known only in the run


def _operands(call: Spelling) -> tuple[str, str, str]:
    """Queries, keys and values, which may be one value's columns, one after the other."""
    q, k, v = call.x, call.input(1), call.input(2)
    if k and v:
        return q, k, v
    if k or v or call.shape(q)[-1] % 3:
        raise call.unsupported("keys or values that are left out")
    q, k, v = call.split(q, 2, [call.shape(q)[-1] // 3] * 3)
    return q, k, v


def _attended(call: Spelling, heads: Heads, masks: list[str]) -> tuple[str, str]:
    keys = call.shape(heads.k)[2]
    if call.input(4):
        masks = [*masks, _widened(call, call.input(4), keys, 0)]
    if call.input(3):
        mask = _widened(call, call.input(3), keys, 1)
        masks = [*masks, padding_mask(call, mask, heads, call.attr("mask_filter_value", -10000.0))]
    return attend(call, heads, call.attr("scale", None), masks)


def _widened(call: Spelling, mask: str, keys: int, rest: int) -> str:
    """A mask of those keys that there are, where there is room for more."""
    *outer, given = call.shape(mask)
    if given >= keys:
        return mask
    more = call.emit("Expand", call.number(rest, mask), call.sizes(*outer, keys - given))
    return call.emit("Concat", mask, more, axis=len(outer))


OPERATORS: Operators = {
    "DecoderMaskedMultiHeadAttention": Spelled(
        _decoded,
        11,
        attributes(
            "mask_filter_value num_heads output_qk past_present_share_buffer scale unidirectional"
        ),
        in_steps=True,
        since=9,
    ),
}
