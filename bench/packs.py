"""The packs in logs/: this kind of machine's records of the models in bench/.

python -m bench.packs                       one and two threads, a minute a model
python -m bench.packs resnet50 --minutes 5 --threads 2

Tunes into a store that later runs go on from, then writes logs/<LLVM's name of the CPU>.jsonl: the
fastest schedules of each kernel, and the default's record.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

import luthier
import luthier.logs
from bench.models import all_models, cache_folder
from luthier.schedules.target import available_cores, host_cpu

FOLDER = Path(__file__).parent.parent / "logs"
BEST = 4  # what `--verify` tries, and one more, as the default may be among them
LEFT_OUT = ("digits",)  # which the documentation tunes

console = Console(stderr=True)


def written(log: Path) -> luthier.logs.MergeReport:
    """Write this machine's pack: what the log holds and the pack held before."""
    out = FOLDER / f"{host_cpu()}.jsonl"
    known = [out] if out.exists() else []
    everything = log.with_suffix(".jsonl")
    luthier.logs.merge([log, *known], everything)
    return luthier.logs.export(everything, out, best=BEST)


def main() -> None:
    """Tune the models one after the other and write the pack."""
    parser = argparse.ArgumentParser(description="Tune the models and write this machine's pack.")
    parser.add_argument("models", nargs="*", help="names; default: all")
    parser.add_argument("--threads", type=int, nargs="+", default=[available_cores(), 1])
    parser.add_argument("--minutes", type=float, default=1.0, help="a model and number of threads")
    parser.add_argument("--log", type=Path, default=cache_folder().parent / "packs.db")
    options = parser.parse_args()
    options.log.parent.mkdir(parents=True, exist_ok=True)
    models = all_models(cache_folder())
    for name in options.models or [name for name in models if name not in LEFT_OUT]:
        for threads in dict.fromkeys(options.threads):
            result = luthier.tune(
                models[name], minutes=options.minutes, log=options.log, threads=threads, timed=False
            )
            gain = result.before / result.after
            console.print(f"{name}, threads {threads}: {result.trials} trials, {gain:.2f}x")
            if result.interrupted:
                return
    report = written(options.log)
    print(f"{report.out}: {report.records} records, {report.added} of them new")


if __name__ == "__main__":
    main()
