"""How far two measurements of the same schedules agree, which bounds any model, into RESULTS.md.

python -m bench.agreement
python -m bench.agreement survey_3x3_0 --print

Kernels are those of ``bench.pool``, their schedules drawn by chance, and measured in another order
the second time.
"""

from __future__ import annotations

import argparse
import random
import statistics

import numpy as np
from rich.console import Console

from bench import pool, results
from bench.cost_model import MOST, Floats, Quality, quality
from bench.standings import markdown
from luthier.autotune.measure.measurer import Measurer
from luthier.autotune.records.record import normal
from luthier.schedules import Schedule, Target, Workload
from luthier.schedules.target import host
from luthier.schedules.templates.registry import spaces

EVERY = 3  # pools, of which one is measured
_HEAD = "kernels,schedules,pairwise,top 1,top 5,differ by 5%,pairwise of these".split(",")
_READING = """\
Each of the schedules was measured twice on this machine, and the first times rank the second ones:
what a model that knew the first times by heart would get. Means over kernels, the worst kernel in
brackets. *Differ by 5%*: the share of pairs whose second times are so far apart, and how many of
them the first times have in the right order."""

console = Console(stderr=True)


def clear_pairs(first: Floats, second: Floats, factor: float = 1.05) -> tuple[float, float]:
    """The share of pairs that are so far apart in ``second``, and of them in the same order."""
    i, j = np.triu_indices(len(second), 1)
    clear = np.abs(np.log(second[i] / second[j])) > np.log(factor)
    same = (first[i] < first[j]) == (second[i] < second[j])
    return float(clear.mean()), float(same[clear].mean()) if clear.any() else 1.0


def drawn(workload: Workload, target: Target) -> list[Schedule]:
    """Up to ``MOST`` of all of its spaces, in ``normal`` order."""
    rng, found = random.Random(workload.key), spaces(workload, target)
    some = (normal(rng.choice(found).sample(rng)) for _ in range(4 * MOST))
    return list(dict.fromkeys(some))[:MOST]


def measured_twice(
    workload: Workload, schedules: list[Schedule], target: Target, measurer: Measurer
) -> tuple[Floats, Floats]:
    """Seconds of those that ran both times; ``schedules`` are in ``normal`` order."""
    shuffled = random.Random(0).sample(schedules, len(schedules))
    found: list[dict[Schedule, float]] = []
    for some in (schedules, shuffled):
        records = (measurer.record(workload, m) for m in measurer.measure(workload, some))
        found.append({record.schedule: record.seconds for record in records})
    both = [s for s in schedules if np.isfinite([f[s] for f in found]).all()]
    return np.array([found[0][s] for s in both]), np.array([found[1][s] for s in both])


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description="Two measurements of the same schedules.")
    parser.add_argument("pools", nargs="*", help=f"default: every {EVERY}rd")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    names = options.pools or pool.names()[::EVERY]
    target = host()
    found: list[Quality] = []
    clear: list[tuple[float, float]] = []
    count = 0
    with Measurer(target) as measurer:
        for name in names:
            workload = {**pool.KERNELS, **pool.SURVEY}[name]
            schedules = drawn(workload, target)
            first, second = measured_twice(workload, schedules, target, measurer)
            found.append(quality(-first, second))
            clear.append(clear_pairs(first, second))
            count += len(first)
            console.print(name, found[-1], clear[-1], highlight=False)
    cells = [f"{statistics.mean(v):.3f} ({min(v):.2f})" for v in _columns(found, clear)]
    text = markdown([_HEAD, ["---:"] * len(_HEAD), [f"{len(names)}", f"{count}", *cells]])
    text = f"{text}\n\n{_READING}"
    print(text)
    if not options.print:
        command = results.command("bench.agreement")
        results.write("agreement", command, text)


def _columns(found: list[Quality], clear: list[tuple[float, float]]) -> list[list[float]]:
    judged = [[getattr(q, name) for q in found] for name in ("pairwise", "top1", "top5")]
    return [*judged, [share for share, _ in clear], [right for _, right in clear]]


if __name__ == "__main__":
    main()
