"""Lines of text files, as editors, shells and file transfers leave them."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

_BOM = codecs.BOM_UTF8
_WIDE = (  # how a file begins that is not in UTF-8, with a byte-order mark or with a brace
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"{\0\0\0", "utf-32-le"),
    (b"\0\0\0{", "utf-32-be"),
    (b"{\0", "utf-16-le"),
    (b"\0{", "utf-16-be"),
)
_BLANK = b" \t\r\n\v\f\x1a"  # the last ended files long ago


def lines(blocks: Iterable[bytes], longest: int) -> Iterator[bytes]:
    """A file's lines in UTF-8, without blanks around them, cut to ``longest`` bytes and one.

    They end with LF, CR LF or CR. Byte-order marks are left out, and padding after a line.
    """
    rest = b""
    for block in _utf8(iter(blocks)):
        text = rest + block
        if b"\r" in text:
            held = text.endswith(b"\r")  # perhaps the first half of an end
            text = text[: len(text) - held].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            text += b"\r" * held
        *whole, rest = text.split(b"\n")
        yield from map(_trimmed, whole)
        rest = rest if len(rest) <= longest else rest[: longest + 1]
    yield _trimmed(rest)


def first_byte(head: bytes) -> bytes:
    """What the text in a file that begins so begins with, blanks aside; empty for none."""
    codec = _codec(head)
    text = head[: len(head) // 4 * 4].decode(codec, "replace").encode() if codec else head
    return _trimmed(text)[:1]


def _trimmed(line: bytes) -> bytes:
    text = line.strip(_BLANK)
    if text.startswith(_BOM):  # of a pack in the middle of many
        text = text.removeprefix(_BOM).lstrip(_BLANK)
    if text.endswith(b"\0"):  # blocks that were never filled; a line of them may have been records
        text = text.rstrip(_BLANK + b"\0") or text
    return text


def _utf8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(blocks, b"")
    codec = _codec(first)
    if codec is None:
        yield first
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(codec)("replace")
    yield decoder.decode(first).encode("utf-8", "replace")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "replace")


def _codec(head: bytes) -> str | None:
    return next((codec for begin, codec in _WIDE if head.startswith(begin)), None)
