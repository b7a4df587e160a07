"""Parts of the output of a pointwise workload that are each computed without conditions.

A concatenation is cut into one segment for each of its pieces. Along the last axis, ``columns``
cuts where padding begins or a window leaves its tensor, so that vectors in between need no masks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ... import ops
from ...ir.workload import Node, Tensor, Workload
from ..collapse import collapse

_MOST_CUTS = 16  # each part is code of its own


@dataclass(frozen=True)
class Segment:
    """Part of the output: ``workload`` computes it, at ``offset`` along ``axis`` of ``whole``."""

    workload: Workload
    whole: tuple[int, ...]
    axis: int = 0
    offset: int = 0

    @property
    def is_all(self) -> bool:
        """Whether it is the whole output."""
        return self.workload.output.shape == self.whole

    def collapsed(self, keep_last: bool) -> Segment:
        """The same of two dimensions, all before ``axis`` and the rest, where these can merge."""
        shape, axis = self.workload.output.shape, self.axis
        is_last = axis == len(shape) - 1
        if self.is_all or (axis == 0 and is_last) or (keep_last and not is_last):
            return self
        joined = collapse(self.workload, keep_last, before=axis)
        outer, inner = math.prod(shape[:axis]), math.prod(shape[axis:])
        if joined.output.shape not in ((inner,), (outer, inner)):
            return self
        after = math.prod(shape[axis + 1 :])
        whole = (*joined.output.shape[:-1], math.prod(self.whole[axis:]))
        return Segment(joined, whole, len(whole) - 1, self.offset * after)


def segments(workload: Workload) -> list[Segment]:
    """Cut at a concatenation from which only same-shaped nodes lead to the output."""
    n = len(workload.inputs)
    for i, node in enumerate(workload.nodes):
        later = workload.nodes[i:]
        if node.op == "concat" and all(_keeps_cut(workload, node, x) for x in later):
            return _cut(workload, n + i, node)
    return [Segment(workload, workload.output.shape)]


def _keeps_cut(workload: Workload, concat: Node, node: Node) -> bool:
    """Whether the node can be restricted to a slice of the concatenation's axis."""
    if node.op == "const" or node is concat:
        return True
    axis = concat.attr("axis") - len(concat.out.shape)
    aligned = (workload.tensor(a).shape for a in node.args)
    sliceable = all(len(s) < -axis or s[axis] == 1 or s == concat.out.shape for s in aligned)
    by_element = ops.of(node).is_elementwise or node.op == "broadcast_to"
    return by_element and node.out.shape == concat.out.shape and sliceable


def _cut(workload: Workload, concat_arg: int, concat: Node) -> list[Segment]:
    """A segment per piece: every input as large as the output is seen through a slice."""
    axis = concat.attr("axis")
    position = concat_arg - len(workload.inputs)
    found, offset = [], 0
    for piece in concat.args:
        shape = workload.tensor(piece).shape
        nodes: list[Node] = list(workload.nodes[:position])
        n = len(workload.inputs)
        forward = {concat_arg: piece}
        for i, node in enumerate(workload.nodes[position + 1 :], position + 1):
            args = []
            for old in node.args:
                arg = forward.get(old, old)
                tensor = workload.tensor(arg) if arg < n + position else None
                if tensor is not None and tensor.shape == concat.out.shape:
                    nodes.append(_slice(arg, Tensor(shape, tensor.dtype), axis, offset))
                    arg = n + len(nodes) - 1
                args.append(arg)
            out = node.out if node.op == "const" else Tensor(shape, node.out.dtype)
            nodes.append(replace(node, args=tuple(args), out=out))
            forward[n + i] = n + len(nodes) - 1
        if position == len(workload.nodes) - 1:
            nodes.append(Node("cast", (piece,), Tensor(shape, concat.out.dtype)))
        part = replace(workload, nodes=tuple(nodes))
        found.append(Segment(part, concat.out.shape, axis, offset))
        offset += shape[axis]
    return found


def _slice(arg: int, part: Tensor, axis: int, offset: int) -> Node:
    begin = tuple(offset if d == axis else 0 for d in range(len(part.shape)))
    return Node("slice", (arg,), part, (("begin", begin), ("steps", (1,) * len(begin))))


def columns(workload: Workload) -> list[tuple[int, int]]:
    """(first column, width) of parts of the last axis within which no condition of data movement
    changes."""
    width = workload.output.shape[-1]
    cuts = sorted(c for c in _changes(workload) if 0 < c < width)
    if len(cuts) > _MOST_CUTS:
        return [(0, width)]
    return [(a, b - a) for a, b in zip([0, *cuts], [*cuts, width], strict=True)]


def _changes(workload: Workload) -> set[int]:
    """Columns of the output where a condition of data movement changes."""
    n = len(workload.inputs)
    found: set[int] = set()
    pending = {(n + len(workload.nodes) - 1, 0)}
    seen: set[tuple[int, int]] = set()  # a value may be read along many ways
    while pending:
        arg, shift = place = pending.pop()
        seen.add(place)
        if arg >= n:
            changes, sources = _trace(workload, workload.nodes[arg - n])
            found.update(c - shift for c in changes)
            pending |= {(source, shift + more) for source, more in sources} - seen
    return found


def _trace(workload: Workload, node: Node) -> tuple[list[int], list[tuple[int, int]]]:
    """Where along a node's last axis its conditions change, and by how many columns further its
    arguments are read, if they are read along their last axis."""
    last, shape = len(node.out.shape) - 1, node.out.shape or (1,)
    sizes = [(workload.tensor(a).shape or (1,))[-1] for a in node.args]
    along = node.attr("axis") == last
    if ops.of(node).is_elementwise or node.op == "broadcast_to":
        return [], [(a, 0) for a, size in zip(node.args, sizes, strict=True) if size == shape[-1]]
    if node.op == "slice" and node.attr("steps")[-1] == 1:
        return [], [(node.args[0], node.attr("begin")[-1])]
    if node.op == "pad":
        before = node.attr("before")[-1]
        return [before, before + sizes[0]], [(node.args[0], -before)]
    if node.op == "concat":
        starts = [sum(sizes[:i]) if along else 0 for i in range(len(sizes))]
        return starts, [(a, -start) for a, start in zip(node.args, starts, strict=True)]
    if node.op == "window_mean" and along:
        before = node.attr("before")
        return [before, shape[-1] - (node.attr("size") - 1 - before)], []
    return [], [(node.args[0], 0)] if _keeps_last_axis(workload, node) else []


def _keeps_last_axis(workload: Workload, node: Node) -> bool:
    """Whether the first argument is read at the same column."""
    last = len(node.out.shape) - 1
    if node.op == "take":
        rank = len(workload.tensor(node.args[1]).shape)
        return bool(node.attr("axis") + rank <= last)
    return node.op == "window_mean" or (node.op == "transpose" and node.attr("axes")[-1] == last)
