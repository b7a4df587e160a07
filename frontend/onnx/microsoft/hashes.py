"""Hashes of whole numbers in ONNX Runtime's domain."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

from .packed import captured, history, packed
from .spelling import Operators, Results, Spelled, Spelling, attributes
from .words import LONGEST

_INT32, _INT64, _UINT32, _UINT64 = 6, 7, 12, 13
_FLOATS = {1: _UINT32, 11: _UINT64}  # with the whole numbers of their bits
_BIT_CASTS = 26  # since this operator set


def _murmur(call: Spelling) -> Results:
    """MurmurHash3_x86_32 (Appleby 2011) of each number's four or eight bytes."""
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

    blocks, hash_ = _blocks(call), call.constant(seed, "uint32")
    for block in blocks:
        hash_ = mixed(times(turned(times(block, 0xCC9E2D51), 15), 0x1B873593), hash_)
        hash_ = times(turned(hash_, 13), 5)
        hash_ = call.emit("Add", hash_, call.constant(0xE6546B64, "uint32"))
    hash_ = mixed(hash_, call.constant(4 * len(blocks), "uint32"))
    for shift, by in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        hash_ = times(mixed(hash_, shifted(hash_, shift)), by)
    hash_ = mixed(hash_, shifted(hash_, 16))
    return hash_ if call.attr("positive", 1) else call.cast(hash_, _INT32)


def _blocks(call: Spelling) -> list[str]:
    """The bytes of numbers, four at a time, the lowest first."""
    kind, x = call.dtype(call.x), call.x
    if kind in _FLOATS:
        if call.opset < _BIT_CASTS:
            raise call.unsupported(f"a float in operator set {call.opset}")
        kind = _FLOATS[kind]
        x = call.emit("BitCast", x, to=kind)
    if kind in (_INT32, _UINT32):
        return [call.cast(x, _UINT32)]
    if kind not in (_INT64, _UINT64):
        raise call.unsupported("what is not a number of 32 or 64 bits")
    wide = call.cast(x, _UINT64)
    high = call.emit("BitShift", wide, call.constant(32, "uint64"), direction="RIGHT")
    low = call.emit("BitwiseAnd", wide, call.constant(2**32 - 1, "uint64"))
    return [call.cast(low, _UINT32), call.cast(high, _UINT32)]


def _ngrams(call: Spelling) -> Results:
    """Each word and those before it, the last 2 to ``max_ngram_size``, multiplied and mixed; the
    remainders by sizes of tables. Words of before a sequence's end do not count."""
    most = _longest(call)
    batch, rows = call.shape(call.x)
    back, nothing = most - 1, _nothing(call, call.input(5))
    past = call.input(3) or call.emit("Expand", nothing, call.sizes(batch, back))
    whole = call.emit("Concat", past, call.x, axis=1)

    def before(x: str, by: int) -> str:
        return call.slice(x, 1, back - by, back - by + rows)

    words, segments = [before(whole, by) for by in range(most)], call.input(6)
    turns = [_new_segment(call, segments, by, rows) for by in range(back)] if segments else []
    gone = _ends(call, words, _end(call, 5), turns)
    y = _hashed(call, words, gone, nothing, call.input(4))
    return y, call.slice(whole, 1, rows, rows + back)


def _packed_ngrams(call: Spelling) -> Results:
    """The same of sequences of several lengths, whose words are one list."""
    most, (rows,) = _longest(call), call.shape(call.x)
    back, nothing = most - 1, _nothing(call, call.input(6))
    own = packed(call, call.given(3), rows)
    shape = call.sizes(own.sequences, back)
    known = history(call, own, call.x, call.input(4) or call.emit("Expand", nothing, shape))
    words = [known.before(call, by) for by in range(most)]
    turns, last, segments = [], "", call.input(7)
    if segments:
        past = call.input(8)
        if not past:  # of the first segment
            first = call.emit("Gather", segments, call.unsqueeze(own.begins, 1), axis=0)
            past = call.emit("Expand", first, shape)
        parts = history(call, own, segments, past)
        each = [parts.before(call, by) for by in range(most)]
        turns = [call.emit("Not", call.emit("Equal", *pair)) for pair in pairwise(each)]
        last = parts.last(call) if call.wants(2) else ""
    gone = _ends(call, words, _end(call, 6), turns)
    y = _hashed(call, words, gone, nothing, call.input(5))
    state, capacity = "", call.attr("state_update_capacity", 0)
    if call.wants(3):
        ends = [call.unsqueeze(words[by], 1) for by in reversed(range(back))]
        state = call.emit("Concat", *ends, axis=1)
        pad = call.number(call.attr("pad_id", 0), call.x)
        state = captured(call, own, state, call.given(9), capacity, pad)
    return y, known.last(call), last, state


def _longest(call: Spelling) -> int:
    most = call.count("max_ngram_size")
    if not 2 <= most <= LONGEST:
        raise call.unsupported(f"max_ngram_size={most}")
    return most


def _nothing(call: Spelling, end: str) -> str:
    """What stands before the first word of all: an end, or a pad."""
    return call.reshape(end) if end else call.number(call.attr("pad_id", 0), call.x)


def _end(call: Spelling, index: int) -> str:
    """The word that ends a sequence; "" where none does."""
    ends = call.input(index) and call.attr("reset_on_eos", 0)
    return call.reshape(call.input(index)) if ends else ""


def _hashed(call: Spelling, words: list[str], gone: list[str], nothing: str, offsets: str) -> str:
    """Of words [...] at each distance the hashes [..., tables]."""
    heads, rank = call.count("n_head_per_ngram"), call.rank(call.x)
    mixed, found = call.emit("Mul", words[0], _element(call, call.given(1), 0)), []
    for by in range(1, len(words)):
        word = call.emit("Where", gone[by], nothing, words[by]) if gone[by] else words[by]
        product = call.emit("Mul", word, _element(call, call.given(1), by))
        mixed = call.emit("BitwiseXor", mixed, product)
        sizes = call.slice(call.given(2), 0, (by - 1) * heads, by * heads)
        found.append(call.emit("Mod", call.unsqueeze(mixed, rank), sizes))
    y = call.emit("Concat", *found, axis=rank) if len(found) > 1 else found[0]
    return call.emit("Add", y, offsets) if offsets else y


def _element(call: Spelling, x: str, at: int) -> str:
    return call.slice(x, 0, at, at + 1)


def _ends(call: Spelling, words: list[str], end: str, turns: list[str]) -> list[str]:
    """Of each distance whether a sequence ended on the way, or one of its ``turns`` is there, the
    one by so many rows before and the next; "" where none can."""
    found = [""]
    for by in range(1, len(words)):
        flags = [call.emit("Equal", words[by], end)] if end else []
        flags += turns[by - 1 : by]
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
    "MurmurHash3": Spelled(
        _murmur,
        1,
        attributes("positive seed"),
        since=18,
        typed=dict.fromkeys(_FLOATS, _BIT_CASTS),
    ),
    "VarlenNGramHashMapping": Spelled(
        _packed_ngrams,
        10,
        attributes("max_ngram_size n_head_per_ngram pad_id reset_on_eos state_update_capacity"),
        since=18,
    ),
}
