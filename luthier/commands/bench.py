"""``luthier bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import luthier
from luthier.machine.energy import UNREADABLE

from . import options

if TYPE_CHECKING:
    from luthier import BenchReport
    from luthier.machine.bench import KernelTime


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--kernels", is_flag=True, help="Also time each kernel.")
@click.option("--seconds", type=float, default=3.0, show_default=True, help="Measure for so long.")
@click.option("--entry", help="Of several entry points, this one  [default: the first]")
@options.at_sample
@options.run_threads
@options.json_flag
@options.examples(
    "luthier bench model",
    "luthier bench model --kernels --seconds 10",
    "luthier bench model --at tokens=32,128",
    "luthier bench model --entry decode --at past=1000",
)
def bench(folder: Path, as_json: bool, **settings: Any) -> None:
    """Time the artifact in DIR against this machine's measured peak."""
    report = luthier.bench(folder, **settings)
    options.emit(report, as_json, lambda: _text(report))


def _text(report: BenchReport) -> str:
    threads = options.count(report.threads, "thread")
    lines = [
        f"{at.sizes}: median {at.median:.3f} ms, quartiles {at.q1:.3f} to {at.q3:.3f} ms "
        f"({at.runs} runs, {threads}){_tokens(at.tokens_per_s)}"
        for at in report.at
    ] or [
        f"median {report.median:.3f} ms, quartiles {report.q1:.3f} to {report.q3:.3f} ms "
        f"({report.runs} runs, {threads}){_tokens(report.tokens_per_s)}"
    ]
    if report.gflops is not None:
        largest = f"{report.sizes}: " if report.sizes else ""
        lines.append(
            f"{largest}{report.gflops:.1f} GFLOPS ({report.gflop:.3g} GFLOP a run), "
            f"{_share(report)} of what this machine was measured to reach, "
            f"{report.peak_gflops:.0f} GFLOPS, of 8 bits {report.peak_integer_gops:.0f} GOPS"
        )
    lines.append(f"it reads {report.peak_bandwidth:.1f} GB/s from memory")
    lines.append(UNREADABLE if report.joules is None else f"{report.joules:.3g} J a run")
    if report.busy:
        lines.append("busy machine: something else ran; these times and peaks say little")
    if report.kernels:
        lines += ["", "      ms  share  GFLOPS   peak    GB/s  memory  from     kernel"]
    for k in report.kernels:
        lines.append(
            f"{k.milliseconds:8.4f}  {k.share:5.1%}  {_rate(k.gflops)}  "
            f"{_percent(k, k.fraction_of_peak):>5}  {_rate(k.gbytes_per_s)}  "
            f"{_percent(k, k.fraction_of_bandwidth):>6}  {k.origin:7}  {k.kernel}"
        )
    return "\n".join(lines)


def _tokens(rate: float | None) -> str:
    return "" if rate is None else f", {rate:.0f} tokens/s"


def _rate(rate: float | None) -> str:
    return f"{'-':>6}" if rate is None else f"{rate:6.1f}"


def _percent(kernel: KernelTime, fraction: float | None) -> str:
    return "-" if kernel.gflops is None else options.percent(fraction)


def _share(report: BenchReport) -> str:
    return "an unknown share" if report.busy else options.percent(report.fraction_of_peak)
