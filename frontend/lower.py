"""The fused graph as a program: canonical workloads and views, ordered to need little memory."""

from __future__ import annotations

from luthier.schedules import Node, Tensor, Workload

from .fuse import Group, fuse
from .graph import Graph, Op
from .program import Call, Program

_COMMUTATIVE = frozenset(
    """
        add multiply maximum minimum equal not_equal logical_and logical_or logical_xor
        bitwise_and bitwise_or bitwise_xor
    """.split()
)


def lower(graph: Graph) -> Program:
    """Fuse, order and describe; values that live inside a kernel disappear."""
    groups = fuse(graph)
    views = {op.result: op.node.args[0] for op in graph.ops if op.node.op == "reshape"}
    ordered = _ordered(graph, groups, views)
    described = [(group, *describe(graph, group)) for group in ordered]
    kept = {v for _, v in graph.inputs} | {v for _, v in graph.outputs}
    for group, _, args in described:
        kept |= {group.root.result, *args}
    for value in sorted(kept, reverse=True):
        while value in views:
            value = views[value]  # noqa: PLW2901
            kept.add(value)
    number = {old: new for new, old in enumerate(sorted(kept))}
    calls = tuple(
        Call(workload, tuple(number[a] for a in args), number[group.root.result], _source(group))
        for group, workload, args in described
    )
    return Program(
        graph.name,
        tuple(graph.values[v] for v in sorted(kept)),
        tuple((name, number[v]) for name, v in graph.inputs),
        tuple((name, number[v]) for name, v in graph.outputs),
        {number[v]: array for v, array in graph.constants.items() if v in kept},
        {number[v]: number[base] for v, base in views.items() if v in kept},
        calls,
    )


def _source(group: Group) -> str:
    return " + ".join(dict.fromkeys(op.source for op in group.ops if op.source))


def describe(graph: Graph, group: Group) -> tuple[Workload, tuple[int, ...]]:
    """The workload of a group and the graph's values that are its inputs, in canonical order.

    The anchor's arguments come first, then the others as the output's expression names them, depth
    first; so the same computation gives the same workload wherever it stands.
    """
    members = {op.result: op for op in group.ops}
    order: list[Op] = []
    inputs: dict[int, int] = {}
    after = _depends_on_anchor(group)

    def arguments(op: Op) -> tuple[int, ...]:
        args = op.node.args
        if op.node.op in _COMMUTATIVE:
            return tuple(sorted(args, key=lambda a: _rank(graph, a, members, after)))
        return args

    def visit(value: int, seen: set[int]) -> None:
        if value in seen:
            return
        seen.add(value)
        op = members.get(value) or _literal(graph, value)
        if op is None:
            inputs.setdefault(value, len(inputs))
            return
        for arg in arguments(op):
            visit(arg, seen)
        order.append(op)

    seen: set[int] = set()
    if group.anchor is not None:
        visit(group.anchor.result, seen)
    visit(group.root.result, seen)
    number = dict(inputs)
    for i, op in enumerate(order):
        number[op.result] = len(inputs) + i
    nodes = tuple(
        Node(op.node.op, tuple(number[a] for a in arguments(op)), op.node.out, op.node.attrs)
        for op in order
    )
    tensors = tuple(graph.values[v] for v in inputs)
    constants = tuple(v in graph.constants for v in inputs)
    return Workload(tensors, constants, nodes), tuple(inputs)


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


def _ordered(graph: Graph, groups: list[Group], views: dict[int, int]) -> list[Group]:
    """Depth first from the outputs, larger arguments first, so that few values wait for others."""
    by_root = {group.root.result: group for group in groups}
    inputs: dict[int, list[int]] = {}
    for group in groups:
        made = {op.result for op in group.ops}
        found = dict.fromkeys(a for op in group.ops for a in op.node.args if a not in made)
        inputs[group.root.result] = sorted(found, key=lambda v: (-_nbytes(graph.values[v]), v))
    ordered: list[Group] = []
    done: set[int] = set()
    stack = [v for _, v in reversed(graph.outputs)]
    while stack:
        value = stack[-1]
        while value in views:
            value = views[value]
        waiting = [v for v in map(lambda v: _base(v, views), inputs.get(value, ())) if v in by_root]
        missing = [v for v in waiting if v not in done]
        if value in done or value not in by_root:
            stack.pop()
        elif missing:
            stack.append(missing[0])
        else:
            done.add(value)
            ordered.append(by_root[value])
            stack.pop()
    return ordered


def _base(value: int, views: dict[int, int]) -> int:
    while value in views:
        value = views[value]
    return value


def _nbytes(tensor: Tensor) -> int:
    return tensor.nbytes
