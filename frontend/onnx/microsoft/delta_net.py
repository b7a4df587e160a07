"""Linear attention of packed rows with gates of its own (Yang et al. 2025)."""

from __future__ import annotations

import math

import numpy as np

from .gates import softplus
from .linear_attention import over_rows, recurrence, repeated
from .packed import Packed, captured, packed
from .spelling import Operators, Results, Spelled, Spelling, attributes

_FLOAT = 1
_STATE = 6


def _delta_net(call: Spelling) -> Results:
    """States lie with values' columns first; all is computed in float32."""
    rule, state = recurrence(call), call.given(_STATE)
    count, heads, width, columns = call.shape(state)
    q, k, v = (call.cast(x, _FLOAT) for x in _operands(call, heads, width, columns))
    shape, own = call.shape(v)[:-2], None
    batch = count
    if call.input(3):  # several lengths: all rows are one sequence's, each with its own state
        batch, own = 1, packed(call, call.given(3), *shape)

    def rows_first(x: str, *each: int) -> str:
        apart = call.reshape(x, batch, -1, *each)
        return call.transpose(apart, 1, 0, *range(2, 2 + len(each)))

    q, k = (rows_first(x, call.shape(x)[-2], columns) for x in (q, k))
    if call.attr("qk_l2_norm", 0):
        q, k = (_normalised(call, x) for x in (q, k))
    parts = {"q": repeated(call, q, heads), "k": repeated(call, k, heads)}
    parts["v"] = rows_first(v, heads, width)
    if rule.decays:
        per_column = call.rank(call.given(4)) > len(shape) + 1
        decay = _decay(call, heads, per_column=per_column)
        parts["decay"] = rows_first(decay, heads, columns if per_column else 1)
    if rule.corrects:
        beta = call.cast(call.given(5), _FLOAT)
        kind = call.attr("beta_activation", "none")
        if kind not in ("none", "sigmoid"):
            raise call.unsupported(f"beta_activation='{kind}'")
        beta = call.emit("Sigmoid", beta) if kind == "sigmoid" else beta
        parts["beta"] = rows_first(beta, heads, 1)
    if own is not None and own.sequences > 1:
        parts["which"] = call.unsqueeze(own.which, 1)
    begin = call.transpose(state, 0, 1, 3, 2)
    found = over_rows(call, rule, parts, begin, changes=call.wants(2))
    y = call.reshape(call.transpose(found.y, 1, 0, 2, 3), *shape, heads, width)
    update = _update(call, own, parts.get("decay", ""), k, found.changes) if call.wants(2) else ""
    return call.cast(y, call.dtype(call.x)), call.transpose(found.last, 0, 1, 3, 2), update


def _update(call: Spelling, own: Packed | None, decay: str, k: str, changes: str) -> str:
    """All decays of the first rows, then all keys, then all that is added for these, of each
    sequence as many as ``capture_count`` says; the rest is zeros."""
    capacity = call.attr("state_update_capacity", 0)
    rows, batch, *_ = call.shape(k)
    if capacity < 1 or capacity * batch > 1 << 24:
        raise call.unsupported(f"state_update_capacity={capacity}")
    if not decay:
        decay = call.emit("Expand", call.number(0, k), call.sizes(*call.shape(changes)[:3], 1))
    every = [call.emit("Exp", decay), k, changes]
    flat = [
        call.reshape(call.transpose(x, 1, 0, 2, 3), batch * rows, math.prod(call.shape(x)[2:]))
        for x in every
    ]
    if own is None:
        ends = call.constant(np.arange(batch + 1) * rows, "int64")
        own = packed(call, ends, batch * rows)
    counts = call.given(9)
    if call.input(10):
        zero = call.constant(0, "int32")
        active = call.emit("Equal", call.reshape(call.input(10), 1), zero)
        counts = call.emit("Where", active, zero, counts)
    parts = [captured(call, own, x, counts, capacity) for x in flat]
    return call.emit("Concat", *(call.reshape(x, own.sequences, -1) for x in parts), axis=1)


def _operands(call: Spelling, heads: int, width: int, columns: int) -> tuple[str, str, str]:
    """[..., heads, columns] each; they may be the columns of one."""
    q, k, v = call.x, call.input(1), call.input(2)
    if k and v:
        return q, k, v
    *outer, total = call.shape(q)
    each = (total - heads * width) // 2
    if k or v or each < columns or each % columns or 2 * each + heads * width != total:
        raise call.unsupported(f"packed rows of {total} columns")
    parts = call.split(q, len(outer), [each, each, heads * width])
    shapes = (-1, columns), (-1, columns), (heads, width)
    q, k, v = (call.reshape(x, *outer, *s) for x, s in zip(parts, shapes, strict=True))
    return q, k, v


def _normalised(call: Spelling, x: str) -> str:
    """Of length 1."""
    square = call.reduce("ReduceSum", call.emit("Mul", x, x), [3])
    return call.emit("Div", x, call.emit("Sqrt", call.emit("Add", square, call.number(1e-6, x))))


def _decay(call: Spelling, heads: int, *, per_column: bool) -> str:
    """Its logarithm, of each head or of each of the keys' columns."""
    given, kind = call.cast(call.given(4), _FLOAT), call.attr("gate_activation", "none")
    if kind == "none":
        return given
    if kind not in ("softplus", "qwen", "sigmoid", "kda"):
        raise call.unsupported(f"gate_activation='{kind}'")
    rate, bias = call.emit("Exp", call.given(7)), call.given(8)
    if per_column:
        rate = call.unsqueeze(rate, 1)
        bias = call.reshape(bias, heads, -1)  # it may be of heads alone, or flat
    moved = call.emit("Add", given, bias)
    if kind in ("softplus", "qwen"):
        return call.emit("Neg", call.emit("Mul", rate, softplus(call, moved)))
    bound = call.number(call.attr("gate_lower_bound", -5.0), given)
    return call.emit("Mul", bound, call.emit("Sigmoid", call.emit("Mul", rate, moved)))


OPERATORS: Operators = {
    "GatedDeltaNet": Spelled(
        _delta_net,
        11,
        attributes(
            """
                beta_activation chunk_size gate_activation gate_lower_bound qk_l2_norm scale
                state_update_capacity update_rule
            """
        ),
        since=9,
        cuts=True,
    ),
}
