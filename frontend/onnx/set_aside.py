"""Nodes that onnx's converter of operator sets does not know, and others for the time being."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import helper

from .microsoft.operators import is_runtimes_alone, keep_meaning
from .opset import opset_of

_DOMAIN = "luthier.aside"
# What has the shape of its first input, which the converter then knows.
_SAME = frozenset(
    {"Affine", "ImageScaler", "LayerNormalization", "MeanVarianceNormalization"}
    | {"ParametricSoftplus", "Scale", "ScaledTanh", "SimplifiedLayerNormalization"}
    | {"ThresholdedRelu"}
)


def set_aside(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """The nodes that ONNX Runtime alone has, by the names of those that are there instead."""
    opset, kept = opset_of(model), dict[str, onnx.NodeProto]()
    for number, node in enumerate(model.graph.node):
        if not is_runtimes_alone(node, opset):
            continue
        name = f"{_DOMAIN}/{number}"
        kept[name] = onnx.NodeProto.FromString(node.SerializeToString())
        if node.op_type in _SAME and len(node.output) == 1 and node.input:
            node.CopyFrom(helper.make_node("Identity", node.input[:1], node.output, name))
        else:
            node.name, node.domain = name, _DOMAIN
    if any(node.domain == _DOMAIN for node in model.graph.node):
        model.opset_import.add(domain=_DOMAIN, version=1)
    return kept


def put_back(model: onnx.ModelProto, kept: Mapping[str, onnx.NodeProto]) -> None:
    """These nodes in the places of the others."""
    for node in model.graph.node:
        if node.name in kept:
            node.CopyFrom(kept[node.name])
            keep_meaning(node)
    imports = [each for each in model.opset_import if each.domain != _DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(imports)
