"""Concatenations that nobody computes: their pieces are written where the whole is wanted.

A concatenation is a kernel that copies. Where the kernels that compute its pieces can write rows
that lie apart (see ``Abilities``), and who else reads a piece can read it so, a piece becomes
a *part* of the whole. Such pieces may be concatenations themselves: the layers of a dense block
then share one buffer. The other pieces are copied as before, by one call at most, so that there are
never more calls than there were.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

from luthier.schedules import Node, Tensor
from luthier.schedules.ir.core import needed
from luthier.schedules.templates.pitch import reads_apart, writes_apart

from ..graph import Graph, Op
from ..program import Part, owner
from .canonical import canonical_workload
from .fuse import Group


def elide_concats(graph: Graph, groups: list[Group]) -> tuple[Graph, list[Group], dict[int, Part]]:
    """Graph and groups without concatenations that can go, and the parts that remain of them."""
    return _Sharing(graph, groups).run()


class _Sharing:
    def __init__(self, graph: Graph, groups: list[Group]) -> None:
        self.graph, self.values = graph, list(graph.values)
        self.views = {op.result: op.node.args[0] for op in graph.ops if op.node.op == "reshape"}
        self.groups = {group.root.result: group for group in groups}
        self.outputs = {self._base(value) for _, value in graph.outputs}
        self.parts: dict[int, Part] = {}
        self.dense: dict[int, set[int]] = {}
        self.readers: dict[int, list[tuple[Group, int]]] = defaultdict(list)
        for group in groups:
            for value in (a for op in group.ops for a in op.node.args):
                self.readers[self._base(value)].append((group, value))

    def run(self) -> tuple[Graph, list[Group], dict[int, Part]]:
        # Backwards, so that the pitch of a whole is known before its pieces are placed.
        for group in reversed(list(self.groups.values())):
            if group.root.node.op == "concat":
                self._place(group)
        graph = replace(self.graph, values=tuple(self.values))
        return graph, list(self.groups.values()), self.parts

    def _base(self, value: int) -> int:
        return owner(value, self.views)

    def _place(self, group: Group) -> None:
        """Make parts of the pieces that can be, and a call of what remains to be copied."""
        node, whole = group.root.node, group.root.result
        axis, shape = node.attr("axis"), node.out.shape
        width, rows = math.prod(shape[axis:]), math.prod(shape[:axis])
        apart = self.parts[whole].pitch if whole in self.parts else None
        pitch = apart or (width if rows > 1 else None)
        if apart and width != shape[-1]:
            return
        placed: list[tuple[int, int, bool]] = []
        first = 0
        for piece in node.args:
            columns = self.values[piece].size // rows
            placed.append((piece, first, self._fits(group, piece, columns, pitch)))
            first += columns
        copied = [i for i, (_, _, fits) in enumerate(placed) if not fits]
        if len(copied) == len(placed) or (copied and not self._one_call(node, copied, pitch)):
            return
        del self.groups[whole]
        for piece, first, fits in placed:
            if fits:
                self.parts[self._base(piece)] = Part(whole, first, pitch)
        if copied:
            rest = self._rest(group, [placed[i][0] for i in copied])
            self.groups[rest.root.result] = rest
            self.parts[rest.root.result] = Part(whole, placed[copied[0]][1], pitch)

    def _fits(self, group: Group, piece: int, columns: int, pitch: int | None) -> bool:
        """Whether a piece of so many columns can be written where the group wants it."""
        base = self._base(piece)
        readers = self.readers[base]
        alone = sum(reader is group for reader, _ in readers) == 1
        if base not in self.groups or base in self.parts or base in self.outputs or not alone:
            return False
        if pitch is None:
            return True
        return (
            self.values[base].shape[-1:] == (columns,) != (pitch,)
            and writes_apart(canonical_workload(self.graph, self.groups[base])[0])
            and all(
                self.values[value].shape[-1:] == (columns,) and value not in self._dense(reader)
                for reader, value in readers
                if reader is not group
            )
        )

    def _dense(self, group: Group) -> set[int]:
        """The values that the group's kernel can only read where their rows follow each other."""
        root = group.root.result
        if root not in self.dense:
            workload, args = canonical_workload(self.graph, group)
            apart = [reads_apart(workload, i) for i in range(len(args))]
            self.dense[root] = {a for a, fits in zip(args, apart, strict=True) if not fits}
        return self.dense[root]

    def _one_call(self, node: Node, copied: list[int], pitch: int | None) -> bool:
        """Whether one kernel can copy these pieces: neighbours whose rows are along an axis."""
        neighbours = copied[-1] - copied[0] < len(copied)
        return neighbours and (pitch is None or node.attr("axis") == len(node.out.shape) - 1)

    def _rest(self, group: Group, pieces: list[int]) -> Group:
        """The group reduced to some neighbouring pieces of its concatenation."""
        node = group.root.node
        members = {op.result: op for op in group.ops}
        used = needed(pieces, {op.result: op.reads for op in group.ops})
        inner = [op for op in group.ops if op.result in used]
        if len(pieces) == 1 and pieces[0] in members:
            return Group(inner, members[pieces[0]])
        axis = node.attr("axis")
        shape = list(node.out.shape)
        shape[axis] = sum(self.values[p].shape[axis] for p in pieces)
        out = Tensor(tuple(shape), node.out.dtype)
        copy = replace(node, args=tuple(pieces), out=out)
        if len(pieces) == 1:
            copy = Node("cast", copy.args, out)
        self.values.append(out)
        root = Op(copy, len(self.values) - 1, group.root.source)
        return Group([*inner, root], root)
