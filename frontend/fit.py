"""Operators that no template computes as they are: in float32 instead, left to Relax, or refused.

Templates for convolutions, products, pooling, softmax and layer normalisation are for float32, and
those for convolutions need their weights at build time.
"""

from __future__ import annotations

from luthier.schedules import Node, Tensor, UnsupportedOperator, ops

from .graph import Graph, Op, Rewriter

_ANY_DTYPE = frozenset(["sum", "mean", "max", "min", "prod"])


def fit_templates(graph: Graph) -> Graph:
    """A graph whose operators all have templates; raises UnsupportedOperator."""
    b = Rewriter(graph)

    def rule(op: Op, node: Node) -> int | None:
        if node.op not in ops.ANCHORS or node.op in _ANY_DTYPE:
            return None
        dtype = node.out.dtype
        if dtype == "float16" or (node.op == "max_pool2d" and dtype in ("int8", "uint8")):
            return _widened(b, node)
        weights = node.op in ("conv2d", "conv2d_transpose")
        if dtype == "float32" and not (weights and node.args[1] not in b.constants):
            return None
        if node.op == "conv2d":
            return _relax_conv2d(b, node)
        if node.op == "matmul":
            return _relax_matmul(b, node)
        what = "weights known at build time" if dtype == "float32" else f"float32, not {dtype}"
        raise UnsupportedOperator(f"{op.source}: it needs {what}")

    return b.rewrite(rule)


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


def _relax_matmul(b: Rewriter, node: Node) -> int:
    left, right = node.args
    if node.attr("transpose_b"):
        rank = len(b.values[right].shape)
        right = b.emit("transpose", right, axes=(*range(rank - 2), rank - 1, rank - 2))
    return b.emit("relax.matmul", left, right, out=node.out, attrs="relax.attrs.MatmulAttrs")
