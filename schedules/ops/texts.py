"""Operators on texts: rows of bytes in the last dimension, UTF-8, with zeros after their end.

A text may fill its row. What no text is, such as bytes that are not UTF-8, is still a row: every
operator has a result for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ..ir.workload import Node, Tensor
from .operator import Anchor, Array, Attrs

WIDEST = 1 << 16
"""Bytes of a row."""
MOST_DIGITS = 20
"""Of a whole number of 64 bits, with its sign."""
MOST_MULTIPLIER = 1 << 39
"""Of hashes: no sum of WIDEST bytes overflows."""
_LETTERS, _PAGE = 1 << 16, 64  # that have a case, as far as they are known here
SPACES = b" \t\n\v\f\r"
"""What lies between words where a text is split at none in particular."""


def text(row: Array) -> bytes:
    """A row's bytes up to the first zero."""
    return bytes(row.tobytes().partition(b"\0")[0])


def rows(texts: Sequence[bytes], shape: Sequence[int]) -> Array:
    """Texts as rows, ``shape`` with the rows' width; each must fit."""
    return np.array(texts, f"S{shape[-1]}").view(np.uint8).reshape(tuple(shape))


def _check(holds: bool, args: Sequence[Tensor]) -> None:
    if not holds:
        raise ValueError(f"of {', '.join(map(str, args))}")


def _check_texts(args: Sequence[Tensor], number: int = 1) -> None:
    """Rows of two bytes or more; what else an operator takes is said by it."""
    of = args[:number]
    _check(all(a.dtype == "uint8" and a.shape and a.shape[-1] > 1 for a in of), args)


def _each(node: Node, x: Array, change: Callable[[bytes], bytes]) -> Array:
    flat = x.reshape(-1, x.shape[-1])
    return rows([change(text(row)) for row in flat], node.out.shape)


def _infer_like(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    _check_texts(args)
    return args[0]


def _infer_per_text(dtype: str) -> Callable[[Sequence[Tensor], Attrs], Tensor]:
    def infer(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
        _check_texts(args)
        return Tensor(args[0].shape[:-1], dtype)

    return infer


def _clean(node: Node, x: Array) -> Array:
    return _each(node, x, lambda given: given)


def hashes(x: Array, multipliers: Array) -> Array:
    """Of each row the sum of its bytes times ``multipliers``."""
    return np.asarray(np.sum(x * multipliers, axis=-1, dtype=np.int64))


def _place(node: Node, x: Array, keys: Array, order: Array, multipliers: Array) -> Array:
    places = {text(key): place for place, key in enumerate(keys)}
    flat = x.reshape(-1, x.shape[-1])
    found = [places.get(text(row), -1) for row in flat]
    return np.asarray(found, np.int64).reshape(node.out.shape)


def _infer_place(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    _check_texts(args, 2)
    x, keys, order, multipliers = args
    count, width = (*keys.shape, 0)[:2]
    fits = keys.shape == (count, x.shape[-1]) and order == Tensor((count,), "int64")
    _check(fits and multipliers == Tensor((width,), "int64") and width <= WIDEST, args)
    return Tensor(x.shape[:-1], "int64")


def _join(node: Node, x: Array, y: Array) -> Array:
    pairs = zip(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]), strict=True)
    return rows([text(a) + text(b) for a, b in pairs], node.out.shape)


def _infer_join(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    _check_texts(args, 2)
    first, second = (arg.shape for arg in args)
    _check(first[:-1] == second[:-1], args)
    return Tensor((*first[:-1], first[-1] + second[-1]), "uint8")


def _map_letters(node: Node, x: Array, pages: Array, distances: Array) -> Array:
    def other(letter: int) -> int:
        if letter >= _LETTERS:
            return letter
        return letter + int(distances[pages[letter // _PAGE], letter % _PAGE])

    def change(given: bytes) -> bytes:
        letters = given.decode("utf-8", "surrogateescape")
        kept = ("\udc80" <= letter <= "\udcff" for letter in letters)
        changed = (c if k else chr(other(ord(c))) for c, k in zip(letters, kept, strict=True))
        return "".join(changed).encode("utf-8", "surrogateescape")

    return _each(node, x, change)


def _infer_map(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    _check_texts(args)
    pages = Tensor((_LETTERS // _PAGE,), "uint8"), Tensor((attrs["pages"], _PAGE), "int32")
    _check(tuple(args[1:]) == pages, args)
    return args[0]


def _sample_map(node: Node, index: int, width: int, rng: np.random.Generator) -> Array | None:
    count = int(node.attr("pages"))
    if index == 1:
        return rng.integers(0, count, _LETTERS // _PAGE, np.uint8)
    return np.zeros((count, _PAGE), np.int32) if index == 2 else None


def _match(node: Node, x: Array, classes: Array, table: Array) -> Array:
    def accepts(given: bytes) -> bool:
        state = node.attr("begin")
        for byte in given:
            state = table[state, classes[byte]]
        return bool(state >= node.attr("accepts"))

    flat = x.reshape(-1, x.shape[-1])
    return np.asarray([accepts(text(row)) for row in flat], np.bool_).reshape(node.out.shape)


def _infer_match(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    _check_texts(args)
    states, kinds = attrs["states"], attrs["kinds"]
    tables = Tensor((256,), "uint8"), Tensor((states, kinds), "int32")
    _check(tuple(args[1:]) == tables and 0 <= attrs["begin"] < states, args)
    return Tensor(args[0].shape[:-1], "bool")


def _sample_match(node: Node, index: int, width: int, rng: np.random.Generator) -> Array | None:
    states, kinds = int(node.attr("states")), int(node.attr("kinds"))
    if index == 1:
        return rng.integers(0, min(kinds, 256), 256, np.uint8)
    return rng.integers(0, states, (states, kinds), np.int32) if index == 2 else None


def pieces(given: bytes, delimiter: bytes, most: int) -> list[bytes]:
    """A text's parts between delimiters, or between spaces where there is none; ``most`` cuts."""
    if delimiter:
        return given.split(delimiter, most)
    found: list[bytes] = []
    rest = given.strip(SPACES)
    while rest:
        cut = next((i for i, b in enumerate(rest) if b in SPACES), len(rest))
        if len(found) == most:
            cut = len(rest)
        found.append(rest[:cut])
        rest = rest[cut:].lstrip(SPACES)
    return found


def most_pieces(width: int, delimiter: int, cuts: int) -> int:
    """Of a text of ``width`` bytes, split at delimiters of so many, ``cuts`` times at most."""
    most = width // delimiter + 1 if delimiter else max((width + 1) // 2, 1)
    return most if cuts < 0 else min(most, cuts + 1)


def _split(node: Node, x: Array) -> list[list[bytes]]:
    delimiter = bytes(node.attr("delimiter"))
    flat = x.reshape(-1, x.shape[-1])
    return [pieces(text(row), delimiter, node.attr("cuts")) for row in flat]


def _pieces(node: Node, x: Array) -> Array:
    count = node.out.shape[-2]
    listed = [[*found, *[b""] * (count - len(found))] for found in _split(node, x)]
    return rows([each for found in listed for each in found], node.out.shape)


def _infer_pieces(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    _check_texts(args)
    *outer, width = args[0].shape
    count = most_pieces(width, len(attrs["delimiter"]), attrs["cuts"])
    return Tensor((*outer, count, width), "uint8")


def _count_pieces(node: Node, x: Array) -> Array:
    counts = [len(found) for found in _split(node, x)]
    return np.asarray(counts, np.int64).reshape(node.out.shape)


@dataclass(frozen=True)
class FloatFormat:
    """A float by its bits: those of its ``fraction``, and the exponents of what is normal.

    A number of more than ``most_point`` digits before its point is infinite, one of as many zeros
    after it as ``least_point`` says is 0.
    """

    fraction: int
    least_exponent: int
    most_exponent: int
    most_point: int
    least_point: int

    @property
    def bits(self) -> str:
        """The whole type of as many bits."""
        return "int64" if self.fraction > 23 else "int32"

    @property
    def infinity(self) -> int:
        """Its bits."""
        return (self.most_exponent - self.least_exponent + 2) << self.fraction

    @property
    def nan(self) -> int:
        """One's bits."""
        return self.infinity | 1 << (self.fraction - 1)

    @property
    def sign(self) -> int:
        """The least number of as many bits, which is a sign alone."""
        return -(1 << (63 if self.fraction > 23 else 31))


FORMATS: Mapping[str, FloatFormat] = {
    "float32": FloatFormat(23, -126, 127, 40, -60),
    "float64": FloatFormat(52, -1022, 1023, 310, -330),
}
WORDS = (b"inf", b"infinity")
_NUMBER = re.compile(rb"[ \t-\r]*([+-]?)(\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d+))?[ \t-\r]*")


def _number(given: bytes, dtype: str) -> Any:
    """The number that a text is, to the nearest of its type."""
    whole = dtype == "int64"
    kind: Any = np.dtype(dtype).type
    found = _NUMBER.fullmatch(given)
    if found is None:
        if whole or given.lstrip(b"+-").lower() not in WORDS or given[1:2] in (b"+", b"-"):
            return 0 if whole else kind(np.nan)
        return kind(-np.inf if given.startswith(b"-") else np.inf)
    digits, _, part = found[2].decode().partition(".")
    power = max(-99_999, min(99_999, int(found[3] or 0)))
    size, point = int(digits + part), power - len(part)
    if size and not -400 < len(str(size)) + point < 400:
        size, point = (0, 0) if point < 0 else (1, 400)
    exact = Fraction(size) * Fraction(10) ** point
    if whole:
        signed = -int(exact) if found[1] == b"-" else int(exact)
        return max(-(1 << 63), min((1 << 63) - 1, signed))
    return -_nearest(exact, kind) if found[1] == b"-" else _nearest(exact, kind)


def _nearest(exact: Fraction, kind: Any) -> Any:
    """Rounded once, which a detour by float64 would not."""
    info = np.finfo(kind)
    exponent = _exponent(exact) if exact else 0
    step = Fraction(2) ** (max(exponent, int(info.minexp)) - int(info.nmant))
    rounded = round(exact / step) * step
    return kind(np.inf if rounded > Fraction(float(info.max)) else float(rounded))


def _exponent(exact: Fraction) -> int:
    """Of the power of two that is not above a number."""
    found = exact.numerator.bit_length() - exact.denominator.bit_length()
    return found if Fraction(2) ** found <= exact else found - 1


def _read(node: Node, x: Array) -> Array:
    flat = x.reshape(-1, x.shape[-1])
    found = [_number(text(row), node.out.dtype) for row in flat]
    return np.asarray(found, node.out.dtype).reshape(node.out.shape)


def _infer_read(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    _check_texts(args)
    _check(attrs["to"] in (*FORMATS, "int64"), args)
    return Tensor(args[0].shape[:-1], attrs["to"])


def _written(node: Node, x: Array) -> Array:
    return rows([b"%d" % int(number) for number in x.flat], node.out.shape)


def _infer_written(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    _check(args[0].dtype in ("int64", "uint64"), args)
    return Tensor((*args[0].shape, MOST_DIGITS), "uint8")


def _count(node: Node, args: Sequence[Tensor]) -> int:
    return 2 * args[0].size


OPERATORS = (
    # x [..., width], of which nothing is known: zeros after the first one.
    Anchor("text_clean", 1, _clean, _infer_like, count=_count),
    # x [..., width], keys [count, width], their ``hashes`` in order, and the multipliers of these
    # [width]: each text's place among the keys, or -1.
    Anchor("text_place", 4, _place, _infer_place, count=_count),
    # Two texts one after the other, whose leading dimensions are the same.
    Anchor("text_join", 2, _join, _infer_join, count=_count),
    # x, pages [1024], distances [pages, 64]; pages: how many differ. In place of letter n, below
    # 2^16, the one as far from it as stands at n % 64 of page n / 64; both take as many bytes.
    Anchor("text_map", 3, _map_letters, _infer_map, count=_count, sample=_sample_map),
    # x, classes [256] of bytes, table [states, kinds] of the next state; states, kinds, begin,
    # accepts: whether a text leads from the state ``begin`` to one of those from ``accepts`` on.
    Anchor("text_match", 3, _match, _infer_match, count=_count, sample=_sample_match),
    # delimiter: its bytes, none for spaces; cuts: how many at most, below 0 for all. The parts of
    # each text [..., parts, width], filled up with empty ones; and how many there are.
    Anchor("text_pieces", 1, _pieces, _infer_pieces, count=_count),
    Anchor("text_count", 1, _count_pieces, _infer_per_text("int64"), count=_count),
    # to: "float32", "float64" or "int64". A decimal number, infinity or NaN, rounded once; what is
    # none is NaN, or 0. Whole types have what comes before the point, within their limits.
    Anchor("text_read", 1, _read, _infer_read, count=lambda node, args: 64 * args[0].size),
    # Whole numbers in decimal digits [..., 20].
    Anchor("text_write", 1, _written, _infer_written, count=lambda node, args: 64 * args[0].size),
)
