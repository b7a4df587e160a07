"""Who is how fast: tables of measured rows and their geometric means."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.turns import DIFFERS, OURS, Row

BEST = "best peer"


@dataclass(frozen=True)
class Standing:
    """A row, the milliseconds that its model's direct operations take at the machine's measured
    peak, and whether Winograd has a good part of these operations.
    """

    row: Row
    floor: float
    winograd: bool

    @property
    def peers(self) -> list[str]:
        """Labels of the peers that ran."""
        return [label for label in self.row.turns if label != OURS]

    @property
    def best(self) -> str | None:
        """The peer with the smallest median; None where none ran."""
        return min(self.peers, key=self.row.milliseconds, default=None)

    @property
    def of_peak(self) -> float:
        """The floor over Luthier's time, above 1 where Winograd does fewer operations."""
        return self.floor / self.row.milliseconds(OURS)

    def ratios(self, peer: str) -> tuple[float, float, float] | None:
        """Quartiles of a peer's, or BEST's, time over Luthier's; None where it did not run."""
        label = self.best if peer == BEST else peer
        return self.row.ratios(label, OURS) if label in self.row.turns else None


def table(standings: Sequence[Standing], peers: Sequence[str]) -> str:
    """A line for each model and number of threads."""
    head = ["model", "threads", "Luthier ms", *(f"{p} ms" for p in peers)]
    head += [f"{BEST} / Luthier", "of the peak"]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for standing in standings:
        row, ratios = standing.row, standing.ratios(BEST)
        spread = "{1:.2f} ({0:.2f} to {2:.2f})".format(*ratios) if ratios else ""
        times = [_milliseconds(row, p, bold=p == standing.best) for p in (OURS, *peers)]
        lines.append([row.model, str(row.threads), *times, spread, f"{standing.of_peak:.0%}"])
    return markdown(lines)


def means(standings: Sequence[Standing], peers: Sequence[str]) -> str:
    """Geometric means of the ratios against each peer and against the best of each model."""
    head = ["against", "threads", "all models", "least", "with Winograd", "without"]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for peer in (BEST, *peers):
        for threads in sorted({s.row.threads for s in standings}):
            some = [s for s in standings if s.row.threads == threads]
            least = min(_medians(some, peer), default=None)
            groups = (some, [s for s in some if s.winograd], [s for s in some if not s.winograd])
            every, *parts = (_mean(group, peer) for group in groups)
            worst = "" if least is None else f"{least:.2f}"
            lines.append([peer, str(threads), every, worst, *parts])
    return markdown(lines)


def short_table(standings: Sequence[Standing], peers: Sequence[str]) -> str:
    """Milliseconds alone, with the most threads."""
    rows = [s.row for s in standings]
    threads = max(row.threads for row in rows)
    lines = [["model", "Luthier", *peers], ["---"] + ["---:"] * (1 + len(peers))]
    for row in (r for r in rows if r.threads == threads):
        lines.append([row.model, *(_milliseconds(row, p) for p in (OURS, *peers))])
    return markdown(lines)


def percentages(shares: Sequence[float]) -> str:
    """Their median and range: ``98.3% (97.7% to 102.3%)``."""
    return f"{statistics.median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})"


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table's text; the second line says how columns are aligned."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _milliseconds(row: Row, label: str, bold: bool = False) -> str:
    if label in row.turns:
        text = f"{row.milliseconds(label):.2f}"
        return f"**{text}**" if bold else text
    return DIFFERS if row.failures[label].startswith(DIFFERS) else "fails"


def _medians(standings: Sequence[Standing], peer: str) -> list[float]:
    return [ratios[1] for s in standings if (ratios := s.ratios(peer))]


def _mean(standings: Sequence[Standing], peer: str) -> str:
    medians = _medians(standings, peer)
    return f"{statistics.geometric_mean(medians):.2f} ({len(medians)})" if medians else ""
