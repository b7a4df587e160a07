"""How close ten minutes come to what two thousand trials find, into RESULTS.md.

python -m bench.convergence                          ResNet-50 and BERT-base
python -m bench.convergence resnet18 --minutes 3 --trials 500 --print

Each model is tuned as a user would, from a log with the records of other models only (--log), which
is copied and left alone. The session then goes on without its patience until that many trials were
made, random schedules among them. Both states are built and timed in turns, and the first one again
as ``luthier bench`` does.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

from rich.console import Console

import luthier
from bench import results
from bench.models import all_models, cache_folder
from bench.standings import markdown, percentages
from luthier.autotune import Sources, Store
from luthier.autotune import tune as tune_workloads
from luthier.autotune.search.budget import Policy
from luthier.frontend import import_model, read_model
from luthier.frontend.program.library import RUN
from luthier.inputs.samples import random_inputs
from luthier.schedules import Workload
from luthier.schedules.target import available_cores, host
from luthier.tuning.timed import in_turns

MODELS = ("resnet50", "bert_base_128")
ROUNDS = 3
_READING = """\
*Early* is what `luthier tune --minutes {minutes:g}` finds with the records of that many *other
kernels*, all in the log but the model's own; *late* what is known after {trials} trials
of this model. *Kernels* is the sum of the best times of the model's kernels; *model* the median
time of the whole model, both built and timed in turns, {rounds} times. *Reported* is the model's
time at the end of `luthier tune`, *deployed* the median of `luthier bench` of the built library."""
_HEAD = (
    "model | kernels | other kernels | early: minutes | trials | late: trials | "
    "kernels, late / early | model, late / early | "
    "reported, ms | deployed, ms | deployed / reported"
).split(" | ")

console = Console(stderr=True)


@dataclass(frozen=True)
class Row:
    """A model's numbers; seconds and shares."""

    name: str
    kernels: int
    others: int
    minutes: float
    early_trials: int
    late_trials: int
    kernel_share: float
    model_shares: tuple[float, ...]
    reported: float
    deployed: float

    def cells(self) -> list[str]:
        """For the table."""
        return [
            self.name,
            str(self.kernels),
            str(self.others),
            f"{self.minutes:.1f}",
            str(self.early_trials),
            str(self.late_trials),
            f"{self.kernel_share:.1%}",
            percentages(self.model_shares),
            f"{1e3 * self.reported:.2f}",
            f"{1e3 * self.deployed:.2f}",
            f"{self.deployed / self.reported:.3f}",
        ]


def measured(name: str, path: Path, log: Path, minutes: float, trials: int) -> Row:
    """Tune, build, bench, go on, and compare."""
    target = host(available_cores())
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        program = import_model(path, target)
        calls = Counter(call.workload for call in program.calls)
        copy = folder / "log.db"
        others = _other_kernels(log, copy, calls)
        early = luthier.tune(path, minutes=minutes, log=copy)
        luthier.build(path, folder / "early", log=copy)
        reported = early.model_after if early.model_after is not None else early.after
        deployed = luthier.bench(folder / "early", seconds=5).median / 1e3
        console.print(f"{name}: {early.trials} trials in {early.seconds:.0f} s")
        with Sources(Store.open(copy, create=True), (), target) as sources:
            late = tune_workloads(
                calls,
                max(0, trials - early.trials),
                sources,
                policy=replace(Policy(), patience=100 * trials),
            )
        luthier.build(path, folder / "late", log=copy)
        console.print(f"{name}: {late.trials} more in {late.seconds:.0f} s")
        inputs = {RUN: random_inputs(read_model(path).proto, 0)}
        shares = []
        for _ in range(ROUNDS):
            pair = folder / "early", folder / "late"
            first, second = in_turns(pair, inputs, target.threads).seconds
            shares.append(second / first)
        return Row(
            name,
            len(calls),
            others,
            early.seconds / 60,
            early.trials,
            early.trials + late.trials,
            late.after / early.after,
            tuple(shares),
            reported,
            deployed,
        )


def _other_kernels(log: Path, copy: Path, own: Collection[Workload]) -> int:
    """Copy a log's records of other kernels than ``own``; how many kernels these are."""
    if not log.exists():
        return 0
    with Store.open(log) as source, Store.open(copy, create=True) as target:
        some = [record for record in source.records() if record.workload not in own]
        target.add(some)
    return len({record.workload for record in some})


def main() -> None:
    """Measure the models and write the section."""
    parser = argparse.ArgumentParser(description="Ten minutes against two thousand trials.")
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--log", type=Path, default=cache_folder().parent / "packs.db")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    models = all_models(cache_folder())
    with mock.patch("luthier.records.sources._shipped", return_value=[]):  # it knows these models
        rows = [
            measured(name, models[name], options.log, options.minutes, options.trials)
            for name in options.models
        ]
    reading = _READING.format(minutes=options.minutes, trials=options.trials, rounds=ROUNDS)
    table = [list(_HEAD), ["---", *["---:"] * (len(_HEAD) - 1)], *(row.cells() for row in rows)]
    text = f"{markdown(table)}\n\n{reading}"
    print(text)
    if not options.print:
        command = results.command("bench.convergence")
        results.write("convergence", command, text)


if __name__ == "__main__":
    main()
