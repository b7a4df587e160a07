"""``luthier check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import luthier

from . import options
from .entries import entry, models

if TYPE_CHECKING:
    from luthier import CheckReport
    from luthier.building.comparison import SizesResult


@click.command()
@click.argument(
    "model_or_dir", metavar="MODEL|DIR", required=False, type=click.Path(path_type=Path)
)
@entry
@click.option("--rtol", type=float, help="Relative tolerance  [default: by the output's type]")
@click.option("--atol", type=float, help="Absolute tolerance  [default: by the output's type]")
@click.option(
    "--inputs",
    type=click.Path(path_type=Path),
    help=".npz, arrays by input name, in place of random ones (MODEL).",
)
@click.option(
    "--runs", type=click.IntRange(1), default=3, show_default=True, help="Random inputs (MODEL)."
)
@options.log
@options.packs
@options.no_log
@options.target
@options.accuracy
@options.threads
@options.as_read
@options.json_flag
@options.examples(
    "luthier check model.onnx",
    "luthier check model --rtol 1e-4",
    "luthier check model.onnx --shape batch=1 --shape tokens=1..512",
    "luthier check --entry prefill=prefill.onnx --entry decode=decode.onnx --state auto",
)
def check(
    model_or_dir: Path | None,
    entries: dict[str, Path],
    inputs: Path | None,
    log: str,
    no_log: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Compare outputs with a reference engine's.

    MODEL is built in a temporary folder and run on random inputs, against ONNX Runtime or onnx's
    own evaluator; what has states in a sequence of runs, too. With --entry, several models are
    built into one library. DIR replays the sample that was kept of each entry point when it was
    built. Ends with exit code 9 where outputs differ by more than the tolerance.
    """
    chosen = None if no_log else log
    given = models(model_or_dir, entries, settings, "a MODEL or a DIR")
    from luthier.inputs.arrays import load_arrays  # noqa: PLC0415 - NumPy takes its time

    arrays = None if inputs is None else load_arrays(inputs)
    report = luthier.check(given, log=chosen, inputs=arrays, **settings)
    result = {**options.plain(report), "ok": report.ok}
    options.emit(result, as_json, lambda: _text(report))
    report.raise_if_wrong()


def _text(report: CheckReport) -> str:
    names = [options.one_line(o.title) for o in report.outputs]
    width = max(map(len, ("output", *names)))
    lines = [f"against {report.reference}, {options.count(report.runs, 'run')}"]
    lines.append(f"{'output':{width}}  max abs error  max rel error")
    for name, o in zip(names, report.outputs, strict=True):
        verdict = "ok" if o.within else "DIFFERS"
        errors = f"{o.absolute:13.3g}  {o.relative:13.3g}"
        lines.append(f"{name:{width}}  {errors}  {verdict}  ({o.tolerance})")
    lines += _sizes(report)
    return "\n".join(lines + options.log_notes(report))


def _sizes(report: CheckReport) -> list[str]:
    """Those that were tried, and each with which an output differs."""
    lines = []
    for name in dict.fromkeys(each.entry for each in report.sizes):
        texts = "; ".join(each.sizes for each in report.sizes if each.entry == name)
        lines.append(f"{name} at {texts}".lstrip())
    if report.sequence:
        steps = "; ".join(map(_named, report.sequence)).strip("; ")
        lines.append(f"in sequence {steps or options.count(len(report.sequence), 'run')}")
    wrong = [each for each in report.sizes if not each.within]
    lines += [f"DIFFERS at {_named(each)}: by {each.absolute:.3g}" for each in wrong]
    for number, step in enumerate(report.sequence, 1):
        if not step.within:
            at = ": ".join(filter(None, (f"run {number} of the sequence", _named(step))))
            lines.append(f"DIFFERS in {at}: by {step.absolute:.3g}")
    return lines


def _named(result: SizesResult) -> str:
    """The sizes of a run, after its entry point where there are several."""
    return ": ".join(filter(None, (result.entry, result.sizes)))
