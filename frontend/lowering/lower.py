"""The fused graph as a program: canonical workloads and views, ordered to need little memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from luthier.schedules.ir.placement import Placement

from ..graph import Graph
from ..graph.across import Across
from ..program import Call, Part, Program
from .canonical import canonical_workload
from .elide_concats import elide_concats
from .fuse import Group, fuse


def lower(graph: Graph, *, dense: bool = False, across: Across | None = None) -> Program:
    """Fuse, order and describe; values that live inside a kernel disappear.

    Where tensors are to be ``dense``, concatenations are copied.
    """
    groups, parts = fuse(graph, across), dict[int, Part]()
    if not dense:
        graph, groups, parts = elide_concats(graph, groups)
    views = {op.result: op.node.args[0] for op in graph.ops if op.node.op == "reshape"}
    program = Program(
        graph.name, graph.values, graph.inputs, graph.outputs, graph.constants, views, (), parts
    )
    calls = tuple(_call(program, graph, group) for group in _ordered(program, groups))
    return replace(program, steps=calls).compact()


def _call(program: Program, graph: Graph, group: Group) -> Call:
    workload, args = canonical_workload(graph, group)
    result = group.root.result
    source = " + ".join(dict.fromkeys(op.source for op in group.ops if op.source))
    placement = Placement.of([program.pitch(arg) for arg in args], program.pitch(result))
    return Call(workload, args, result, source, placement)


def _ordered(program: Program, groups: list[Group]) -> list[Group]:
    """Depth first from the outputs, larger arguments first, so that few values wait for others."""
    by_root = {group.root.result: group for group in groups}
    inputs = {whole: list(pieces) for whole, pieces in program.pieces.items()}
    for group in groups:
        made = {op.result for op in group.ops}
        read = {a for op in group.ops for a in op.node.args if a not in made}
        inputs[group.root.result] = list(read)
    for found in inputs.values():
        found.sort(key=lambda v: (-program.values[v].nbytes, v))
    ordered: list[Group] = []
    met: set[int] = set()
    waiting: list[tuple[int, Iterator[int]]] = [(-1, iter([v for _, v in program.outputs]))]
    while waiting:
        value, rest = waiting[-1]
        nearest = next((v for v in (program.base(v) for v in rest) if v not in met), None)
        if nearest is not None:
            met.add(nearest)
            waiting.append((nearest, iter(inputs.get(nearest, ()))))
            continue
        waiting.pop()
        if value in by_root:
            ordered.append(by_root[value])
    return ordered
