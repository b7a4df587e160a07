"""``luthier bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import luthier

from . import options

if TYPE_CHECKING:
    from luthier import BenchReport


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--kernels", is_flag=True, help="Also time each kernel.")
@click.option("--seconds", type=float, default=3.0, show_default=True, help="Measure for so long.")
@options.run_threads
@options.json_flag
@options.examples("luthier bench model", "luthier bench model --kernels --seconds 10")
def bench(folder: Path, kernels: bool, seconds: float, threads: int | None, as_json: bool) -> None:
    """Time the artifact in DIR against this machine's measured peak."""
    report = luthier.bench(folder, threads=threads, seconds=seconds, kernels=kernels)
    options.emit(report, as_json, lambda: _text(report))


def _text(report: BenchReport) -> str:
    threads = options.count(report.threads, "thread")
    lines = [
        f"median {report.median:.3f} ms, quartiles {report.q1:.3f} to {report.q3:.3f} ms "
        f"({report.runs} runs, {threads})",
        f"{report.gflops:.1f} GFLOPS ({report.gflop:.3g} GFLOP a run), "
        f"{_share(report)} of this machine's measured {report.peak_gflops:.0f} GFLOPS",
        f"it reads {report.peak_bandwidth:.1f} GB/s from memory",
    ]
    if report.busy:
        lines.append("busy machine: something else ran; these times and peaks say little")
    if report.kernels:
        lines += ["", "      ms  share  GFLOPS   peak    GB/s  memory  from     kernel"]
    for k in report.kernels:
        lines.append(
            f"{k.milliseconds:8.4f}  {k.share:5.1%}  {k.gflops:6.1f}  "
            f"{options.percent(k.fraction_of_peak):>5}  {k.gbytes_per_s:6.1f}  "
            f"{options.percent(k.fraction_of_bandwidth):>6}  {k.origin:7}  {k.kernel}"
        )
    return "\n".join(lines)


def _share(report: BenchReport) -> str:
    return "an unknown share" if report.busy else options.percent(report.fraction_of_peak)
