"""``luthier build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import luthier
from luthier.schedules.target import DEFAULT_ACCURACY

from . import options
from .entries import entry, models

if TYPE_CHECKING:
    from luthier import BuildReport, LayerHits


@click.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
@entry
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="The folder to build."
)
@options.log
@options.packs
@options.no_log
@click.option(
    "--require-hits", is_flag=True, help="Fail where a kernel would get its default schedule."
)
@click.option("--trials", type=click.IntRange(1), help="Tune first, with so many measurements.")
@click.option("--minutes", type=float, help="Tune first, for so many minutes, the build included.")
@options.target
@options.accuracy
@options.threads
@options.as_read
@options.at
@click.option("--name", help="What the model is called in C  [default: as its file]")
@options.json_flag
@options.examples(
    "luthier build model.onnx -o model",
    "luthier build model.onnx -o model --log postgresql://tuning.example/luthier --threads 4",
    "luthier build model.onnx -o model --pack team.jsonl --require-hits",
    "luthier build model.onnx -o model --accuracy strict",
    "luthier build model.onnx -o model --shape image=1,3,224,224 --name resnet",
    "luthier build model.onnx -o model --shape batch=1,4,8 --shape tokens=1..512",
    "luthier build model.onnx -o model --shape ids=1,tokens --shape tokens=1..512",
    "luthier build decode.onnx -o model --shape past=0..511 --state auto",
    "luthier build model.onnx -o model --preprocess image=bgr",
    "luthier build --entry prefill=prefill.onnx --entry decode=decode.onnx -o model --state auto",
)
def build(
    *,
    model: Path | None,
    entries: dict[str, Path],
    out: Path,
    log: str,
    packs: tuple[str, ...],
    no_log: bool,
    require_hits: bool,
    trials: int | None,
    minutes: float | None,
    target: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Build MODEL into a folder with one C library.

    Kernels get their best schedule of the log, the packs, or what ships with Luthier, the others
    their default. Nothing is measured unless --trials or --minutes are given. With --entry, several
    models become one library.
    """
    tunes = {"trials": trials is not None, "minutes": minutes is not None}
    for option, there in {**tunes, "pack": bool(packs), "require-hits": require_hits}.items():
        if no_log and there:
            raise luthier.UsageError(f"--no-log and --{option} exclude each other")
        if require_hits and there and option in tunes:
            raise luthier.UsageError(f"--{option} and --require-hits exclude each other")
    given = models(model, entries, settings)
    if any(tunes.values()):
        from .progress import tuning_display  # noqa: PLC0415 - rich, which nothing else needs

        with tuning_display() as show:
            report = luthier.tune_and_build(
                given,
                out,
                target,
                trials=trials,
                minutes=minutes,
                log=log,
                packs=packs,
                on_progress=show,
                **settings,
            )
    else:
        report = luthier.build(
            given,
            out,
            target=target,
            log=None if no_log else log,
            packs=packs,
            require_hits=require_hits,
            **settings,
        )
    options.emit(report, as_json, lambda: _text(report))


def _text(report: BuildReport) -> str:
    lines = [
        f"built {report.folder} in {report.seconds:.1f} s: luthier_{report.name}() in "
        f"lib{report.name}.so",
        f"kernels: {report.from_records} from records, {report.from_defaults} with the default "
        "schedule",
        *map(_hits, report.layers),
        *(f"{name}: {words}" for name, words in report.processing.items()),
    ]
    if report.accuracy != DEFAULT_ACCURACY:
        lines.append(f"accuracy: {report.accuracy}")
    return "\n".join(lines + options.log_notes(report))


def _hits(layer: LayerHits) -> str:
    close = {
        "this kind of machine": layer.exact,
        "this processor, other threads or caches": layer.same_cpu,
        "a related processor": layer.related,
    }
    told = ", ".join(f"{number} measured on {kind}" for kind, number in close.items() if number)
    return f"  {layer.layer}: {told}"
