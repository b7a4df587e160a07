"""Attention whose keys and values serve several heads of queries (Ainslie et al. 2023).

All rows of a group's heads are rows of one: keys and values are not repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .attention import LOWEST, scores
from .rotary import angles_at, rotated
from .spelling import Operators, Results, Spelled, Spelling, attributes

_INT32, _INT64 = 6, 7


@dataclass(frozen=True)
class _Sizes:
    """Of one node: ``past`` is the room that keys of earlier runs take."""

    batch: int
    rows: int
    past: int
    columns: int
    heads: int
    groups: int

    @property
    def keys(self) -> int:
        return self.past + self.rows

    @property
    def each(self) -> int:
        """Heads of queries that share keys and values."""
        return self.heads // self.groups


def _grouped(call: Spelling) -> Results:
    _check(call)
    q, k, v, sizes = _parts(call)
    before = _before(call, sizes)
    if call.attr("do_rotary", 0):
        angles = angles_at(call, _places(call, sizes, before), (call.given(7), call.given(8)))
        turned = bool(call.attr("rotary_interleaved", 0))
        q, k = (rotated(call, x, angles, turned) for x in (q, k))
    new = [call.transpose(x, 0, 2, 1, 3) for x in (k, v)]
    k, v = (_present(call, sizes, i, each, before) for i, each in zip((3, 4), new, strict=True))
    return _attend(call, sizes, q, k, v, _masks(call, sizes, before)), k, v


def _check(call: Spelling) -> None:
    for name in ("qk_output", "kv_cache_bit_width"):
        if call.attr(name, 0):
            raise call.unsupported(f"{name}={call.attr(name, 0)}")
    for name in ("k_quant_type", "v_quant_type"):
        if call.attr(name, "NONE") != "NONE":
            raise call.unsupported("a quantised cache")
    for index in (12, 13):
        if call.input(index):
            raise call.unsupported(f"its input '{call.input(index)}'")


def _parts(call: Spelling) -> tuple[str, str, str, _Sizes]:
    """Queries, keys and values as [batch, rows, heads, columns]."""
    heads, groups = call.count("num_heads"), call.count("kv_num_heads")
    if heads % groups:
        raise call.unsupported(f"{heads} heads in {groups} groups")
    q, k, v = call.x, call.input(1), call.input(2)
    packed = not k
    shape = call.shape(q)
    every = heads + 2 * groups if packed else heads
    if len(shape) != 3 or shape[2] < every or shape[2] % every:
        raise call.unsupported(f"queries of the shape {list(shape)} for {every} heads")
    batch, rows, width = shape
    columns = width // every
    if packed:
        q, k, v = call.split(q, 2, [n * columns for n in (heads, groups, groups)])
    parts = [call.reshape(x, 0, 0, -1, columns) for x in (q, k, v)]
    past = call.shape(call.input(3))[2] if call.input(3) else 0
    if call.shape(parts[1]) != (batch, rows, groups, columns):
        raise call.unsupported(f"keys of the shape {list(call.shape(k))}")
    return parts[0], parts[1], parts[2], _Sizes(batch, rows, past, columns, heads, groups)


def _before(call: Spelling, sizes: _Sizes) -> str:
    """How many keys of earlier runs each batch has, [batch, 1] in int64; "" where there are none.

    The last key's place is given.
    """
    if not sizes.past:
        return ""
    last = call.cast(call.reshape(call.given(5), sizes.batch, 1), _INT64)
    found = call.emit("Add", last, call.constant(1 - sizes.rows, "int64"))
    zero = call.constant(0, "int64")
    return call.emit("Where", call.emit("Less", found, zero), zero, found)


def _places(call: Spelling, sizes: _Sizes, before: str) -> str:
    """Those of the rows, [batch or 1, rows]."""
    if call.input(9):
        return call.reshape(call.input(9), -1, sizes.rows)
    own = call.constant(np.arange(sizes.rows).reshape(1, -1), "int64")
    return call.emit("Add", own, before) if before else own


def _present(call: Spelling, sizes: _Sizes, index: int, new: str, before: str) -> str:
    """All keys, or values: new ones come after those that a batch has, zeros after these."""
    if not before:
        return new
    every = call.emit("Concat", call.given(index), new, axis=2)
    places = call.constant(np.arange(sizes.keys).reshape(1, 1, sizes.keys, 1), "int64")
    own = call.reshape(before, sizes.batch, 1, 1, 1)
    later = call.emit("Sub", places, own)
    if sizes.rows > 1:  # one is everywhere
        place = call.emit("Add", later, call.constant(sizes.past, "int64"))
        zero, last = (call.constant(n, "int64") for n in (0, sizes.keys - 1))
        place = call.emit("Where", call.emit("Less", place, zero), zero, place)
        place = call.emit("Where", call.emit("Greater", place, last), last, place)
        shape = call.sizes(sizes.batch, sizes.groups, sizes.keys, sizes.columns)
        new = call.emit("GatherElements", every, call.emit("Expand", place, shape), axis=2)
    beyond = call.emit("Greater", later, call.constant(sizes.rows - 1, "int64"))
    rest = call.emit("Where", beyond, call.number(0, new), new)
    return call.emit("Where", call.emit("Less", places, own), every, rest)


def _masks(call: Spelling, sizes: _Sizes, before: str) -> list[str]:
    """What is added to scores [batch, groups, heads' rows, keys]: keys before a row's own count."""
    keys = call.constant(np.arange(sizes.keys).reshape(1, 1, 1, sizes.keys), "int64")
    own = call.constant(np.arange(sizes.rows).reshape(1, 1, sizes.rows, 1), "int64")
    if before:
        own = call.emit("Add", own, call.reshape(before, sizes.batch, 1, 1, 1))
    hidden = call.emit("Greater", keys, own)
    window = call.attr("local_window_size", -1)
    if window > 0:
        first = call.emit("Sub", own, call.constant(window - 1, "int64"))
        hidden = call.emit("Or", hidden, call.emit("Less", keys, first))
    numbers = (call.constant(n, "float32") for n in (LOWEST, 0))
    found = [call.emit("Where", hidden, *numbers)]
    if call.input(10):
        found.append(call.input(10))
    return [_for_groups(call, sizes, mask) for mask in found]


def _for_groups(call: Spelling, sizes: _Sizes, mask: str) -> str:
    """A mask of all heads, or of each, as one of the groups."""
    batch, heads, rows, keys = call.shape(mask)
    if heads == sizes.heads > 1:
        return call.reshape(mask, batch, sizes.groups, sizes.each * rows, keys)
    if sizes.each == 1 or rows == 1:
        return mask
    spread = call.unsqueeze(mask, 2)
    shape = (batch, 1, sizes.each, rows, keys)
    spread = call.emit("Expand", spread, call.sizes(*shape))
    return call.reshape(spread, batch, 1, sizes.each * rows, keys)


def _attend(call: Spelling, sizes: _Sizes, q: str, k: str, v: str, masks: list[str]) -> str:
    """[batch, rows, heads * columns]."""
    apart = call.reshape(q, 0, 0, sizes.groups, sizes.each, sizes.columns)
    apart = call.transpose(apart, 0, 2, 3, 1, 4)
    q = call.reshape(apart, sizes.batch, sizes.groups, -1, sizes.columns)
    found = scores(call, q, k, call.attr("scale", 0.0))
    cap = call.attr("softcap", 0.0)
    if cap:
        bent = call.emit("Tanh", call.emit("Div", found, call.number(cap, found)))
        found = call.emit("Mul", bent, call.number(cap, found))
    for mask in masks:
        found = call.emit("Add", found, mask)
    y = call.emit("MatMul", _shares(call, sizes, found), v)
    y = call.reshape(y, sizes.batch, sizes.groups, sizes.each, sizes.rows, sizes.columns)
    return call.reshape(call.transpose(y, 0, 3, 1, 2, 4), sizes.batch, sizes.rows, -1)


def _shares(call: Spelling, sizes: _Sizes, found: str) -> str:
    """Softmax; a sink takes a share of its own, which goes nowhere."""
    sinks = call.input(11)
    if not sinks and not call.attr("smooth_softmax", 0):
        return call.emit("Softmax", found, axis=-1)
    if not sinks:
        sinks = call.constant([0.0] * sizes.heads, "float32")
    column = call.reshape(sinks, 1, sizes.groups, sizes.each, 1, 1)
    shape = (sizes.batch, sizes.groups, sizes.each, sizes.rows, 1)
    column = call.emit("Expand", column, call.sizes(*shape))
    column = call.reshape(column, sizes.batch, sizes.groups, -1, 1)
    every = call.emit("Softmax", call.emit("Concat", found, column, axis=3), axis=-1)
    return call.slice(every, 3, 0, sizes.keys)


OPERATORS: Operators = {
    "GroupQueryAttention": Spelled(
        _grouped,
        14,
        attributes(
            """
                do_rotary kv_cache_bit_width kv_num_heads k_quant_type local_window_size num_heads
                qk_output rotary_interleaved scale smooth_softmax softcap v_quant_type
            """
        ),
        in_steps=True,
        since=11,
    ),
}
