"""Searches compared on pools of measured schedules: without noise, and in seconds.

python -m bench.replay                      every pool, into RESULTS.md
python -m bench.replay conv_3x3 --print
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import pool, results
from bench.pool import Pool
from bench.standings import markdown
from luthier.autotune.records.record import normal
from luthier.autotune.search.history import History
from luthier.autotune.search.model import CostModel, Examples
from luthier.autotune.search.proposals import KernelSearch
from luthier.schedules import Schedule
from luthier.schedules.templates.registry import spaces

TRIALS = 128
SEEDS = 5
SHOWN = (8, 16, 32, 64, 128)
BATCH = 8
PICTURE = Path(__file__).with_name("replay.svg")

Trials = Iterator[Schedule]
Tell = Mapping[Schedule, float]  # what was measured so far, in order
Search = Callable[[Pool, Sequence[Pool], Tell, int], Trials]


def shuffled(pool: Pool, others: Sequence[Pool], known: Tell, seed: int) -> Trials:
    """Drawn from the whole space."""
    some = sorted(pool.drawn, key=str)
    random.Random(seed).shuffle(some)
    yield from some


def evolution(pool: Pool, others: Sequence[Pool], known: Tell, seed: int) -> Trials:
    """Neighbours of one of the eight fastest, or now and then any."""
    rng = random.Random(seed)
    everything = sorted(pool.drawn, key=str)
    while True:
        parents = sorted(known, key=lambda s: known[s])[:8]
        near = [s for s in neighbours(pool, rng.choice(parents)) if s not in known]
        yield rng.choice(near if near and rng.random() > 0.1 else everything)


def descent(pool: Pool, others: Sequence[Pool], known: Tell, seed: int) -> Trials:
    """All neighbours of the fastest, one knob after the other; where none is left, any."""
    rng = random.Random(seed)
    everything = sorted(pool.drawn, key=str)
    while True:
        best = min(known, key=lambda s: known[s])
        near = [s for s in neighbours(pool, best) if s not in known]
        yield near[0] if near else rng.choice(everything)


def cold(pool: Pool, others: Sequence[Pool], known: Tell, seed: int) -> Trials:
    """Luthier's, which has no records but its own."""
    yield from _luthier(pool, (), known, seed)


def warm(pool: Pool, others: Sequence[Pool], known: Tell, seed: int) -> Trials:
    """Luthier's, with the records of all other pools."""
    yield from _luthier(pool, others, known, seed)


SEARCHES: Mapping[str, Search] = {
    "random": shuffled,
    "evolution": evolution,
    "coordinate descent": descent,
    "Luthier, cold": cold,
    "Luthier, warm": warm,
}


def _luthier(pool: Pool, others: Sequence[Pool], known: Tell, seed: int) -> Trials:
    before = [Examples(o.workload, o.target, [*o.seconds], [*o.seconds.values()]) for o in others]
    model = CostModel(seed=seed)
    model.fit(before)
    history, valid = History(pool.workload), spaces(pool.workload, pool.target)
    search = KernelSearch(history, pool.target, valid, seed, among=pool.seconds)
    seen = 0
    while not search.exhausted:
        for schedule, seconds in itertools.islice(known.items(), seen, None):
            history.tell(schedule, seconds)
        seen = len(known)
        yield from search.propose(BATCH, model)


def neighbours(pool: Pool, schedule: Schedule) -> list[Schedule]:
    """Members that differ in one knob."""
    knobs = dict(schedule.knobs)
    return [
        other
        for other in pool.seconds
        if other.template == schedule.template and sum(knobs[k] != v for k, v in other.knobs) == 1
    ]


def curve(
    search: Search, pool: Pool, others: Sequence[Pool], trials: int, seed: int
) -> list[float]:
    """The best of the pool over the best so far, after each trial; the default comes first."""
    known: dict[Schedule, float] = {pool.default: pool.seconds[pool.default]}
    for schedule in search(pool, others, known, seed):
        if len(known) == min(trials, len(pool.seconds)):
            break
        known.setdefault(normal(schedule), pool.seconds[normal(schedule)])
    shares = [pool.best / best for best in itertools.accumulate(known.values(), min)]
    return shares + shares[-1:] * (trials - len(shares))


@dataclass(frozen=True)
class Curve:
    """``shares[i]`` of a pool's best after ``i + 1`` trials, the median over seeds."""

    search: str
    pool: str
    shares: tuple[float, ...]


def replay(pools: Sequence[Pool], trials: int = TRIALS, seeds: int = SEEDS) -> list[Curve]:
    """Every search on every pool."""
    console = Console(stderr=True)
    found = []
    for (name, search), one in itertools.product(SEARCHES.items(), pools):
        others = [p for p in pools if p is not one]
        curves = [curve(search, one, others, trials, seed) for seed in range(seeds)]
        found.append(
            Curve(name, one.name, tuple(map(statistics.median, zip(*curves, strict=True))))
        )
        console.print(
            f"{name}, {one.name}: {found[-1].shares[min(63, trials - 1)]:.3f}", highlight=False
        )
    return found


def table(curves: Sequence[Curve]) -> str:
    """The median over pools, and the least, for each search and number of trials."""
    lines = [["search", *(f"{n} trials" for n in SHOWN)], ["---", *["---:"] * len(SHOWN)]]
    for name in dict.fromkeys(c.search for c in curves):
        some = [c.shares for c in curves if c.search == name]
        cells = []
        for n in SHOWN:
            at = [shares[n - 1] for shares in some if n <= len(shares)]
            cells.append(f"{statistics.median(at):.1%} ({min(at):.1%})" if at else "")
        lines.append([name, *cells])
    return markdown(lines)


def draw(curves: Sequence[Curve], path: Path) -> None:
    """An SVG: the geometric mean over pools of the share of the best, against trials."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "luthier", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure((6.4, 3.2), layout="constrained")
        axes = figure.add_subplot()
        for name in dict.fromkeys(c.search for c in curves):
            some = [c.shares for c in curves if c.search == name]
            means = [math.prod(at) ** (1 / len(at)) for at in zip(*some, strict=True)]
            axes.plot(range(1, len(means) + 1), means, label=name)
        axes.set_xscale("log", base=2)
        axes.set_xlabel("trials")
        axes.set_ylabel("best of the pool / best so far")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


READING = """
The share of the pool's best speed that a search has reached after that many trials, the default
schedule being the first: the median over kernels of medians over {seeds} seeds, and the least
kernel's in brackets. Pools have {sizes} schedules, half drawn at random and half neighbours of the
fastest. *Warm* has the records of all other pools. TVM's XGBModel is not shown: it ranks at random
until it has 100 samples, so up to there its line is that of *random*.
"""


def main() -> None:
    """Replay, and write the section."""
    parser = argparse.ArgumentParser(description="Searches on pools of measured schedules.")
    parser.add_argument("pools", nargs="*", help="default: all")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    there = [name for name in pool.names() if name in pool.KERNELS]
    pools = [pool.read(name) for name in options.pools or there]
    curves = replay(pools)
    sizes = sorted(len(p.seconds) for p in pools)
    reading = READING.format(seeds=SEEDS, sizes=f"{sizes[0]} to {sizes[-1]}")
    text = f"![Curves of the table](replay.svg)\n\n{table(curves)}\n{reading}".rstrip()
    print(text)
    if not options.print:
        draw(curves, PICTURE)
        results.write("replay", results.command("bench.replay"), text)


if __name__ == "__main__":
    main()
