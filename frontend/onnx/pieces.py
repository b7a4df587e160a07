"""Rows that are cut into pieces of sizes that a run decides, each of which goes its own way, and
are joined again, as a mixture of experts has those that it sorts by their experts.

All rows go all ways, and each is taken of that of its piece: so no size is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from .given import light_types
from .opset import attributes_of, is_onnx, opset_of
from .scopes import every_node, reads

_OLDEST = 13  # the operator set since which sizes of pieces are an input, and axes too
# What is done to each row by itself, by the first input.
_OF_ROWS = frozenset(
    """
        Abs Cast Elu Erf Exp Gelu Gemm Identity LeakyRelu MatMul Neg Relu Sigmoid Softplus Tanh
    """.split()
)


@dataclass(frozen=True)
class _Pieces:
    """The nodes that cut and that join, and those on the way of each piece."""

    cut: NodeProto
    ways: Sequence[Sequence[NodeProto]]
    join: NodeProto

    @property
    def nodes(self) -> Iterator[NodeProto]:
        yield self.cut
        for way in self.ways:
            yield from way
        yield self.join


def without_pieces(model: onnx.ModelProto) -> None:
    """Spell such nodes of the main graph in place, where they are found."""
    graph = model.graph
    known = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    made = {name: node for node in graph.node for name in node.output}
    given = {value.name for value in graph.input}
    cuts = [n for n in graph.node if _is_cut(n) and _is_data(n.input[1], made, given)]
    if not cuts or opset_of(model) < _OLDEST:
        return
    types = light_types(model, declared=False)
    ranks = {n: len(t.tensor_type.shape.dim) for n, t in types.items() if _has_shape(t)}
    inside = {name for node in graph.node for name in _read_inside(node)}
    ends = {output.name for output in graph.output} | inside
    found = [each for cut in cuts if (each := _pieces(cut, graph.node, ends, {**ranks, **known}))]
    gone = {id(node) for each in found for node in each.nodes}
    joined = {id(each.join): each for each in found}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if id(node) in joined:
            nodes += _spelled(joined[id(node)])
        elif id(node) not in gone:
            nodes.append(node)
    if found:
        copied = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copied)


def _is_cut(node: NodeProto) -> bool:
    is_split = node.op_type == "Split" and is_onnx(node.domain) and len(node.input) == 2
    return is_split and bool(node.input[1]) and attributes_of(node).get("axis", 0) == 0


def _is_data(name: str, made: Mapping[str, NodeProto], given: set[str]) -> bool:
    """Whether a value follows from inputs, and not from their shapes alone."""
    waiting, seen = [name], {name}
    while waiting:
        name = waiting.pop()
        if name in given:
            return True
        node = made.get(name)
        if node is None or node.op_type in ("Shape", "Size"):
            continue
        more = set(reads(node)) - seen
        seen |= more
        waiting += more
    return False


def _has_shape(kind: onnx.TypeProto) -> bool:
    return bool(kind.tensor_type.HasField("shape"))


def _read_inside(node: NodeProto) -> set[str]:
    """What graphs inside of a node read."""
    return {name for each in every_node([node]) if each is not node for name in reads(each)}


def _pieces(
    cut: NodeProto, nodes: Sequence[NodeProto], ends: set[str], ranks: Mapping[str, int]
) -> _Pieces | None:
    """``ends`` are values that others than nodes of the graph read."""
    if ranks.get(cut.input[0]) != 2:
        return None
    users: dict[str, list[NodeProto]] = {}
    for node in nodes:
        for name in set(node.input):
            users.setdefault(name, []).append(node)
    ways, joins = list[list[NodeProto]](), list[NodeProto]()
    for place, value in enumerate(cut.output):
        way, end = _way(value, users, ends, ranks)
        if end is None or place >= len(end.input):
            return None
        if end.input[place] != (way[-1].output[0] if way else value):
            return None
        ways.append(way)
        joins.append(end)
    join = joins[0]
    same = all(each is join for each in joins) and len(join.input) == len(ways)
    is_join = same and join.op_type == "Concat" and is_onnx(join.domain)
    return _Pieces(cut, ways, join) if is_join and attributes_of(join)["axis"] == 0 else None


def _way(
    value: str,
    users: Mapping[str, Sequence[NodeProto]],
    ends: set[str],
    ranks: Mapping[str, int],
) -> tuple[list[NodeProto], NodeProto | None]:
    """What is done to the rows of a piece, and who takes these; None where several do."""
    way: list[NodeProto] = []
    while value not in ends and len(users.get(value, ())) == 1:
        (taker,) = users[value]
        if not _is_of_rows(taker, value, ranks):
            return way, taker
        way.append(taker)
        value = taker.output[0]
    return way, None


def _is_of_rows(node: NodeProto, value: str, ranks: Mapping[str, int]) -> bool:
    if node.op_type not in _OF_ROWS or not is_onnx(node.domain) or node.input[0] != value:
        return False
    if value in node.input[1:] or attributes_of(node).get("transA", 0):
        return False
    return all(ranks.get(name) == rank for name, rank in zip(node.input[1:], (2, 1), strict=False))


def _spelled(found: _Pieces) -> Sequence[NodeProto]:
    written: list[NodeProto] = []
    title = found.join.output[0]

    def write(op: str, *inputs: str, **attrs: Any) -> str:
        result = f"{title}/pieces/{len(written)}"
        written.append(helper.make_node(op, inputs, [result], result, **attrs))
        return result

    def number(value: Any) -> str:
        return write("Constant", value=numpy_helper.from_array(np.array(value, np.int64)))

    rows, sizes = found.cut.input
    zero, one = number(0), number(1)
    count = write("Gather", write("Shape", rows), zero)
    places = write("Unsqueeze", write("Range", zero, count, one), number([1]))
    ends = write("CumSum", sizes, zero)
    results = [_along(rows, way, write) for way in found.ways]
    taken = results[-1]
    for i in reversed(range(len(results) - 1)):
        before = write("Less", places, write("Gather", ends, number(i)))
        taken = write("Where", before, results[i], taken)
    write("Identity", taken)
    written[-1].output[0] = title
    return written


def _along(rows: str, way: Sequence[NodeProto], write: Any) -> str:
    """All rows on the way of a piece."""
    for node in way:
        attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        rows = write(node.op_type, rows, *node.input[1:], **attrs)
    return rows
