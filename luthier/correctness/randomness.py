"""Models whose outputs no two engines agree on, since they draw random numbers."""

from __future__ import annotations

import onnx
from onnx import numpy_helper

from luthier.frontend.onnx.opset import is_onnx, node_label
from luthier.frontend.onnx.random import RANDOM
from luthier.frontend.onnx.scopes import every_node


def drawing(model: onnx.ModelProto) -> str | None:
    """What people call the first node that draws random numbers; None where none does."""
    known = {t.name: t for t in model.graph.initializer}
    bodies = [model.graph.node, *(function.node for function in model.functions)]
    for node in (node for body in bodies for node in every_node(body)):
        if is_onnx(node.domain) and (node.op_type in RANDOM or _drops(node, known)):
            return node_label(node)
    return None


def _drops(node: onnx.NodeProto, known: dict[str, onnx.TensorProto]) -> bool:
    """Whether it may be a Dropout in training mode."""
    if node.op_type != "Dropout" or len(node.input) < 3 or not node.input[2]:
        return False
    mode = known.get(node.input[2])
    return mode is None or bool(numpy_helper.to_array(mode).any())
