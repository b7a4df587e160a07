"""Latency against other engines, into RESULTS.md.

python -m bench.latency                     every model, with 1 thread and with all
python -m bench.latency resnet18 --threads 2 --print
python -m bench.latency --log tuned.db      with a tuning log's schedules, into the tuned section
python -m bench.latency --unseen            twelve models that no schedule was made with
python -m bench.latency resnet18 --peers torch --section torch
                                            torch.compile takes up to a minute for each line
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

import luthier
from bench import picture, results, roofline, standings
from bench.models import all_models, cache_folder, unseen_models
from bench.roofline import Limits
from bench.standings import Standing
from bench.turns import OURS, ROUNDS, Entry, measure
from luthier.deploy import read_manifest
from luthier.schedules.target import available_cores

PEERS = {"onnxruntime": "onnxruntime", "openvino": "openvino", "torch": "torch.compile"}  # labels
DEFAULT, TUNED, TORCH, UNSEEN = "latency", "tuned", "torch", "unseen"  # sections and pictures
READING = """
Ratios are medians over turns, with their quartiles; above 1, Luthier is faster. The best peer has
the smallest median, in bold. *Of the peak* is the time that the model's operations take at the
measured peak over Luthier's time. Convolutions count there as the direct algorithm's, so where
Winograd's does fewer it may exceed 100 %. *With Winograd* are the models in which its kernels
have at least {share:.0%} of the operations. Means are geometric; numbers of models in brackets.
"""

console = Console(stderr=True)


def main() -> None:
    """Build the models, measure them, and write the section with its picture."""
    parser = argparse.ArgumentParser(description="Latency against other engines.")
    parser.add_argument("models", nargs="*", help="names of bench.models (default: all)")
    parser.add_argument("--threads", type=int, nargs="*", default=sorted({1, available_cores()}))
    parser.add_argument("--peers", nargs="*", default=[*PEERS], choices=PEERS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--log", type=Path, help="use this tuning log, for the tuned section")
    parser.add_argument("--unseen", action="store_true", help="the models of bench.unseen")
    parser.add_argument("--section", choices=[DEFAULT, TUNED, TORCH, UNSEEN], help="of RESULTS.md")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    models = (unseen_models if options.unseen else all_models)(cache_folder())
    found = []
    limits = []
    for threads in options.threads:
        limits.append(roofline.measured(threads))
        for name in options.models or models:
            found.append(_standing(name, models[name], limits[-1], options))
            _tell(found[-1])
    labels = [PEERS[peer] for peer in options.peers]
    text = _text(found, labels, limits)
    print(text)
    if options.print:
        return
    section = options.section or _section(options)
    drawing = results.RESULTS.with_name(f"{section}.svg")
    picture.draw(picture.bars(found), drawing)
    command = results.command("bench.latency")
    results.write(section, command, f"![Ratios of the table]({drawing.name})\n\n{text}")
    if section == DEFAULT:
        results.replace(results.README, "numbers", standings.short_table(found, labels))


def _section(options: argparse.Namespace) -> str:
    if options.unseen:
        return UNSEEN
    return TUNED if options.log else DEFAULT


def _standing(name: str, path: Path, limits: Limits, options: argparse.Namespace) -> Standing:
    with tempfile.TemporaryDirectory() as folder:
        artifact = Path(folder) / name
        luthier.build(path, artifact, threads=limits.threads, log=options.log)
        kernels = read_manifest(artifact).kernels
        entries = [Entry(OURS, OURS, artifact)]
        entries += [Entry(PEERS[peer], peer, path) for peer in options.peers]
        row = measure(name, path, limits.threads, entries, options.rounds)
    floor = roofline.total_flops(kernels) / limits.gflops / 1e6
    return Standing(row, floor, roofline.winograd_applies(kernels))


def _tell(standing: Standing) -> None:
    row = standing.row
    times = [f"{label} {row.milliseconds(label):.2f} ms" for label in row.turns]
    fails = [f"{label} fails: {why}" for label, why in row.failures.items()]
    console.print(f"{row.model} x{row.threads}: {', '.join(times + fails)}", highlight=False)


def _text(found: list[Standing], labels: list[str], limits: list[Limits]) -> str:
    peaks = ", ".join(f"{x.gflops:.0f} GFLOPS with {x.threads}" for x in limits)
    return "\n".join(
        [
            standings.means(found, labels),
            READING.format(share=roofline.WINOGRAD_SHARE),
            f"Measured peak by number of threads: {peaks}.",
            "",
            standings.table(found, labels),
        ]
    )


if __name__ == "__main__":
    main()
