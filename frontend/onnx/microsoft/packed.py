"""Sequences of several lengths, one after the other along a dimension of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .spelling import Spelling

_INT64 = 7


@dataclass(frozen=True)
class Packed:
    """``rows`` of so many ``sequences``; values are names, in int64.

    ``begins`` and ``lengths`` are the sequences' [sequences]; ``which`` a row is of and the
    ``place`` that it has there, [rows].
    """

    sequences: int
    rows: int
    begins: str
    lengths: str
    which: str
    place: str


def packed(call: Spelling, ends: str, rows: int) -> Packed:
    """By the sums of the lengths so far [sequences + 1], of which the first is 0.

    Other numbers give rows of some sequence or other, and no place outside of what there is.
    """
    shape = call.shape(ends)
    if len(shape) != 1 or shape[0] < 2:
        raise call.unsupported(f"sums of lengths of the shape {list(shape)}")
    count, sums = shape[0] - 1, call.cast(ends, _INT64)
    begins, after = (call.slice(sums, 0, first, first + count) for first in (0, 1))
    numbers = np.arange(rows)
    if count == 1:
        which = call.constant(np.zeros(rows), "int64")
    else:
        own = call.constant(numbers.reshape(rows, 1), "int64")
        over = call.emit("Less", own, call.unsqueeze(call.slice(sums, 0, 1, count), 0))
        passed = call.cast(call.emit("Not", over), _INT64)
        which = call.reduce("ReduceSum", passed, [1], keepdims=0)
    first = call.emit("Gather", begins, which, axis=0)
    place = call.emit("Sub", call.constant(numbers, "int64"), first)
    return Packed(count, rows, begins, call.emit("Sub", after, begins), which, place)


@dataclass(frozen=True)
class History:
    """What rows and those before them hold: ``kept`` places of each sequence were there before it.

    ``table`` is all of it, [rows + sequences * kept, ...].
    """

    packed: Packed
    kept: int
    table: str

    def before(self, call: Spelling, by: int) -> str:
        """What is so many rows before each, at most ``kept``, [rows, ...]."""
        if not by:
            return call.slice(self.table, 0, 0, self.packed.rows)
        return call.emit("Gather", self.table, self._places(call, by), axis=0)

    def _places(self, call: Spelling, by: int) -> str:
        own, rows = self.packed, self.packed.rows
        here = call.constant(np.arange(rows) - by, "int64")
        first = call.emit("Mul", own.which, call.constant(self.kept, "int64"))
        there = call.emit("Add", first, own.place)
        there = call.emit("Add", there, call.constant(rows + self.kept - by, "int64"))
        began = call.emit("Less", own.place, call.constant(by, "int64"))
        return call.emit("Where", began, there, here)

    def last(self, call: Spelling) -> str:
        """The last ``kept`` places of each sequence, [sequences, kept, ...]."""
        own = self.packed
        from_end = call.constant(np.arange(self.kept).reshape(1, -1) - self.kept, "int64")
        place = call.emit("Add", call.unsqueeze(own.lengths, 1), from_end)
        ends = own.rows + self.kept * (1 + np.arange(own.sequences)).reshape(-1, 1)
        there = call.emit("Add", place, call.constant(ends, "int64"))
        here = call.emit("Add", place, call.unsqueeze(own.begins, 1))
        zero = call.constant(0, "int64")
        places = call.emit("Where", call.emit("Less", place, zero), there, here)
        return call.emit("Gather", self.table, places, axis=0)


def history(call: Spelling, own: Packed, rows: str, kept: str) -> History:
    """Of rows [rows, ...] and what was before [sequences, kept, ...]."""
    shape = call.shape(kept)
    if shape[0] != own.sequences or shape[2:] != call.shape(rows)[1:]:
        raise call.unsupported(f"a state of the shape {list(shape)}")
    if not shape[1]:
        return History(own, 0, rows)
    flat = call.reshape(kept, shape[0] * shape[1], *shape[2:])
    return History(own, shape[1], call.emit("Concat", rows, flat, axis=0))


def captured(
    call: Spelling, own: Packed, rows: str, counts: str, capacity: int, rest: str = ""
) -> str:
    """The first rows of each sequence, as many as ``counts`` says and there are, and then ``rest``,
    or zeros: [sequences, capacity, ...]."""
    slots = call.constant(np.arange(capacity).reshape(1, -1), "int64")
    places = call.emit("Add", call.unsqueeze(own.begins, 1), slots)
    found = call.emit("Gather", rows, places, axis=0)
    most = call.emit("Min", call.cast(counts, _INT64), own.lengths)
    there = call.emit("Less", slots, call.unsqueeze(most, 1))
    inner = len(call.shape(rows)) - 1
    there = call.unsqueeze(there, *range(2, 2 + inner)) if inner else there
    return call.emit("Where", there, found, rest or call.number(0, found))
