"""Attention whose keys and values are summed up in a state: linear, with a decay, by the delta rule
(Yang et al. 2024, 2025)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .spelling import Operators, Results, Spelled, Spelling, attributes
from .steps import in_steps

_FLOAT = 1
_RULES = ("linear", "gated", "delta", "gated_delta")


@dataclass(frozen=True)
class Recurrence:
    """What one head's state [keys' columns, values' columns] becomes with each row."""

    rule: str
    scale: float

    @property
    def decays(self) -> bool:
        """Whether what there is fades."""
        return "gated" in self.rule

    @property
    def corrects(self) -> bool:
        """Whether what is known of a key is taken from its value (Widrow and Hoff 1960)."""
        return "delta" in self.rule


def recurrence(call: Spelling) -> Recurrence:
    """By a node's attributes; raises UnsupportedOperator."""
    rule, scale = call.attr("update_rule", "gated_delta"), call.attr("scale", 0.0)
    if rule not in _RULES:
        raise call.unsupported(f"update_rule='{rule}'")
    return Recurrence(rule, scale)


@dataclass(frozen=True)
class Attended:
    """Results [rows, batch, heads, columns]; the last state [batch, heads, keys', values' columns];
    and, where asked for, what was added to it for each row's key, as the results are."""

    y: str
    last: str
    changes: str = ""


def over_rows(
    call: Spelling, rule: Recurrence, rows: dict[str, str], state: str, *, changes: bool = False
) -> Attended:
    """``rows`` have q, k, v of each row, [rows, batch, heads, columns], of as many heads as the
    state or, of queries, a multiple; decay [..., 1 or keys' columns] and beta [..., 1] if the rule
    has these. With ``which`` [rows, 1] there is a batch of one, and that is the state of each row.
    """
    names = [n for n in ("q", "k", "v", "decay", "beta", "which") if n in rows]
    columns = call.shape(rows["k"])[-1]
    scale = rule.scale or 1 / math.sqrt(columns)

    def step(s: Spelling, states: list[str], given: list[str]) -> tuple[list[str], list[str]]:
        at = dict(zip(names, given, strict=True))
        before, which = states[0], at.get("which", "")
        if which:
            before = s.emit("Gather", before, which, axis=0)
        batch, heads, _, width = s.shape(before)
        if rule.decays:
            faded = s.unsqueeze(s.emit("Exp", at["decay"]), 3)
            before = s.emit("Mul", before, faded)
        new = s.unsqueeze(at["v"], 2)
        if rule.corrects:
            known = s.emit("MatMul", s.unsqueeze(at["k"], 2), before)
            new = s.emit("Mul", s.emit("Sub", new, known), s.unsqueeze(at["beta"], 3))
        after = s.emit("Add", before, s.emit("Mul", s.unsqueeze(at["k"], 3), new))
        each = s.reshape(at["q"], batch, heads, -1, columns)
        found = s.reshape(s.emit("MatMul", each, after), batch, -1, width)
        if which:
            numbers = s.constant(np.arange(s.shape(states[0])[0]).reshape(-1, 1, 1, 1), "int64")
            after = s.emit("Where", s.emit("Equal", numbers, which), after, states[0])
        made = [s.emit("Mul", found, s.number(scale, found))]
        made += [s.reshape(new, batch, heads, width)] if changes else []
        return [after], made

    (last,), (y, *more) = in_steps(call, [state], [rows[n] for n in names], step)
    return Attended(y, last, *more)


def repeated(call: Spelling, x: str, heads: int) -> str:
    """[rows, batch, heads, columns], each head several times until there are so many."""
    rows, batch, own, columns = call.shape(x)
    if own >= heads:
        return x
    if heads % own:
        raise call.unsupported(f"{own} heads for {heads}")
    wide = call.emit(
        "Expand", call.unsqueeze(x, 3), call.sizes(rows, batch, own, heads // own, columns)
    )
    return call.reshape(wide, rows, batch, heads, columns)


def _linear(call: Spelling) -> Results:
    """All heads of a row lie side by side."""
    rule = recurrence(call)
    if call.attr("state_window", 0):
        raise call.unsupported("a window of states")
    queries, heads = call.count("q_num_heads"), call.count("kv_num_heads")
    batch, rows, width = call.shape(call.x)
    values = call.shape(call.given(2))[2]
    if width % queries or values % heads or max(queries, heads) % min(queries, heads):
        raise call.unsupported(f"{queries} and {heads} heads of {width} and {values} columns")
    columns = width // queries

    def rows_first(x: str, wide: int) -> str:
        if call.shape(x)[2] % wide:
            raise call.unsupported(f"{call.shape(x)[2]} columns in heads of {wide}")
        return call.transpose(call.reshape(x, 0, 0, -1, wide), 1, 0, 2, 3)

    q, k = (repeated(call, rows_first(x, columns), heads) for x in (call.x, call.given(1)))
    parts = {"q": q, "k": k, "v": rows_first(call.given(2), values // heads)}
    if rule.decays:
        decay = call.given(4)
        parts["decay"] = rows_first(decay, columns if call.shape(decay)[2] > heads else 1)
    if rule.corrects:
        parts["beta"] = repeated(call, rows_first(call.given(5), 1), heads)
    state = call.input(3)
    if not state:
        shape = batch, heads, columns, values // heads
        state = call.emit("Expand", call.number(0, q), call.sizes(*shape))
    found = over_rows(call, rule, parts, state)
    return call.reshape(call.transpose(found.y, 1, 0, 2, 3), batch, rows, -1), found.last


OPERATORS: Operators = {
    "LinearAttention": Spelled(
        _linear,
        6,
        attributes("chunk_size kv_num_heads q_num_heads scale state_window update_rule"),
        in_steps=True,
        since=9,
        cuts=True,
    ),
}
