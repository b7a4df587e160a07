"""Latency against other engines, into RESULTS.md.

python -m bench.latency                     every model, with 1 thread and with all
python -m bench.latency resnet18 --threads 2 --print
python -m bench.latency --log tuned.db      with a tuning log's schedules, into the tuned section
python -m bench.latency --unseen            twelve models that no schedule was made with
python -m bench.latency --kept FOLDER      what it holds is not built or measured again
python -m bench.latency resnet18 --peers torch --section torch
                                            torch.compile takes up to a minute for each line
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

import luthier
from bench import picture, results, roofline, standings
from bench.kept import Kept, kept
from bench.models import all_models, cache_folder, unseen_models
from bench.roofline import Limits
from bench.standings import Standing
from bench.turns import OURS, ROUNDS, Entry, Row, measure
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
    parser.add_argument("--kept", type=Path, help="a folder that keeps libraries and rows")
    parser.add_argument("--build", action="store_true", help="only build")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    models = (unseen_models if options.unseen else all_models)(cache_folder(), options.models)
    names = options.models or list(models)
    with kept(options.kept) as store:
        if options.build:
            for threads in options.threads:
                for name in names:
                    _built(name, models[name], threads, options, store)
            return
        limits = [roofline.measured(threads) for threads in options.threads]
        found = [
            _standing(name, models[name], limit, options, store)
            for limit in limits
            for name in names
        ]
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


def _built(name: str, path: Path, threads: int, options: argparse.Namespace, store: Kept) -> Path:
    return store.built(
        f"{name}.{threads}",
        lambda out: luthier.build(path, out, threads=threads, log=options.log),
    )


def _standing(
    name: str, path: Path, limits: Limits, options: argparse.Namespace, store: Kept
) -> Standing:
    artifact = _built(name, path, limits.threads, options, store)

    def measured() -> Row:
        entries = [Entry(OURS, OURS, artifact)]
        entries += [Entry(PEERS[peer], peer, path) for peer in options.peers]
        return measure(name, path, limits.threads, entries, options.rounds)

    kernels = read_manifest(artifact).kernels
    row = store.row(f"{name}.{limits.threads}", measured)
    floor = roofline.total_flops(kernels) / limits.gflops / 1e6
    standing = Standing(row, floor, roofline.winograd_applies(kernels))
    _tell(standing)
    return standing


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
