"""Counts and finds for people, for programs, and for bench/RESULTS.md."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from bench import results
from bench.standings import markdown

from .case import Case
from .judge import Verdict
from .operators import RULES
from .search import Find, Tally

FINDS = frozenset(v.value for v in Verdict if v.is_find)


def progress(tally: Tally, new: Sequence[Find]) -> None:
    """A line on standard error for each find, and every few batches."""
    for find in new:
        print(f"{find.seed}: {find.verdict}: {find.detail}", file=sys.stderr, flush=True)
    if tally.builds % 10 == 0:
        found = f"{len(tally.finds)} finds"
        counted = f"{tally.graphs} graphs, {tally.nodes} nodes, {tally.builds} builds"
        print(f"{tally.seconds:.0f} s: {counted}, {found}", file=sys.stderr, flush=True)


def text(tally: Tally, small: Mapping[Find, Case]) -> str:
    """Everything worth reading, finds last, those that were made small first."""
    lines = [
        f"seed {tally.seed}: {tally.graphs} graphs, {tally.nodes} nodes, {tally.builds} libraries "
        f"in {tally.seconds:.0f} s",
        f"operators: {_covered(tally)} of {len(RULES)} tried; {_counted(tally.operators)}",
        f"graphs with named sizes: {tally.sized}",
        f"settings: {_counted(tally.settings)}",
        f"elements: {tally.judged} of {tally.elements} judged",
        f"verdicts: {_counted(tally.verdicts)}",
        f"refused nodes: {_counted(tally.refusals) or 'none'}",
    ]
    for find in sorted(tally.finds, key=lambda f: f not in small):
        case = small.get(find)
        operators = case.operators if case else find.operators
        lines.append(f"\n{find.seed}: {find.verdict}: {find.detail}\n  {' '.join(operators)}")
        place = small_folder(find) if case else find.folder
        lines.append(f"  python -m tests.fuzz --case {place}")
    return "\n".join(lines)


def small_folder(find: Find) -> Path:
    """Where a find's small case lies."""
    return find.folder.with_name(find.folder.name + ".small")


def to_json(tally: Tally) -> dict[str, Any]:
    """All counts, and the finds."""
    data = {f.name: getattr(tally, f.name) for f in fields(tally)}
    data["finds"] = [{**asdict(f), "folder": str(f.folder)} for f in tally.finds]
    return data


def write(tally: Tally) -> None:
    """The section of bench/RESULTS.md."""
    results.write("fuzz", results.command("tests.fuzz"), section(tally))


def section(tally: Tally) -> str:
    """In Markdown."""
    head = ["seed", "graphs", "nodes", "libraries", "operators", "minutes", "judged"]
    judged = tally.judged / max(1, tally.elements)
    cells = [tally.seed, tally.graphs, tally.nodes, tally.builds, _covered(tally)]
    row = [*map(str, cells), f"{tally.seconds / 60:.0f}", f"{judged:.2%} of {tally.elements}"]
    kinds = [["verdict", "graphs"], ["---", "---:"]]
    kinds += [[v.value, str(tally.verdicts[v.value])] for v in Verdict]
    first = markdown([head, ["---:"] * len(head), row])
    return f"{first}\n\n{markdown(kinds)}\n\n{_READING}"


_READING = """\
Graphs are random ones over all supported operators, ranks, element types, levels, schedules and one
or two threads, twelve in a library. *Judged* are the output elements of which the reference is
sure: rounding decides the others. References disagree where ONNX Runtime and onnx's own evaluator
differ and the library gives what one of them does."""


def _covered(tally: Tally) -> int:
    return sum(op in tally.operators for op in RULES)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
