"""Steps of a reduction that are written out, several in a pass of its loop."""

from __future__ import annotations

from collections.abc import Iterator

from ..target.target import Target
from ..tir.indices import Index, divide
from .builder import PhaseBuilder

_MOST = 64  # multiply-adds of a pass


def written_out(sums: int, steps: int, target: Target) -> int:
    """How many, of a number of steps or a multiple of it, for so many vectors of sums.

    They share the loop's own operations: a tenth of all, which counts where another thread of the
    core takes its part. Beside many sums LLVM loads vectors of all steps ahead, and spills, but not
    with AVX2.
    """
    if sums > target.vector_registers - 6 and target.level != "x86-64-v3":
        return 1
    return max(u for u in (1, 2, 4) if steps % u == 0 and (u == 1 or sums * u <= _MOST))


def each_step(
    builder: PhaseBuilder, steps: Index, times: int
) -> Iterator[tuple[Index, Iterator[Index]]]:
    """The first step of each pass, and those of the pass, of which there are ``times``."""
    with builder.loop(divide(steps, times), "k") as block:
        first = block * times
        yield first, (first + u for u in range(times))
