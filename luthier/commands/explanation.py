"""Why a kernel's winner won, in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from . import options
from .times import milliseconds, ratio

if TYPE_CHECKING:
    from luthier import KernelExplanation
    from luthier.autotune import Explanation


def explanation(kernel: KernelExplanation) -> str:
    """A few lines: what it is and how fast, which knobs changed, what the model credits."""
    why = kernel.explanation
    default, best = why.default_seconds, why.best.seconds
    lines = [
        f"{why.workload}, {options.count(kernel.count, 'call')}{_at(kernel)}",
        f"  {milliseconds(default)} -> {milliseconds(best)}{ratio(default, best)} a call, "
        f"{options.count(why.tried, 'schedule')} tried",
        f"  {kernel.gflops:.1f} GFLOPS, {kernel.gbytes_per_s:.1f} GB/s ({_shares(kernel)})",
        f"  {_knobs(why)}",
    ]
    if why.credits:
        credited = [
            f"{c.feature} {_value(c.default)} -> {_value(c.best)}: {c.speedup:.2f}x"
            for c in why.credits
        ]
        lines.append(f"  the model credits: {'; '.join(credited)}")
    return "\n".join(lines)


def _at(kernel: KernelExplanation) -> str:
    return f" at {'; '.join(kernel.sizes)}" if kernel.sizes else ""


def _shares(kernel: KernelExplanation) -> str:
    peak, bandwidth = kernel.fraction_of_peak, kernel.fraction_of_bandwidth
    if peak is None or bandwidth is None:
        return "busy machine: of what it can do nobody knows the share"
    if not kernel.explanation.best.cold:  # what comes from the caches tells nothing of the memory
        return f"{peak:.0%} of the peak"
    return f"{peak:.0%} of the peak, {bandwidth:.0%} of the bandwidth"


def _knobs(why: Explanation) -> str:
    changed = [
        f"{knob.name} {_choice(knob.default)} -> {_choice(knob.best)}"
        for knob in why.knobs
        if knob.default != knob.best
    ]
    return f"{why.best.schedule}: {', '.join(changed) or 'the default'}"


def _choice(value: int | str | None) -> str:
    return "none" if value is None else str(value)


def _value(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3g}"
