"""The operators of ONNX Runtime's own domain that are spelled by ONNX's."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import onnx

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
EARLY, EARLY_UNTIL = early.OPERATORS, 10
"""What ONNX Runtime alone has of the standard's domain, before this operator set."""
OLD_NORMS: Mapping[str, int] = {"LayerNormalization": 17, "SimplifiedLayerNormalization": 99}
"""What ONNX Runtime writes into the standard's domain before this operator set, which brings it."""


def set_needed(model: onnx.ModelProto) -> int:
    """The oldest operator set by which ONNX Runtime's operators of a model can be spelled."""
    bodies = chain(model.graph.node, *(function.node for function in model.functions))
    used = {node.op_type for node in every_node(bodies) if node.domain == DOMAIN}
    return max((SPELLED[name].since for name in used & SPELLED.keys()), default=0)


def is_cut_when_spelled(node: onnx.NodeProto) -> bool:
    """Whether a node is spelled by control flow, or by what finds sizes."""
    found = SPELLED.get(node.op_type) if node.domain == DOMAIN else None
    return found is not None and found.cuts
