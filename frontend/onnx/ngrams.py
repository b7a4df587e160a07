"""ONNX's counts of n-grams: how often sequences of a dictionary stand in rows of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce

import numpy as np

from luthier.schedules import ModelError

from ..composites import movement
from ..graph import Array
from .node import OnnxNode, Operator


@dataclass(frozen=True)
class _Grams:
    """All of one length: [number, length], and where in a result each is counted."""

    items: Array
    places: Array

    @property
    def length(self) -> int:
        """Of each."""
        return int(self.items.shape[1])


def _tf_idf(node: OnnxNode) -> int:
    """With up to ``max_skip_count`` items left out between two of an n-gram."""
    t, mode = node.t, node.attr("mode", "")
    if node.rank not in (1, 2):
        raise node.unsupported(f"an input of {node.rank} dimensions")
    if "pool_strings" in node.attrs:
        raise node.unsupported("a dictionary of strings")
    if mode not in ("TF", "IDF", "TFIDF"):
        raise node.unsupported(f"the mode '{mode}'")
    grams = _dictionary(node)
    size = int(max(node.attr("ngram_indexes", (0,)))) + 1
    rows, length = (1, node.shape[0]) if node.rank == 1 else node.shape
    x = t.reshape(t.cast(node.x, "int64"), (rows, length))
    counts = [
        found
        for each in grams
        for skip in range(node.attr("max_skip_count", 0) + 1 if each.length > 1 else 1)
        if (found := _counted(node, x, each, skip + 1, size)) is not None
    ]
    total = reduce(partial(t.emit, "add"), counts) if counts else None
    if total is None:
        total = t.broadcast(t.number(0, "float32"), (rows, size))
    weights = _weights(node, size)
    if mode == "IDF":
        there = t.emit("greater", total, t.literal(0, total))
        total = t.emit("where", there, t.constant(weights), t.literal(0, total))
    elif mode == "TFIDF":
        total = t.emit("multiply", total, t.constant(weights))
    return t.reshape(total, (*node.shape[:-1], size))


def _dictionary(node: OnnxNode) -> list[_Grams]:
    """Of the lengths that are asked for; raises ModelError where it does not hold together."""
    pool, starts = (np.asarray(node.attr(n, ()), np.int64) for n in ("pool_int64s", "ngram_counts"))
    places = np.asarray(node.attr("ngram_indexes", ()), np.int64)
    least, most = node.attr("min_gram_length", 1), node.attr("max_gram_length", 1)
    ends = [*starts[1:].tolist(), pool.size]
    found, number = [], 0
    for length, (start, end) in enumerate(zip(starts.tolist(), ends, strict=True), 1):
        count = (end - start) // length
        if not 0 <= start <= end <= pool.size or number + count > places.size:
            raise ModelError(f"{node.label}: its ngram_counts do not fit its pool and indexes")
        of_these = places[number : number + count]
        if least <= length <= most and count:
            items = pool[start : start + count * length].reshape(count, length)
            found.append(_Grams(items, of_these))
        number += count
    if not places.size or places.min() < 0 or most < least or node.attr("max_skip_count", 0) < 0:
        raise ModelError(f"{node.label}: its ngram_indexes or lengths are below 0 or missing")
    return found


def _counted(node: OnnxNode, x: int, grams: _Grams, step: int, size: int) -> int | None:
    """[rows, size] of ``x`` [rows, length]; items are ``step`` apart. None where none has room."""
    t, (rows, length) = node.t, node.t.shape(x)
    count = length - (grams.length - 1) * step
    if count < 1:
        return None
    hits = []
    for i in range(grams.length):
        part = movement.strided_slice(t, x, [1], [(i * step, i * step + count, 1)])
        items = t.constant(grams.items[:, i].reshape(1, -1, 1))
        hits.append(t.emit("equal", t.reshape(part, (rows, 1, count)), items))
    hit = t.cast(reduce(partial(t.emit, "logical_and"), hits), "float32")
    found = t.emit("sum", hit, axes=(2,), keepdims=False)
    return _placed(node, found, grams.places, size)


def _placed(node: OnnxNode, found: int, places: Array, size: int) -> int:
    """Each count at its place; of several at one place the sum, of which there is one as a rule."""
    t, order = node.t, np.argsort(places, kind="stable")
    numbers = np.bincount(places, minlength=size)
    node.check_table(size * max(int(numbers.max()), 1))
    rank = np.arange(places.size) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    table = np.full((size, int(numbers.max())), -1)
    table[places[order], rank] = order
    chosen = t.emit("take", found, t.constant(np.maximum(table, 0).astype(np.int32)), axis=1)
    there = t.emit("where", t.constant(table >= 0), chosen, t.literal(0, chosen))
    return t.emit("sum", there, axes=(2,), keepdims=False)


def _weights(node: OnnxNode, size: int) -> Array:
    """Of each place in the result."""
    given = np.asarray(node.attr("weights", ()), np.float32)
    if not given.size:
        return np.ones(size, np.float32)
    if given.size < size:
        raise ModelError(f"{node.label}: {given.size} weights for {size} places")
    return given[:size]


OPERATORS: dict[str, Operator] = {"TfIdfVectorizer": Operator(_tf_idf)}
