"""Very many trials in a row: whether something hangs, fails or keeps memory, into RESULTS.md.

python -m bench.endurance                   5000 trials
python -m bench.endurance --trials 300 --print

Candidates of tiny kernels, drawn at random from their spaces, so that mostly processes, files and
pipes are tested. Exits with 1 where a trial failed or memory grew beyond the limit.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from bench import results
from bench.standings import markdown
from luthier.autotune.measure.measurer import Measurer
from luthier.schedules import Schedule, Space, Tensor, Workload, node
from luthier.schedules.target import available_cores, host
from luthier.schedules.templates import registry

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
    """Measure ``trials`` candidates; raises what Measurer raises."""
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


_READING = """\
Candidates of three tiny kernels (relu of 4,096, a product of 16 x 32 x 48, 16 maxima of 64), drawn
at random, built, run, checked and timed in batches of 8; *memory* is what the session and its
workers hold alone or share, since they were warm."""


def table(shown: Endured) -> str:
    """In Markdown."""
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(shown.outcomes.items()))
    head = ["trials", "outcomes", "a second", "slowest batch", "memory at the end", "at most"]
    cells = [
        f"{shown.trials}",
        outcomes,
        f"{shown.trials / shown.seconds:.1f}",
        f"{shown.slowest:.1f} s",
        f"{shown.growth >> 20:+} MiB",
        f"{shown.peak >> 20:+} MiB",
    ]
    return f"{markdown([head, ['---:', '---', *['---:'] * 4], cells])}\n\n{_READING}"


def main() -> int:
    """Measure, write the section, and say whether it held."""
    parser = argparse.ArgumentParser(description="Very many trials in a row.")
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    shown = endure(options.trials)
    text = table(shown)
    print(text)
    if not options.print:
        command = results.command("bench.endurance")
        results.write("endurance", command, text)
    return int(shown.peak > MOST_GROWTH or shown.outcomes.keys() != {"ok"})


if __name__ == "__main__":
    raise SystemExit(main())
