"""Ranges of letters as sequences of ranges of bytes, as in the package of that name for Rust."""

from __future__ import annotations

from collections.abc import Iterator

from .syntax import LAST, Ranges

Bytes = tuple[tuple[int, int], ...]
"""Of each byte of a letter the first and the last that it may be."""

_ENDS = (0x7F, 0x7FF, 0xFFFF, LAST)  # of letters of one byte, two, three and four
_SURROGATES = (0xD800, 0xDFFF)  # which UTF-8 has not


def sequences(ranges: Ranges) -> Iterator[Bytes]:
    """All that the letters' bytes may be, each once."""
    for first, last in ranges:
        for low, high in ((first, min(last, _SURROGATES[0] - 1)), (max(first, 0xE000), last)):
            if low <= high:
                yield from _of(low, high)


def _of(first: int, last: int) -> Iterator[Bytes]:
    for end in _ENDS:
        if first <= end < last:
            yield from _of(first, end)
            yield from _of(end + 1, last)
            return
    # Where more than the last bytes differ, those must go through all that they can be.
    for count in (1, 2, 3):
        rest = (1 << (6 * count)) - 1
        if last > _ENDS[0] and first >> (6 * count) != last >> (6 * count):
            if first & rest:
                yield from _of(first, first | rest)
                yield from _of((first | rest) + 1, last)
                return
            if last & rest != rest:
                yield from _of(first, (last & ~rest) - 1)
                yield from _of(last & ~rest, last)
                return
    pairs = zip(chr(first).encode(), chr(last).encode(), strict=True)
    yield tuple(pairs)
