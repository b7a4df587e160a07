"""Default schedules beside the best that is found in their spaces, into RESULTS.md.

python -m bench.defaults --rows rows.jsonl           points drawn from each kind of the sweep
python -m bench.defaults --seed 3 --each 4 --threads 2 --print

Each kernel of a drawn point is searched: random schedules of all templates that fit, and neighbours
of the fastest. The three fastest and the default take turns, then the fastest of these and the
default alone, so that none is the best by luck. Times are the fastest tenth of the samples: a
virtual machine's neighbours slow some of them. Kernels of less than 2 us are left out, whose start
counts more than their schedule.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path

import onnx
from rich.console import Console

from bench import results
from bench.pool import explored
from bench.standings import markdown
from bench.sweep.grid import drawn
from bench.sweep.point import Point
from luthier.autotune.measure.measurer import Measurer
from luthier.autotune.records.record import normal
from luthier.frontend import import_model
from luthier.schedules import Schedule, Space, Target, Workload
from luthier.schedules.target import host
from luthier.schedules.templates.registry import default, spaces

FINALISTS, TURNS = 3, 5
LEAST = 2e-6  # seconds
BY_CHANCE = 0.6
NEAR = 1.1  # times the best's time: what a default should be within
SHOWN = 12
_HEAD = ("family", "kernels", "within 10%", "default / best", "worst")
_READING = """\
{count} kernels of 2 us and more, of {points} points that were drawn with seed {seed}, {threads}
thread(s), weights in the caches; {trials} schedules of each or all that there are, {chance:.0%} of
them random. *Within 10%*: how many defaults take at most 1.1 times as long as the best. Means are
geometric; a default that nothing beats counts 1."""

console = Console(stderr=True)


@dataclass(frozen=True)
class Found:
    """Seconds of a kernel's default schedule and of the fastest that the search found."""

    family: str
    point: str
    workload: str  # its key
    trials: int
    default: float
    best: float
    schedules: tuple[str, str]

    @property
    def ratio(self) -> float:
        """The default's time over the best's; 1 where it is the best."""
        return max(1.0, self.default / self.best)


def kernels(point: Point, target: Target) -> list[Workload]:
    """What the point's model computes by templates that leave a choice."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "point.onnx"
        onnx.save(point.model(), path)
        program = import_model(path, target)
    distinct = dict.fromkeys(call.workload for call in program.calls)
    return [each for each in distinct if _has_choice(spaces(each, target))]


def _has_choice(some: Sequence[Space]) -> bool:
    return len(list(islice(chain.from_iterable(some), 2))) > 1


def searched(
    point: Point, workload: Workload, measurer: Measurer, trials: int, seed: int
) -> Found | None:
    """The default beside the best of ``trials``; None where it takes next to nothing."""
    rng = random.Random(f"{seed} {workload.key}")
    known: dict[Schedule, float] = {}
    for state in explored(workload, trials, measurer, rng, BY_CHANCE, set()):
        known = dict(state)
    first = normal(default(workload, measurer.target))
    if not LEAST <= known.get(first, 0.0) < math.inf:
        return None
    others = sorted((s for s in known if s != first), key=lambda s: known[s])[:FINALISTS]
    timed = _in_turns(measurer, workload, [first, *others])
    best = min(timed, key=lambda s: timed[s])
    if best != first:
        timed = _in_turns(measurer, workload, [first, best])
    named = str(first), str(best)
    key = workload.key
    return Found(point.family, point.name, key, len(known), timed[first], timed[best], named)


def _in_turns(
    measurer: Measurer, workload: Workload, some: Sequence[Schedule]
) -> Mapping[Schedule, float]:
    """The fastest tenth of each one's samples, in seconds."""
    timed = measurer.compare(workload, some, rounds=TURNS)
    return {t.schedule: t.samples[len(t.samples) // 10] for t in timed if t.samples}


def measured(points: Sequence[Point], target: Target, trials: int, seed: int, rows: Path) -> None:
    """Search what ``rows`` has not, and add it there."""
    there = {found.workload for found in read(rows)}
    with Measurer(target, cold=False) as measurer, rows.open("a") as file:
        for point in points:
            for workload in kernels(point, target):
                if workload.key in there:
                    continue
                there.add(workload.key)
                found = searched(point, workload, measurer, trials, seed)
                if found is None:
                    continue
                file.write(json.dumps(asdict(found)) + "\n")
                file.flush()
                text = f"{found.family}: {found.point}: {found.ratio:.2f} of {found.trials}"
                console.print(text, highlight=False, markup=False)


def read(rows: Path) -> list[Found]:
    """What a file of rows has."""
    if not rows.exists():
        return []
    loaded = map(json.loads, rows.read_text().splitlines())
    return [Found(**{**row, "schedules": tuple(row["schedules"])}) for row in loaded]


def table(found: Sequence[Found]) -> str:
    """By family, then those that are furthest from their best."""
    families = defaultdict[str, list[Found]](list)
    for each in found:
        families[each.family].append(each)
    families["**all**"] = list(found)
    rows = [_family(name, some) for name, some in families.items()]
    worst = sorted(found, key=lambda f: -f.ratio)[:SHOWN]
    named = list(_worst(worst))
    head = ("kernel of", "default us", "best us", "default / best", "default; best")
    return f"{_table(_HEAD, rows)}\n\n{_table(head, named)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return markdown([head, ["---", *["---:"] * (len(head) - 1)], *rows])


def _family(name: str, some: Sequence[Found]) -> Sequence[str]:
    near = sum(each.ratio <= NEAR for each in some)
    ratios = [each.ratio for each in some]
    mean = statistics.geometric_mean(ratios)
    return name, str(len(some)), f"{near / len(some):.0%}", f"{mean:.2f}", f"{max(ratios):.2f}"


def _worst(some: Sequence[Found]) -> Iterator[Sequence[str]]:
    for f in some:
        own, best = (f"`{s}`" for s in f.schedules)
        times = f"{f.default * 1e6:.1f}", f"{f.best * 1e6:.1f}", f"{f.ratio:.2f}"
        yield f"{f.family}: {f.point}", *times, f"{own}; {best}"


def main() -> None:
    """Search the kernels and write the section."""
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="of the points that are drawn")
    parser.add_argument("--each", type=int, default=8, help="points of each kind")
    parser.add_argument("--trials", type=int, default=48, help="schedules of each kernel")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=Path, help="a file that keeps what was found")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    points = drawn(options.seed, options.each)
    with tempfile.TemporaryDirectory() as folder:
        rows = options.rows or Path(folder) / "rows.jsonl"
        measured(points, host(options.threads), options.trials, options.seed, rows)
        found = read(rows)
    reading = _READING.format(
        count=len(found),
        points=len(points),
        seed=options.seed,
        threads=options.threads,
        trials=options.trials,
        chance=BY_CHANCE,
    )
    text = f"{table(found)}\n\n{reading}"
    if options.print:
        print(text)
    else:
        results.write("defaults", results.command("bench.defaults"), text)


if __name__ == "__main__":
    main()
