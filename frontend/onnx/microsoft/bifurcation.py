"""Tokens that were predicted, as far as they are those of a source, and where that goes on."""

from __future__ import annotations

from functools import reduce

import numpy as np

from .spelling import Operators, Results, Spelled, Spelling, attributes
from .words import LONGEST

_INT64 = 7


def _detector(call: Spelling) -> Results:
    """The current tokens with those that were predicted, up to the first that is not the source's;
    and the place in the source after its only match of the last few of them, -1 where there is
    none. (Sun et al., "Instantaneous Grammatical Error Correction with Shallow Aggressive
    Decoding", 2021.)"""
    source, current, predicted = call.x, call.given(1), call.input(3)
    ranks = [call.rank(name) for name in (source, current, predicted) if name]
    if set(ranks) != {1}:
        raise call.unsupported(f"tokens of {ranks} dimensions")
    tokens, most = current, call.shape(current)[0]
    length = call.sizes(most)
    if predicted:
        same = _same(call, source, predicted)
        tokens = call.emit("Concat", current, predicted, axis=0)
        length = call.emit("Add", call.sizes(most + 1), same)
        most += call.shape(predicted)[0]
    whole = call.emit("Slice", tokens, call.sizes(0), length) if predicted else tokens
    found = _match(call, tokens, length, most)
    return whole, call.emit("Reshape", found, call.emit("Shape", call.given(2)))


def _same(call: Spelling, source: str, predicted: str) -> str:
    """How many predicted tokens come first that are the source's. The last one is after it, so
    that their numbers tell where they begin in the source."""
    tokens, count = call.shape(source)[0], call.shape(predicted)[0] - 1
    if not 0 <= count <= tokens:
        raise call.unsupported(f"{count + 1} predicted tokens of a source of {tokens}")
    if not count:
        return call.sizes(0)
    first = call.slice(predicted, 0, 0, count)
    there = call.emit("Equal", first, call.slice(source, 0, tokens - count, tokens))
    ends = call.emit("Concat", call.cast(there, _INT64), call.sizes(0), axis=0)
    return call.emit("ArgMin", ends, axis=0, keepdims=1)


def _match(call: Spelling, tokens: str, length: str, most: int) -> str:
    """Of the last tokens, ever more of them, as ONNX Runtime looks for them; a list of one."""
    least, longest = call.count("min_ngram_size", 1), call.count("max_ngram_size", 3)
    if longest > LONGEST:
        raise call.unsupported(f"max_ngram_size={longest} (more than {LONGEST})")
    size, none = call.shape(call.x)[0], call.sizes(-1)
    found, goes_on = none, call.constant([True], "bool")
    for count in range(least, min(longest, size, most) + 1):
        begin = call.emit("Sub", length, call.sizes(count))
        places = call.emit("Add", begin, call.constant(np.arange(count), "int64"))
        last = call.emit("Gather", tokens, call.emit("Max", places, call.sizes(0)), axis=0)
        windows = size - count + 1
        pairs = (
            (call.slice(call.x, 0, i, i + windows), call.slice(last, 0, i, i + 1))
            for i in range(count)
        )
        equal = [call.emit("Equal", *pair) for pair in pairs]
        match = call.cast(reduce(lambda a, b: call.emit("And", a, b), equal), _INT64)
        times = call.reduce("ReduceSum", match, [0])
        after = call.emit("Add", call.emit("ArgMax", match, axis=0, keepdims=1), call.sizes(count))
        is_last = call.emit("Equal", after, call.sizes(size))
        single = call.emit("Or", is_last, call.emit("Equal", times, call.sizes(1)))
        is_there = call.emit("Greater", times, call.sizes(0))
        is_there = call.emit(
            "And", is_there, call.emit("Not", call.emit("Less", begin, call.sizes(0)))
        )
        goes_on = call.emit("And", goes_on, is_there)
        found = call.emit("Where", goes_on, call.emit("Where", single, after, none), found)
        goes_on = call.emit("And", goes_on, call.emit("Not", is_last))
    return found


OPERATORS: Operators = {
    "BifurcationDetector": Spelled(
        _detector, 4, attributes("max_ngram_size min_ngram_size"), since=13, cuts=True
    ),
}
