"""``python -m tests.standard``: all cases, or those whose names a pattern is in, and the counts."""

from __future__ import annotations

import argparse
import re
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.fuzz.workers import Worker

from .left import counts, read_left, write_left
from .tried import every_case, reasons

_TOGETHER = 60  # cases of a library


def main() -> int:
    """Print the cases that do not pass, and the number of those that do by operator."""
    parser = argparse.ArgumentParser(prog="python -m tests.standard", description=__doc__)
    parser.add_argument("pattern", nargs="?", default="", help="a regular expression for names")
    parser.add_argument("--write", action="store_true", help="write tests/standard/left.txt anew")
    parser.add_argument("--counts", action="store_true", help="by the list alone: run nothing")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    asked = parser.parse_args()
    with Worker("tests.standard.worker") as worker:
        operators = every_case(worker)
    names = [name for name in operators if re.search(asked.pattern, name)]
    left = read_left() if asked.counts else _tried(names, asked.jobs)
    chosen = {name: operators[name] for name in names}
    for op, (passed, every) in counts(chosen, left).items():
        print(f"{op}: {passed} of {every}")
    for name, why in sorted(left.items() if not asked.counts else ()):
        print(f"{name}: {why}")
    print(f"{len(names) - sum(name in left for name in names)} of {len(names)} cases pass")
    if asked.write:
        kept = {} if not asked.pattern else read_left()
        write_left({n: why for n, why in kept.items() if n not in chosen} | left)
    return 0


def _tried(names: list[str], jobs: int) -> dict[str, str]:
    """The reasons of those that do not pass."""
    parts = [names[i : i + _TOGETHER] for i in range(0, len(names), _TOGETHER)]

    def run(mine: list[list[str]]) -> dict[str, str]:
        with Worker("tests.standard.worker") as worker:
            found: dict[str, str] = {}
            for number, part in enumerate(mine):
                found |= {n: why for n, why in reasons(worker, part).items() if why}
                print(f"{number + 1} of {len(mine)} parts", file=sys.stderr, flush=True)
            return found

    with ThreadPoolExecutor(jobs) as pool:
        done = pool.map(run, (parts[i::jobs] for i in range(jobs)))
        return {name: why for found in done for name, why in found.items()}


if __name__ == "__main__":
    raise SystemExit(main())
