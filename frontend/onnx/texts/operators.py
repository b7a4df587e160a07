"""Our own operators on rows of bytes, as the graph has them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from luthier.schedules import ModelError

from ...composites import movement
from ..node import OnnxNode, Operator
from .domain import broadcast


def _clean(node: OnnxNode) -> int:
    return node.t.emit("text_clean", node.x)


def _widen(node: OnnxNode) -> int:
    more = int(node.attr("width", 0)) - node.shape[-1]
    return movement.pad(node.t, node.x, [*[(0, 0)] * (node.rank - 1), (0, more)])


def _both(node: OnnxNode) -> tuple[int, int]:
    """Two texts, with leading dimensions that are the same."""
    t, given = node.t, (node.given(0), node.given(1))
    shapes = [t.shape(each) for each in given]
    outer = broadcast(shapes[0][:-1], shapes[1][:-1])
    try:
        np.broadcast_shapes(shapes[0][:-1], shapes[1][:-1])
    except ValueError as error:
        shown = " and ".join(str(list(shape[:-1])) for shape in shapes)
        raise ModelError(f"{node.label}: the shapes {shown} do not fit") from error
    first, second = (
        t.broadcast(each, (*outer, shape[-1])) for each, shape in zip(given, shapes, strict=True)
    )
    return first, second


def _same(node: OnnxNode) -> int:
    """Rows are as wide as one another."""
    t, (first, second) = node.t, _both(node)
    same = t.cast(t.emit("equal", first, second), "int32")
    axis = len(t.shape(same)) - 1
    return t.cast(t.emit("min", same, axes=(axis,), keepdims=False), "bool")


def _join(node: OnnxNode) -> int:
    return node.t.emit("text_join", *_both(node))


def _map(node: OnnxNode) -> int:
    pages, _ = node.t.shape(node.given(2))
    return node.t.emit("text_map", *node.every, pages=pages)


def _place(node: OnnxNode) -> int:
    return node.t.emit("text_place", *node.every)


def _match(node: OnnxNode) -> int:
    states, kinds = node.t.shape(node.given(2))
    begin, accepts = (int(node.attr(name, 0)) for name in ("begin", "accepts"))
    return node.t.emit(
        "text_match", *node.every, states=states, kinds=kinds, begin=begin, accepts=accepts
    )


def _split(op: str, node: OnnxNode) -> int:
    delimiter = tuple(node.attrs["delimiter"])
    return node.t.emit(op, node.x, delimiter=delimiter, cuts=int(node.attr("cuts", -1)))


def _pieces(node: OnnxNode) -> int:
    return _split("text_pieces", node)


def _count(node: OnnxNode) -> int:
    return _split("text_count", node)


def _search(op: str, node: OnnxNode) -> int:
    states, kinds = node.t.shape(node.every[-1])
    said: dict[str, Any] = {name: int(node.attr(name, 0)) for name in ("begin", "accepts")}
    said |= {"least": int(node.attr("least", 1))} if op == "text_find" else {}
    return node.t.emit(op, *node.every, states=states, kinds=kinds, **said)


def _long(node: OnnxNode) -> int:
    return node.t.emit("text_long", *node.every, least=int(node.attr("least", 1)))


def _tokens(node: OnnxNode) -> int:
    said: dict[str, Any] = {n: int(node.attr(n, 0)) for n in ("most", "room", "mark")}
    return node.t.emit("text_tokens", *node.every, **said)


def _hash(node: OnnxNode) -> int:
    return node.t.emit("text_hash", node.x, seed=int(node.attr("seed", 0)))


def _read(node: OnnxNode) -> int:
    return node.t.emit("text_read", node.x, to=str(node.attr("to", "")))


def _write(node: OnnxNode) -> int:
    return node.t.emit("text_write", node.x)


OPERATORS: dict[str, Operator] = {
    "Clean": Operator(_clean),
    "Count": Operator(_count),
    "Cut": Operator(partial(_search, "text_cut")),
    "Find": Operator(partial(_search, "text_find")),
    "Hash": Operator(_hash),
    "Join": Operator(_join),
    "Long": Operator(_long),
    "Map": Operator(_map),
    "Match": Operator(_match),
    "Pieces": Operator(_pieces),
    "Place": Operator(_place),
    "Read": Operator(_read),
    "Same": Operator(_same),
    "Tokens": Operator(_tokens),
    "Widen": Operator(_widen),
    "Write": Operator(_write),
}
