"""The command line: ``python -m tests.fuzz --help``."""

from __future__ import annotations

import argparse
import json
import re
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from luthier.schedules.target import available_cores

from . import report
from .case import Case
from .judge import Verdict
from .minimise import minimise
from .search import SECONDS, Find, Tally, dead, search
from .workers import DeadError, Worker

WRONG = Verdict.WRONG.value
_MOST_MINIMISED = 12
_MINIMISING = 300.0  # seconds, for all of them


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where nothing was found, 1 where something was."""
    options = _parser().parse_args(arguments)
    if options.case:
        return _again(options.case)
    if options.minutes is None and options.graphs is None:
        options.minutes = 2.0
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    print(f"seed {seed}", file=sys.stderr, flush=True)
    tally = search(
        seed, options.minutes, options.graphs, options.keep, options.jobs, report.progress
    )
    small = _minimised(tally)
    if options.json:
        print(json.dumps(report.to_json(tally)))
    else:
        print(report.text(tally, small))
    if options.results:
        report.write(tally)
    return int(bool(tally.finds))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Random models, built and run as users' are, against ONNX Runtime.",
        epilog="Example: python -m tests.fuzz --minutes 10 --seed 1 --keep finds",
    )
    parser.add_argument("--minutes", type=float, help="when to stop (2, unless --graphs is given)")
    parser.add_argument("--graphs", type=int, help="stop after this many graphs")
    parser.add_argument("--seed", type=int, help="the same seed, the same graphs (a fresh one)")
    parser.add_argument("--jobs", type=int, default=available_cores(), help="processes (all cores)")
    parser.add_argument("--keep", type=Path, default=Path("finds"), help="folder for finds (finds)")
    parser.add_argument("--case", type=Path, help="try one saved case again")
    parser.add_argument("--json", action="store_true", help="counts and finds as JSON")
    parser.add_argument(
        "--results", action="store_true", help="write the counts to bench/RESULTS.md"
    )
    return parser


def _again(folder: Path) -> int:
    """Try a saved case, and say what became of it."""
    with Worker() as worker:
        outcome = ask(worker, folder)
    print(f"{outcome['verdict']}: {outcome['detail']}".rstrip(": "))
    return int(outcome["verdict"] in report.FINDS)


def ask(worker: Worker, folder: Path) -> dict[str, object]:
    """The outcome of a saved case."""
    request = {"case": str(folder), "folder": str(folder.parent / "tried")}
    try:
        return worker.ask(request, SECONDS)[0]
    except DeadError as error:
        return dead("", error)


def likeness(verdict: str, detail: str) -> tuple[str, str]:
    """What finds of one cause have in common: the kind, and the text without names and numbers."""
    if verdict == WRONG:
        return verdict, ""
    return verdict, re.sub(r"'[^']*'|\d+", "", detail)[:160]


def _minimised(tally: Tally) -> dict[Find, Case]:
    """Small cases of a few finds of every kind, each saved beside the find's own."""
    end = time.monotonic() + _MINIMISING
    small: dict[Find, Case] = {}
    seen: set[tuple[str, str]] = set()
    for find in tally.finds:
        kind = likeness(find.verdict, find.detail)
        if len(small) < _MOST_MINIMISED and (kind not in seen or find.verdict == WRONG):
            seen.add(kind)
            if (find.folder / "case.json").exists() and time.monotonic() < end:
                small[find] = _smaller(find, kind)
    return small


def _smaller(find: Find, kind: tuple[str, str]) -> Case:
    with Worker() as worker:

        def fails(smaller: Case) -> bool:
            place = find.folder.with_name(find.folder.name + ".candidate")
            smaller.save(place)
            outcome = ask(worker, place)
            return likeness(str(outcome["verdict"]), str(outcome["detail"])) == kind

        case = minimise(Case.load(find.folder), fails)
    case.save(report.small_folder(find))
    return case


if __name__ == "__main__":
    raise SystemExit(main())
