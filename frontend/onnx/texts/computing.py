"""Operators of the standard that compute with texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from luthier.schedules import ModelError
from luthier.schedules.ops.texts import MOST_DIGITS

from ...graph import Array
from ...patterns.automaton import automaton
from ...patterns.syntax import PatternError
from .domain import READ
from .letters import case_tables
from .speller import Site
from .values import Rows, decoded

_WHOLE = frozenset(
    getattr(TensorProto, f"{sign}INT{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)
)
_READ_AS = {
    **dict.fromkeys(_WHOLE - {TensorProto.UINT64}, "int64"),
    TensorProto.FLOAT16: "float32", TensorProto.BFLOAT16: "float32",
    TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64",
}  # fmt: skip


def _equal(site: Site) -> None:
    width = site.width(0, 1)
    site.text_op("Same", [site.rows(0, width), site.rows(1, width)], site.node.output[0])
    site.speller.ranks[site.node.output[0]] = max(site.rank(0), site.rank(1))


def _join(site: Site) -> None:
    site.text_op("Join", [site.rows(0), site.rows(1)], site.node.output[0])
    site.gives(0, Rows(site.width(0) + site.width(1), max(site.rank(0), site.rank(1))))


def _normalize(site: Site) -> None:
    """Without stop words, in one case; of nothing, one empty text is left."""
    rank, width = site.rank(0), site.width(0)
    if rank not in (1, 2):
        raise ModelError(f"{site.label}: its input has {rank} dimensions")
    action = _text(site, "case_change_action", "NONE")
    if action not in ("NONE", "LOWER", "UPPER"):
        raise ModelError(f"{site.label}: 'case_change_action' is {action[:40]!r}")
    stopwords = decoded(site.attrs.get("stopwords", ()), site.label)
    given = site.rows(0)
    changed = given if action == "NONE" else _mapped(site, given, upper=action == "UPPER")
    site.gives(0, Rows(width, rank))
    if not stopwords:
        site.emit("Identity", [changed], site.node.output[0])
        return
    if not site.attrs.get("is_case_sensitive", 0):
        given = _mapped(site, given, upper=False)
        stopwords = tuple(map(lowered, stopwords))
    keep = _without(site, given, stopwords)
    none = site.emit("Less", [_most(site, keep, TensorProto.INT32), _one(site)])
    mask = site.emit("Concat", [keep, none], axis=0)
    empty = site.constant(np.zeros((*[1] * rank, width), np.uint8))
    whole = site.emit("Concat", [changed, empty], axis=rank - 1)
    site.emit("Compress", [whole, mask], site.node.output[0], axis=rank - 1)


def _without(site: Site, given: str, words: tuple[str, ...]) -> str:
    """Which texts are none of some words, in one dimension."""
    stays = np.append(np.zeros(len(words), np.bool_), True)
    keep = site.found(given, site.width(0), words, stays)
    return site.emit("Reshape", [keep, site.numbers(-1)])


def _most(site: Site, given: str, kind: int) -> str:
    """The largest of a list, which has one element at least."""
    return site.emit("ReduceMax", [site.emit("Cast", [given], to=kind)], keepdims=1)


def _one(site: Site) -> str:
    return site.constant(np.array([1], np.int32))


def _mapped(site: Site, given: str, *, upper: bool) -> str:
    return site.text_op("Map", [given, *map(site.constant, case_tables(upper))])


def lowered(text: str) -> str:
    """As the kernel does it."""
    pages, distances = case_tables(upper=False)

    def other(letter: int) -> int:
        known = letter < 64 * pages.size
        return letter + int(distances[pages[letter // 64], letter % 64]) if known else letter

    return "".join(chr(other(ord(letter))) for letter in text)


def _split(site: Site) -> None:
    rank, width = site.rank(0), site.width(0)
    delimiter = _text(site, "delimiter", "").encode()
    cuts = int(site.attrs.get("maxsplit", -1))
    said: dict[str, Any] = {"delimiter": delimiter, "cuts": max(cuts, -1)}
    outputs = [*site.node.output, ""][:2]
    count = site.text_op("Count", [site.rows(0)], outputs[1], **said)
    if not outputs[0]:
        return
    parts = site.text_op("Pieces", [site.rows(0)], **said)
    flat = site.emit("Reshape", [count, site.numbers(-1)])
    some = site.emit("Concat", [flat, site.numbers(0)], axis=0)
    most = site.emit("ReduceMax", [some], keepdims=1)
    bounds = [site.numbers(0), most, site.numbers(rank)]
    site.emit("Slice", [parts, *bounds], outputs[0])
    site.gives(0, Rows(width, rank + 1))


def _match(site: Site) -> None:
    pattern = _text(site, "pattern", "")
    try:
        made = automaton(pattern)
    except PatternError as error:
        raise site.refuse(f"the pattern {pattern[:80]!r}: {error}; this") from error
    tables: tuple[Array, ...] = (made.classes, made.table)
    inputs = [site.rows(0), *(site.constant(each) for each in tables)]
    said = {"begin": made.begin, "accepts": made.accepts}
    site.text_op("Match", inputs, site.node.output[0], **said)
    site.speller.ranks[site.node.output[0]] = site.rank(0)


def _cast(site: Site) -> None:
    """To numbers, by a float that holds all of the type's or by the widest whole type."""
    kind = site.attrs.get("to")
    if kind == TensorProto.STRING:
        site.emit("Identity", [site.rows(0)], site.node.output[0])
        site.gives(0, Rows(site.width(0), site.rank(0)))
        return
    to = _READ_AS.get(kind)
    if to is None:
        raise site.refuse("texts that become elements of this type")
    exact = READ[to] == kind
    found = site.text_op("Read", [site.rows(0)], site.node.output[0] if exact else "", to=to)
    if not exact:
        site.emit("Cast", [found], site.node.output[0], to=kind)


def write_numbers(site: Site) -> None:
    """A cast of numbers to texts: of whole ones, which all engines write alike."""
    kind = site.kind(0)
    if kind not in _WHOLE:
        raise site.refuse("a cast to texts of what is not known to be whole numbers")
    wide = TensorProto.UINT64 if kind == TensorProto.UINT64 else TensorProto.INT64
    given = site.name(0) if kind == wide else site.emit("Cast", [site.name(0)], to=wide)
    site.text_op("Write", [given], site.node.output[0])
    site.gives(0, Rows(MOST_DIGITS, site.rank(0)))


def _text(site: Site, name: str, default: str) -> str:
    """An attribute."""
    given = site.attrs.get(name, default.encode())
    return decoded([given], site.label)[0]


OPERATORS: Mapping[str, Callable[[Site], None]] = {
    "Cast": _cast,
    "Equal": _equal,
    "RegexFullMatch": _match,
    "StringConcat": _join,
    "StringNormalizer": _normalize,
    "StringSplit": _split,
}
