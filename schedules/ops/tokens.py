"""Operators that take texts apart into tokens, and hash them; see ``texts`` for what a text is.

What is a token of a text is told by ``parts``, a row as wide as the text's: 1 where a token begins,
2 where it goes on, 0 between tokens and after the text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.workload import Node, Tensor
from .operator import Anchor, Array, Attrs
from .texts import text

BEGINS, GOES_ON = 1, 2
FIRST, LAST = 2, 3
"""The bytes that are tokens of their own before and after the others, where a model wants them."""


def _check(holds: bool, args: Sequence[Tensor]) -> None:
    if not holds:
        raise ValueError(f"of {', '.join(map(str, args))}")


def _is_text(arg: Tensor) -> bool:
    return arg.dtype == "uint8" and len(arg.shape) > 0 and arg.shape[-1] > 1


def _letters(given: bytes) -> int:
    return sum(byte & 0xC0 != 0x80 for byte in given)


def _ends(node: Node, given: bytes, begin: int, classes: Array, table: Array) -> int:
    """Where the longest match from a place ends; the place itself where there is none."""
    state, found = node.attr("begin"), begin
    for place in range(begin, len(given)):
        state = table[state, classes[given[place]]]
        if state >= node.attr("accepts"):
            found = place + 1
    return found


def _found(node: Node, given: bytes, classes: Array, table: Array) -> list[int]:
    parts, place = [0] * len(given), 0
    while place < len(given):
        begins = given[place] & 0xC0 != 0x80
        end = _ends(node, given, place, classes, table) if begins else place
        if end == place or _letters(given[place:end]) < node.attr("least"):
            place += 1
            continue
        parts[place:end] = [BEGINS, *[GOES_ON] * (end - place - 1)]
        place = end
    return parts


def _find(node: Node, x: Array, classes: Array, table: Array) -> Array:
    y = np.zeros((x.size // x.shape[-1], x.shape[-1]), np.uint8)
    for row, each in zip(y, x.reshape(y.shape), strict=True):
        given = text(each)
        row[: len(given)] = _found(node, given, classes, table)
    return y.reshape(node.out.shape)


def _cut(node: Node, x: Array, parts: Array, classes: Array, table: Array) -> Array:
    y = parts.reshape(-1, x.shape[-1]).copy()
    for row, each in zip(y, x.reshape(y.shape), strict=True):
        given, place = text(each), 0
        row[len(given) :] = 0
        while place < len(given):
            if row[place] == 0 or given[place] & 0xC0 == 0x80:
                place += 1
                continue
            last = place + 1
            while last < len(given) and row[last] == GOES_ON:
                last += 1
            end = _ends(node, given[:last], place, classes, table)
            if end == place:
                place += 1
                continue
            row[place:end] = 0
            if end < last:
                row[end] = BEGINS
            place = end
    return y.reshape(node.out.shape)


def _long(node: Node, x: Array, parts: Array) -> Array:
    y = parts.reshape(-1, x.shape[-1]).copy()
    for row, each in zip(y, x.reshape(y.shape), strict=True):
        count = 0
        for place in reversed(range(row.size)):
            count += int(row[place] > 0 and each[place] & 0xC0 != 0x80)
            if row[place] == BEGINS and count < node.attr("least"):
                end = place + 1
                while end < row.size and row[end] not in (0, BEGINS):
                    end += 1
                row[place:end] = 0
            count = 0 if row[place] in (0, BEGINS) else count
    return y.reshape(node.out.shape)


def _tokens(node: Node, x: Array, parts: Array, pad: Array) -> Array:
    *_, most, room = node.out.shape
    mark = node.attr("mark")
    y = np.broadcast_to(pad, (x.size // x.shape[-1], most, room)).copy()
    for out, row, each in zip(
        y, parts.reshape(-1, x.shape[-1]), x.reshape(len(y), -1), strict=True
    ):
        slot, place = -1, 0
        for part, byte in zip(row, each, strict=True):
            if part == BEGINS and slot + 1 < most - 2 * mark:
                slot, place = slot + 1, 0
                out[slot + mark] = 0
            if part and slot >= 0 and place < room:
                out[slot + mark, place] = byte
                place += 1
        if mark:
            out[0], out[slot + 2] = 0, 0
            out[0, 0], out[slot + 2, 0] = FIRST, LAST
    return y.reshape(node.out.shape)


def _infer_find(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    *texts, classes, table = args
    tables = Tensor((256,), "uint8"), Tensor((attrs["states"], attrs["kinds"]), "int32")
    _check(_is_text(args[0]) and (classes, table) == tables, args)
    _check(all(each == args[0] for each in texts) and 0 <= attrs["begin"] < attrs["states"], args)
    return args[0]


def _infer_long(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    _check(_is_text(args[0]) and args[1] == args[0], args)
    return args[0]


def _infer_tokens(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    x, parts, pad = args
    _check(_is_text(x) and parts == x and attrs["mark"] in (0, 1), args)
    _check(pad == Tensor((attrs["room"],), "uint8") and attrs["room"] > 1, args)
    return Tensor((*x.shape[:-1], attrs["most"] + 2 * attrs["mark"], attrs["room"]), "uint8")


def _sample(node: Node, index: int, width: int, rng: np.random.Generator) -> Array | None:
    """Tables that lead to states that are there."""
    states, kinds = int(node.attr("states")), int(node.attr("kinds"))
    classes = index - (1 if node.op == "text_cut" else 0)
    if classes == 1:
        return rng.integers(0, min(kinds, 256), 256, np.uint8)
    return rng.integers(0, states, (states, kinds), np.int32) if classes == 2 else None


def _turned(number: int, by: int) -> int:
    return (number << by | number >> (32 - by)) & 0xFFFFFFFF


def murmur(given: bytes, seed: int) -> int:
    """MurmurHash3_x86_32 (Appleby 2011)."""
    mask, found = 0xFFFFFFFF, seed
    for begin in range(0, len(given), 4):
        block = int.from_bytes(given[begin : begin + 4], "little")
        block = _turned(block * 0xCC9E2D51 & mask, 15) * 0x1B873593 & mask
        found ^= block
        if begin + 4 <= len(given):
            found = (_turned(found, 13) * 5 + 0xE6546B64) & mask
    found ^= len(given)
    for shift, by in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        found = (found ^ found >> shift) * by & mask
    return found ^ found >> 16


def _hash(node: Node, x: Array) -> Array:
    found = [murmur(text(row), node.attr("seed")) for row in x.reshape(-1, x.shape[-1])]
    return np.asarray(found, np.uint32).reshape(node.out.shape)


def _infer_hash(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    _check(_is_text(args[0]) and 0 <= attrs["seed"] < 1 << 32, args)
    return Tensor(args[0].shape[:-1], "uint32")


def _count(node: Node, args: Sequence[Tensor]) -> int:
    return 2 * args[0].size


OPERATORS = (
    # x [..., width], classes and table as of ``text_match``; states, kinds, begin, accepts; least:
    # letters. The parts of tokens that an automaton accepts: from left to right the longest.
    Anchor("text_find", 3, _find, _infer_find, count=_count, sample=_sample),
    # x, parts, and the same: what an automaton accepts within a token parts it.
    Anchor("text_cut", 4, _cut, _infer_find, count=_count, sample=_sample),
    # x, parts; least: the parts of tokens of so many letters.
    Anchor("text_long", 2, _long, _infer_long, count=_count),
    # x, parts, pad [room]; most, room, mark: the tokens [..., most + 2 * mark, room], as many and
    # as long as there is room for, then pads. With ``mark`` others are before and after.
    Anchor("text_tokens", 3, _tokens, _infer_tokens, count=_count),
    # seed: a hash of 32 bits.
    Anchor("text_hash", 1, _hash, _infer_hash, count=_count),
)
