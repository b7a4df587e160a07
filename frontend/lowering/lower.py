"""The fused graph as a program: canonical workloads and views, ordered to need little memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from luthier.schedules.ir.placement import Placement

from ..graph import Graph
from ..program import Call, Part, Program, owner
from ..program.core import row_pitch
from .canonical import canonical_workload
from .elide_concats import elide_concats
from .fuse import Group, fuse


def lower(graph: Graph) -> Program:
    """Fuse, order and describe; values that live inside a kernel disappear."""
    graph, groups, parts = elide_concats(graph, fuse(graph))
    views = {op.result: op.node.args[0] for op in graph.ops if op.node.op == "reshape"}
    ordered = _ordered(graph, groups, views, parts)
    described = [(group, *canonical_workload(graph, group)) for group in ordered]

    def pitch(value: int) -> int | None:
        return row_pitch(value, graph.values, views, parts)

    calls = []
    for group, workload, args in described:
        result = group.root.result
        placement = Placement.of([pitch(arg) for arg in args], pitch(result))
        calls.append(Call(workload, args, result, _source(group), placement))
    return Program(
        graph.name,
        graph.values,
        graph.inputs,
        graph.outputs,
        graph.constants,
        views,
        tuple(calls),
        parts,
    ).compact()


def _source(group: Group) -> str:
    return " + ".join(dict.fromkeys(op.source for op in group.ops if op.source))


def _ordered(
    graph: Graph, groups: list[Group], views: Mapping[int, int], parts: Mapping[int, Part]
) -> list[Group]:
    """Depth first from the outputs, larger arguments first, so that few values wait for others."""
    by_root = {group.root.result: group for group in groups}
    inputs: dict[int, list[int]] = {}
    for value, part in parts.items():
        inputs.setdefault(part.whole, []).append(value)
    for group in groups:
        made = {op.result for op in group.ops}
        read = {a for op in group.ops for a in op.node.args if a not in made}
        inputs[group.root.result] = list(read)
    for found in inputs.values():
        found.sort(key=lambda v: (-graph.values[v].nbytes, v))
    ordered: list[Group] = []
    met: set[int] = set()
    waiting: list[tuple[int, Iterator[int]]] = [(-1, iter([v for _, v in graph.outputs]))]
    while waiting:
        value, rest = waiting[-1]
        nearest = next((v for v in (owner(v, views) for v in rest) if v not in met), None)
        if nearest is not None:
            met.add(nearest)
            waiting.append((nearest, iter(inputs.get(nearest, ()))))
            continue
        waiting.pop()
        if value in by_root:
            ordered.append(by_root[value])
    return ordered
