"""Operators that no template computes as they are: in float32 instead, left to Relax, or refused.

What templates compute, they say (see ``Abilities``). Sums of float16 are accumulated in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce

from luthier.schedules import Node, Tensor, UnsupportedOperator, ops
from luthier.schedules.templates.registry import ANCHORS

from ..graph import Graph, Op, Rewriter


def legalize(graph: Graph) -> Graph:
    """A graph whose operators all have templates; raises UnsupportedOperator."""
    b = Rewriter(graph)

    def rule(op: Op, node: Node) -> int | None:
        if _needs_width(node):
            return _widened(b, node)
        able = ANCHORS.get(node.op)
        if able is None:
            return None
        computed = able.computes(node.out.element)
        if computed and not (able.known_weights and node.args[1] not in b.constants):
            return None
        if node.op in _ELSEWHERE:
            return _ELSEWHERE[node.op](b, node)
        what = "weights known at build time" if computed else f"float32, not {node.out.dtype}"
        raise UnsupportedOperator(f"{op.source}: it needs {what}")

    return b.rewrite(rule)


def _needs_width(node: Node) -> bool:
    """Whether it is computed in float32 and its result rounded."""
    if node.op == "max_pool2d" and node.out.dtype in ("int8", "uint8"):
        return True
    operator = ops.of(node)
    exact = isinstance(operator, ops.Reduction) and operator.chooses
    return operator.is_anchor and not exact and node.out.dtype == "float16"


def _widened(b: Rewriter, node: Node) -> int:
    args = [b.emit("cast", a, out=Tensor(b.values[a].shape, "float32")) for a in node.args]
    wide = b.add(Node(node.op, tuple(args), Tensor(node.out.shape, "float32"), node.attrs))
    return b.emit("cast", wide, out=node.out)


def _relax_conv2d(b: Rewriter, node: Node) -> int:
    return b.emit(
        "relax.nn.conv2d",
        *node.args,
        out=node.out,
        attrs="relax.attrs.Conv2DAttrs",
        strides=node.attr("strides"),
        padding=node.attr("pads"),
        dilation=node.attr("dilations"),
        groups=node.attr("groups"),
        data_layout="NHWC",
        kernel_layout="OHWI",
        out_layout="NHWC",
    )


def _relax_whole_conv2d(b: Rewriter, node: Node) -> int:
    """Relax has one type for all."""
    wide = [b.emit("cast", a, out=Tensor(b.values[a].shape, node.out.dtype)) for a in node.args]
    return _relax_conv2d(b, Node("conv2d", tuple(wide), node.out, node.attrs))


def _maximum_of_slices(b: Rewriter, node: Node) -> int:
    """A maximum down the windows, then one across: of slices of the padded input."""
    (top, left, *_), (x,) = node.attr("pads"), node.args
    n, height, width, c = b.values[x].shape
    _, rows, columns, _ = node.out.shape
    kernel, strides, dilations = (node.attr(a) for a in ("kernel", "strides", "dilations"))
    reach = [
        (o - 1) * s + (k - 1) * d + 1
        for o, s, k, d in zip((rows, columns), strides, kernel, dilations, strict=True)
    ]
    tall, wide = max(reach[0], top + height), max(reach[1], left + width)
    padded = Tensor((n, tall, wide, c), node.out.dtype)
    if padded.shape != b.values[x].shape:
        before = (0, top, left, 0)
        x = b.emit("pad", x, out=padded, before=before, value="-inf", mode="constant")
    for axis, size in ((1, rows), (2, columns)):
        tap = (kernel[axis - 1], strides[axis - 1], dilations[axis - 1])
        x = reduce(partial(b.emit, "maximum"), _taps(b, x, axis, size, *tap))
    return x


def _taps(
    b: Rewriter, x: int, axis: int, size: int, kernel: int, stride: int, dilation: int
) -> list[int]:
    """What each tap of a window sees at its ``size`` places along an axis."""
    shape = tuple(size if i == axis else d for i, d in enumerate(b.values[x].shape))
    out, steps = Tensor(shape, b.values[x].dtype), [1] * len(shape)
    steps[axis] = stride
    begins = [[tap * dilation if i == axis else 0 for i in range(4)] for tap in range(kernel)]
    return [b.emit("slice", x, out=out, begin=tuple(at), steps=tuple(steps)) for at in begins]


def _relax_matmul(b: Rewriter, node: Node) -> int:
    left, right = node.args
    if node.attr("transpose_b"):
        rank = len(b.values[right].shape)
        right = b.emit("transpose", right, axes=(*range(rank - 2), rank - 1, rank - 2))
    return b.emit("relax.matmul", left, right, out=node.out, attrs="relax.attrs.MatmulAttrs")


_ELSEWHERE: dict[str, Callable[[Rewriter, Node], int]] = {
    "conv2d": _relax_conv2d,
    "conv2d_integer": _relax_whole_conv2d,
    "matmul": _relax_matmul,
    "max_pool2d": _maximum_of_slices,
}
