"""A rule for every operator."""

from __future__ import annotations

from collections.abc import Mapping

from . import operators_layers, operators_math, operators_movement, operators_quantized
from .draft import Rule

RULES: Mapping[str, Rule] = {
    **operators_math.RULES,
    **operators_layers.RULES,
    **operators_movement.RULES,
    **operators_quantized.RULES,
}
