"""The best peer's time over Luthier's as a picture: a bar for each model and number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.standings import BEST, Standing

COLORS = ("#8fb8de", "#2f6fab", "#17395c", "#0b1c2e")  # by number of threads, fewest first
BAR = 0.16  # inches


@dataclass(frozen=True)
class Bar:
    """First quartile, median and third quartile of a ratio."""

    model: str
    threads: int
    low: float
    middle: float
    high: float


def bars(standings: Sequence[Standing]) -> list[Bar]:
    """Of all models that a peer ran, in their order; a model's fewest threads come first."""
    order = list(dict.fromkeys(s.row.model for s in standings))
    found = [
        Bar(s.row.model, s.row.threads, *ratios) for s in standings if (ratios := s.ratios(BEST))
    ]
    return sorted(found, key=lambda bar: (order.index(bar.model), bar.threads))


def draw(bars: Sequence[Bar], path: Path) -> None:
    """An SVG, the same for the same bars."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "luthier", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure((6.4, 0.7 + BAR * len(bars)), layout="constrained")
        axes = figure.add_subplot()
        threads = sorted({bar.threads for bar in bars})
        for number, color in zip(threads, COLORS, strict=False):
            some = [(y, bar) for y, bar in enumerate(bars) if bar.threads == number]
            axes.barh(
                [y for y, _ in some],
                [bar.middle for _, bar in some],
                xerr=[
                    [bar.middle - bar.low for _, bar in some],
                    [bar.high - bar.middle for _, bar in some],
                ],
                color=color,
                ecolor="#888888",
                label=f"{number} thread{'s' * (number > 1)}",
            )
        models = [bar.model for bar in bars]
        firsts = [y for y, model in enumerate(models) if y == models.index(model)]
        middles = [y + (models.count(models[y]) - 1) / 2 for y in firsts]
        axes.set_yticks(middles, [models[y] for y in firsts])
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.axvline(1.0, color="black", linewidth=1)
        axes.set_xlabel("best peer's time / Luthier's (above 1: Luthier is faster)")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(frameon=False, loc="outside upper right", ncols=len(threads))
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
