"""Workloads of few-input operators with fewer dimensions.

Two neighbouring dimensions of a value merge where no operator tells them apart; those along which
values are joined or padded stay, since their borders need code of their own. What an operator
asks of its result's dimensions it asks of its arguments' too, so *borders* between dimensions, of
all values together, fall into classes that stay or go as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from .. import ops
from ..ir.workload import Attr, Node, Tensor, Workload

_Border = tuple[int, int]  # a value, and the dimension after it


def collapse(workload: Workload, keep_last: bool = False, before: int = 0) -> Workload:
    """The same workload with neighbouring dimensions merged where that changes nothing.

    Inputs that no node uses are left as they are. ``keep_last`` keeps the last dimensions of the
    output and of the inputs apart, whose rows may lie apart; ``before`` is a dimension of the
    output that does not merge with those before it.
    """
    if any(not ops.of(node).is_fusible for node in workload.nodes):
        return workload
    return _Collapse(workload, keep_last, before).run()


class _Collapse:
    def __init__(self, workload: Workload, keep_last: bool, before: int) -> None:
        self.workload, self.n = workload, len(workload.inputs)
        used = {a for node in workload.nodes for a in node.args}
        self.untouched = set(range(self.n)) - used
        self.parent: dict[_Border, _Border] = {}
        self.kept: set[_Border] = set()
        for i, node in enumerate(workload.nodes, self.n):
            self._node(i, node)
        result = self.n + len(workload.nodes) - 1
        self._keep([(result, before)])
        if keep_last:
            self._keep((v, len(self._shape(v)) - 1) for v in (*range(self.n), result))

    def run(self) -> Workload:
        """The merged workload."""
        stay = {self._root(border) for border in self.kept}
        groups: dict[int, list[list[int]]] = {}
        for value in range(self.n + len(self.workload.nodes)):
            groups[value] = [[0]] if self._shape(value) else []
            for d in range(1, len(self._shape(value))):
                if value in self.untouched or self._root((value, d)) in stay:
                    groups[value].append([d])
                else:
                    groups[value][-1].append(d)

        def merged(value: int) -> Tensor:
            tensor = self.workload.tensor(value)
            return replace(tensor, shape=_products(tensor.shape, groups[value]))

        nodes = tuple(
            replace(node, out=merged(i), attrs=self._attributes(i, node, groups))
            for i, node in enumerate(self.workload.nodes, self.n)
        )
        return Workload(tuple(map(merged, range(self.n))), self.workload.constants, nodes)

    def _shape(self, value: int) -> tuple[int, ...]:
        return self.workload.tensor(value).shape

    def _borders(self, value: int) -> Iterator[_Border]:
        return ((value, d) for d in range(1, len(self._shape(value))))

    # Classes of borders.

    def _root(self, border: _Border) -> _Border:
        while (above := self.parent.get(border, border)) != border:
            border = above
        return border

    def _alike(self, a: _Border, b: _Border) -> None:
        """Both stay or both go."""
        first, second = self._root(a), self._root(b)
        if first != second:
            self.parent[second] = first

    def _keep(self, borders: Iterable[_Border]) -> None:
        self.kept.update(border for border in borders if border[1] > 0)

    # What operators ask.

    def _node(self, result: int, node: Node) -> None:
        if ops.of(node).is_elementwise or node.op == "broadcast_to":
            for arg in node.args:
                self._broadcast(result, arg)
        elif node.op == "transpose":
            self._transpose(result, node)
        elif node.op == "take":
            self._take(result, node)
        elif node.op in ("slice", "pad", "concat", "window_mean"):
            for _, d in self._borders(result):
                both = ((value, d) for value in (result, *node.args))
                if self._is_joint(node, d):
                    for arg in node.args:
                        self._alike((result, d), (arg, d))
                else:
                    self._keep(both)
        else:
            for value in (result, *node.args):
                self._keep(self._borders(value))

    def _broadcast(self, result: int, arg: int) -> None:
        """A border goes where the argument spans both sides or none; ones count as either."""
        shape, own = self._shape(result), self._shape(arg)
        own = (1,) * (len(shape) - len(own)) + own
        missing = len(shape) - len(self._shape(arg))
        before = None  # the last dimension of more than one element
        for d, size in enumerate(shape):
            if size != 1 and before is not None and (own[before] == 1) != (own[d] == 1):
                self._keep([(result, d)])
            if d > missing:
                self._alike((result, d), (arg, d - missing))
            before = before if size == 1 else d

    def _transpose(self, result: int, node: Node) -> None:
        axes, (arg,) = node.attr("axes"), node.args
        place = {axis: d for d, axis in enumerate(axes)}
        for d in range(1, len(axes)):
            if axes[d] == axes[d - 1] + 1:
                self._alike((result, d), (arg, axes[d]))
            else:
                self._keep([(result, d)])
            if place[d] != place[d - 1] + 1:
                self._keep([(arg, d)])

    def _take(self, result: int, node: Node) -> None:
        """The dimension that is indexed stays by itself."""
        data, indices = node.args
        axis, rank = node.attr("axis"), len(self._shape(indices))
        for _, d in self._borders(result):
            if d < axis:
                self._alike((result, d), (data, d))
            elif axis < d < axis + rank:
                self._alike((result, d), (indices, d - axis))
            elif d > axis + rank:
                self._alike((result, d), (data, d - rank + 1))
            else:
                self._keep([(result, d)])
        borders = [(data, axis), (data, axis + 1)]
        self._keep(b for b in borders if b[1] < len(self._shape(data)))

    def _is_joint(self, node: Node, d: int) -> bool:
        """Whether dimensions d - 1 and d are one to an operator that keeps their number."""
        if node.op in ("concat", "window_mean"):
            return node.attr("axis") not in (d - 1, d)
        if node.op == "pad":
            return self._is_whole(node, d) and self._is_whole(node, d - 1)
        return self._is_whole(node, d) and bool(node.attr("steps")[d - 1] == 1)

    def _is_whole(self, node: Node, d: int) -> bool:
        """Whether a slice or pad changes nothing along dimension ``d``."""
        begin = node.attr("begin") if node.op == "slice" else node.attr("before")
        same = self._shape(node.args[0])[d] == node.out.shape[d]
        return bool(same and begin[d] == 0 and node.attr("steps", (1,) * (d + 1))[d] == 1)

    def _attributes(
        self, result: int, node: Node, groups: dict[int, list[list[int]]]
    ) -> tuple[tuple[str, Attr], ...]:
        """The node's attributes, which name dimensions by their groups."""
        attrs: dict[str, Any] = dict(node.attrs)
        if node.op == "transpose":
            inside = groups[node.args[0]]
            first = [attrs["axes"][group[0]] for group in groups[result]]
            attrs["axes"] = tuple(_holder(inside, axis) for axis in first)
        elif node.op in ("concat", "take", "take_along", "window_mean"):
            attrs["axis"] = _holder(groups[node.args[0]], attrs["axis"])
        elif node.op in ("slice", "pad"):
            name = "begin" if node.op == "slice" else "before"
            # Of a group, only the first dimension may be cut, and none is padded.
            inner = [math.prod(self._shape(result)[d] for d in g[1:]) for g in groups[result]]
            first = [attrs[name][group[0]] for group in groups[result]]
            attrs[name] = tuple(a * b for a, b in zip(first, inner, strict=True))
            if node.op == "slice":
                attrs["steps"] = tuple(attrs["steps"][group[0]] for group in groups[result])
        return tuple(sorted(attrs.items()))


def _products(shape: tuple[int, ...], groups: list[list[int]]) -> tuple[int, ...]:
    return tuple(math.prod(shape[d] for d in group) for group in groups)


def _holder(groups: list[list[int]], d: int) -> int:
    """The group that dimension ``d`` is in."""
    return next(i for i, group in enumerate(groups) if d in group)
