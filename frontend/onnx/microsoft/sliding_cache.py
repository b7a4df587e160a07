"""Caches of keys that hold a window's most recent rows, and let others go several at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .attention import LOWEST
from .spelling import Spelling


@dataclass(frozen=True)
class Slide:
    """Of each batch, all in int64.

    The cache has room for ``capacity`` rows, its first ones being the last rows so far; new
    ``rows`` come after it, [batch, keys] with keys = capacity + rows. ``places`` are those of the
    keys from the sequence's start, [batch, 1, 1, keys], and -1 where there is none; ``own`` those
    of the rows, [batch, 1, rows, 1]; ``kept`` says which key each row of the next cache is,
    [batch, capacity].
    """

    window: int
    places: str
    own: str
    kept: str

    def mask(self, call: Spelling) -> str:
        """What is added to scores [batch, heads, rows, keys]: the window ends at a row's own."""
        first = call.emit("Sub", self.own, call.constant(self.window - 1, "int64"))
        hidden = call.emit("Greater", self.places, self.own)
        hidden = call.emit("Or", hidden, call.emit("Less", self.places, first))
        none = call.emit("Less", self.places, call.constant(0, "int64"))
        numbers = (call.constant(n, "float32") for n in (LOWEST, 0))
        return call.emit("Where", call.emit("Or", hidden, none), *numbers)

    def bias(self, call: Spelling, bias: str) -> str:
        """Columns of places as those of keys: [batch or 1, heads or 1, rows, keys]."""
        shape, (batch, _, _, keys) = call.shape(bias), call.shape(self.places)
        outer = (batch, *shape[1:3])
        wide = call.emit("Expand", bias, call.sizes(*outer, shape[3]))
        places = call.emit("Max", self.places, call.constant(0, "int64"))
        last = call.constant(shape[3] - 1, "int64")
        places = call.emit("Expand", call.emit("Min", places, last), call.sizes(*outer, keys))
        return call.emit("GatherElements", wide, places, axis=3)

    def present(self, call: Spelling, past: str, new: str) -> str:
        """The next cache [batch, groups, capacity, columns]."""
        whole = call.emit("Concat", past, new, axis=2)
        batch, groups, _, columns = call.shape(whole)
        capacity = call.shape(self.kept)[1]
        places = call.reshape(self.kept, batch, 1, capacity, 1)
        places = call.emit("Expand", places, call.sizes(batch, groups, capacity, columns))
        return call.emit("GatherElements", whole, places, axis=2)


def slide(call: Spelling, capacity: int, rows: int, before: str, counts: str) -> Slide:
    """``before`` [batch, 1] rows are of earlier runs, and ``counts`` [batch, 1] of ``rows`` are
    new ones."""
    window, batch = call.attr("local_window_size", -1), call.shape(before)[0]
    if not 0 < window <= capacity:
        raise call.unsupported(f"a sliding cache of {capacity} rows for a window of {window}")
    at_once = capacity - window + 1

    def held(total: str) -> str:
        """Rows that are kept of so many: as many as a multiple of ``at_once`` less leaves."""
        over = call.emit("Sub", total, call.constant(capacity - at_once + 1, "int64"))
        over = call.emit("Max", over, call.constant(0, "int64"))  # of which / is the floor
        gone = call.emit("Div", over, call.constant(at_once, "int64"))
        return call.emit("Sub", total, call.emit("Mul", gone, call.constant(at_once, "int64")))

    after = call.emit("Add", before, counts)
    old, new = held(before), held(after)
    cached = call.constant(np.arange(capacity).reshape(1, -1), "int64")
    added = call.constant(np.arange(rows).reshape(1, -1), "int64")
    none = call.constant(-1, "int64")
    first = call.emit("Add", call.emit("Sub", before, old), cached)
    first = call.emit("Where", call.emit("Less", cached, old), first, none)
    second = call.emit("Add", before, added)
    places = call.emit(
        "Concat", first, call.emit("Where", call.emit("Less", added, counts), second, none), axis=1
    )
    # Of the next cache's rows: how far after the rows of before.
    later = call.emit("Sub", call.emit("Add", cached, counts), new)
    there = call.emit("Add", later, call.constant(capacity, "int64"))
    here = call.emit("Add", later, old)
    zero, last = (call.constant(n, "int64") for n in (0, capacity + rows - 1))
    kept = call.emit("Where", call.emit("Less", later, zero), here, there)
    kept = call.emit("Min", call.emit("Max", kept, zero), last)
    own = call.reshape(second, batch, 1, rows, 1)
    return Slide(window, call.reshape(places, batch, 1, 1, capacity + rows), own, kept)
