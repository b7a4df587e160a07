"""Operators that no template computes as they are: in float32 instead, spelled by others, left to
Relax, or refused.

What templates compute, they say (see ``Abilities``). Sums of float16 are accumulated in float32.
"""

from __future__ import annotations

from collections.abc import Callable

from luthier.schedules import Node, Tensor, UnsupportedOperator, ops
from luthier.schedules import node as make
from luthier.schedules.templates.registry import ANCHORS

from ..graph import Graph, Op, Rewriter
from . import wide_anchors
from .computed_weights import as_convolution, as_product


def legalize(graph: Graph) -> Graph:
    """A graph whose operators all have templates; raises UnsupportedOperator."""
    b = Rewriter(graph)

    def rule(op: Op, node: Node) -> int | None:
        if _needs_width(node):
            return _widened(b, node)
        if node.attr("zeros") is not None:
            return _centred(b, node)
        if node.op == "max_pool2d" and node.out.dtype in ("int8", "uint8"):
            return None  # of a template of its own
        able = ANCHORS.get(node.op)
        if able is None:
            return None
        if node.attr("pad_value", 0) and not (able.fills_padding and node.args[1] in b.constants):
            node = _padded(b, node)
        known = not able.known_weights or node.args[1] in b.constants
        if able.computes(node.out.element) and known:
            return b.add(node)
        if node.op in _ELSEWHERE:
            return _ELSEWHERE[node.op](b, node)
        raise UnsupportedOperator(f"{op.source}: {node.op} of {node.out.dtype} is not supported")

    return b.rewrite(rule)


def _centred(b: Rewriter, node: Node) -> int:
    """A product of numbers less their zero points, in 16 bits."""

    def centred(arg: int, zero: int) -> int:
        if not zero:
            return arg
        wide = b.emit("cast", arg, out=Tensor(b.values[arg].shape, "int16"))
        return b.emit("add", wide, b.scalar(-zero, "int16"))

    args = tuple(map(centred, node.args, node.attr("zeros")))
    attrs = tuple(pair for pair in node.attrs if pair[0] != "zeros")
    return b.add(Node(node.op, args, node.out, attrs))


def _needs_width(node: Node) -> bool:
    """Whether it is computed in float32 and its result rounded; the largest and the smallest one
    too, since processors compare no float16."""
    operator = ops.of(node)
    moves = isinstance(operator, ops.Scatter)
    return operator.is_anchor and not moves and node.out.dtype == "float16"


def _widened(b: Rewriter, node: Node) -> int:
    args = [b.emit("cast", a, out=Tensor(b.values[a].shape, "float32")) for a in node.args]
    wide = b.add(Node(node.op, tuple(args), Tensor(node.out.shape, "float32"), node.attrs))
    return b.emit("cast", wide, out=node.out)


def _convolution(b: Rewriter, node: Node) -> int:
    """In float32 by products, which have kernels of their own."""
    if ANCHORS["matmul"].computes(node.out.element) and node.args[1] not in b.constants:
        return as_product(b, node)
    return wide_anchors.conv2d(b, node)


def _transposed_convolution(b: Rewriter, node: Node) -> int:
    return _convolution(b, as_convolution(b, node))


def _padded(b: Rewriter, node: Node) -> Node:
    """What is outside of the image is written down around it."""
    top, left, bottom, right = node.attr("pads")
    attrs = {k: v for k, v in node.attrs if k != "pad_value"}
    x, weights = node.args
    if any(node.attr("pads")):
        n, height, width, c = b.values[x].shape
        shape = (n, top + height + bottom, left + width + right, c)
        out, value = Tensor(shape, b.values[x].dtype), node.attr("pad_value")
        x = b.emit("pad", x, out=out, before=(0, top, left, 0), value=value, mode="constant")
        attrs["pads"] = (0, 0, 0, 0)
    return make(node.op, (x, weights), node.out, **attrs)


def _whole_convolution(b: Rewriter, node: Node) -> int:
    """Relax has one type for all."""
    wide = [b.emit("cast", a, out=Tensor(b.values[a].shape, node.out.dtype)) for a in node.args]
    return wide_anchors.conv2d(b, Node("conv2d", tuple(wide), node.out, node.attrs))


_ELSEWHERE: dict[str, Callable[[Rewriter, Node], int]] = {
    "avg_pool2d": wide_anchors.avg_pool,
    "conv2d": _convolution,
    "conv2d_integer": _whole_convolution,
    "conv2d_transpose": _transposed_convolution,
    "layer_norm": wide_anchors.layer_norm,
    "log_softmax": wide_anchors.log_softmax,
    "matmul": wide_anchors.matmul,
    "max_pool2d": wide_anchors.max_pool,
    "rms_norm": wide_anchors.rms_norm,
    "softmax": wide_anchors.softmax,
}
