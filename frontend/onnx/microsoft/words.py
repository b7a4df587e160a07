"""What ONNX Runtime's domain has for numbers of words: what repeats, what is different."""

from __future__ import annotations

from functools import reduce

from .spelling import Operators, Results, Spelled, Spelling, attributes

_INT64 = 7

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


def _unique(call: Spelling) -> Results:
    """As they come; where each element's is, and how often it is there."""
    y, _, places, counts = call.several("Unique", [call.x], 4, sorted=0)
    return y, places, counts


OPERATORS: Operators = {
    "NGramRepeatBlock": Spelled(_without_repeats, 2, attributes("ngram_size"), since=11),
    "Unique": Spelled(_unique, 1, since=11, cuts=True),
}
