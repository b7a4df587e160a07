"""Operators of ONNX Runtime's domain that take texts: their tokens, and their hashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from luthier.schedules import ModelError
from luthier.schedules.ops.tokens import BEGINS, GOES_ON

from ...patterns.automaton import Automaton, searching
from ...patterns.syntax import PatternError
from .speller import Site
from .values import NARROWEST, Rows, decoded

_ANY, _WIDEST_LETTER = "(?s:.)", 4


def _tokens(site: Site) -> None:
    """What matches, or what is between separators; then as many pads as the text with the most has
    tokens more."""
    rank, width = site.rank(0), site.width(0)
    if rank not in (1, 2):
        raise ModelError(f"{site.label}: its input has {rank} dimensions")
    least, mark = int(site.attrs.get("mincharnum", 1)), int(bool(site.attrs.get("mark", 0)))
    separators = decoded(site.attrs.get("separators", ()), site.label)
    (pattern,) = decoded([site.attrs.get("tokenexp", b"")], site.label)
    (pad,) = decoded([site.attrs.get("pad_value", b"")], site.label)
    if bool(separators) == bool(pattern) or least < 1:
        raise ModelError(f"{site.label}: it wants separators or a token's pattern, and letters")
    letters = separators == ("",) or pattern == "."
    rows = site.rows(0)
    if separators and not letters:
        parts = _whole(site, rows)
        for separator in separators:
            parts = _searched(site, "Cut", [rows, parts], separator)
        parts = site.text_op("Long", [rows, parts], least=least) if least > 1 else parts
        most = (width + 1) // (least + 1)
    else:
        parts = _searched(site, "Find", [rows], _ANY if letters else pattern, least=least)
        most = width // least
    most = max(most, 1)
    own = _WIDEST_LETTER if letters else width
    room = max(own, len(pad.encode()), NARROWEST)
    padded = np.zeros(room, np.uint8)
    padded[: len(pad.encode())] = list(pad.encode())
    found = site.text_op(
        "Tokens", [rows, parts, site.constant(padded)], most=most, room=room, mark=mark
    )
    _cut_to_most(site, found, parts, rank, mark)
    site.gives(0, Rows(room, rank + 1))


def _whole(site: Site, rows: str) -> str:
    """A token that is all of a text."""
    width = site.width(0)
    row = np.full(width, GOES_ON, np.uint8)
    row[0] = BEGINS
    shape = site.emit("Shape", [rows])
    return site.emit("Expand", [site.constant(row), shape])


def _searched(site: Site, op: str, inputs: list[str], pattern: str, **said: Any) -> str:
    try:
        made = searching(pattern)
    except PatternError as error:
        raise site.refuse(f"the pattern {pattern[:80]!r}: {error}; this") from error
    if op == "Cut" and _takes_nothing(made):
        raise site.refuse(f"a separator {pattern[:80]!r} that nothing is, too,")
    tables = [site.constant(made.classes), site.constant(made.table)]
    return site.text_op(op, [*inputs, *tables], begin=made.begin, accepts=made.accepts, **said)


def _takes_nothing(made: Automaton) -> bool:
    return made.begin >= made.accepts


def _cut_to_most(site: Site, found: str, parts: str, rank: int, mark: int) -> None:
    """As many places as the text with the most needs; where none has a token, there are none."""
    begins = site.emit("Equal", [parts, site.constant(np.array(BEGINS, np.uint8))])
    ones = site.emit("Cast", [begins], to=TensorProto.INT64)
    counts = site.sum_of_last(ones, rank)
    flat = site.emit("Reshape", [counts, site.numbers(-1)])
    every = site.emit("Concat", [flat, site.numbers(0)], axis=0)
    most = site.emit("ReduceMax", [every], keepdims=1)
    if mark:
        some = site.emit("Less", [site.numbers(0), most])
        more = site.emit("Cast", [some], to=TensorProto.INT64)
        most = site.emit("Add", [most, site.emit("Mul", [more, site.numbers(2)])])
    bounds = [site.numbers(0), most, site.numbers(rank)]
    site.emit("Slice", [found, *bounds], site.node.output[0])


def _hash(site: Site) -> None:
    seed = int(site.attrs.get("seed", 0))
    if not 0 <= seed < 2**32:
        raise site.refuse(f"seed={seed}")
    positive = site.attrs.get("positive", 1)
    output = site.node.output[0]
    found = site.text_op("Hash", [site.rows(0)], output if positive else "", seed=seed)
    if not positive:
        site.emit("Cast", [found], output, to=TensorProto.INT32)
    site.speller.ranks[output] = site.rank(0)


OPERATORS: Mapping[str, Callable[[Site], None]] = {"MurmurHash3": _hash, "Tokenizer": _tokens}
