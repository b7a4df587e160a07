"""Tune, build and load: the rooms put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.autotune import Choice, Progress, Sources
from luthier.deploy import Manifest, check_output
from luthier.deploy import build as build_library
from luthier.frontend import Library, import_model, read_model
from luthier.schedules import Target, Workload
from luthier.schedules.errors import AccuracyError, LogError
from luthier.schedules.target import DEFAULT_ACCURACY
from luthier.schedules.toolchain import find_compiler

from ..arguments import validated
from ..inputs.samples import random_inputs
from ..machine.target import resolve
from ..records.sources import DEFAULT_LOG, FilePath, LayerHits, choices, hits, reading, selections
from ..tuning.footprint import stays_in_cache
from ..tuning.tune import Model, Shapes, Values, tuned
from .trial import Trial

_SAMPLE_SEED = 0


@dataclass(frozen=True)
class BuildReport:
    """What was built: ``kernels`` distinct ones, each from a record or the default schedule.

    ``name`` is what the model is called in C: ``luthier_<name>()`` of ``lib<name>.so``;
    ``accuracy`` is what was asked for. ``layers`` say where the records are and how close their
    machines. ``foreign_records`` describe the same kernels on other kinds of machines;
    ``skipped_records`` could not be read. ``problems`` tells about the first few of them, and if
    the library was wrong with the records' schedules and was built without.
    """

    folder: Path
    name: str
    accuracy: str
    kernels: int
    from_records: int
    from_defaults: int
    layers: tuple[LayerHits, ...]
    foreign_records: int
    skipped_records: int
    problems: tuple[str, ...]
    reference: str
    seconds: float


@validated
def build(
    model: Model,
    out: FilePath,
    *,
    target: str | Target = "host",
    log: FilePath | None = DEFAULT_LOG,
    packs: Sequence[FilePath] = (),
    require_hits: bool = False,
    threads: int | None = None,
    shapes: Shapes | None = None,
    values: Values | None = None,
    outputs: Sequence[str] | None = None,
    name: str | None = None,
    accuracy: str = DEFAULT_ACCURACY,
) -> BuildReport:
    """Build the artifact folder ``out``, replacing an artifact there; never measures.

    A kernel gets the best schedule that the records tell, of ``log``, then of ``packs``, then of
    what ships with Luthier: measured on this kind of machine, or else on a close one; or its
    default schedule (an error with ``require_hits``). A library with schedules of records is run
    once, where this machine can: it must give what the reference gives, or else what it gives with
    default schedules; one that does neither is built again with the defaults, which ``problems``
    then tells. No reference is needed: where none can compute the model within a minute,
    ``problems`` says so, and the sample has what the default schedules give. ``log=None`` uses
    defaults alone. A ``log`` that does not exist is an error, save for the default name. Schedules
    that are less exact than ``accuracy`` ("strict", "balanced" or "standard") asks for are left
    out, however fast. ``values`` makes inputs constants: numbers or arrays by name; where
    ``outputs`` are given, values that the model computes, it ends there. In C the model is called
    ``name``, by default like its file. Raises
    ModelError, LogError, TargetError, ArtifactError, ToolchainError and UsageError.
    """
    start = time.monotonic()
    check_output(Path(out))
    find_compiler()
    resolved = resolve(target, threads, accuracy)
    read = read_model(model, shapes, values, outputs)
    program = import_model(read, resolved)
    kernels = {call.workload for call in program.calls}
    with reading(log, packs, resolved, kernels) as sources:
        sources.cold = not stays_in_cache(program, resolved)
        chosen = choices(program, sources)
        foreign = sum(map(sources.elsewhere, kernels))
    missed = [workload for workload in kernels if workload not in chosen]
    if require_hits and missed:
        raise LogError(
            f"{len(missed)} of {len(kernels)} kernels have no record, among them {missed[0]}; tune "
            f"the model, or give a pack that has them{_unread(sources)}"
        )
    library = Library.of(program, name or read.name)
    trial = Trial(read, program, resolved, random_inputs(read.proto, _SAMPLE_SEED))

    def write(chosen: Mapping[Workload, Choice]) -> Manifest:
        return build_library(
            library,
            Path(out),
            resolved,
            selections(chosen),
            model_sha256=read.sha256,
            finish=trial.accept_records if chosen else trial.accept_defaults,
        )

    problems = sources.problems
    try:
        manifest = write(chosen)
    except AccuracyError as error:
        if require_hits:
            raise
        problems = (f"records were not used: {error}", *problems)
        chosen = {}
        manifest = write(chosen)
    return BuildReport(
        folder=Path(out),
        name=manifest.name,
        accuracy=resolved.accuracy,
        kernels=len(kernels),
        from_records=len(chosen),
        from_defaults=len(kernels) - len(chosen),
        layers=hits(chosen),
        foreign_records=foreign,
        skipped_records=sources.skipped,
        problems=(*problems, *trial.problems),
        reference=manifest.sample.source if manifest.sample else "",
        seconds=time.monotonic() - start,
    )


@validated
def tune_and_build(
    model: Model,
    out: FilePath,
    target: str | Target = "host",
    *,
    trials: int | None = None,
    minutes: float | None = None,
    log: FilePath = DEFAULT_LOG,
    packs: Sequence[FilePath] = (),
    threads: int | None = None,
    shapes: Shapes | None = None,
    values: Values | None = None,
    outputs: Sequence[str] | None = None,
    name: str | None = None,
    accuracy: str = DEFAULT_ACCURACY,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
) -> BuildReport:
    """``tune``, then ``build`` with the log; raises what they raise.

    An interrupt while tuning raises KeyboardInterrupt once the records are kept; nothing is built.
    """
    check_output(Path(out))
    read = read_model(model, shapes, values, outputs)
    result, a_build = tuned(
        lambda: read,
        target,
        trials=trials,
        minutes=minutes,
        log=log,
        packs=packs,
        threads=threads,
        accuracy=accuracy,
        seed=seed,
        on_progress=on_progress,
        builds=1,
    )
    if result.interrupted:
        raise KeyboardInterrupt
    if on_progress is not None:
        doing = "building the library"
        on_progress(Progress("build", doing, elapsed=result.seconds, eta=a_build))
    return build(
        read,
        out,
        target=target,
        log=log,
        packs=packs,
        threads=threads,
        name=name,
        accuracy=accuracy,
    )


def _unread(sources: Sources) -> str:
    """What may have been the record that is missed, as the end of a sentence."""
    if not sources.skipped:
        return ""
    first = f", the first {sources.problems[0]}" if sources.problems else ""
    return f" (records that could not be read: {sources.skipped}{first})"
