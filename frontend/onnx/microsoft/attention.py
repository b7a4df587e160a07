"""Attention of ONNX Runtime's domain, spelled so that a pass makes one kernel of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .spelling import Operators, Results, Spelled, Spelling, attributes

LOWEST = float(np.finfo(np.float32).min)
_FLOAT, _INT64 = 1, 7  # ONNX's


@dataclass(frozen=True)
class Heads:
    """Queries, keys and values, each [batch, heads, rows, columns]; ``past`` keys came before."""

    q: str
    k: str
    v: str
    past: int = 0


def split_heads(call: Spelling, x: str, heads: int) -> str:
    """[batch, rows, heads * columns] as [batch, heads, rows, columns]."""
    if call.shape(x)[-1] % heads:
        raise call.unsupported(f"{heads} heads of {call.shape(x)[-1]} columns")
    return call.transpose(call.reshape(x, 0, 0, heads, -1), 0, 2, 1, 3)


def scores(call: Spelling, q: str, k: str, scale: float | None) -> str:
    """Scaled by the root of the columns, if not otherwise."""
    by = scale or 1 / math.sqrt(call.shape(q)[-1])
    product = call.emit("MatMul", q, call.transpose(k, 0, 1, 3, 2))
    return call.emit("Mul", product, call.number(by, product))


def attend(call: Spelling, heads: Heads, scale: float | None, masks: list[str]) -> tuple[str, str]:
    """[batch, rows, heads * columns]; and scores, to which all masks are added."""
    found = scores(call, heads.q, heads.k, scale)
    for mask in masks:
        found = call.emit("Add", found, mask)
    y = call.emit("MatMul", call.emit("Softmax", found, axis=-1), heads.v)
    return call.reshape(call.transpose(y, 0, 2, 1, 3), 0, 0, -1), found


def padding_mask(call: Spelling, mask: str, heads: Heads, fill: float) -> str:
    """What is added to scores: ``fill`` for keys that do not count.

    ``mask`` says how many keys of a batch count, or also the first that does, or it has a number
    for each key: [batch, keys], [batch, rows, keys] or, with room for all, [batch, 1, most, most].
    """
    batch, rows, keys = call.shape(heads.k)[0], call.shape(heads.q)[2], call.shape(heads.k)[2]
    shape = call.shape(mask)
    if shape in ((batch,), (2 * batch,)):
        places = call.constant(np.arange(keys).reshape(1, 1, 1, keys), "int32")
        end, *begin = call.split(mask, 0, [batch] * (shape[0] // batch))
        keep = call.emit("Less", places, call.reshape(end, batch, 1, 1, 1))
        for first in begin:
            before = call.emit("Less", places, call.reshape(first, batch, 1, 1, 1))
            keep = call.emit("And", keep, call.emit("Not", before))
    else:
        if shape == (batch, keys):
            given = call.reshape(mask, batch, 1, 1, keys)
        elif shape == (batch, rows, keys):
            given = call.reshape(mask, batch, 1, rows, keys)
        elif len(shape) == 4 and shape[2] == shape[3] >= keys:
            part = call.slice(mask, 2, heads.past, heads.past + rows)
            given = call.slice(part, 3, 0, keys)
        else:
            raise call.unsupported(f"a mask of the shape {list(shape)}")
        keep = call.emit("Greater", given, call.number(0, given))
    return call.emit("Where", keep, call.constant(0, "float32"), call.constant(fill, "float32"))


def causal_mask(call: Spelling, rows: int, keys: int, past: int) -> str:
    """What is added to scores: the lowest number for keys after a row."""
    places = call.constant(np.arange(keys).reshape(1, keys), "int32")
    own = call.constant(past + np.arange(rows).reshape(rows, 1), "int32")
    later = call.emit("Greater", places, own)
    numbers = (call.constant(n, "float32") for n in (LOWEST, 0))
    return call.emit("Where", later, *numbers)


def masks(call: Spelling, heads: Heads, padding: str, bias: str) -> list[str]:
    """All that is added to scores, by what a node says."""
    found = [bias] if bias else []
    fill = call.attr("mask_filter_value", -10000.0)
    if padding:
        found.append(padding_mask(call, padding, heads, fill))
    if call.attr("unidirectional", 0):
        rows, keys = call.shape(heads.q)[2], call.shape(heads.k)[2]
        found.append(causal_mask(call, rows, keys, heads.past))
    return found


def attended(call: Spelling, heads: Heads, past: str, padding: str, bias: str) -> tuple[str, str]:
    """The result, and keys and values as ``past`` is: [2, batch, heads, keys, columns]."""
    k, v, before = heads.k, heads.v, 0
    if past:
        before = call.shape(past)[3]
        old = [call.emit("Gather", past, call.constant(i, "int64"), axis=0) for i in (0, 1)]
        k, v = (call.emit("Concat", o, n, axis=2) for o, n in zip(old, (k, v), strict=True))
    heads = Heads(heads.q, k, v, before)
    y, _ = attend(call, heads, call.attr("scale", None), masks(call, heads, padding, bias))
    if not call.wants(1):
        return y, ""
    return y, call.emit("Concat", *(call.unsqueeze(each, 0) for each in (k, v)), axis=0)


def _attention(call: Spelling) -> Results:
    """Queries, keys and values are one product's columns, one after the other."""
    _refuse(call, ("do_rotary", "past_present_share_buffer"), (6,))
    count = call.count("num_heads")
    product = call.emit("MatMul", call.x, call.given(1))
    if call.input(2):
        product = call.emit("Add", product, call.input(2))
    columns = call.shape(call.given(1))[-1]
    sizes = [int(n) for n in call.attr("qkv_hidden_sizes", ())] or [columns // 3] * 3
    if len(sizes) != 3 or sum(sizes) != columns or min(sizes) < 1:
        raise call.unsupported(f"{columns} columns for {sizes}")
    parts = call.split(product, 2, sizes)
    q, k, v = (split_heads(call, part, count) for part in parts)
    heads = Heads(q, k, v)
    return attended(call, heads, call.input(4), call.input(3), call.input(5))


def _refuse(call: Spelling, names: tuple[str, ...], inputs: tuple[int, ...]) -> None:
    """Raise UnsupportedOperator for attributes that are set, and inputs that are there."""
    for name in names:
        if call.attr(name, 0):
            raise call.unsupported(f"{name}={call.attr(name, 0)}")
    for index in inputs:
        if call.input(index):
            raise call.unsupported(f"its input '{call.input(index)}'")


def _multi_head(call: Spelling) -> Results:
    """Keys and values may be packed with queries, or with one another, or have their heads."""
    count = call.count("num_heads")
    q, k, v = _unpacked(call)
    biases = packed_biases(call, call.input(3), q)
    cached = bool(k) and call.rank(k) == 4
    own = [call.emit("Add", q, biases[0]) if biases else q]
    for each, bias in ((k, biases[1:2]), (v, biases[2:3])):
        own.append(call.emit("Add", each, bias[0]) if bias and not cached else each)
    q, k, v = (x if call.rank(x) == 4 else split_heads(call, x, count) for x in own)
    heads = Heads(q, k, v)
    if call.input(8):
        return _in_place(call, heads)
    if call.input(6):
        past = call.input(6), call.input(7)
        k, v = (
            call.emit("Concat", old, new, axis=2)
            for old, new in zip(past, (heads.k, heads.v), strict=True)
        )
        heads = Heads(heads.q, k, v, call.shape(past[0])[2])
    found = masks(call, heads, call.input(4), call.input(5))
    y, shown = attend(call, heads, call.attr("scale", None), found)
    return y, heads.k, heads.v, shown


def _in_place(call: Spelling, heads: Heads) -> Results:
    """Into caches that keep their size, whose first rows are of earlier runs."""
    if call.attr("unidirectional", 0) or call.input(4) or call.input(5):
        raise call.unsupported("a mask over a cache in place")
    past = call.given(6), call.given(7)
    k, v, later = in_place(call, past, (heads.k, heads.v), call.given(8))
    read = of_beams(call, (k, v), call.input(9), call.given(8))
    y, _ = attend(call, Heads(heads.q, *read), call.attr("scale", None), [later])
    return y, k, v


def of_beams(call: Spelling, held: tuple[str, str], order: str, length: str) -> tuple[str, str]:
    """Keys and values [batch, heads, room, columns] as each beam reads them: of the first
    ``length`` the beam of its group that ``order`` [groups, beams, at most room] says."""
    if not order:
        return held
    batch, heads, room, _ = call.shape(held[0])
    groups, beams, known = call.shape(order)
    if groups * beams != batch or known > room:
        raise call.unsupported(f"an order of beams {[groups, beams, known]} of {batch} caches")
    order = call.cast(call.reshape(order, batch, known), _INT64)
    if known < room:
        rest = call.emit("Expand", call.constant(0, "int64"), call.sizes(batch, room - known))
        order = call.emit("Concat", order, rest, axis=1)
    numbers = np.arange(batch).reshape(-1, 1)
    other = call.emit("Add", order, call.constant(numbers // beams * beams, "int64"))
    places = call.constant(np.arange(room).reshape(1, -1), "int64")
    past = call.emit("Less", places, call.cast(call.reshape(length, 1, 1), _INT64))
    source = call.emit("Where", past, other, call.constant(numbers, "int64"))
    source = call.emit("Mul", source, call.constant(room, "int64"))
    source = call.emit("Add", source, places)  # [batch, room], of batch * room
    found = []
    for each in held:
        columns = call.shape(each)[3]
        rows = call.reshape(call.transpose(each, 0, 2, 1, 3), batch * room, heads, columns)
        found.append(call.transpose(call.emit("Gather", rows, source, axis=0), 0, 2, 1, 3))
    return found[0], found[1]


def in_place(
    call: Spelling, past: tuple[str, str], new: tuple[str, str], length: str
) -> tuple[str, str, str]:
    """Keys and values [batch, heads, room, columns] with new ones after the first ``length``, and
    what is added to scores so that none counts after these."""
    room = call.shape(past[0])[2]
    rows = call.shape(new[0])[2]
    places = np.arange(room)
    begin = call.cast(call.reshape(length, 1, 1, 1, 1), _INT64)
    later = call.emit("Sub", call.constant(places.reshape(1, 1, room, 1), "int64"), begin)
    zero, last = (call.constant(n, "int64") for n in (0, rows - 1))
    after = call.emit("Greater", later, last)
    here = call.emit("Not", call.emit("Or", call.emit("Less", later, zero), after))
    found = []
    for old, each in zip(past, new, strict=True):
        spread = each
        if rows > 1:  # one is everywhere
            place = call.emit("Where", here, later, zero)
            shape = call.sizes(*call.shape(old)[:3], call.shape(each)[3])
            rows_of = call.emit("Expand", place, shape)
            spread = call.emit("GatherElements", each, rows_of, axis=2)
        found.append(call.emit("Where", here, spread, old))
    numbers = (call.constant(n, "float32") for n in (LOWEST, 0))
    hidden = call.reshape(after, 1, 1, 1, room)
    return found[0], found[1], call.emit("Where", hidden, *numbers)


def _unpacked(call: Spelling) -> tuple[str, str, str]:
    """Queries, keys and values, where they were packed as [batch, rows, heads, 2 or 3, columns]."""
    q, k, v = call.x, call.input(1), call.input(2)
    if not k:
        if call.rank(q) != 5:
            raise call.unsupported("keys that are left out")
        first, second, third = _apart(call, q, 3)
        return first, second, third
    if not v:
        if call.rank(k) != 5:
            raise call.unsupported("values that are left out")
        second, third = _apart(call, k, 2)
        return q, second, third
    return q, k, v


def _apart(call: Spelling, x: str, count: int) -> list[str]:
    parts = call.split(x, 3, [1] * count)
    return [call.reshape(part, 0, 0, -1) for part in parts]


def packed_biases(call: Spelling, bias: str, q: str) -> list[str]:
    """Those of queries, keys and values, which follow one another; none where it is left out."""
    if not bias:
        return []
    width, total = call.shape(q)[-1], call.shape(bias)[0]
    values = total - 2 * width
    if values < 1:
        raise call.unsupported(f"a bias of {total} numbers for {width} columns")
    return call.split(bias, 0, [width, width, values])


_MASKED = attributes("mask_filter_value num_heads scale unidirectional")
ATTENTION = _MASKED | attributes("do_rotary past_present_share_buffer")
OPERATORS: Operators = {
    "Attention": Spelled(
        _attention,
        7,
        ATTENTION | attributes("qkv_hidden_sizes rotary_embedding_dim"),
        in_steps=True,
        since=9,
    ),
    "MultiHeadAttention": Spelled(_multi_head, 10, _MASKED, in_steps=True, since=9),
}
