"""How fast logs with a hundred thousand records are, into RESULTS.md.

python -m bench.logs
python -m bench.logs --records 10000 --print
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import luthier.logs
from bench import results
from bench.standings import markdown
from bench.trials import convolution
from luthier.autotune import Machine, Outcome, Record, Sources, Store, Timing, write_pack
from luthier.schedules import Knob, Schedule, Space, Target, Workload

KERNELS = 500
THREADS = (1, 2, 4, 8)
QUERIES = 200
_T = TypeVar("_T")
_READING = """\
{records} made-up records of {kernels} kernels on {machines} kinds of machines, in a SQLite file of
{size:.0f} MB and in packs that share half of their records. *Best* is the median over {queries}
kernels, and the slowest in brackets; which schedules are valid is known by then. Goals: open 1 s,
best 1 ms, merge 10 s."""


def _kernels() -> list[Workload]:
    rng = random.Random(0)
    channels = range(8, 520, 8)
    found = {
        convolution(rng.choice((7, 14, 28, 56)), rng.choice(channels), rng.choice(channels), 3)
        for _ in range(2 * KERNELS)
    }
    return sorted(found, key=lambda w: w.key)[:KERNELS]


def made_up(count: int, first: int = 0) -> Iterator[Record]:
    """Records number ``first`` and on, the same ones each time."""
    kernels = _kernels()
    machines = [
        Machine(Target("x86-64-v3", "znver3", n), "AuthenticAMD", "zen3", ("avx2", "fma"), 8, True)
        for n in THREADS
    ]
    for number in range(first, first + count):
        rng = random.Random(number)
        middle = rng.uniform(1e-5, 1e-3)
        yield Record(
            kernels[number % len(kernels)],
            machines[number // len(kernels) % len(machines)],
            Schedule("fake", 1, (("number", number % 5000), ("order", "rows"))),
            Outcome.OK,
            Timing.of([middle * (1 + i / 200) for i in range(5)]),
            True,
            "",
            (("llvm", "22"), ("luthier", "0.1.0"), ("tvm", "0.27.0")),
            f"2025-01-01T{number // 3600000 % 24:02d}:{number // 60000 % 60:02d}:"
            f"{number // 1000 % 60:02d}.{number % 1000:03d}Z",
        )


def _spaces(workload: Workload, target: Target) -> tuple[Space, ...]:
    knobs = Knob("number", tuple(range(5000)), ""), Knob("order", ("rows",), "")
    return (Space("fake", 1, knobs, {"number": 0, "order": "rows"}),)


def _timed(work: Callable[[], _T]) -> tuple[float, _T]:
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def measured(records: int, folder: Path) -> tuple[list[list[str]], str]:
    """The table's rows, and how to read them."""
    path, rows = folder / "log.db", []
    with Store.open(path, create=True) as store:
        adding, _ = _timed(lambda: store.add(made_up(records)))
    rows.append(["add them, a thousand at once", f"{adding:.1f} s"])

    def opened() -> Store:
        store = Store.open(path)
        store.machines()
        return store

    opening, store = _timed(opened)
    rows.append(["open", f"{opening:.3f} s"])
    with Sources(store, (), Target("x86-64-v3", "znver3", THREADS[1]), _spaces) as sources:
        asked = _kernels()[:QUERIES]
        assert all(map(sources.best, asked))
        times = sorted(_timed(partial(sources.best, workload))[0] for workload in asked)
    rows.append(["best", f"{1e3 * statistics.median(times):.2f} ms ({1e3 * times[-1]:.2f})"])
    exporting, _ = _timed(lambda: luthier.logs.export(path, folder / "one.jsonl"))
    rows.append(["export all into a pack", f"{exporting:.1f} s"])
    write_pack(folder / "other.jsonl", made_up(records, records // 2))
    sources = [folder / "one.jsonl", folder / "other.jsonl"]
    merging, report = _timed(lambda: luthier.logs.merge(sources, folder / "both.jsonl"))
    assert report.records == records + records // 2
    rows.append(["merge two such packs", f"{merging:.1f} s"])
    checking, verified = _timed(lambda: luthier.logs.verify([path]))
    assert verified.ok
    rows.append(["verify the file", f"{checking:.1f} s"])
    reading = _READING.format(
        records=f"{records:,}",
        kernels=KERNELS,
        machines=len(THREADS),
        size=path.stat().st_size / 1e6,
        queries=QUERIES,
    )
    return rows, reading


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description="Logs with many records.")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows, reading = measured(options.records, Path(folder))
    text = f"{markdown([['', 'time'], ['---', '---:'], *rows])}\n\n{reading}"
    print(text)
    if not options.print:
        results.write("logs", results.command("bench.logs"), text)


if __name__ == "__main__":
    main()
