"""1x1 convolutions move before the enlargement of their input, where there is less to compute.

Interpolation weighs neighbours alike in every channel, and a 1x1 convolution mixes the channels
alike at every place, so the two commute: ``conv(resize(x))`` becomes ``resize(conv(x))``. A
convolution of a concatenation is the sum of convolutions of its parts, so parts that were enlarged
are convolved before. Feature pyramids end and join in this way.
"""

from __future__ import annotations

import math
from functools import partial, reduce
from itertools import accumulate

import numpy as np

from luthier.schedules import Node, Tensor
from luthier.schedules.ir.core import needed

from ..graph import Array, Graph, Op, Rewriter, made_by

# The enlargement must save more than the sum of the parts costs.
_LEAST_GROWTH = 2


def commute_resizes(graph: Graph) -> Graph:
    """A graph that convolves before it enlarges."""
    b = _Commuting(graph)
    return b.rewrite(b.rule)


class _Commuting(Rewriter):
    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        # By value: what it weighs neighbours of, alike in every channel; itself where it does not.
        self.origin: dict[int, int] = {}
        for op in graph.ops:
            self.origin[op.result] = self._origin(op)

    def rule(self, op: Op, node: Node) -> int | None:
        if not self._is_pointwise(op):
            return None
        data, weights = op.node.args
        parts = self._parts(data)
        sources = {part: self.origin.get(part, part) for part in parts}
        large = [p for p in parts if self._pays(sources[p], p, node.out.shape[-1])]
        if not large:
            return None
        ends = list(accumulate(self.graph.values[part].shape[-1] for part in parts))
        kernels = np.split(self.graph.constants[weights], ends[:-1], axis=-1)
        rest = [(p, w) for p, w in zip(parts, kernels, strict=True) if p not in large]
        enlarged = [
            self._replay(p, sources[p], self._convolve(self.at[sources[p]], w, node))
            for p, w in zip(parts, kernels, strict=True)
            if p in large
        ]
        total = reduce(partial(self.emit, "add"), enlarged)
        return self.emit("add", self._joined(rest, node), total) if rest else total

    def _is_pointwise(self, op: Op) -> bool:
        node = op.node
        return (
            node.op == "conv2d"
            and node.args[1] in self.graph.constants
            and self.graph.values[node.args[1]].shape[1:3] == (1, 1)
            and node.attr("strides") == (1, 1)
            and node.attr("groups") == 1
            and not any(node.attr("pads"))
        )

    def _parts(self, data: int) -> tuple[int, ...]:
        concat = made_by(self.graph, data, "concat")
        if concat is None or concat.attr("axis") != 3 or self.graph.uses[data] > 1:
            return (data,)
        distinct = len(set(concat.args)) == len(concat.args)
        return concat.args if distinct else (data,)

    def _origin(self, op: Op) -> int:
        name, args = op.node.op, op.node.args
        sources = [self.origin.get(a, a) for a in args]
        if name == "take" and op.node.attr("axis") in (1, 2) and args[1] in self.graph.constants:
            return sources[0]
        if name == "multiply" and (weighed := self._weighed(op)) is not None:
            return self.origin.get(weighed, weighed)
        if name == "add" and all(self.graph.values[a].shape == op.node.out.shape for a in args):
            return sources[0] if sources[0] == sources[1] else op.result
        return op.result

    def _weighed(self, op: Op) -> int | None:
        """What a constant that is alike in every channel multiplies."""
        for value, weight in (op.node.args, op.node.args[::-1]):
            tensor = self.graph.values[weight]
            alike = weight in self.graph.constants and (not tensor.shape or tensor.shape[-1] == 1)
            if alike and self.graph.values[value].shape == op.node.out.shape:
                return value
        return None

    def _pays(self, source: int, part: int, channels: int) -> bool:
        small, large = self.graph.values[source].shape, self.graph.values[part].shape
        grows = math.prod(small[1:3]) * _LEAST_GROWTH <= math.prod(large[1:3])
        return grows and self.graph.uses[part] == 1 and channels <= 2 * large[-1]

    def _convolve(self, data: int, weights: Array, like: Node) -> int:
        shape = (*self.values[data].shape[:3], weights.shape[0])
        args = (data, self.constant(np.ascontiguousarray(weights)))
        return self.add(Node("conv2d", args, Tensor(shape), like.attrs))

    def _joined(self, rest: list[tuple[int, Array]], like: Node) -> int:
        """One convolution of the parts that are as large as the result."""
        values = [self.at[part] for part, _ in rest]
        data = values[0] if len(values) == 1 else self.emit("concat", *values, axis=3)
        return self._convolve(data, np.concatenate([w for _, w in rest], axis=3), like)

    def _replay(self, value: int, source: int, convolved: int) -> int:
        """``value`` computed from ``convolved`` as it was from ``source``."""
        above = {v: op.reads for v, op in self.graph.producer.items() if v != source}
        between = needed([value], above) - self.graph.constants.keys() - {source}
        channels = self.values[convolved].shape[-1]
        replayed = {source: convolved}
        for number in sorted(between):
            node = self.graph.producer[number].node
            args = tuple(replayed[a] if a in replayed else self.at[a] for a in node.args)
            out = Tensor((*node.out.shape[:-1], channels), node.out.dtype)
            replayed[number] = self.add(Node(node.op, args, out, node.attrs))
        return replayed[value]
