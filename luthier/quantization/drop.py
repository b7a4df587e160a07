"""How much worse a quantised model is, as one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.schedules.errors import InputError, UsageError

Array = NDArray[Any]
Outputs: TypeAlias = "Mapping[str, Array]"
Metric: TypeAlias = "Callable[[Sequence[Outputs]], float]"
"""Of the outputs of all samples how good they are: more is better."""

ERROR, AGREEMENT = "error", "agreement"
METRICS = (ERROR, AGREEMENT)
_MOST = {ERROR: 0.1, AGREEMENT: 0.01}
_MOST_OF_OTHERS = 0.01


def most_by_default(metric: str | Metric) -> float:
    """The drop that a metric may show where nobody says."""
    return _MOST[metric] if isinstance(metric, str) else _MOST_OF_OTHERS


def drop_from(
    metric: str | Metric, original: Sequence[Outputs]
) -> Callable[[Sequence[Outputs]], float]:
    """Says of a quantised model's outputs how far they fall below ``original``, of every sample.

    Of ``error`` the relative error in the 2-norm over all samples, of the worst output; of
    ``agreement`` the share of rows in which the largest element of the first output is another one;
    of a function what it says of the first less what it says of the second, infinite where that is
    not a number. Raises InputError where outputs have nothing that can be compared, UsageError
    where a function gives no number.
    """
    if metric == AGREEMENT:
        return lambda quantised: _disagreement(original, quantised)
    if metric == ERROR:
        return lambda quantised: _error(original, quantised)
    assert not isinstance(metric, str)
    before = _said(metric, original)

    def less(quantised: Sequence[Outputs]) -> float:
        difference = before - _said(metric, quantised)
        return difference if np.isfinite(difference) else float("inf")

    return less


def _said(metric: Metric, outputs: Sequence[Outputs]) -> float:
    found = metric(outputs)
    try:
        return float(found)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"metric must give a number, not {type(found).__name__}: how good the outputs are"
        ) from error


def _error(original: Sequence[Outputs], quantised: Sequence[Outputs]) -> float:
    names = [name for name, array in original[0].items() if array.dtype.kind == "f"]
    if not names:
        raise InputError("no output has floats to compare: give a metric of your own")
    return max(
        relative_error([each[name] for each in original], [each[name] for each in quantised])
        for name in names
    )


def relative_error(true: Sequence[Array], found: Sequence[Array]) -> float:
    """The 2-norm of the difference over that of ``true``; infinite where a number is not finite in
    one of both alone, or another in both."""
    noise = signal = 0.0
    for a, b in zip(true, found, strict=True):
        wide, other = a.astype(np.float64), b.astype(np.float64)
        if wide.shape != other.shape:
            return float("inf")
        same = (wide == other) | (np.isnan(wide) & np.isnan(other))
        with np.errstate(invalid="ignore"):
            noise += float(np.sum(np.where(same, 0.0, wide - other) ** 2))
        signal += float(np.sum(wide[np.isfinite(wide)] ** 2))
    if not noise:
        return 0.0
    return float(np.sqrt(noise / signal)) if signal and np.isfinite(noise) else float("inf")


def _disagreement(original: Sequence[Outputs], quantised: Sequence[Outputs]) -> float:
    name = next(iter(original[0]))
    rows = other = 0
    for a, b in zip(original, quantised, strict=True):
        if not a[name].ndim or a[name].shape[-1] < 2:
            raise InputError(f"the output '{name}' has no classes to compare: use metric 'error'")
        if a[name].shape != b[name].shape:
            return float("inf")
        chosen = a[name].argmax(-1) != b[name].argmax(-1)
        rows, other = rows + chosen.size, other + int(chosen.sum())
    return other / rows if rows else 0.0
