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
    after = _depends_on_anchor(group)

    def arguments(op: Op) -> tuple[int, ...]:
        args = op.node.args
        operator = ops.of(op.node)
        if isinstance(operator, ops.Elementwise) and operator.commutes:
            return tuple(sorted(args, key=lambda a: _rank(graph, a, members, after)))
        return args

    def visit(value: int, seen: set[int]) -> None:
        if value in seen:
            return
        seen.add(value)
        op = members.get(value) or _literal(graph, value)
        if op is None:
            inputs.append(value)
            return
        op = replace(op, node=replace(op.node, args=arguments(op)))
        for arg in op.node.args:
            visit(arg, seen)
        order.append(op)

    seen: set[int] = set()
    if group.anchor is not None:
        visit(group.anchor.result, seen)
    visit(group.root.result, seen)
    typed = {v: (graph.values[v], v in graph.constants) for v in inputs}
    return Workload.of(typed, order), tuple(inputs)


def _literal(graph: Graph, value: int) -> Op | None:
    op = graph.producer.get(value)
    return op if op is not None and op.node.op == "const" else None


def _depends_on_anchor(group: Group) -> set[int]:
    if group.anchor is None:
        return set()
    found = {group.anchor.result}
    for op in group.ops:
        if found.intersection(op.node.args):
            found.add(op.result)
    return found


def _rank(graph: Graph, value: int, members: dict[int, Op], after: set[int]) -> int:
    """What follows the anchor first, then computed, read, constant and literal arguments."""
    if value in after:
        return 0
    if value in members:
        return 1
    if _literal(graph, value):
        return 4
    return 3 if value in graph.constants else 2
