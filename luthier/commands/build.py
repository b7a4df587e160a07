"""``luthier build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import luthier
from luthier.schedules.target import DEFAULT_ACCURACY

from . import options
from .progress import tuning_display

if TYPE_CHECKING:
    from luthier import BuildReport


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="The folder to build."
)
@options.log
@options.no_log
@click.option("--trials", type=click.IntRange(1), help="Tune first, with so many measurements.")
@options.target
@options.accuracy
@options.threads
@options.shape
@click.option("--name", help="What the model is called in C  [default: as its file]")
@options.json_flag
@options.examples(
    "luthier build model.onnx -o model",
    "luthier build model.onnx -o model --log team.log.jsonl --threads 4",
    "luthier build model.onnx -o model --accuracy strict",
    "luthier build model.onnx -o model --shape image=1,3,224,224 --name resnet",
)
def build(
    *,
    model: Path,
    out: Path,
    log: Path,
    no_log: bool,
    trials: int | None,
    target: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Build MODEL into a folder with one C library.

    Kernels get their best schedule of the log, the others their default. Nothing is measured
    unless --trials is given.
    """
    if no_log and trials:
        raise luthier.UsageError("--no-log and --trials exclude each other")
    if trials:
        with tuning_display() as show:
            report = luthier.tune_and_build(
                model, out, target, trials=trials, log=log, on_progress=show, **settings
            )
    else:
        report = luthier.build(model, out, target=target, log=None if no_log else log, **settings)
    options.emit(report, as_json, lambda: _text(report))


def _text(report: BuildReport) -> str:
    lines = [
        f"built {report.folder} in {report.seconds:.1f} s: luthier_{report.name}() in "
        f"lib{report.name}.so",
        f"kernels: {report.from_records} from records, {report.from_defaults} with the default "
        "schedule",
    ]
    if report.accuracy != DEFAULT_ACCURACY:
        lines.append(f"accuracy: {report.accuracy}")
    return "\n".join(lines + options.log_notes(report))
