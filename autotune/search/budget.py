"""How trials are spread over a model's kernels: by what each can still win for the whole.

The gain that the next trial of a kernel promises is estimated as in Ansor's task scheduler (Zheng
et al., OSDI 2020, section 6): part of it from how much recent trials won, part from an optimistic
bound, that the kernel reaches the throughput of the best one known or its share of trials so far.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from .history import History

_Kernel = TypeVar("_Kernel", bound=History)
_TINY = sys.float_info.min  # in place of zero, to divide by


@dataclass(frozen=True)
class Policy:
    """``trust`` weighs recent gains against the optimistic bound.

    ``window`` trials count as recent. A kernel has converged when ``patience`` trials brought less
    than ``notable`` (a fraction); one that can still win the model more than the mean kernel can is
    given more of them, between ``least`` and ``most`` times as many. After ``descend`` of them (a
    fraction) only single steps from the best are tried; until then a trial that brought nothing
    dampens hope as ``fade`` others do. ``headroom`` is how far beyond the best throughput known a
    kernel may hope to get. Where minutes are left in the end, ``patience`` doubles, ``doublings``
    times at most. ``bench/RESULTS.md`` has what else was tried.
    """

    trust: float = 0.3
    window: int = 16
    patience: int = 48
    least: float = 0.25
    most: float = 3.0
    descend: float = 0.75
    notable: float = 0.01
    fade: float = 3.0
    headroom: float = 1.1
    doublings: int = 2


def patience(kernels: Sequence[History], policy: Policy) -> list[int]:
    """After how many trials that brought nothing notable each of ``kernels`` is left alone.

    It goes with the root of its share of what the model can still win.
    """
    measured = [k for k in kernels if math.isfinite(k.best)]
    left = [k.count * _left(k, measured, policy) for k in measured]
    mean = max(_TINY, statistics.fmean(left)) if left else _TINY
    weights = {id(k): math.sqrt(won / mean) for k, won in zip(measured, left, strict=True)}
    bounded = (min(policy.most, max(policy.least, weights.get(id(k), 1.0))) for k in kernels)
    return [math.ceil(policy.patience * weight) for weight in bounded]


def next_kernel(kernels: Sequence[_Kernel], policy: Policy) -> _Kernel | None:
    """The kernel whose next trials promise most; None when no kernel promises anything."""
    given = zip(kernels, patience(kernels, policy), strict=True)
    open_ones = [k for k, most in given if not k.done and k.stalled(policy.notable) < most]
    measured = [k for k in kernels if math.isfinite(k.best)]
    gains = [(_gain(k, measured, policy), -i, k) for i, k in enumerate(open_ones)]
    return max(gains)[2] if gains else None


def _floor(kernel: History, measured: Sequence[History]) -> float:
    """Seconds that the kernel takes at the best speed and the best bandwidth known.

    Small kernels find their data in the caches: only kernels that move as much say what bandwidth
    there is.
    """
    speed = max(_TINY, *(k.flops / k.best for k in measured))
    bandwidth = max(k.traffic / k.best for k in measured if k.traffic >= kernel.traffic)
    return max(kernel.flops / speed, kernel.traffic / bandwidth)


def _left(kernel: History, measured: Sequence[History], policy: Policy) -> float:
    """Seconds that one run of the kernel can still win."""
    return max(0.0, kernel.best - _floor(kernel, measured) / policy.headroom)


def _gain(kernel: History, measured: Sequence[History], policy: Policy) -> float:
    """Expected seconds of model latency that one more trial wins."""
    if not math.isfinite(kernel.best):
        return math.inf
    trials = len(kernel.curve)
    recent = [s for s in kernel.curve[-policy.window - 1 :] if math.isfinite(s)]
    won = (recent[0] - kernel.best) / max(1, len(recent) - 1)
    hoped = _left(kernel, measured, policy) / (
        trials + policy.fade * kernel.stalled(policy.notable)
    )
    return kernel.count * (policy.trust * won + (1 - policy.trust) * hoped)
