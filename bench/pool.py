"""Pools: kernels whose schedules were measured, kept as data.

On a pool, searches and cost models are compared without noise and in seconds: searches on few
kernels with thousands of schedules each (``bench.replay``), cost models on many kernels with some
hundred random schedules (``bench.cost_model``).

python -m bench.pool                        every kernel that has no pool yet
python -m bench.pool conv_3x3 --trials 4000
python -m bench.pool --survey               the many with few schedules
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from luthier.autotune.measure.measurer import Measurer
from luthier.autotune.records.record import normal
from luthier.schedules import Schedule, Space, Target, Tensor, Workload, node
from luthier.schedules.target import host
from luthier.schedules.templates.registry import default, spaces

FOLDER = Path(__file__).with_name("pools")
BATCH = 32
PARENTS = 32  # whose neighbours are drawn
RANDOM = 0.5  # the share that is drawn from the whole space


@dataclass(frozen=True)
class Pool:
    """``seconds`` of each schedule (knobs in ``normal`` order), infinite where it failed.

    ``drawn`` are those drawn at random from the whole space.
    """

    name: str
    workload: Workload
    target: Target
    seconds: Mapping[Schedule, float]
    drawn: frozenset[Schedule]

    @property
    def best(self) -> float:
        """Seconds of the fastest."""
        return min(self.seconds.values())

    @property
    def default(self) -> Schedule:
        """Where every search starts."""
        return normal(default(self.workload, self.target))

    def write(self) -> None:
        """To its file, which appears whole or not at all."""
        head = {"workload": self.workload.to_json(), "target": self.target.to_json()}
        rows = sorted((str(s), s, t) for s, t in self.seconds.items())
        kinds = {_kind(s): [k for k, _ in s.knobs] for _, s, _ in rows}
        lines = [json.dumps({**head, "knobs": kinds})]
        for _, schedule, seconds in rows:
            time = float(f"{seconds:.5g}") if math.isfinite(seconds) else None
            choices = [v for _, v in schedule.knobs]
            lines.append(json.dumps([_kind(schedule), *choices, time, int(schedule in self.drawn)]))
        FOLDER.mkdir(exist_ok=True)
        partial = FOLDER / f"{self.name}.partial"
        partial.write_text("\n".join(lines) + "\n")
        partial.replace(FOLDER / f"{self.name}.jsonl")


def read(name: str) -> Pool:
    """The pool in a file of ``FOLDER``."""
    head, *rows = map(json.loads, (FOLDER / f"{name}.jsonl").read_text().splitlines())
    seconds: dict[Schedule, float] = {}
    drawn = set()
    for kind, *choices, time, by_chance in rows:
        template, version = kind.split("@")
        knobs = tuple(zip(head["knobs"][kind], choices, strict=True))
        schedule = Schedule(template, int(version), knobs)
        seconds[schedule] = math.inf if time is None else time
        if by_chance:
            drawn.add(schedule)
    target = Target.from_json(head["target"])
    workload = Workload.from_json(head["workload"])
    return Pool(name, workload, target, seconds, frozenset(drawn))


def names() -> list[str]:
    """Of the pools that are there."""
    return sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def _kind(schedule: Schedule) -> str:
    return f"{schedule.template}@{schedule.version}"


# ---- kernels ----


def conv(
    size: int, channels: tuple[int, int], kernel: int = 3, *, stride: int = 1, groups: int = 1
) -> Workload:
    """A convolution of a square image with bias and ReLU."""
    pad, out_size = kernel // 2, (size - 1) // stride + 1
    out = Tensor((1, out_size, out_size, channels[1]))
    attrs = {"strides": (stride, stride), "pads": (pad,) * 4, "dilations": (1, 1)}
    image = Tensor((1, size, size, channels[0]))
    weight = Tensor((channels[1], kernel, kernel, channels[0] // groups))
    nodes = (
        node("conv2d", (0, 1), out, **attrs, groups=groups),
        node("add", (3, 2), out),
        node("relu", (4,), out),
    )
    return Workload((image, weight, Tensor((channels[1],))), (False, True, True), nodes)


def product(rows: int, columns: int, depth: int) -> Workload:
    """A matrix product with constant B and bias."""
    out = Tensor((rows, columns))
    inputs = (Tensor((rows, depth)), Tensor((depth, columns)), Tensor((columns,)))
    nodes = (node("matmul", (0, 1), out, transpose_b=False), node("add", (3, 2), out))
    return Workload(inputs, (False, True, True), nodes)


KERNELS: Mapping[str, Workload] = {
    "conv_first": conv(112, (3, 32), stride=2),
    "conv_3x3": conv(28, (96, 128)),
    "conv_3x3_stride": conv(28, (128, 256), stride=2),
    "conv_1x1": conv(28, (192, 64), 1),
    "conv_1x1_wide": conv(14, (112, 672), 1),
    "depthwise": conv(28, (144, 144), 5, groups=144),
    "product": product(128, 384, 1536),
    "product_small": product(49, 320, 160),
}


def _survey() -> Iterator[tuple[str, Workload]]:
    """Kernels of random sizes, with each kind as frequent as in models."""
    rng = random.Random(0)
    channels = (16, 24, 32, 48, 64, 96, 128, 160, 192, 256, 320, 512)

    def image(largest: int) -> int:
        return rng.choice([n for n in (7, 10, 14, 20, 28, 40, 56, 80, 112) if n <= largest])

    for i in range(10):
        inside, outside = rng.choice(channels), rng.choice(channels)
        yield f"survey_1x1_{i}", conv(image(56), (inside, outside), 1)
    for i in range(8):
        inside, outside = rng.choice(channels[:10]), rng.choice(channels[:10])
        yield f"survey_3x3_{i}", conv(image(28), (inside, outside), 3, stride=rng.choice((1, 1, 2)))
    for i in range(2):
        yield f"survey_first_{i}", conv(image(112), (3, rng.choice((16, 64))), rng.choice((3, 7)))
    for i in range(4):
        wide, kernel = rng.choice(channels[1:]), rng.choice((3, 3, 5, 7))
        stride = rng.choice((1, 1, 2))
        yield (
            f"survey_depthwise_{i}",
            conv(image(56), (wide,) * 2, kernel, stride=stride, groups=wide),
        )
    for i in range(8):
        rows = rng.choice((1, 16, 49, 128, 196, 256))
        yield (
            f"survey_product_{i}",
            product(rows, 3 * rng.choice(channels), 2 * rng.choice(channels)),
        )


SURVEY: Mapping[str, Workload] = dict(_survey())

# ---- measuring ----


def fill(
    name: str,
    trials: int,
    target: Target,
    measurer: Measurer,
    *,
    by_chance: float = RANDOM,
    seed: int = 0,
) -> Iterator[Pool]:
    """Measure schedules until the pool has ``trials``; yields it now and then, and at the end.

    A share of them is drawn ``by_chance``; the others are neighbours of the fastest, so that the
    best are among them.
    """
    workload = {**KERNELS, **SURVEY}[name]
    rng = random.Random(f"{seed} {name}")
    drawn: set[Schedule] = set()
    for known in explored(workload, trials, measurer, rng, by_chance, drawn):
        yield Pool(name, workload, target, dict(known), frozenset(drawn))


def explored(
    workload: Workload,
    trials: int,
    measurer: Measurer,
    rng: random.Random,
    by_chance: float,
    drawn: set[Schedule],
) -> Iterator[Mapping[Schedule, float]]:
    """Seconds of ever more schedules, the default first, up to ``trials`` or all that there are;
    ``drawn`` gets those of them that are random."""
    target = measurer.target
    found = spaces(workload, target)
    known: dict[Schedule, float] = {}
    waiting = [default(workload, target)]
    while waiting and len(known) < trials:
        for shown in measurer.measure(workload, waiting, min(known.values(), default=None)):
            record = measurer.record(workload, shown)
            known[record.schedule] = record.seconds
        yield known
        wanted = min(BATCH, trials - len(known))
        fresh = _fresh(found, known, rng, wanted, by_chance)
        drawn.update(normal(s) for s, at_random in fresh if at_random)
        waiting = [schedule for schedule, _ in fresh]


def _fresh(
    found: Sequence[Space],
    known: Mapping[Schedule, float],
    rng: random.Random,
    count: int,
    share: float,
) -> list[tuple[Schedule, bool]]:
    """Schedules to measure next, and whether each is random; fewer where no more exist."""
    fastest = sorted(known, key=lambda s: known[s])[:PARENTS]
    fresh: dict[Schedule, tuple[Schedule, bool]] = {}
    for _ in range(50 * count):
        if len(fresh) == count:
            break
        space = rng.choice(found)
        drawn = space.sample(rng)
        by_chance = rng.random() <= share
        if not by_chance:
            parent = rng.choice(fastest)
            owners = [s for s in found if s.template == parent.template]
            near = [n for s in owners for n in itertools.islice(s.neighbours(parent), 200)]
            drawn, by_chance = (rng.choice(near), False) if near else (drawn, True)
        if normal(drawn) not in known:
            fresh.setdefault(normal(drawn), (drawn, by_chance))
    return list(fresh.values())


def main() -> None:
    """Measure the pools that are asked for."""
    parser = argparse.ArgumentParser(description="Measure pools of schedules.")
    parser.add_argument("kernels", nargs="*", choices=[*KERNELS, []], help="default: the missing")
    parser.add_argument("--trials", type=int, help="default: 2000, of the survey 256")
    parser.add_argument("--survey", action="store_true", help="schedules by chance of many kernels")
    options = parser.parse_args()
    target = host()
    chosen = SURVEY if options.survey else KERNELS
    wanted: Any = options.kernels or [name for name in chosen if name not in names()]
    trials = options.trials or (256 if options.survey else 2000)
    share = 1.0 if options.survey else RANDOM
    console = Console(stderr=True)
    with Measurer(target) as measurer, Progress(console=console) as bar:
        for name in wanted:
            task = bar.add_task(name, total=trials)
            for pool in fill(name, trials, target, measurer, by_chance=share):
                bar.update(task, completed=len(pool.seconds))
                pool.write()


if __name__ == "__main__":
    main()
