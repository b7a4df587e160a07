"""Kernels against the machine's limits, into RESULTS.md.

python -m bench.kernels                     every model, with all threads
python -m bench.kernels resnet18 --threads 1 --print
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

import luthier
from bench import results
from bench.families import MOST, WIDE, Call, families, furthest
from bench.models import all_models, cache_folder
from bench.roofline import Limits
from luthier.deploy import read_manifest
from luthier.schedules.target import available_cores

READING = f"""
A kernel is bound by arithmetic where the machine needs longer for its operations, at the measured
peak, than for its bytes, at the measured bandwidth; by memory otherwise. *Narrow* are products of
less than {WIDE} columns or terms, and what is not a product. Winograd's kernels count their own
operations. Bytes are inputs, weights and output, each once; data that are still in the caches come
faster, so kernels may exceed the memory's limit. In the share of the time every model counts the
same.
"""


def main() -> None:
    """Build the models, profile them, and write the section."""
    parser = argparse.ArgumentParser(description="Kernels against the machine's limits.")
    parser.add_argument("models", nargs="*", help="names of bench.models (default: all)")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--seconds", type=float, default=1.0, help="measure a model for so long")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    console = Console(stderr=True)
    models = all_models(cache_folder())
    calls = []
    for name in options.models or models:
        some = profiled(name, models[name], options.threads, options.seconds)
        time = sum(call.milliseconds for call in some)
        limits = some[0].limits
        console.print(
            f"{name}: {time:.2f} ms in {len(some)} calls, {limits.gflops:.0f} GFLOPS and "
            f"{limits.gbytes_per_s:.1f} GB/s at most",
            highlight=False,
        )
        calls += some
    text = "\n".join(
        [
            families(calls),
            READING,
            f"The {MOST} kernels with the most time above what the limits allow:",
            "",
            furthest(calls),
        ]
    )
    print(text)
    if not options.print:
        command = results.command("bench.kernels")
        results.write("kernels", command, text)


def profiled(name: str, path: Path, threads: int, seconds: float) -> list[Call]:
    """The calls of a model, built with default schedules, the slowest first."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = Path(folder) / name
        luthier.build(path, artifact, threads=threads, log=None)
        report = luthier.bench(artifact, threads=threads, seconds=seconds, kernels=True)
        manifest = read_manifest(artifact)
    limits = Limits(threads, report.peak_gflops, report.peak_bandwidth)
    return [
        Call(name, manifest.kernels[manifest.steps[k.step].kernel], k.milliseconds, k.share, limits)
        for k in report.kernels
    ]


if __name__ == "__main__":
    main()
