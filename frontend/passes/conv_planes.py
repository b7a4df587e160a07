"""Convolutions between transposes take each channel's plane as it lies.

Where both what a convolution reads and what is made of it lie channels first, its lanes may be
places and not channels, and nothing is moved. One of one tap is the product of the weights [k, c]
and the planes [c, places]; any other is ``conv2d_planes``. What is elementwise in between is of
planes, too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from luthier.schedules import Node, Target, Tensor, Workload, ops
from luthier.schedules.ir.dtype import FLOAT32
from luthier.schedules.ops.products import OF_BFLOAT16
from luthier.schedules.templates.conv_planes.form import ConvPlanes

from ..graph import Graph, Op, Rewriter

CONV_PLANES = "conv2d_planes"
_ALONE = (
    1.3  # what multiply-adds of channels by themselves take, which share little of what they load
)
_SHARED = 2.0  # what moving takes of several threads, each of which reads what others wrote
_MEETING = 1.6e5  # cycles of all of them for two kernels more
_WINOGRAD = 0.35  # of the multiply-adds
_MOST_SEEN = 1 << 17  # elements that a few outputs see
_DEEPEST = 64  # nodes after a convolution, one after the other


def conv_planes(graph: Graph, target: Target) -> Graph:
    """A graph whose convolutions are of planes where transposes stood on both sides, if these and
    convolutions of channels take longer on the target."""
    b = _Planes(graph, target)
    return b.rewrite(b.rule)


class _Planes(Rewriter):
    """Of an old value [n, places ..., k] the *planes* are [n, k, places ...], or [n, k, all places]
    of products, where dimensions of places are *merged*."""

    merged = True

    def __init__(self, graph: Graph, target: Target) -> None:
        super().__init__(graph)
        self.target = target

    def rule(self, op: Op, node: Node) -> int | None:
        rank = len(node.out.shape)
        if node.op != "transpose" or node.attr("axes") != (0, rank - 1, *range(1, rank - 1)):
            return None
        for merged in (True, False):
            self.merged = merged
            made: dict[int, int] = {}
            planes = self._planes(op.node.args[0], made)
            if planes is not None and self._are_alone(op, made):
                return self.reshaped(planes, node.out.shape)
        return None

    def _are_alone(self, last: Op, made: dict[int, int]) -> bool:
        """Whether nobody else reads what was made of planes."""
        readers = [last, *(self.graph.producer[value] for value in made)]
        reads = Counter(arg for op in readers for arg in op.node.args)
        return all(reads[value] == self.graph.uses[value] for value in made)

    def _first(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the planes of what has this shape."""
        n, *places, k = shape
        return (n, k, math.prod(places)) if self.merged else (n, k, *places)

    def _planes(self, old: int, made: dict[int, int], depth: int = _DEEPEST) -> int | None:
        """The planes of what is made of convolutions of planes; None of anything else, or of what
        is further away than a depth. All that is computed on the way is *made*."""
        op = self.graph.producer.get(old)
        if old in made or op is None or not depth:
            return made.get(old)
        found = None
        if op.node.op == "conv2d":
            found = self._convolution(op.node)
        elif self._keeps_planes(op.node):
            found = self._planes(op.node.args[0], made, depth - 1)
            found = None if found is None else self.reshaped(found, self._first(op.node.out.shape))
        elif ops.of(op.node).is_elementwise:
            found = self._elementwise(op.node, made, depth - 1)
        if found is not None:
            made[old] = found
        return found

    def _keeps_planes(self, node: Node) -> bool:
        """Whether it only has other dimensions of places."""
        if node.op != "reshape" or len(node.out.shape) < 3:
            return False
        before = self.graph.values[node.args[0]].shape
        return len(before) >= 3 and all(before[i] == node.out.shape[i] for i in (0, -1))

    def _lies_first(self, old: int) -> int | None:
        """The planes of a value that is transposed from them."""
        if old not in self.graph.producer:
            return None
        node = self.graph.producer[old].node
        rank, shape = len(node.out.shape), self._first(node.out.shape)
        if self._keeps_planes(node):
            found = self._lies_first(node.args[0])
            return None if found is None else self.reshaped(found, shape)
        if node.op != "transpose" or node.attr("axes") != (0, *range(2, rank), 1):
            return None
        return self.reshaped(self.at[node.args[0]], shape)

    def _convolution(self, conv: Node) -> int | None:
        x, w = conv.args
        planes = self._lies_first(x)
        if w not in self.graph.constants or planes is None:
            return None
        if conv.out.element != FLOAT32 or conv.attr(OF_BFLOAT16):
            return None
        image, weights = (self.graph.values[a].shape for a in conv.args)
        geometry = _Geometry(conv, image, weights, self.target)
        if self.merged and geometry.is_product and geometry.pays_as_product:
            k, _, _, c = self.graph.values[w].shape
            return self.emit("matmul", self.reshaped(self.at[w], (k, c)), planes, transpose_b=False)
        if self.merged or not geometry.pays:
            return None
        out = Tensor(self._first(conv.out.shape), conv.out.dtype)
        return self.add(Node(CONV_PLANES, (planes, self.at[w]), out, conv.attrs))

    def _elementwise(self, node: Node, made: dict[int, int], depth: int) -> int | None:
        args = []
        for arg in node.args:
            found = self._operand(arg, node.out.shape)
            found = self._planes(arg, made, depth) if found is None else found
            if found is None:
                return None
            args.append(found)
        if not any(arg in made for arg in node.args):
            return None
        out = Tensor(self._first(node.out.shape), node.out.dtype)
        return self.add(Node(node.op, tuple(args), out, node.attrs))

    def _operand(self, old: int, shape: Sequence[int]) -> int | None:
        """The planes of what is not made here; None where it would have to be moved."""
        value, own = self.at[old], self.graph.values[old].shape
        if math.prod(own) == 1:
            return self.reshaped(value, ())
        whole = (1,) * (len(shape) - len(own)) + own
        count = math.prod(whole[1:-1])
        if count > 1 and whole[1:-1] != tuple(shape[1:-1]):
            return None
        if count == 1 or whole[-1] == 1:
            return self.reshaped(value, self._first(whole))
        if old in self.graph.constants:
            array = np.moveaxis(self.graph.constants[old].reshape(whole), -1, 1)
            return self.constant(array.reshape(self._first(whole)))
        return self._lies_first(old)


@dataclass(frozen=True)
class _Geometry:
    """A convolution of channels-last images, the shapes of what it reads, and for whom it is.

    What takes time is counted in cycles of one core.
    """

    conv: Node
    image: Sequence[int]
    weights: Sequence[int]
    target: Target

    @property
    def lanes(self) -> int:
        """Elements of a vector."""
        return self.target.lanes(FLOAT32)

    def multiplied(self, count: float) -> float:
        """What so many multiply-adds of vectors' elements take."""
        return count / (self.lanes * self.target.costs.multiply_adds)

    def whole(self, count: int) -> int:
        """In whole vectors."""
        return count + -count % self.lanes

    @property
    def is_product(self) -> bool:
        """Of places and weights."""
        plain = self.weights[1:3] == self.conv.attr("strides") == (1, 1)
        return bool(plain and self.conv.attr("groups") == 1 and not any(self.conv.attr("pads")))

    @property
    def moved(self) -> float:
        """What the transposes take."""
        cycles = self.target.costs.moved * (math.prod(self.image) + self.conv.out.size)
        return cycles if self.target.threads == 1 else _SHARED * cycles + _MEETING

    @property
    def pays_as_product(self) -> bool:
        """Whether idle lanes of a plane's last vector take less than the transposes."""
        n, high, wide, k = self.conv.out.shape
        idle = self.multiplied(float(n * k * self.weights[3] * (-(high * wide) % self.lanes)))
        return high * wide >= self.lanes and idle <= self.moved

    @property
    def pays(self) -> bool:
        """Whether planes that are copied with what is around them take less than channels would,
        and the transposes."""
        (n, high, wide, k), (_, kh, kw, depth) = self.conv.out.shape, self.weights
        strides, dilations = self.conv.attr("strides"), self.conv.attr("dilations")
        spans = [(t - 1) * d + 1 for t, d in zip((kh, kw), dilations, strict=True)]
        groups, pads = self.conv.attr("groups"), self.conv.attr("pads")
        if min(pads) < 0 or high * wide < self.lanes:
            return False
        if depth * spans[0] * (spans[1] + 4 * self.lanes * strides[1]) > _MOST_SEEN:
            return False
        per = k // groups
        lanes = _ALONE * k if per == 1 else groups * self.whole(per)
        usual = self.multiplied(float(n * depth * kh * kw) * lanes * high * wide)
        plain = (kh, kw) == (3, 3) and strides == dilations == (1, 1)
        if plain and depth >= self.lanes and (groups == 1 or per % self.lanes == 0):
            usual *= _WINOGRAD
        return self.of_planes < usual + self.moved

    @property
    def of_planes(self) -> float:
        """What the convolution of planes takes by its own model."""
        (n, *sizes, c), (_, *places, k) = self.image, self.conv.out.shape
        args = Tensor((n, c, *sizes)), Tensor(tuple(self.weights))
        planes = Node(CONV_PLANES, (0, 1), Tensor((n, k, *places)), self.conv.attrs)
        alone = replace(self.target, threads=1)
        form = ConvPlanes.match(Workload(args, (False, True), (planes,)), alone)
        return math.inf if form is None else form.cycles
