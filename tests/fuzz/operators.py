"""A rule for every operator but those whose results are random."""

from __future__ import annotations

from collections.abc import Mapping

from . import (
    operators_control,
    operators_found,
    operators_functions,
    operators_layers,
    operators_math,
    operators_microsoft,
    operators_movement,
    operators_quantized,
    operators_recurrent,
    operators_signals,
)
from .draft import Rule

STRAIGHT: Mapping[str, Rule] = {
    **operators_math.RULES,
    **operators_layers.RULES,
    **operators_movement.RULES,
    **operators_recurrent.RULES,
    **operators_signals.RULES,
    **operators_quantized.RULES,
    **operators_functions.RULES,
    **operators_microsoft.RULES,
}
"""Those of operators without graphs, whose results have sizes that follow from shapes."""

RULES: Mapping[str, Rule] = {
    **STRAIGHT,
    **operators_found.RULES,
    **operators_control.rules(STRAIGHT),
}
