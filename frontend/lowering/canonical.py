"""A group as a workload: the same computation gives the same text wherever it stands."""

from __future__ import annotations

from dataclasses import replace

from luthier.schedules import Workload, ops

from ..graph import Graph, Op
from .fuse import Group


def canonical_workload(graph: Graph, group: Group) -> tuple[Workload, tuple[int, ...]]:
    """The workload of a group and the graph's values that are its inputs, in canonical order.

    The anchor's arguments come first, then the others as the output's expression names them, depth
    first; so the same computation gives the same workload wherever it stands.
    """
    members = {op.result: op for op in group.ops}
    order: list[Op] = []
    inputs: list[int] = []
    seen: set[int] = set()
    after = {group.anchor.result} if group.anchor else set()
    for op in group.ops:
        if after.intersection(op.reads):
            after.add(op.result)

    def visit(value: int) -> None:
        if value in seen:
            return
        seen.add(value)
        op = members.get(value) or _literal(graph, value)
        if op is None:
            inputs.append(value)
            return
        args, operator = op.node.args, ops.of(op.node)
        if isinstance(operator, ops.Elementwise) and operator.commutes:
            args = tuple(sorted(args, key=lambda a: _rank(graph, a, members, after)))
        for arg in args:
            visit(arg)
        order.append(replace(op, node=replace(op.node, args=args)))

    if group.anchor is not None:
        visit(group.anchor.result)
    visit(group.root.result)
    typed = {v: (graph.values[v], v in graph.constants) for v in inputs}
    return Workload.of(typed, order), tuple(inputs)


def _literal(graph: Graph, value: int) -> Op | None:
    op = graph.producer.get(value)
    return op if op is not None and op.node.op == "const" else None


def _rank(graph: Graph, value: int, members: dict[int, Op], after: set[int]) -> int:
    """What follows the anchor first, then computed, read, constant and literal arguments."""
    if value in after:
        return 0
    if value in members:
        return 1
    if _literal(graph, value):
        return 4
    return 3 if value in graph.constants else 2
