"""A rule for every operator but those whose results are random."""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    operators_layers,
    operators_math,
    operators_movement,
    operators_quantized,
    operators_recurrent,
    operators_signals,
)
from .draft import Rule

RULES: Mapping[str, Rule] = {
    **operators_math.RULES,
    **operators_layers.RULES,
    **operators_movement.RULES,
    **operators_recurrent.RULES,
    **operators_signals.RULES,
    **operators_quantized.RULES,
}
