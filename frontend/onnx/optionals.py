"""ONNX's optional values: whether something is there is known when a model is built.

Those that only nodes of the model's own graph read are gone when it is read; control flow passes on
the others (``control``).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from luthier.schedules import ModelError

from .opset import is_onnx, node_label
from .scopes import inner_graphs, reads

OPTIONALS = frozenset({"Optional", "OptionalGetElement", "OptionalHasElement"})


def without_optionals(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, or a copy whose optional values are what they hold; raises ModelError.

    One that control flow reads or gives, or that is an output, leaves the model as it is.
    """
    made = {o for node in model.graph.node if node.op_type == "Optional" for o in node.output}
    others = (node for node in model.graph.node if not _is_optional(node))
    kept = {output.name for output in model.graph.output}.union(*map(reads, others))
    given = {o for n in model.graph.node if any(inner_graphs(n)) for o in n.output}
    asked = {name for node in model.graph.node if _is_optional(node) for name in node.input}
    if not any(map(_is_optional, model.graph.node)) or not kept.isdisjoint(made):
        return model
    if not given.isdisjoint(asked):
        return model
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    held: dict[str, str] = {}  # by an optional value's name; '' where it holds nothing
    nodes: list[onnx.NodeProto | None] = []
    for node in model.graph.node:
        own = onnx.NodeProto()
        own.CopyFrom(node)
        own.input[:] = [held.get(name, name) for name in node.input]
        nodes += [_without(own, held)] if _is_optional(node) else [own]
    del copied.graph.node[:]
    copied.graph.node.extend(node for node in nodes if node is not None)
    gone = held.keys()
    infos = [v for v in copied.graph.value_info if v.name not in gone]
    del copied.graph.value_info[:]
    copied.graph.value_info.extend(infos)
    return copied


def _is_optional(node: onnx.NodeProto) -> bool:
    return node.op_type in OPTIONALS and is_onnx(node.domain)


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
