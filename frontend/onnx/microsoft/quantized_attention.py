"""Attention of ONNX Runtime's domain over a product of quantised numbers."""

from __future__ import annotations

from .attention import ATTENTION, Heads, attended, split_heads
from .quantized_products import scaled_product
from .spelling import Operators, Results, Spelled, Spelling


def _attention(call: Spelling) -> Results:
    """Input, weights, bias, both scales, a mask, both zero points, what came before."""
    for name in ("do_rotary", "past_present_share_buffer"):
        if call.attr(name, 0):
            raise call.unsupported(f"{name}={call.attr(name, 0)}")
    count = call.count("num_heads")
    a = call.x, call.given(3), call.input(6)
    b = call.given(1), call.given(4), call.input(7)
    product = scaled_product(call, a, b, call.input(2))
    columns = call.shape(call.given(1))[-1]
    parts = call.split(product, 2, [columns // 3] * 3)
    q, k, v = (split_heads(call, part, count) for part in parts)
    return attended(call, Heads(q, k, v), call.input(8), call.input(5), "")


OPERATORS: Operators = {"QAttention": Spelled(_attention, 9, ATTENTION, since=10)}
