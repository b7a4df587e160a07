"""Partitions the graph into kernels: each operator joins the group of another, or starts its own.

A group has one root, whose value leaves it, and at most one anchor. Operators join

1. *below* an anchor: elementwise operators that use nothing else of the anchor's shape than its
   value, up to where all paths from it meet again (the immediate post-dominator), so that
   ``x * (1 + erf(x))`` joins as a whole; of two anchors that are added, the later takes the sum;
2. *above* a reduction, a softmax or a layer normalisation: elementwise operators whose only use is
   its first argument;
3. one another: elementwise operators and data movement whose only uses are in one group, unless
   the group would compute an expensive value several times. What widens numbers of few bits joins
   each group that uses it: to read these again is less than to read floats.

Reshapes of a whole value are views and belong to no group.
"""

from __future__ import annotations

from dataclasses import dataclass

from luthier.schedules import Node, ops
from luthier.schedules.ir.core import needed
from luthier.schedules.templates.registry import ANCHORS

from ..graph import Graph, Op
from ..graph.across import Across

_WIDENS = "dequantize"
_MOST_NODES = 40
_MOST_OF_A_PIECE = 2  # beyond those, for each piece that concatenations have
_MOST_PIECES = _MOST_INPUTS = 64
_MOST_CONCATENATIONS = 4  # each asks of every element where it is


@dataclass
class Group:
    """Operators (in graph order) that become one kernel; ``root`` is the last."""

    ops: list[Op]
    root: Op
    anchor: Op | None = None


def fuse(graph: Graph, across: Across | None = None) -> list[Group]:
    """Groups in the order of their roots. Views and literals are in none."""
    return _Fusion(graph, across).run()


class _Fusion:
    def __init__(self, graph: Graph, across: Across | None) -> None:
        self.graph, self.across = graph, across
        self.position = {op.result: i for i, op in enumerate(graph.ops)}
        self.users = graph.users
        self.leaves = set(graph.region.results)
        self.group: dict[int, Group] = {
            op.result: Group([op], op, op if ops.of(op.node).is_anchor else None)
            for op in graph.ops
            if op.node.op not in ("reshape", "const")
        }
        self.shared: set[int] = set()  # computed wherever they are used
        # By root: the values that a group reads and does not compute.
        self.inputs = {value: set(group.root.node.args) for value, group in self.group.items()}

    def run(self) -> list[Group]:
        for op in reversed(self.graph.ops):
            if op.node.op in ANCHORS and ANCHORS[op.node.op].epilogue:
                self._grow_down(self.group[op.result], op.node)
        for op in reversed(self.graph.ops):
            if op.result in self.group:
                self._join_user(op)
        unique = {id(g): g for v, g in self.group.items() if v not in self.shared}
        for group in unique.values():
            group.ops.sort(key=lambda op: self.position[op.result])
        return sorted(unique.values(), key=lambda g: self.position[g.root.result])

    def _merge(self, into: Group, other: Group, root: Op) -> None:
        inputs = self.inputs.pop(into.root.result) | self.inputs.pop(other.root.result)
        into.ops += other.ops
        self.inputs[root.result] = inputs.difference(op.result for op in into.ops)
        into.root = root
        into.anchor = into.anchor or other.anchor
        for op in other.ops:
            self.group[op.result] = into

    # 1. Below an anchor.

    def _grow_down(self, group: Group, anchor: Node) -> None:
        """Take in regions as long as the anchor's templates can store what they lead to."""
        while region := self._next_below(group.root, anchor.out.shape):
            stored = ANCHORS[anchor.op].converts or region[-1].node.out.dtype == anchor.out.dtype
            if not stored or len(group.ops) + len(region) > _MOST_NODES:
                return
            for op in region:
                self._merge(group, self.group[op.result], op)

    def _next_below(self, op: Op, shape: tuple[int, ...]) -> list[Op]:
        """The next region; one that only widens numbers joins with what follows, or not."""
        region = self._region_below(op, shape)
        if not region or region[-1].node.op != _WIDENS or region[-1].result in self.leaves:
            return region
        following = self._region_below(region[-1], shape)
        return region + following if following else []

    def _region_below(self, op: Op, shape: tuple[int, ...]) -> list[Op]:
        """The elementwise operators between ``op`` and the first value all its uses lead to."""
        if op.result in self.leaves:
            return []
        region: list[Op] = []
        frontier = self._positions(op)
        while frontier:
            first = min(frontier)
            frontier.remove(first)
            user = self.graph.ops[first]
            if not self._can_follow(user, shape) or len(region) > _MOST_NODES:
                return []
            region.append(user)
            if not frontier:
                return region
            if user.result in self.leaves:
                return []
            frontier |= self._positions(user)
        return []

    def _positions(self, op: Op) -> set[int]:
        """Where in the graph the operators are that use the result."""
        return {self.position[user.result] for user in self.users[op.result]}

    def _can_follow(self, op: Op, shape: tuple[int, ...]) -> bool:
        group = self.group.get(op.result)
        fits = ops.of(op.node).is_elementwise and op.node.out.shape == shape
        return fits and group is not None and len(group.ops) == 1

    # 2 and 3. Above others.

    def _join_user(self, op: Op) -> None:
        group, users = self.group[op.result], self.users[op.result]
        if group.root is not op or group.anchor or op.result in self.leaves or not users:
            return
        if not ops.of(op.node).is_fusible:
            return
        if any(user.result in self.shared for user in users):
            return
        targets = {id(self.group.get(u.result)): self.group.get(u.result) for u in users}
        if len(targets) > 1 and op.node.op == _WIDENS:
            self._join_each(op, [target for target in targets.values() if target], len(targets))
            return
        target = next(iter(targets.values()))
        if len(targets) > 1 or target is None or not self._has_room(target, group):
            return
        if self._accepts(target, op, users):
            self._merge(target, group, target.root)

    def _join_each(self, op: Op, targets: list[Group], count: int) -> None:
        """Join all groups that take it; where these are not all of them, it remains one, too."""
        group, joined = self.group[op.result], 0
        for target in targets:
            users = [u for u in self.users[op.result] if self.group.get(u.result) is target]
            if self._has_room(target, group) and self._accepts(target, op, users):
                target.ops.append(op)
                inputs = self.inputs[target.root.result] | set(op.node.args)
                self.inputs[target.root.result] = inputs - {op.result}
                joined += 1
        if joined == count:
            self.shared.add(op.result)

    def _has_room(self, target: Group, group: Group) -> bool:
        """Whether the kernel would not grow too large if the group joined."""
        own, more = self.inputs[target.root.result], self.inputs[group.root.result]
        if len(own) - 1 + sum(value not in own for value in more) > _MOST_INPUTS:
            return False
        members = target.ops + group.ops
        joins = [len(set(m.node.args)) for m in members if m.node.op == "concat"]
        most = _MOST_NODES + _MOST_OF_A_PIECE * min(sum(joins), _MOST_PIECES)
        return len(joins) <= _MOST_CONCATENATIONS and len(members) <= most

    def _accepts(self, target: Group, op: Op, users: list[Op]) -> bool:
        root, anchor = ops.of(target.root.node), target.anchor
        if not root.is_anchor and not root.is_fusible:
            return False
        if _turns_rows(op):
            takes = self._takes_rows(op, users)
            if self._as_decided("takes rows", op, target.root, takes):
                return False
        if anchor is not None:
            if not ANCHORS[anchor.node.op].epilogue:
                return False
            above = needed([anchor.result], {op.result: op.reads for op in target.ops})
            if any(user.result in above for user in users):
                return self._prologue(target, anchor, op, users)
            if not self._simple_operand(anchor, op):
                return False
        times = 0.0 if _is_part_of_list(op) else self._evaluations(target, op)
        whole = anchor is not None and anchor.node.op.endswith("_integer")
        few = times <= 8 or (whole and op.node.out.size == 1)  # a factor of a run's scales
        few = few and not _is_costly(op)
        return times <= 1 or self._as_decided("is computed again", op, target.root, few)

    def _as_decided(self, question: str, op: Op, root: Op, answer: bool) -> bool:
        """The answer for the sizes of the first graph, where there are others."""
        if self.across is None:
            return answer
        lines = tuple(size == 1 for size in op.node.out.shape)
        key = (question, op.source, op.node.op, lines, root.source, root.node.op)
        return self.across.decides(key, here=answer)

    def _takes_rows(self, op: Op, users: list[Op]) -> bool:
        """Whether users choose among the rows of a value, of which they read more than there are:
        rows that a transposition has made are then read element by element, again and again."""
        takes = [
            user
            for user in users
            if user.node.op == "take" and user.node.args[0] == op.result
            and user.node.attr("axis") != len(op.node.out.shape) - 1
        ]  # fmt: skip
        return sum(user.node.out.size for user in takes) > op.node.out.size

    def _prologue(self, target: Group, anchor: Op, op: Op, users: list[Op]) -> bool:
        if not ANCHORS[anchor.node.op].prologue:
            return False
        if anchor in users and op.result in anchor.node.args[1:]:
            return False
        if ops.of(op.node).is_movement and op.node.op not in ("take", "broadcast_to", "slice"):
            return False
        repeats = self._evaluations(target, op) * ANCHORS[anchor.node.op].passes
        few = repeats <= 9 and not _is_costly(op)
        return repeats <= 1 or self._as_decided("is computed again", op, target.root, few)

    def _simple_operand(self, anchor: Op, op: Op) -> bool:
        """Cheap to read by index inside the loops of an anchor.

        What movements lead to is not: it would make them kernels of their own. Kernels of products
        store elementwise operators alone.
        """
        if not ops.of(op.node).is_elementwise:
            return op.node.op == "broadcast_to" and ANCHORS[anchor.node.op].prologue
        return not any(self._moves(arg) for arg in op.node.args)

    def _moves(self, value: int) -> bool:
        """Whether a value that one operator alone reads was moved, elementwise operators aside."""
        pending = [value]
        while pending:
            value = pending.pop()
            op = self.graph.producer.get(value)
            if op is None or len(self.users[value]) > 1:
                continue
            if op.node.op in ("reshape", "broadcast_to"):
                continue
            if ops.of(op.node).is_movement:
                return True
            if ops.of(op.node).is_elementwise:
                pending += op.node.args
        return False

    def _evaluations(self, target: Group, op: Op) -> float:
        """How often each element of ``op`` would be computed if it joined ``target``.

        Elementwise users at one place share what they read; each movement reads at another place.
        """
        # For each value: how often it is read at each place, named by the movements on the way.
        places: dict[int, dict[tuple[int, ...], float]] = {target.root.result: {(): 1.0}}
        members = sorted(target.ops, key=lambda o: self.position[o.result], reverse=True)
        for member in members:
            own = places.get(member.result, {(): 1.0})
            shared = ops.of(member.node).is_elementwise
            for arg in dict.fromkeys(member.node.args):
                reads = self._reads(member, arg)
                read = places.setdefault(arg, {})
                for place, times in own.items():
                    at = place if shared else (*place, member.result)
                    read[at] = max(read.get(at, 0.0), times * reads)
        return sum(places[op.result].values())

    def _reads(self, member: Op, arg: int) -> float:
        tensor = self.graph.values[arg]
        if ops.of(member.node).is_anchor or member.node.op == "concat":
            return 1.0
        if member.node.op == "window_mean":
            return float(member.node.attr("size"))
        out, outputs = member.node.out, member.node.out.size
        if member.node.op == "take" and arg == member.node.args[1]:
            # An index that chooses a whole row is read once for all of the row.
            rows = member.node.attr("axis") + len(tensor.shape) < len(out.shape)
            outputs //= out.shape[-1] if rows else 1
        return max(1.0, outputs / tensor.size)


def _is_costly(op: Op) -> bool:
    operator = ops.of(op.node)
    return isinstance(operator, ops.Elementwise) and operator.is_costly


def _is_part_of_list(op: Op) -> bool:
    """Whether reading it is reading a list from some place on, which costs nothing however often;
    so that this does not depend on how large what reads it is."""
    tensor = op.node.out
    return op.node.op == "slice" and len(tensor.shape) == 1 and op.node.attr("steps") == (1,)


def _turns_rows(op: Op) -> bool:
    """Whether neighbours in a row of the result lie apart in what it is made of."""
    return op.node.op == "transpose" and op.node.attr("axes")[-1] != len(op.node.out.shape) - 1
