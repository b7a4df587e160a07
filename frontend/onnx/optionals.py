"""ONNX's optional values: whether something is there is known when a model is built, so that none
are left."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from luthier.schedules import ModelError

from .opset import is_onnx, node_label

_OPERATORS = frozenset({"Optional", "OptionalGetElement", "OptionalHasElement"})


def without_optionals(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, or a copy whose optional values are what they hold; raises ModelError."""
    if not any(_is_optional(node) for node in model.graph.node):
        return model
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    held: dict[str, str] = {}  # by an optional value's name; '' where it holds nothing
    nodes: list[onnx.NodeProto | None] = []
    for node in model.graph.node:
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        kept.input[:] = [held.get(name, name) for name in node.input]
        nodes += [_without(kept, held)] if _is_optional(node) else [kept]
    for output in copied.graph.output:
        if output.name in held:
            raise ModelError(f"the output '{output.name}' is an optional value, not a tensor")
    del copied.graph.node[:]
    copied.graph.node.extend(node for node in nodes if node is not None)
    gone = held.keys()
    infos = [v for v in copied.graph.value_info if v.name not in gone]
    del copied.graph.value_info[:]
    copied.graph.value_info.extend(infos)
    return copied


def _is_optional(node: onnx.NodeProto) -> bool:
    return node.op_type in _OPERATORS and is_onnx(node.domain)


def _without(node: onnx.NodeProto, held: dict[str, str]) -> onnx.NodeProto | None:
    """What the node is where it is known what its input holds; None where that is nothing to do."""
    if len(node.input) > 1 or len(node.output) != 1:
        raise ModelError(f"{node_label(node)}: it has one input and one output at most")
    given, result = node.input[0] if node.input else "", node.output[0]
    if node.op_type == "Optional":
        held[result] = given
        return None
    if node.op_type == "OptionalHasElement":
        there = numpy_helper.from_array(np.asarray(bool(given)))
        return helper.make_node("Constant", [], [result], node.name, value=there)
    if not given:
        raise ModelError(f"{node_label(node)}: there is no element")
    return helper.make_node("Identity", [given], [result], node.name)
