"""Attention whose keys and values serve several heads of queries (Ainslie et al. 2023).

All rows of a group's heads are rows of one, those of one place together: keys and values are not
repeated, and what is known of fewer rows is the beginning of what is known of more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .attention import LOWEST, scores
from .caches import is_growing, is_in_place
from .quantized_cache import caches
from .rotary import angles_at, rotated
from .sliding_cache import slide
from .spelling import Operators, Results, Spelled, Spelling, attributes

_INT32, _INT64 = 6, 7


@dataclass(frozen=True)
class Sizes:
    """Of one node: ``past`` is the room that keys of earlier runs take.

    ``in_place``: new ones are written there, too. ``grows``: each batch has as many keys as there
    is room for, and new ones come after them.
    """

    batch: int
    rows: int
    past: int
    columns: int
    heads: int
    groups: int
    in_place: bool
    grows: bool = False

    @property
    def keys(self) -> int:
        """All there is room for."""
        return self.past if self.in_place else self.past + self.rows

    @property
    def each(self) -> int:
        """Heads of queries that share keys and values."""
        return self.heads // self.groups


def _grouped(call: Spelling) -> Results:
    if any(call.input(i) for i in (14, 15)):
        raise call.unsupported("a norm of queries and keys")
    sliding = bool(call.attr("sliding_window_cache", 0))
    q, k, v, sizes = parts(call, in_place=is_in_place(call.node) and not sliding)
    sizes = replace(sizes, grows=is_growing(call.node))
    if sliding and (not sizes.past or not call.attr("causal", 1)):
        raise call.unsupported("a sliding cache that is left out, or of keys that come later,")
    before = earlier(call, sizes, call.given(5), call.input(16)) if sizes.past else ""
    if call.attr("do_rotary", 0):
        places = _places(call, sizes, before)
        q, k = turned(call, (q, k), places, (call.given(7), call.given(8)))
    kinds = caches(call, sizes.columns)
    past = [
        kind.opened(call, call.input(i)) if sizes.past else "" for i, kind in enumerate(kinds, 3)
    ]
    new = [
        kind.held(call, call.transpose(x, 0, 2, 1, 3))
        for kind, x in zip(kinds, (k, v), strict=True)
    ]
    if sliding:
        slid = slide(call, sizes.past, sizes.rows, before, _new_rows(call, sizes, before))
        pairs = list(zip(past, new, strict=True))
        held = [slid.present(call, *pair) for pair in pairs]
        read = [call.emit("Concat", *pair, axis=2) for pair in pairs]
        masks = [slid.mask(call)]
        masks += [slid.bias(call, call.input(10))] if call.input(10) else []
    else:
        held = read = present(call, sizes, past, new, before)
        masks = _masks(call, sizes, before)
    k, v = (kind.floats(call, x) for kind, x in zip(kinds, read, strict=True))
    masks = [for_groups(call, sizes, mask) for mask in masks]
    y, shown = attend(call, sizes, q, k, v, masks)
    if sizes.grows and sizes.past:  # what is there stays as it is
        ends = [kind.closed(call, x) for kind, x in zip(kinds, new, strict=True)]
        k, v = (call.emit("Concat", call.input(i), x, axis=2) for i, x in enumerate(ends, 3))
    else:
        k, v = (kind.closed(call, x) for kind, x in zip(kinds, held, strict=True))
    return y, k, v, "" if sliding else shown


def _new_rows(call: Spelling, sizes: Sizes, before: str) -> str:
    """Of each batch, [batch, 1]: all so far, less those of earlier runs."""
    last = call.cast(call.reshape(call.given(5), sizes.batch, 1), _INT64)
    return call.emit("Add", call.emit("Sub", last, before), call.constant(1, "int64"))


def parts(call: Spelling, *, in_place: bool) -> tuple[str, str, str, Sizes]:
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
    q, k, v = (call.reshape(x, 0, 0, -1, columns) for x in (q, k, v))
    past = call.shape(call.input(3))[2] if call.input(3) else 0
    if call.shape(k) != (batch, rows, groups, columns):
        raise call.unsupported(f"keys of the shape {list(call.shape(k))}")
    return q, k, v, Sizes(batch, rows, past, columns, heads, groups, in_place and past > 0)


def earlier(call: Spelling, sizes: Sizes, last: str, counts: str = "") -> str:
    """Keys of earlier runs that each batch has, [batch, 1] in int64, by the last key's place.

    ``counts`` says how many rows of each batch are new; of the others nothing is told.
    """
    last = call.cast(call.reshape(last, sizes.batch, 1), _INT64)
    if counts:
        own = call.cast(call.reshape(counts, sizes.batch, 1), _INT64)
        found = call.emit("Sub", call.emit("Add", last, call.constant(1, "int64")), own)
    else:
        found = call.emit("Add", last, call.constant(1 - sizes.rows, "int64"))
    zero = call.constant(0, "int64")
    return call.emit("Where", call.emit("Less", found, zero), zero, found)


def _places(call: Spelling, sizes: Sizes, before: str) -> str:
    """Those of the rows, [batch or 1, rows]."""
    if call.input(9):
        return call.reshape(call.input(9), -1, sizes.rows)
    own = call.constant(np.arange(sizes.rows).reshape(1, -1), "int64")
    return call.emit("Add", own, before) if before else own


def turned(
    call: Spelling, parts: tuple[str, ...], places: str, tables: tuple[str, str]
) -> list[str]:
    """Rows of these places, rotated."""
    angles = angles_at(call, places, tables)
    neighbours = bool(call.attr("rotary_interleaved", 0))
    return [rotated(call, x, angles, neighbours) for x in parts]


def present(
    call: Spelling, sizes: Sizes, past: Sequence[str], new: Sequence[str], before: str
) -> list[str]:
    """All keys and values, [batch, groups, keys, columns] each."""
    pairs = list(zip(past, new, strict=True))
    if sizes.grows and sizes.past:
        return [call.emit("Concat", *pair, axis=2) for pair in pairs]
    return [_present(call, sizes, *pair, before) if before else pair[1] for pair in pairs]


def _present(call: Spelling, sizes: Sizes, past: str, new: str, before: str) -> str:
    """New ones come after those that a batch has; then zeros, or, in place, what was there."""
    shift = 0 if sizes.in_place else sizes.past
    every = past if sizes.in_place else call.emit("Concat", past, new, axis=2)
    places = call.constant(np.arange(sizes.keys).reshape(1, 1, sizes.keys, 1), "int64")
    own = call.reshape(before, sizes.batch, 1, 1, 1)
    later = call.emit("Sub", places, own)
    if sizes.rows > 1:  # one is everywhere
        place = call.emit("Add", later, call.constant(shift, "int64")) if shift else later
        zero, last = (call.constant(n, "int64") for n in (0, shift + sizes.rows - 1))
        place = call.emit("Where", call.emit("Less", place, zero), zero, place)
        place = call.emit("Where", call.emit("Greater", place, last), last, place)
        shape = call.sizes(sizes.batch, sizes.groups, sizes.keys, sizes.columns)
        source, place = new if sizes.in_place else every, call.emit("Expand", place, shape)
        new = call.emit("GatherElements", source, place, axis=2)
    beyond = call.emit("Greater", later, call.constant(sizes.rows - 1, "int64"))
    after = past if sizes.in_place else call.number(0, new)
    rest = call.emit("Where", beyond, after, new)
    return call.emit("Where", call.emit("Less", places, own), every, rest)


def _masks(call: Spelling, sizes: Sizes, before: str) -> list[str]:
    """What is added to scores [batch, groups, rows' heads, keys]: keys before a row's own count, or
    all that there are."""
    earliest = -sizes.past if sizes.grows else 0
    places = np.arange(earliest, earliest + sizes.keys).reshape(1, 1, 1, -1)
    keys = call.constant(places, "int64")
    own = last = call.constant(np.arange(sizes.rows).reshape(1, 1, sizes.rows, 1), "int64")
    if before and not sizes.grows:  # once for each key, whichever kernels these steps are of
        keys = call.emit("Sub", keys, call.reshape(before, sizes.batch, 1, 1, 1))
    window = call.attr("local_window_size", -1)
    if not call.attr("causal", 1):
        if window > 0:
            raise call.unsupported("a window of keys after a row's own")
        shape = call.sizes(1, 1, sizes.rows, 1)
        last = call.emit("Expand", call.constant(sizes.rows - 1, "int64"), shape)
    hidden = call.emit("Greater", keys, last)
    if window > 0:
        first = call.emit("Sub", own, call.constant(window - 1, "int64"))
        hidden = call.emit("Or", hidden, call.emit("Less", keys, first))
    numbers = (call.constant(n, "float32") for n in (LOWEST, 0))
    found = [call.emit("Where", hidden, *numbers)]
    if call.input(10):
        found.append(_of_all_keys(call, sizes, call.input(10)))
    return found


def _of_all_keys(call: Spelling, sizes: Sizes, mask: str) -> str:
    """A mask of those keys that there are, where there is room for more."""
    *outer, keys = call.shape(mask)
    if keys >= sizes.keys:
        return mask if keys == sizes.keys else call.slice(mask, 3, 0, sizes.keys)
    rest = call.emit("Expand", call.number(0, mask), call.sizes(*outer, sizes.keys - keys))
    return call.emit("Concat", mask, rest, axis=3)


def for_groups(call: Spelling, sizes: Sizes, mask: str) -> str:
    """A mask of all heads, or of each, as one of the groups."""
    batch, heads, rows, keys = call.shape(mask)
    if heads == sizes.heads > 1:
        mask = call.reshape(mask, batch, sizes.groups, sizes.each, rows, keys)
        mask = call.transpose(mask, 0, 1, 3, 2, 4) if rows > 1 else mask
        return call.reshape(mask, batch, sizes.groups, rows * sizes.each, keys)
    if sizes.each == 1 or rows == 1:
        return mask
    spread = call.unsqueeze(mask, 3)
    shape = (batch, 1, rows, sizes.each, keys)
    spread = call.emit("Expand", spread, call.sizes(*shape))
    return call.reshape(spread, batch, 1, rows * sizes.each, keys)


def attend(
    call: Spelling, sizes: Sizes, q: str, k: str, v: str, masks: list[str]
) -> tuple[str, str]:
    """[batch, rows, heads * columns]; and scores [batch, heads, rows, keys], where they are wanted.

    These are before the softmax, of keys that count, or after.
    """
    apart = call.reshape(q, 0, 0, sizes.groups, sizes.each, sizes.columns)
    apart = call.transpose(apart, 0, 2, 1, 3, 4)
    q = call.reshape(apart, sizes.batch, sizes.groups, -1, sizes.columns)
    found = scores(call, q, k, call.attr("scale", 0.0))
    cap = call.attr("softcap", 0.0)
    if cap:
        bent = call.emit("Tanh", call.emit("Div", found, call.number(cap, found)))
        found = call.emit("Mul", bent, call.number(cap, found))
    for mask in masks:
        found = call.emit("Add", found, mask)
    shares = _shares(call, sizes, found)
    shown = ""
    if call.wants(3):
        shown = _shown(call, sizes, found, shares)
    y = call.emit("MatMul", shares, v)
    y = call.reshape(y, sizes.batch, sizes.groups, sizes.rows, sizes.each, sizes.columns)
    return call.reshape(call.transpose(y, 0, 2, 1, 3, 4), sizes.batch, sizes.rows, -1), shown


def _shown(call: Spelling, sizes: Sizes, found: str, shares: str) -> str:
    kind = call.attr("qk_output", 0)
    if kind not in (1, 2) or sizes.in_place:
        raise call.unsupported(f"qk_output={kind}, or scores of a cache in place,")
    if kind == 1:
        least = call.constant(LOWEST / 2, "float32")
        found = call.emit("Where", call.emit("Less", found, least), call.number(0, found), found)
    y = found if kind == 1 else shares
    y = call.reshape(y, sizes.batch, sizes.groups, sizes.rows, sizes.each, sizes.keys)
    y = call.transpose(y, 0, 1, 3, 2, 4)
    return call.reshape(y, sizes.batch, sizes.heads, sizes.rows, sizes.keys)


def _shares(call: Spelling, sizes: Sizes, found: str) -> str:
    """Softmax; a sink takes a share of its own, which goes nowhere."""
    sinks = call.input(11)
    if not sinks and call.attr("smooth_softmax", 0) <= 0:
        return call.emit("Softmax", found, axis=-1)
    if not sinks:
        sinks = call.constant([0.0] * sizes.heads, "float32")
    column = call.reshape(sinks, 1, sizes.groups, 1, sizes.each, 1)
    shape = (sizes.batch, sizes.groups, sizes.rows, sizes.each, 1)
    column = call.emit("Expand", column, call.sizes(*shape))
    column = call.reshape(column, sizes.batch, sizes.groups, -1, 1)
    every = call.emit("Softmax", call.emit("Concat", found, column, axis=3), axis=-1)
    return call.slice(every, 3, 0, sizes.keys)


OPERATORS: Operators = {
    "GroupQueryAttention": Spelled(
        _grouped,
        17,
        attributes(
            """
                causal do_rotary kv_cache_bit_width kv_num_heads k_norm_epsilon k_quant_type
                local_window_size num_heads qk_norm_epsilon qk_output q_norm_epsilon
                rotary_interleaved scale sliding_window_cache smooth_softmax softcap v_quant_type
            """
        ),
        in_steps=True,
        since=11,
    ),
}
