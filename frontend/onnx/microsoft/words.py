"""What ONNX Runtime's domain has for numbers of words: what repeats, what is different."""

from __future__ import annotations

from functools import reduce

import numpy as np

from .spelling import Operators, Results, Spelled, Spelling, attributes

_INT32 = 6
LONGEST = 64  # words that are compared or mixed one by one


def _without_repeats(call: Spelling) -> Results:
    """Words that would repeat a sequence of ``ngram_size`` words have the score -inf."""
    size = call.count("ngram_size")
    if size > LONGEST:
        raise call.unsupported(f"ngram_size={size} (more than {LONGEST})")
    batch, words = call.shape(call.x)
    scores, count = call.given(1), call.shape(call.given(1))[1]
    places = words - size + 1
    if places < 1:
        return call.emit("Identity", scores)
    last = [
        call.slice(call.x, 1, words - size + 1 + i, words - size + 2 + i) for i in range(size - 1)
    ]
    same = [
        call.emit("Equal", call.slice(call.x, 1, i, i + places), word)
        for i, word in enumerate(last)
    ]
    following = call.slice(call.x, 1, size - 1, words)
    # All others are scattered to a word that is not there.
    beyond = call.emit("Expand", call.constant(count, "int64"), call.sizes(batch, places))
    if same:
        repeats = reduce(lambda a, b: call.emit("And", a, b), same)
        following = call.emit("Where", repeats, following, beyond)
    nothing = call.emit("Expand", call.number(0, scores), call.sizes(batch, 1))
    room = call.emit("Concat", scores, nothing, axis=1)
    lowest = call.emit("Expand", call.number(float("-inf"), scores), call.sizes(batch, places))
    banned = call.emit("ScatterElements", room, following, lowest, axis=1)
    return call.slice(banned, 1, 0, count)


def _of_letters(call: Spelling) -> Results:
    """Words [words, letters], of which 0 is none: a convolution's largest over a word's letters
    (Kim et al. 2016); 0 of a word that begins with none, which ONNX Runtime leaves unwritten."""
    ids, filters = call.x, call.shape(call.given(1))
    if call.rank(ids) != 2:
        raise call.unsupported(f"words of {call.rank(ids)} dimensions")
    longest = call.shape(ids)[1]
    if len(filters) != 4 or filters[1] != 1 or filters[2] > longest:
        raise call.unsupported(f"a convolution {list(filters)} of {longest} letters")
    results, _, window, width = filters
    looked = call.unsqueeze(call.emit("Gather", call.given(3), ids, axis=0), 1)
    y = call.emit("Conv", looked, call.given(1), call.given(2), kernel_shape=[window, width])
    places = longest - window + 1
    y = call.emit("Tanh", call.reshape(y, -1, results, places))
    zero = call.constant(0, "int32")
    there = call.emit("Greater", ids, zero)
    count = call.reduce("ReduceSum", call.cast(there, _INT32), [1])
    least = call.constant(window, "int32")
    count = call.emit("Where", call.emit("Less", count, least), least, count)
    own = call.emit("Sub", count, call.constant(window - 1, "int32"))
    numbers = call.constant(np.arange(places).reshape(1, places), "int32")
    counts = call.unsqueeze(call.emit("Less", numbers, own), 1)
    y = call.emit("Where", counts, y, call.number(float("-inf"), y))
    y = call.reduce("ReduceMax", y, [2], keepdims=0)
    return call.emit("Where", call.slice(there, 1, 0, 1), y, call.number(0, y))


def _unique(call: Spelling) -> Results:
    """As they come; where each element's is, and how often it is there."""
    y, _, places, counts = call.several("Unique", [call.x], 4, sorted=0)
    return y, places, counts


OPERATORS: Operators = {
    "NGramRepeatBlock": Spelled(_without_repeats, 2, attributes("ngram_size"), since=11),
    "Unique": Spelled(_unique, 1, since=11, cuts=True),
    "WordConvEmbedding": Spelled(
        _of_letters, 4, attributes("char_embedding_size conv_window_size embedding_size"), since=9
    ),
}
