"""The operators of ONNX Runtime's own domain that are spelled by ONNX's."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import onnx

from ..opset import is_onnx
from ..scopes import every_node
from . import (
    activations,
    attention,
    attention_lstm,
    bifurcation,
    convolutions,
    crops,
    decoder_attention,
    delta_net,
    early,
    experts,
    few_bits,
    gates,
    group_norms,
    grouped_attention,
    hashes,
    hyper_connections,
    linear_attention,
    masked_pools,
    matrices,
    movement,
    norms,
    packed_tables,
    products,
    quantized,
    quantized_attention,
    quantized_experts,
    quantized_norms,
    quantized_products,
    quantized_recurrent,
    quantized_tables,
    rotary,
    routing,
    sparse_attention,
    words,
)
from .domain import DOMAIN
from .generation import operators as generation
from .spelling import Spelled

_FAMILIES = (
    activations, attention, attention_lstm, bifurcation, convolutions, crops, decoder_attention,
    delta_net, experts, few_bits, gates, generation, group_norms, grouped_attention, hashes,
    hyper_connections, linear_attention, masked_pools, matrices, movement, norms, packed_tables,
    products, quantized, quantized_attention, quantized_experts, quantized_norms,
    quantized_products, quantized_recurrent, quantized_tables, rotary, routing,
    sparse_attention, words,
)  # fmt: skip
SPELLED: Mapping[str, Spelled] = {
    name: spelled for family in _FAMILIES for name, spelled in family.OPERATORS.items()
}
EARLY = early.OPERATORS
_BEFORE = "luthier.before"  # said of nodes that are of an older operator set than their model
_ADOPTED: Mapping[str, int] = {"ThresholdedRelu": 10}  # by the standard, as it was
EARLY_UNTIL: Mapping[str, int] = {
    **dict.fromkeys(EARLY, 10), "MeanVarianceNormalization": 9, **_ADOPTED
}  # fmt: skip
"""What ONNX Runtime alone has of the standard's domain, before this operator set."""
OLD_NORMS: Mapping[str, int] = {"LayerNormalization": 17, "SimplifiedLayerNormalization": 99}
"""What ONNX Runtime writes into the standard's domain before this operator set, which brings it."""


def is_runtimes_alone(node: onnx.NodeProto, opset: int) -> bool:
    """Whether of the standard's domain ONNX Runtime alone has a node's operator, by this operator
    set or by the one that the node was written for."""
    until = max(EARLY_UNTIL.get(node.op_type, 0), OLD_NORMS.get(node.op_type, 0))
    before = any(each.key == _BEFORE for each in node.metadata_props)
    return is_onnx(node.domain) and (opset < until or before)


def keep_meaning(node: onnx.NodeProto) -> None:
    """Let a node that ONNX Runtime alone has be the same in a newer operator set."""
    if node.op_type not in _ADOPTED:
        node.metadata_props.add(key=_BEFORE, value="1")


def set_needed(model: onnx.ModelProto) -> int:
    """The oldest operator set by which ONNX Runtime's operators of a model can be spelled."""
    bodies = chain(model.graph.node, *(function.node for function in model.functions))
    nodes, types = list(every_node(bodies)), _types(model.graph)
    needed = [0]
    for node in nodes:
        if node.domain == DOMAIN and node.op_type in SPELLED:
            spelled = SPELLED[node.op_type]
            read = (types.get(name, 0) for name in node.input)
            needed += [spelled.since, *(spelled.typed.get(each, 0) for each in read)]
    needed += [_ADOPTED[n.op_type] for n in nodes if is_onnx(n.domain) and n.op_type in _ADOPTED]
    return max(needed)


def _types(graph: onnx.GraphProto) -> dict[str, int]:
    """The element types of constants and inputs, by name."""
    constants = [node for node in graph.node if node.op_type == "Constant" and node.output]
    said = (*graph.input, *graph.value_info)
    return {
        **{info.name: info.type.tensor_type.elem_type for info in said},
        **{tensor.name: tensor.data_type for tensor in graph.initializer},
        **{n.output[0]: a.t.data_type for n in constants for a in n.attribute if a.name == "value"},
    }


def is_cut_when_spelled(node: onnx.NodeProto) -> bool:
    """Whether a node is spelled by control flow, or by what finds sizes."""
    found = SPELLED.get(node.op_type) if node.domain == DOMAIN else None
    return found is not None and found.cuts
