"""A workload's anchor and what is fused after it."""

from __future__ import annotations

from .. import ops
from ..ir.dtype import FLOAT32
from ..ir.workload import Node, Op, Workload


def anchor_is_first(workload: Workload, op: str) -> bool:
    """Whether the first node is the anchor ``op`` over inputs, with only elementwise nodes after.

    They must have the anchor's shape: they are its epilogue. What it reads first, its result and
    the output are float32.
    """
    first = workload.nodes[0]
    alike = first.out.element == workload.output.element == FLOAT32
    return alike and leads(workload, op) and workload.tensor(first.args[0]).element == FLOAT32


def leads(workload: Workload, op: str) -> bool:
    """The same of any types: what follows may convert the result."""
    first, rest = workload.nodes[0], workload.nodes[1:]
    return (
        first.op == op
        and all(a < len(workload.inputs) for a in first.args)
        and all(ops.of(n).is_elementwise for n in rest)
        and workload.output.shape == first.out.shape
    )


def has_weights(workload: Workload, op: str) -> bool:
    """Whether the anchor ``op`` is first, and its second argument is known at build time."""
    return anchor_is_first(workload, op) and workload.constants[workload.nodes[0].args[1]]


def epilogue(workload: Workload) -> Workload:
    """The nodes after the first one, over the first one's result and the other inputs.

    Argument 0 is the anchor's result; argument ``1 + i`` is input ``i`` of ``workload``. A workload
    with nothing after its anchor gets a cast to its own type, which costs nothing.
    """
    first, *rest = workload.region.statements
    if not rest:
        rest = [Op(Node("cast", first.defines, workload.output), first.result + 1)]
    inputs = {first.result: (first.node.out, False), **dict(enumerate(workload.signature))}
    return Workload.of(inputs, rest)


def position(workload: Workload) -> int | None:
    """Which node is the anchor, if it is one alone and what follows has its shape."""
    found = [i for i, n in enumerate(workload.nodes) if not ops.of(n).is_fusible]
    if len(found) != 1:
        return None
    out = workload.nodes[found[0]].out
    return found[0] if workload.output.shape == out.shape else None


def without_bias(after: Workload) -> tuple[Workload, int | None]:
    """An ``epilogue`` of whole sums without the known vector that it adds to all rows first, and
    which argument that is; as it is where it begins otherwise, or has nothing else."""
    first, *rest = after.nodes
    bias = next((arg for arg in first.args if arg), 0)
    inputs, columns = len(after.inputs), first.out.shape[-1:]
    if (
        first.op != "add"
        or not rest
        or sorted(first.args)[0] != 0
        or not 0 < bias < inputs
        or not after.constants[bias]
        or not columns
        or after.inputs[bias].shape[-1:] != columns
        or after.inputs[bias].size != columns[0]
        or any(0 in node.args for node in rest)
    ):
        return after, None
    number = {**{i: i for i in range(inputs)}, inputs: 0}
    number |= {inputs + i: inputs + i - 1 for i in range(1, len(after.nodes))}
    nodes = tuple(node.over(number) for node in rest)
    return Workload(after.inputs, after.constants, nodes), bias
