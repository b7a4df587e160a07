"""``luthier tune``."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import luthier

from . import options
from .entries import entry, models
from .explanation import explanation
from .interrupts import INTERRUPTED
from .times import milliseconds, ratio

if TYPE_CHECKING:
    from luthier import KernelExplanation, TuneReport
    from luthier.tuning.tune import EntryTuned


@click.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
@entry
@click.option(
    "--trials",
    type=click.IntRange(1),
    help="Measure at most so many schedules  [default: 1000, no limit with --minutes]",
)
@click.option("--minutes", type=float, help="Stop after so many minutes.")
@options.log
@options.packs
@click.option(
    "--verify",
    is_flag=True,
    help="Measure only what won elsewhere, at most 4 trials a kernel, beside the default.",
)
@options.target
@options.accuracy
@options.threads
@options.as_read
@options.at
@click.option("--untimed", is_flag=True, help="Do not time the whole model at the end.")
@click.option("--explain", is_flag=True, help="Then say why each kernel's winner won.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the search.")
@options.json_flag
@options.examples(
    "luthier tune model.onnx --trials 500",
    "luthier tune model.onnx --minutes 10 --log postgresql://tuning.example/luthier",
    "luthier tune model.onnx --trials 100 --explain",
    "luthier tune model.onnx --shape batch=1 --shape tokens=1..512 --at tokens=32,128,512",
    "luthier tune model.onnx --verify --pack team.jsonl",
    "luthier tune --entry prefill=prefill.onnx --entry decode=decode.onnx --state auto",
)
def tune(
    *,
    model: Path | None,
    entries: dict[str, Path],
    log: str,
    packs: tuple[str, ...],
    verify: bool,
    untimed: bool,
    explain: bool,
    as_json: bool,
    trials: int | None,
    minutes: float | None,
    seed: int,
    **settings: Any,
) -> None:
    """Measure schedules of MODEL's kernels on this machine.

    Each is kept in the log at once. Run it again to go on: nothing is measured twice. Ctrl-C ends
    it and loses nothing. With --entry, several models share the trials, and kernels that they have
    in common.
    """
    begin = time.monotonic()
    given = models(model, entries, settings)
    from luthier.autotune import Progress  # noqa: PLC0415

    from .progress import tuning_display  # noqa: PLC0415 - rich, which nothing else needs

    with tuning_display() as show:
        tuned = luthier.tune  # what it imports takes its part of the minutes
        if minutes is not None and minutes > 0:
            minutes = max(minutes - (time.monotonic() - begin) / 60, minutes / 2)
        result = tuned(
            given,
            trials=trials,
            minutes=minutes,
            seed=seed,
            timed=not untimed,
            log=log,
            packs=packs,
            verify=verify,
            on_progress=show,
            **settings,
        )
        why: tuple[KernelExplanation, ...] = ()
        if explain and not result.interrupted:
            show(Progress("explain", "measuring what this machine can do", total=result.trials))
            why = luthier.explain(given, log=log, **settings)
    result = replace(result, seconds=time.monotonic() - begin)
    summary = {
        **options.plain(result),
        "before": result.before,
        "after": result.after,
        "compared": result.compared,
        "defaults_kept": result.defaults_kept,
    }
    for told, each in zip(summary["entries"], result.entries, strict=True):
        told.update(options.plain({"before": each.before, "after": each.after}))
    if why:
        summary["explanation"] = why
    text = [_text(result), *map(explanation, why)]
    options.emit(options.plain(summary), as_json, lambda: "\n\n".join(text))
    if result.interrupted:
        kept = options.one_line(f"{options.count(result.trials, 'trial')} kept in {result.log}")
        click.echo(f"luthier: interrupted: {kept}", err=True)
        click.get_current_context().exit(INTERRUPTED)


def _text(result: TuneReport) -> str:
    lines = [
        f"{options.count(result.trials, 'trial')} in {result.seconds:.0f} s, kept in {result.log}",
        *([f"tuned at {'; '.join(result.sizes)}"] if result.sizes else []),
        f"kernels of the model{'s' * bool(result.entries)}: {_kernels(result)}",
        *(f"  {each.name}: {_entry(each, result)}" for each in result.entries),
    ]
    if result.defaults_kept:
        kept = options.count(result.defaults_kept, "kernel")
        lines.append(f"defaults kept: {kept}, where nothing that was tried beats them")
    if result.model_before is not None and result.model_after is not None:
        whole = "all models" if result.entries else "whole model"
        lines.append(f"{whole}: {_whole(result.model_before, result.model_after, result)}")
    if result.hints:
        lines.append(f"hints: {options.count(result.hints, 'trial')} of what won elsewhere")
    failed = {o.value: n for o, n in result.outcomes.items() if o.value != "ok"}
    if failed:
        lines.append("failed: " + ", ".join(f"{n} {name}" for name, n in failed.items()))
    for kernel in result.kernels:
        if kernel.failure:
            lines.append(f"not tuned: {kernel.workload}: {kernel.failure}")
    return "\n".join(lines + options.log_notes(result))


def _kernels(result: TuneReport) -> str:
    """Their times, and the factor where defaults and winners were timed in turns."""
    if not result.compared:
        unknown = sum(not k.compared and k.schedule is not None for k in result.kernels)
        return (
            f"{milliseconds(result.before)} with defaults; what was won is not known for "
            f"{options.count(unknown, 'kernel')}, not timed in turns on a quiet machine"
        )
    change = f"{milliseconds(result.before)} -> {milliseconds(result.after)}"
    return change + ratio(result.before, result.after)


def _entry(each: EntryTuned, result: TuneReport) -> str:
    """An entry point's kernels, how many it has, and a run of it where that was timed."""
    said = [options.count(len(each.kernels), "kernel")]
    change = f"{milliseconds(each.before)} -> {milliseconds(each.after)}"
    compared = all(kernel.compared for kernel in each.kernels if kernel.schedule)
    said.append(change + ratio(each.before, each.after) if compared else milliseconds(each.before))
    before, after = each.model_before, each.model_after
    if before is not None and after is not None and not result.model_busy:
        said.append(f"a run {milliseconds(before)} -> {milliseconds(after)}{ratio(before, after)}")
    return ", ".join(said)


def _whole(before: float, after: float, result: TuneReport) -> str:
    if result.model_busy:
        return f"{milliseconds(before)} with defaults; what was won is not known: busy machine"
    change = f"{milliseconds(before)} -> {milliseconds(after)}{ratio(before, after)}"
    if result.model_kept_defaults:
        return f"{change}: defaults kept"
    if not result.model_decided:
        return change
    kernels = options.count(result.model_decided, "kernel")
    return f"{change}; in it, other schedules than alone are the fastest of {kernels}"
