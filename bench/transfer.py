"""What a pack of another kind of machine is worth after four trials a kernel, into RESULTS.md.

python -m bench.transfer                            five models
python -m bench.transfer resnet18 --minutes 3 --print

Each model is tuned natively, and as two other kinds of machines would: with one thread, and for a
level below. Their packs are then taken over with ``luthier tune --verify`` into an empty log. The
libraries are timed in turns. What ships with Luthier is left out.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from rich.console import Console

import luthier
import luthier.logs
from bench import results
from bench.models import all_models, cache_folder
from bench.standings import markdown, percentages
from luthier.frontend import read_model
from luthier.frontend.program.library import RUN
from luthier.inputs.samples import random_inputs
from luthier.schedules.target import available_cores, host_level
from luthier.tuning.timed import in_turns

MODELS = ("squeezenet", "shufflenet", "resnet18", "mobilenet_v2", "minilm_l6_128")
ROUNDS = 3
_BELOW = {"x86-64-v4": "x86-64-v3", "x86-64-v3": "x86-64-v2"}
_HEAD = (
    "model | pack of | kernels | trials | most a kernel | slower than default | "
    "speed, of the natively tuned | of the default"
).split(" | ")
_READING = """\
The native log and the pack are of `luthier tune --minutes {minutes:g}` each. *Trials* are what
`luthier tune --verify` made of the pack's winners and the defaults beside them; *slower than
default*, how many kernels it left with a schedule that it had measured to be slower. Speeds are
inverse times of the whole model, in turns with the other library: medians of {rounds} rounds, and
the range."""

console = Console(stderr=True)


@dataclass(frozen=True)
class Row:
    """What a pack gave a model; shares are speeds over another library's."""

    name: str
    source: str
    kernels: int
    trials: int
    most: int
    slower: int
    of_native: tuple[float, ...]
    of_default: tuple[float, ...]

    def cells(self) -> list[str]:
        """For the table."""
        return [
            self.name,
            self.source,
            str(self.kernels),
            str(self.trials),
            str(self.most),
            str(self.slower),
            percentages(self.of_native),
            percentages(self.of_default),
        ]


def measured(name: str, path: Path, minutes: float) -> list[Row]:
    """A row for each other kind of machine."""
    threads, level = available_cores(), host_level()
    rows = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        luthier.tune(path, minutes=minutes, log=folder / "native.db", timed=False)
        luthier.build(path, folder / "native", log=folder / "native.db")
        luthier.build(path, folder / "default", log=None)
        inputs = {RUN: random_inputs(read_model(path).proto, 0)}
        others = {"one thread": ("host", 1), level: (_BELOW.get(level, level), threads)}
        for number, (other, count) in enumerate(others.values()):
            source = f"{other}, threads: {count}"
            log, given = folder / f"{number}.db", folder / f"{number}.jsonl"
            luthier.tune(path, other, minutes=minutes, threads=count, log=log, timed=False)
            luthier.logs.export(log, given, best=4)
            fresh = folder / f"fresh-{number}.db"
            took = luthier.tune(path, verify=True, log=fresh, packs=[given], timed=False)
            built = folder / f"built-{number}"
            luthier.build(path, built, log=fresh)
            pairs = [
                [in_turns((folder / base, built), inputs, threads).seconds for _ in range(ROUNDS)]
                for base in ("native", "default")
            ]
            of_native, of_default = (tuple(base / ours for base, ours in pair) for pair in pairs)
            rows.append(
                Row(
                    name,
                    source,
                    len(took.kernels),
                    took.trials,
                    max(k.trials for k in took.kernels),
                    sum(k.best > k.default for k in took.kernels),
                    of_native,
                    of_default,
                )
            )
            console.print(" ".join(rows[-1].cells()), highlight=False)
    return rows


def main() -> None:
    """Measure the models and write the section."""
    parser = argparse.ArgumentParser(description="Packs of other kinds of machines.")
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    models = all_models(cache_folder())
    rows = []
    with mock.patch("luthier.records.sources._shipped", return_value=[]):
        for name in options.models:
            rows += measured(name, models[name], options.minutes)
    head = [list(_HEAD), ["---", "---", *["---:"] * (len(_HEAD) - 2)]]
    text = markdown([*head, *(row.cells() for row in rows)])
    text = f"{text}\n\n{_READING.format(minutes=options.minutes, rounds=ROUNDS)}"
    print(text)
    if not options.print:
        command = results.command("bench.transfer")
        results.write("transfer", command, text)


if __name__ == "__main__":
    main()
