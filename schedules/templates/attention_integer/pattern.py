"""Which workloads are attention of whole numbers, and where its operands lie.

A product of queries and keys, a softmax, and a product of that with values, all three of the same
batch. Operands are what is stored in 8 bits, less a zero point, under any order of dimensions in
which the last one is contiguous; between the products there may be any elementwise operators, so
that each rounding that a quantiser put there is done as it is written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ... import ops
from ...ir.workload import Node, Workload

_PRODUCT = "matmul_integer"


@dataclass(frozen=True)
class Operand:
    """Numbers of 8 bits of an input, less ``zero``: strides of the batch's dimensions and of rows,
    whose columns are neighbours."""

    input: int
    zero: int
    batch: tuple[int, ...]
    row: int


@dataclass(frozen=True)
class Shares:
    """The left operand of the second product: value ``arg`` of the workload, less ``zero``."""

    arg: int
    zero: int


@dataclass(frozen=True)
class WholeAttention:
    """Sizes, operands, and the values of the workload that kernels compute one from another. All
    sizes but ``depth`` and ``width`` may be known only at run time.

    ``scores`` are products, of which ``logits`` are made; ``softmax`` is theirs, of which shares
    are made; ``sums`` are products of these, of which ``result`` is made. That lies in the output
    with the strides ``out`` of the batch's dimensions, rows and columns.
    """

    batch: tuple[int, ...]
    rows: int
    keys: int
    depth: int
    width: int
    q: Operand
    k: Operand
    v: Operand
    shares: Shares
    scores: int
    logits: int
    softmax: int
    sums: int
    result: int
    out: tuple[int, ...]


def attention_of(workload: Workload) -> WholeAttention | None:
    """The workload as attention; None where it is none."""
    found = _anchors(workload)
    return None if found is None else _attention(_Reader(workload), *found)


def _anchors(workload: Workload) -> tuple[int, int, int] | None:
    """The values of both products and of the softmax between them."""
    first = len(workload.inputs)
    found = [first + i for i, node in enumerate(workload.nodes) if not ops.of(node).is_fusible]
    names = [workload.nodes[value - first].op for value in found]
    if names != [_PRODUCT, "softmax", _PRODUCT]:
        return None
    scores, softmax, sums = found
    return scores, softmax, sums


def _attention(read: _Reader, scores: int, softmax: int, sums: int) -> WholeAttention | None:
    first, middle, last = map(read.made, (scores, softmax, sums))
    shape, out = first.out.shape, last.out.shape
    if len(shape) < 2:
        return None
    if middle.out.shape != shape or middle.attr("axis") != len(shape) - 1:
        return None
    q, k = (read.operand(arg) for arg in first.args)
    v, shares = read.operand(last.args[1]), read.centred(last.args[0])
    result = read.moved_to(len(read.workload.inputs) + len(read.workload.nodes) - 1)
    if q is None or k is None or v is None or shares is None or result is None:
        return None
    batch, rows, keys = shape[:-2], shape[-2], shape[-1]
    depth, width = q.shape[-1], v.shape[-1]
    alike = (
        isinstance(depth, int)
        and isinstance(width, int)
        and not first.attr("transpose_b")
        and not last.attr("transpose_b")
        and q.shape == (*batch, rows, depth)
        and k.shape == (*batch, depth, keys)
        and v.shape == (*batch, keys, width)
        and depth % 4 == 0
        and (q.strides[-1], k.strides[-2], v.strides[-1]) == (1, 1, 1)
        and read.leads(scores, middle.args[0], shape)
        and read.leads(softmax, shares.arg, shape)
        and read.leads(sums, result.value, out)
        and read.workload.tensor(shares.arg).element.bits == 8
    )
    if not alike:
        return None
    return WholeAttention(
        batch=batch,
        rows=rows,
        keys=keys,
        depth=depth,
        width=width,
        q=Operand(q.value, q.zero, q.strides[:-2], q.strides[-2]),
        k=Operand(k.value, k.zero, k.strides[:-2], k.strides[-1]),
        v=Operand(v.value, v.zero, v.strides[:-2], v.strides[-2]),
        shares=shares,
        scores=scores,
        logits=middle.args[0],
        softmax=softmax,
        sums=sums,
        result=result.value,
        out=result.strides,
    )


@dataclass(frozen=True)
class _View:
    """Elements of a value, less ``zero``, in a shape by strides."""

    value: int
    zero: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Reader:
    """Reads values of a workload back to what they are made of."""

    workload: Workload

    def node(self, value: int) -> Node | None:
        """What makes it; None for inputs."""
        return self.made(value) if value >= len(self.workload.inputs) else None

    def made(self, value: int) -> Node:
        """The node that makes it."""
        return self.workload.nodes[value - len(self.workload.inputs)]

    def literal(self, value: int) -> int | None:
        """A whole number that is known."""
        node = self.node(value)
        return int(node.attr("value")) if node is not None and node.op == "const" else None

    def centred(self, value: int) -> Shares | None:
        """What a value is, widened, less a zero point."""
        zero = 0
        while (node := self.node(value)) is not None:
            if node.op in ("add", "subtract"):
                point = self.literal(node.args[1])
                if point is None or not node.out.element.is_whole:
                    return None
                zero += point if node.op == "subtract" else -point
            elif node.op != "cast" or not self._widens(node):
                break
            value = node.args[0]
        return Shares(value, zero)

    def _widens(self, node: Node) -> bool:
        before = self.workload.tensor(node.args[0]).element
        return before.is_whole and node.out.element.is_whole and node.out.element.bits > 8

    def operand(self, value: int) -> _View | None:
        """An input of 8 bits, less a zero point, in another order of dimensions."""
        found = self.centred(value)
        if found is None:
            return None
        node = self.node(found.arg)
        if node is None:
            tensor = self.workload.tensor(found.arg)
            narrow = tensor.element.is_whole and tensor.element.bits == 8
            strides = _dense(tensor.shape)
            return _View(found.arg, found.zero, tensor.shape, strides) if narrow else None
        inner = self.operand(node.args[0]) if node.op == "transpose" else None
        if inner is None:
            return None
        axes = node.attr("axes")
        strides = tuple(inner.strides[axis] for axis in axes)
        return _View(inner.value, inner.zero + found.zero, node.out.shape, strides)

    def moved_to(self, value: int) -> _View | None:
        """Of a value what it is a transpose of, and where its elements lie."""
        node, shape = self.node(value), self.workload.tensor(value).shape
        strides = _dense(shape)
        if node is None or node.op != "transpose":
            return _View(value, 0, shape, strides)
        axes = node.attr("axes")
        before = tuple(strides[axes.index(axis)] for axis in range(len(axes)))
        (source,) = node.args
        return _View(source, 0, self.workload.tensor(source).shape, before)

    def leads(self, begin: int, end: int, shape: Sequence[int]) -> bool:
        """Whether ``end`` is made of ``begin`` and inputs, element by element."""
        pending, met = [end], False
        while pending:
            value = pending.pop()
            node = self.node(value)
            if value == begin:
                met = True
            elif node is not None:
                if not ops.of(node).is_elementwise:
                    return False
                pending += node.args
        return met and self.workload.tensor(end).shape == tuple(shape)


def _dense(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
