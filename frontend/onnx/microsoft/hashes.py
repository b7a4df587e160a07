"""Hashes of whole numbers in ONNX Runtime's domain."""

from __future__ import annotations

from functools import reduce

from .spelling import Operators, Results, Spelled, Spelling, attributes
from .words import LONGEST

_INT32, _UINT32 = 6, 12


def _murmur(call: Spelling) -> Results:
    """MurmurHash3_x86_32 (Appleby 2011) of each number's four bytes."""
    if call.dtype(call.x) not in (_INT32, _UINT32):
        raise call.unsupported("what is not a whole number of 32 bits")
    seed = call.attr("seed", 0)
    if not 0 <= seed < 2**32:
        raise call.unsupported(f"seed={seed}")

    def times(x: str, by: int) -> str:
        return call.emit("Mul", x, call.constant(by, "uint32"))

    def shifted(x: str, by: int, direction: str = "RIGHT") -> str:
        return call.emit("BitShift", x, call.constant(by, "uint32"), direction=direction)

    def turned(x: str, by: int) -> str:
        return call.emit("BitwiseOr", shifted(x, by, "LEFT"), shifted(x, 32 - by))

    def mixed(x: str, other: str) -> str:
        return call.emit("BitwiseXor", x, other)

    block = times(turned(times(call.cast(call.x, _UINT32), 0xCC9E2D51), 15), 0x1B873593)
    hash_ = times(turned(mixed(block, call.constant(seed, "uint32")), 13), 5)
    hash_ = call.emit("Add", hash_, call.constant(0xE6546B64, "uint32"))
    hash_ = mixed(hash_, call.constant(4, "uint32"))
    for shift, by in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        hash_ = times(mixed(hash_, shifted(hash_, shift)), by)
    hash_ = mixed(hash_, shifted(hash_, 16))
    return hash_ if call.attr("positive", 1) else call.cast(hash_, _INT32)


def _ngrams(call: Spelling) -> Results:
    """Each word and those before it, the last 2 to ``max_ngram_size``, multiplied and mixed; the
    remainders by sizes of tables. Words of before a sequence's end do not count."""
    most, heads = call.count("max_ngram_size"), call.count("n_head_per_ngram")
    batch, rows = call.shape(call.x)
    if not 2 <= most <= LONGEST:
        raise call.unsupported(f"max_ngram_size={most}")
    kind, back = call.dtype(call.x), most - 1
    end, pad = call.input(5), call.number(call.attr("pad_id", 0), call.x)
    nothing = call.reshape(end) if end else pad
    past = call.input(3) or call.emit("Expand", nothing, call.sizes(batch, back))
    whole = call.emit("Concat", past, call.x, axis=1)

    def before(x: str, by: int) -> str:
        return call.slice(x, 1, back - by, back - by + rows)

    words = [before(whole, by) for by in range(most)]
    gone = _ends(call, words, nothing if end and call.attr("reset_on_eos", 0) else "")
    mixed, found = call.emit("Mul", words[0], _element(call, call.given(1), 0)), []
    for by in range(1, most):
        word = call.emit("Where", gone[by], nothing, words[by]) if gone[by] else words[by]
        product = call.emit("Mul", word, _element(call, call.given(1), by))
        mixed = call.emit("BitwiseXor", mixed, product)
        sizes = call.slice(call.given(2), 0, (by - 1) * heads, by * heads)
        found.append(call.emit("Mod", call.unsqueeze(mixed, 2), sizes))
    y = call.emit("Concat", *found, axis=2) if len(found) > 1 else found[0]
    y = call.emit("Add", y, call.input(4)) if call.input(4) else y
    return call.cast(y, kind), call.slice(whole, 1, rows, rows + back)


def _element(call: Spelling, x: str, at: int) -> str:
    return call.slice(x, 0, at, at + 1)


def _ends(call: Spelling, words: list[str], end: str) -> list[str]:
    """Of each distance whether a sequence ended on the way; "" where none can."""
    rows, segments = call.shape(words[0])[1], call.input(6)
    found = [""]
    for by in range(1, len(words)):
        flags = [call.emit("Equal", words[by], end)] if end else []
        if segments:
            flags.append(_new_segment(call, segments, by - 1, rows))
        flags += [found[-1]] if found[-1] else []
        found.append(reduce(lambda a, b: call.emit("Or", a, b), flags) if flags else "")
    return found


def _new_segment(call: Spelling, segments: str, by: int, rows: int) -> str:
    """Whether another one began so many words before."""
    batch = call.shape(segments)[0]
    if by + 1 >= rows:
        return call.emit("Expand", call.constant(False, "bool"), call.sizes(batch, rows))
    same = call.emit("Equal", call.slice(segments, 1, 1, rows - by),
                     call.slice(segments, 1, 0, rows - by - 1))  # fmt: skip
    first = call.emit("Expand", call.constant(False, "bool"), call.sizes(batch, by + 1))
    return call.emit("Concat", first, call.emit("Not", same), axis=1)


OPERATORS: Operators = {
    "NGramHashMapping": Spelled(
        _ngrams, 7, attributes("max_ngram_size n_head_per_ngram pad_id reset_on_eos"), since=18
    ),
    "MurmurHash3": Spelled(_murmur, 1, attributes("positive seed"), since=18),
}
