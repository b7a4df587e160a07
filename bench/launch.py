"""What a launch of the runtime's thread pool costs, into RESULTS.md.

python -m bench.launch                  with 1 and 2 threads
python -m bench.launch --print          leave RESULTS.md as it is

A model launches each of its kernels once a run, so this is the least that a kernel takes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bench import results
from luthier.schedules.toolchain import find_compiler

SOURCE = Path(__file__).with_name("launch.c")
BATCHES, LAUNCHES = 200, 1000
_NOTE = """\
Medians over batches of a thousand launches back to back, with their quartiles. A kernel with
nothing to do is often done by its caller before another thread looks. The second number, of which
the last is the inverse, is what it takes to start all threads and to wait for them; the goal is
2 us with two."""


@dataclass(frozen=True)
class Cost:
    """Seconds a launch, in batches: of a kernel that does nothing (``empty``), and of one where
    each thread waits until all have come (``meeting``)."""

    threads: int
    empty: tuple[float, ...]
    meeting: tuple[float, ...]


def measure(threads: Sequence[int], batches: int = BATCHES, launches: int = LAUNCHES) -> list[Cost]:
    """Compile the pool with the loop in C and run it with each number of threads."""
    with (
        tempfile.TemporaryDirectory() as name,
        resources.as_file(resources.files("luthier.schedules.native")) as native,
    ):
        program = Path(name) / "launch"
        pool = [str(native / name) for name in ("pool.c", "cores.c", "atfork.c")]
        flags = ["-std=c11", "-O2", "-pthread", f"-I{native}"]
        find_compiler().run([*flags, str(SOURCE), *pool, "-o", str(program)], Path(name))
        return [_run(program, n, batches, launches) for n in threads]


def _run(program: Path, threads: int, batches: int, launches: int) -> Cost:
    command = [str(program), str(threads), str(batches), str(launches)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    pairs = [line.split() for line in done.stdout.splitlines()]
    empty, meeting = (tuple(float(pair[i]) for pair in pairs) for i in range(2))
    return Cost(threads, empty, meeting)


def table(costs: Sequence[Cost]) -> str:
    """A Markdown table: microseconds a launch, and launches a second."""
    lines = [
        "| threads | nothing to do, us | all threads take part, us | launches a second |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for cost in costs:
        rate = 1 / statistics.median(cost.meeting)
        spreads = f"{_spread(cost.empty)} | {_spread(cost.meeting)}"
        lines.append(f"| {cost.threads} | {spreads} | {rate / 1e6:.3g} million |")
    return "\n".join([*lines, "", _NOTE])


def _spread(seconds: Sequence[float]) -> str:
    low, middle, high = (1e6 * s for s in statistics.quantiles(seconds, n=4, method="inclusive"))
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description="What a launch of the thread pool costs.")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    text = table(measure(options.threads))
    print(text)
    if not options.print:
        results.write("launch", "python -m bench.launch", text)


if __name__ == "__main__":
    main()
