"""Operators and shapes of every kind against other engines, into RESULTS.md.

python -m bench.sweep --rows rows.jsonl           every point, 1 and 2 threads: some hours
python -m bench.sweep --short --print             an eighth of them, minutes: did anything get slow?
python -m bench.sweep --match "conv 1d" --print   families or names that contain this
python -m bench.sweep --rows rows.jsonl --report  the tables of what was measured
python -m bench.sweep --match "product of few bits" --section few_bits     into a section of its own

A tenth of the points is drawn anew for each seed. ``--rows`` keeps each point as it is measured;
what stands there already is not measured again.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench import results, roofline
from bench.sweep import report
from bench.sweep.grid import fixed, points
from bench.sweep.measuring import OURS, PEERS, ROUNDS, Bench, Outcome
from bench.sweep.point import Point

PICTURE = Path(__file__).parent.parent / "sweep.svg"
_ALL = "sweep"  # the section
_READING = """\
*Best peer*: the time of the faster one of {peers} over ours, the geometric mean and the least;
medians of {rounds} rounds in turns, each engine through its C API with bound buffers, default
schedules. *Of the limit*: of the time that operations at the measured peak, or inputs, weights and
outputs at the measured bandwidth, would take, the median; above 100% where they come from the
caches. {drawn} of the {count} points were drawn at random, with seed {seed}."""

console = Console(stderr=True)


def measured(some: Sequence[Point], threads: Sequence[int], rows: Path, rounds: int) -> None:
    """Measure what ``rows`` has not, and add it there."""
    there = {(o.family, o.name, o.threads) for o in read(rows)}
    limits = {number: roofline.measured(number) for number in threads}
    with Bench() as bench, rows.open("a") as file:
        for number, point in enumerate(some, 1):
            for count in threads:
                if (point.family, point.name, count) in there:
                    continue
                outcome = bench.measure(point, limits[count], rounds)
                file.write(f"{outcome.to_json()}\n")
                file.flush()
                said = outcome.failures.get(OURS) or f"{outcome.seconds * 1e6:.1f} us"
                text = f"{number}/{len(some)} {point.family}: {point.name} ({count}): {said}"
                console.print(f"{text}, {outcome.best:.2f}", highlight=False, markup=False)


def read(rows: Path) -> list[Outcome]:
    """What a file of outcomes has."""
    if not rows.exists():
        return []
    return [Outcome.from_json(line) for line in rows.read_text().splitlines()]


def main() -> None:
    """Measure the points and write the section."""
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="an eighth of the points")
    parser.add_argument("--match", default="", help="only families and names that contain this")
    parser.add_argument("--seed", type=int, default=0, help="of the points that are drawn")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rows", type=Path, help="a file that keeps what was measured")
    parser.add_argument("--report", action="store_true", help="measure nothing more")
    parser.add_argument("--section", default=_ALL, help="of RESULTS.md, of some points alone")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        rows = options.rows or Path(text) / "rows.jsonl"
        if not options.report:
            some = points(options.seed, short=options.short)
            wanted = [p for p in some if options.match in f"{p.family}: {p.name}"]
            measured(wanted, options.threads, rows, options.rounds)
        outcomes = read(rows)
    chosen = {(p.family, p.name) for p in fixed()}
    names = {(o.family, o.name) for o in outcomes}
    drawn, count = len(names - chosen), len(names)
    said = _READING.format(
        peers=" and ".join(PEERS),
        rounds=options.rounds,
        drawn=drawn,
        count=count,
        seed=options.seed,
    )
    page = f"{report.tables(outcomes)}\n\n{said}"
    print(page)
    if not options.print:
        if options.section == _ALL:
            report.draw(outcomes, PICTURE)
        results.write(options.section, results.command("bench.sweep"), page)


if __name__ == "__main__":
    main()
