"""Nodes in an order in which each comes after those that it reads, as the standard asks for.

ONNX Runtime takes models whose nodes are in any order, so there are some.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

import onnx
from onnx import NodeProto

from .scopes import inner_graphs, reads


def sort_nodes(model: onnx.ModelProto) -> None:
    """Sort the nodes of all graphs and functions in place, those that need not move in their order.

    Where nodes wait for one another, a graph's stay as they are.
    """
    _sort(model.graph, frozenset())
    for function in model.functions:
        _sort(function, frozenset(function.input))


def _sort(body: onnx.GraphProto | onnx.FunctionProto, around: frozenset[str]) -> None:
    """``around`` are the names that nodes need not wait for."""
    if isinstance(body, onnx.GraphProto):
        around = around.union(v.name for v in (*body.input, *body.initializer))
    within = around.union(*(node.output for node in body.node))
    for node in body.node:
        for graph in inner_graphs(node):
            _sort(graph, within)
    order = _order(body.node, around)
    if order is not None:
        moved = [NodeProto.FromString(body.node[i].SerializeToString()) for i in order]
        del body.node[:]
        body.node.extend(moved)


def _order(nodes: Iterable[NodeProto], around: frozenset[str]) -> Sequence[int] | None:
    """The places of nodes, sorted; None where they are in order, or cannot be."""
    read = [reads(node) for node in nodes]
    giver: dict[str, int] = {}
    for place, node in enumerate(nodes):
        for name in node.output:
            if name and name not in around:
                giver.setdefault(name, place)
    before = [{giver[name] for name in names if name in giver} for names in read]
    if all(given < place for place, places in enumerate(before) for given in places):
        return None
    after: list[list[int]] = [[] for _ in read]
    for place, places in enumerate(before):
        for given in places:
            after[given].append(place)
    waits = [len(places) for places in before]
    ready, order = [place for place, count in enumerate(waits) if not count], list[int]()
    while ready:
        order.append(heapq.heappop(ready))
        for place in after[order[-1]]:
            waits[place] -= 1
            if not waits[place]:
                heapq.heappush(ready, place)
    return order if len(order) == len(read) else None
