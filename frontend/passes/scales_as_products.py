"""Depthwise convolutions of one tap as products with a number for each channel.

A scale that a framework has as a layer of its own comes so. As a product it fuses with whatever is
elementwise around it, and may be folded into a layer before or after.
"""

from __future__ import annotations

from luthier.schedules import Node

from ..graph import Graph, Op, Rewriter


def scales_as_products(graph: Graph) -> Graph:
    """A graph in which they are ``multiply``, where the tap moves nothing."""
    b = Rewriter(graph)

    def rule(op: Op, node: Node) -> int | None:
        if node.op != "conv2d" or not _is_scale(op.node, graph):
            return None
        image, weights = (b.at[arg] for arg in op.node.args)
        channels = node.out.shape[-1]
        return b.emit("multiply", image, b.reshaped(weights, (channels,)), out=node.out)

    return b.rewrite(rule)


def _is_scale(node: Node, graph: Graph) -> bool:
    """Each output is one element of the image, of the same channel, times a weight."""
    image, weights = (graph.values[arg] for arg in node.args)
    channels = image.shape[-1]
    still = (node.attr("strides"), node.attr("pads")) == ((1, 1), (0, 0, 0, 0))
    return bool(still and node.attr("groups") == channels and weights.shape == (channels, 1, 1, 1))
