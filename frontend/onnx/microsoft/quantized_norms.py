"""Normalisations of quantised embeddings of ONNX Runtime's domain."""

from __future__ import annotations

from .norms import embedded, layer_norm, lengths
from .quantized import floats, single
from .spelling import Operators, Results, Spelled, Spelling, attributes

_SCALES, _ZEROS = 8, 13  # the first of five inputs each, of inputs 2 to 6


def _embed_layer(call: Spelling) -> Results:
    """Rows of bytes become floats once they are looked up."""

    def wide(index: int, x: str) -> str:
        scale, zero = call.given(_SCALES + index - 2), call.given(_ZEROS + index - 2)
        return floats(call, x, single(call, scale), single(call, zero))

    total = embedded(call, "", wide)
    scale, shift = (wide(i, call.given(i)) for i in (5, 6))
    y = layer_norm(call, total, scale, shift, call.attr("epsilon", 1e-12))
    return y, lengths(call, call.input(7))


OPERATORS: Operators = {
    "QEmbedLayerNormalization": Spelled(_embed_layer, 18, attributes("epsilon"), since=10),
}
