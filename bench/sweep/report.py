"""Outcomes of the sweep as tables and a picture."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench.standings import markdown
from bench.sweep.measuring import OURS, Outcome

_WORST = 40
_POOR, _EVEN = 0.9, 1.0


def tables(outcomes: Sequence[Outcome]) -> str:
    """By family and number of threads, then the worst points."""
    return f"{_families(outcomes)}\n\n{_worst(outcomes)}"


def _families(outcomes: Sequence[Outcome]) -> str:
    groups: dict[tuple[str, int], list[Outcome]] = defaultdict(list)
    for threads in sorted({o.threads for o in outcomes}):
        some = [o for o in outcomes if o.threads == threads]
        for family in dict.fromkeys(o.family for o in some):
            groups[family, threads] = [o for o in some if o.family == family]
        groups["**all**", threads] = some
    head = ["family", "threads", "points", "best peer", "least", f"below {_POOR}", f"below {_EVEN}",
            "of the limit", "slowest build"]  # fmt: skip
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    lines += [_line(family, threads, some) for (family, threads), some in groups.items()]
    return markdown(lines)


def _line(family: str, threads: int, some: Sequence[Outcome]) -> list[str]:
    best = [o.best for o in some]
    known = [b for b in best if 0 < b < math.inf]
    mean = f"{statistics.geometric_mean(known):.2f}" if known else ""
    below = [f"{sum(b < limit for b in best)}" for limit in (_POOR, _EVEN)]
    limit = statistics.median(o.of_limit for o in some)
    slowest = max(o.build for o in some)
    numbers = [mean, f"{min(best):.2f}", *below, f"{limit:.0%}", f"{slowest:.1f} s"]
    return [family, str(threads), str(len(some)), *numbers]


def _worst(outcomes: Sequence[Outcome]) -> str:
    head = ["point", "threads", "us", "best peer", "of the limit", "remark"]
    lines = [head, ["---", *["---:"] * (len(head) - 2), "---"]]
    for each in sorted(outcomes, key=lambda o: o.best)[:_WORST]:
        numbers = [f"{each.seconds * 1e6:.1f}", f"{each.best:.2f}", f"{each.of_limit:.0%}"]
        name = f"{each.family}: {each.name}"
        lines.append([name, str(each.threads), *numbers, each.failures.get(OURS, "")])
    return markdown(lines)


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Each point by its family: the best peer's time over ours, on a scale of powers."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    families = list(dict.fromkeys(o.family for o in outcomes))[::-1]
    with mpl.rc_context({"svg.hashsalt": "luthier", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure((6.4, 0.7 + 0.26 * len(families)), layout="constrained")
        axes = figure.add_subplot()
        for threads, colour in zip(sorted({o.threads for o in outcomes}), ("#8fb8de", "#17395c"),
                                   strict=False):  # fmt: skip
            some = [o for o in outcomes if o.threads == threads and 0 < o.best < math.inf]
            places = [families.index(o.family) + 0.2 * (1.5 - threads) for o in some]
            label = f"{threads} thread{'s' * (threads > 1)}"
            axes.scatter([o.best for o in some], places, s=6, color=colour, label=label)
        axes.set_xscale("log", base=2)
        axes.axvline(1, color="#888888", linewidth=0.8)
        axes.set_yticks(range(len(families)), families)
        axes.set_xlabel("the best peer's time over Luthier's")
        axes.legend(loc="lower right")
        figure.savefig(path, format="svg", metadata={"Date": None})
