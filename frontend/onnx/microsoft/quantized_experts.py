"""Mixtures of experts whose weights have few bits: they become floats when a library is built."""

from __future__ import annotations

import numpy as np

from ...graph import Array
from .experts import MIXING, Experts, Layer, mixture
from .few_bits import numbers_of
from .spelling import Operators, Results, Spelled, Spelling, attributes

_MIXING_WEIGHTS, _FIRST_ZERO = 14, 11  # inputs


def _quantized(call: Spelling) -> Results:
    if call.attr("quant_type", "int") != "int" or call.attr("weights_prepacked", -1) == 1:
        raise call.unsupported("weights of another type, or packed otherwise,")
    if any(call.input(i) for i in range(_MIXING_WEIGHTS + 1, 21)):
        raise call.unsupported("scales of whole experts or of activations")
    into, out = _layer(call, 0), _layer(call, 1)
    gate = _layer(call, 2) if call.input(8) else None
    # ONNX Runtime normalises a softmax whatever is said, and mixing weights if that is said.
    mixing = call.input(_MIXING_WEIGHTS)
    normalised = not mixing or bool(call.attr("normalize_routing_weights", 0))
    return mixture(call, Experts(into, out, gate), call.given(1), mixing, normalised=normalised)


def _layer(call: Spelling, number: int) -> Layer:
    """One of three: weights, scales and a bias follow each other, zero points come at the end."""
    first = 2 + 3 * number
    inputs = [call.given(first), call.given(first + 1), call.input(_FIRST_ZERO + number)]
    packed, scales, zeros = (call.array(name) if name else None for name in inputs)
    if packed is None or scales is None or (inputs[2] and zeros is None):
        raise call.unsupported("weights of run time")
    bits = call.attr(f"fc{number + 1}_expert_weight_bits", call.attr("expert_weight_bits", 4))
    if bits not in (2, 4, 8) or packed.dtype != np.uint8 or packed.ndim != 3:
        raise call.unsupported(f"expert_weight_bits={bits}")
    floats = _floats(call, packed, scales, zeros, bits)
    return Layer(call.weight(floats), call.input(first + 2))


def _floats(call: Spelling, packed: Array, scales: Array, zeros: Array | None, bits: int) -> Array:
    """[experts, results, columns]; a scale is of a result, or of a block of its columns."""
    experts, results, width = packed.shape
    columns = width * 8 // bits
    floats = numbers_of(packed.reshape(-1, width), bits).astype(np.float32)
    blocks = scales.shape[2] if scales.ndim == 3 else 1
    if scales.shape[:2] != (experts, results) or columns % blocks:
        raise call.unsupported(f"scales of the shape {list(scales.shape)} for {list(packed.shape)}")
    floats = floats.reshape(experts, results, blocks, columns // blocks)
    if zeros is None:
        floats -= 2 ** (bits - 1)
    else:
        count = blocks if scales.ndim == 3 else results
        each = numbers_of(zeros.reshape(-1, zeros.shape[-1]), bits)[:, :count]
        if each.size != experts * results * blocks:
            raise call.unsupported(f"zero points of the shape {list(zeros.shape)}")
        floats -= each.astype(np.float32).reshape(experts, results, blocks, 1)
    floats *= scales.astype(np.float32).reshape(experts, results, blocks, 1)
    return floats.reshape(experts, results, columns)


OPERATORS: Operators = {
    "QMoE": Spelled(
        _quantized,
        21,
        MIXING
        | attributes(
            """
                accuracy_level block_size expert_weight_bits fc1_expert_weight_bits
                fc2_expert_weight_bits fc3_expert_weight_bits quant_type weights_prepacked
            """
        ),
        in_steps=True,
        since=11,
    ),
}
