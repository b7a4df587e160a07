"""What a branch finds that a run may not take, found before it is known which one is taken.

A size is found once in a run, and always. What computes it may be computed always, too, where
nothing in that can end the run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import onnx

from ..onnx.given import leading_to
from ..onnx.scopes import every_node, reads
from ..onnx.strip_weights import constant_tensor
from ..program import Expect, Find, Loop, Step


def hoisted(
    graph: onnx.GraphProto, finder: onnx.NodeProto
) -> tuple[onnx.GraphProto, onnx.GraphProto, list[str]] | None:
    """The part of a graph that leads to a node, also to one within a node of its own; the rest; and
    what that reads of it. None where the graph has no such node."""
    wanted = set(finder.output) - {""}
    tops = [n for n in graph.node if any(wanted & {*m.output} for m in every_node([n]))]
    if not tops:
        return None
    led = leading_to(list(graph.node), [name for name in tops[0].output if name])
    first = [node for node in led if constant_tensor(node) is None]
    made = {name for node in first for name in node.output if name}
    rest = [node for node in graph.node if made.isdisjoint(node.output)]
    read = {output.name for output in graph.output}.union(*map(reads, rest))
    return _of(graph, led), _of(graph, rest), sorted(made & read)


def may_end(steps: Iterable[Step], sure: Collection[str]) -> bool:
    """Whether steps can end a run, or take as long as data say; sizes that are ``sure`` are never
    beyond their bounds."""
    return any(
        isinstance(step, Expect | Loop)
        or (isinstance(step, Find) and step.size not in sure)
        or any(may_end(region.statements, sure) for region in step.regions)
        for step in steps
    )


def _of(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> onnx.GraphProto:
    """A graph of some of another's nodes."""
    part = onnx.GraphProto()
    part.CopyFrom(graph)
    del part.node[:]
    part.node.extend(nodes)
    return part
