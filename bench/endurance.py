"""Very many trials in a row: whether something hangs, fails or keeps memory.

python -m bench.endurance                   5000 trials
python -m bench.endurance --trials 300

Candidates of tiny kernels, drawn at random from their spaces, so that processes, files and pipes
are what is tried hardest. Exits with 1 where a trial failed or memory grew beyond the limit.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from luthier.autotune.measure import Measurer
from luthier.schedules import Schedule, Space, Tensor, Workload, node, registry
from luthier.schedules.target import available_cores, host

MOST_GROWTH = 200 << 20  # bytes
_BATCH = 8
_WARM = 20  # batches until every process has loaded what it needs


@dataclass(frozen=True)
class Endured:
    """``growth`` and ``peak`` are bytes of this process and its workers, since they were warm."""

    trials: int
    seconds: float
    slowest: float
    growth: int
    peak: int
    outcomes: dict[str, int]


def endure(trials: int) -> Endured:
    """Measure so many candidates; raises what Measurer raises."""
    rng = random.Random(0)
    target = host(threads=available_cores())
    kernels = [(w, registry.spaces(w, target)) for w in (_relu(), _product(), _maximum())]
    outcomes: Counter[str] = Counter()
    sizes: list[int] = []
    slowest, begin = 0.0, time.monotonic()
    with Measurer(target) as measurer:
        while (done := outcomes.total()) < trials:
            workload, spaces = kernels[done // (_BATCH * 4) % len(kernels)]
            schedules = [_drawn(spaces, rng) for _ in range(min(_BATCH, trials - done))]
            started = time.monotonic()
            outcomes.update(m.outcome.value for m in measurer.measure(workload, schedules))
            slowest = max(slowest, time.monotonic() - started)
            sizes.append(_memory())
    warm = sizes[min(_WARM, len(sizes) // 2) :]
    return Endured(
        trials=outcomes.total(),
        seconds=time.monotonic() - begin,
        slowest=slowest,
        growth=warm[-1] - warm[0],
        peak=max(warm) - warm[0],
        outcomes=dict(outcomes),
    )


def _drawn(spaces: Sequence[Space], rng: random.Random) -> Schedule:
    return rng.choice(spaces).sample(rng)


def _memory() -> int:
    """Bytes that this process and all below it hold alone, or share among themselves."""
    me = psutil.Process()
    return sum(p.memory_full_info().pss for p in (me, *me.children(recursive=True)))


def _relu() -> Workload:
    data = Tensor((4096,))
    return Workload((data,), (False,), (node("relu", (0,), data),))


def _product() -> Workload:
    inputs = Tensor((16, 32)), Tensor((32, 48))
    return Workload(inputs, (False, True), (node("matmul", (0, 1), Tensor((16, 48))),))


def _maximum() -> Workload:
    data = Tensor((16, 64))
    return Workload(
        (data,), (False,), (node("max", (0,), Tensor((16,)), axes=(1,), keepdims=False),)
    )


def main() -> int:
    """Measure, print, and say whether it held."""
    parser = argparse.ArgumentParser(description="Very many trials in a row.")
    parser.add_argument("--trials", type=int, default=5000)
    shown = endure(parser.parse_args().trials)
    pace = shown.trials / shown.seconds
    print(
        f"{shown.trials} trials in {shown.seconds:.0f} s ({pace:.1f} a second), the slowest batch "
        f"{shown.slowest:.1f} s; memory grew by {shown.growth >> 20} MiB and was "
        f"{shown.peak >> 20} MiB higher at most; {shown.outcomes}"
    )
    return int(shown.peak > MOST_GROWTH or shown.outcomes.keys() != {"ok"})


if __name__ == "__main__":
    raise SystemExit(main())
