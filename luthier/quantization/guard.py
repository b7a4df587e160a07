"""Which layers stay in float: the fewest of the worst with which the model loses little enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import onnx

from luthier.schedules.errors import AccuracyError

from .layers import Layer


@dataclass(frozen=True)
class Trial:
    """A quantised model, and by how much it is worse."""

    model: onnx.ModelProto
    drop: float


Try = Callable[[Sequence[str]], Trial]
"""Quantises all but the nodes of these names."""


def guarded(
    first: Trial, layers: Sequence[Layer], attempt: Try, most: float
) -> tuple[Trial, tuple[Layer, ...]]:
    """The trial within ``most`` that keeps the fewest of ``layers``, worst first, in float.

    ``first`` keeps none. How many is found by doubling and bisection: more layers in float are
    taken to be no worse. Raises AccuracyError where not even the last but one suffices.
    """
    if first.drop <= most:
        return first, tuple(layers)
    tried: dict[int, Trial] = {0: first}

    def within(kept: int) -> bool:
        tried[kept] = attempt([layer.name for layer in layers[:kept]])
        return tried[kept].drop <= most

    low, high = 0, 1
    while high < len(layers) and not within(high):
        low, high = high, 2 * high
    if high >= len(layers):
        high = len(layers)
        if high - 1 <= low or not within(high - 1):
            raise AccuracyError(_hopeless(tried, len(layers), most))
        high -= 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if within(middle) else (middle, high)
    marked = (replace(layer, kept=i < high) for i, layer in enumerate(layers))
    return tried[high], tuple(marked)


def _hopeless(tried: dict[int, Trial], layers: int, most: float) -> str:
    kept, best = min(tried.items(), key=lambda each: each[1].drop)
    return (
        f"no quantised model is within a drop of {most:g}: with {kept} of {layers} layers in float "
        f"it is {best.drop:.3g}; allow more (max_drop), or try other ranges or another method"
    )
