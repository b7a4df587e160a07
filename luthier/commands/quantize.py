"""``luthier quantize``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import luthier

from . import options

if TYPE_CHECKING:
    from luthier import QuantizeReport
    from luthier.quantization.quantize import Step

_MOST_LAYERS = 20  # that are listed where nobody asks for all


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="The model to write."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help=".npz, arrays by input name with a row for each sample: inputs as in use.",
)
@click.option(
    "--method",
    type=click.Choice(("static", "dynamic", "weights8", "weights4", "bfloat16")),
    default="static",
    show_default=True,
    help="static: all in 8 bits, by the data's ranges; dynamic: products, by each run's; "
    "weights8, weights4, bfloat16: the matrices of products alone.",
)
@click.option(
    "--ranges",
    type=click.Choice(("minmax", "entropy", "percentile")),
    default="minmax",
    show_default=True,
    help="How the ranges of static activations follow from the data.",
)
@click.option(
    "--activations",
    type=click.Choice(("uint8", "int8")),
    default="uint8",
    show_default=True,
    help="The type of static activations.",
)
@click.option(
    "--block",
    type=click.Choice(("16", "32", "64", "128", "256")),
    default="32",
    show_default=True,
    help="Weights to a scale (weights8, weights4).",
)
@click.option(
    "--metric",
    type=click.Choice(("error", "agreement")),
    default="error",
    show_default=True,
    help="What may drop: the outputs' relative error, or how many rows keep their largest element.",
)
@click.option("--max-drop", type=float, help="By how much  [default: error 0.1, agreement 0.01]")
@click.option("--all-layers", is_flag=True, help="List all layers, not the worst 20.")
@options.json_flag
@options.examples(
    "luthier quantize model.onnx -o small.onnx --data inputs.npz",
    "luthier quantize model.onnx -o small.onnx --data inputs.npz --metric agreement",
    "luthier quantize decoder.onnx -o small.onnx --method weights4",
)
def quantize(
    model: Path, out: Path, data: Path | None, block: str, all_layers: bool, as_json: bool,
    **settings: Any,
) -> None:  # fmt: skip
    """Write a model of fewer bits, as accurate as is asked for.

    ONNX Runtime's quantiser does it. With --data the result is compared with the original, and
    the layers that add most noise stay in float until it is no worse than --max-drop. Ends with
    exit code 9 where that leaves nothing to quantise.
    """
    with _display() as show:
        report = luthier.quantize(model, out, data=data, block=int(block), on_step=show, **settings)
    result = {**options.plain(report), "kept": report.kept}
    options.emit(result, as_json, lambda: _text(report, all_layers))


@contextmanager
def _display() -> Iterator[Callable[[Step], None]]:
    """A live bar on a terminal, a line for each step elsewhere; on stderr."""
    from rich.console import Console  # noqa: PLC0415 - nothing else needs it
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda step: click.echo(step.doing, err=True)
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda step: progress.update(
            task, completed=step.fraction, description=options.one_line(step.doing)
        )


def _text(report: QuantizeReport, all_layers: bool) -> str:
    before, after = report.bytes_before / 1e6, report.bytes_after / 1e6
    lines = [
        f"wrote {report.path} ({report.method}): {before:.1f} MB -> {after:.1f} MB",
    ]
    if not report.samples:
        return "\n".join([*lines, "not compared with the original: give --data"])
    lines.append(
        f"{report.metric}: {report.drop:.3g} worse over {options.count(report.samples, 'sample')} "
        f"(at most {report.max_drop:g}), {report.kept} of "
        f"{options.count(len(report.layers), 'layer')} kept in float"
    )
    some = report.layers if all_layers else report.layers[:_MOST_LAYERS]
    lines += ["", "    dB  in     layer"]
    for layer in some:
        ratio = f"{layer.decibels:6.1f}" if math.isfinite(layer.decibels) else "   inf"
        where = "float" if layer.kept else "steps"
        lines.append(f"{ratio}  {where}  {layer.kind} {layer.name}")
    if len(some) < len(report.layers):
        lines.append(f"and {len(report.layers) - len(some)} more, less noisy (--all-layers)")
    return "\n".join(lines)
