"""Tune, build and load: the rooms put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.autotune import Choice, Progress, Sources
from luthier.deploy import Manifest, check_output
from luthier.deploy import build as build_library
from luthier.frontend import (
    Bounds,
    Library,
    Postprocessing,
    Preprocessing,
    Shapes,
    StateNames,
    import_entries,
)
from luthier.schedules import Target, Workload
from luthier.schedules.errors import AccuracyError, LogError
from luthier.schedules.target import DEFAULT_ACCURACY
from luthier.schedules.toolchain import find_compiler

from ..arguments import FilePath, validated
from ..inputs.points import Models, Values, read_all
from ..machine.target import resolve
from ..records.runs import At, all_runs, counts, largest
from ..records.sources import DEFAULT_LOG, LayerHits, choices, hits, reading, selections
from ..tuning.footprint import stays_in_cache
from ..tuning.tune import tuned
from .trial import Trials


@dataclass(frozen=True)
class BuildReport:
    """What was built: ``kernels`` distinct ones, each from a record or the default schedule.

    ``name`` is what the model is called in C: ``luthier_<name>()`` of ``lib<name>.so``;
    ``accuracy`` is what was asked for. ``layers`` say where the records are and how close their
    machines. ``foreign_records`` describe the same kernels on other kinds of machines;
    ``skipped_records`` could not be read. ``problems`` tells about the first few of them, and if
    the library was wrong with the records' schedules and was built without. ``processing`` says in
    a line what is done to inputs and outputs by ``preprocess`` and ``postprocess``, by their names.
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
    processing: Mapping[str, str]


@validated
def build(
    model: Models,
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
    state: StateNames | None = None,
    bounds: Bounds | None = None,
    example_inputs: Any = None,
    preprocess: Preprocessing | None = None,
    postprocess: Postprocessing | None = None,
    at: At | None = None,
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
    that are less exact than ``accuracy`` ("strict", "balanced", "standard", "bf16") asks for are
    left out, however fast. ``values`` makes inputs constants: numbers or arrays by name, None
    for an optional one that is absent. Where ``outputs`` are given, values that the model
    computes, it ends there. In C the model is called ``name``, by default like its file, or
    like ``out`` where there are several.

    ``shapes`` may say which sizes the model is for, instead of one: ``{"tokens": range(1, 513)}``;
    and of how many tensors a sequence is: ``{"frames": 3}``.
    Kernels then get the records of the largest sizes, or else of those ``at`` which it was tuned;
    the library is run at a few sizes, and the sample is of the largest that cost little. ``state``
    names inputs and what they become, outputs, which an instance keeps: ``{"past_0": "present_0"}``
    or ``"auto"``. ``bounds`` say how large sizes may be that values decide and a run finds:
    ``{"found_y": 1024}``; and how many bytes the texts of an input have at most: ``{"city": 32}``.
    A module of PyTorch is a model with ``example_inputs``: a tensor, a tuple of what its
    ``forward`` takes, or a mapping; of scikit-learn's, XGBoost's and LightGBM's objects they are
    rows, whose types count. ``preprocess`` makes images of inputs,
    ``{"image": Preprocess(...)}`` or its words, and ``postprocess`` others of outputs; ``shapes``
    and ``values`` are then of the images. Several models by name, each with what is said of
    it in an ``EntryPoint``, become entry points of one library, over one copy of equal weights and
    states.
    Raises ModelError, LogError, TargetError, ArtifactError, ToolchainError and UsageError.
    """
    start = time.monotonic()
    check_output(Path(out))
    find_compiler()
    resolved = resolve(target, threads, accuracy)
    reads = read_all(
        model, shapes, values, outputs, state, bounds, example_inputs, preprocess, postprocess
    )
    entries = import_entries(reads, resolved)
    some = all_runs(entries, at)
    programs = [program for entry in entries.values() for program in entry.variants]
    kernels = {call.workload for program in programs for call in program.calls}
    tuned_at = counts([run for each in some.values() for run in each])
    with reading(log, packs, resolved, kernels | tuned_at.keys()) as sources:
        whole = (largest(entry).variant for entry in entries.values())
        sources.cold = not all(stays_in_cache(program, resolved) for program in whole)
        chosen: dict[Workload, Choice] = {}
        for title, entry in entries.items():
            chosen |= choices(entry, sources, some[title])
        foreign = sum(map(sources.elsewhere, kernels))
    missed = [workload for workload in kernels if workload not in chosen]
    if require_hits and missed:
        raise LogError(
            f"{len(missed)} of {len(kernels)} kernels have no record, among them {missed[0]}; tune "
            f"the model, or give a pack that has them{_unread(sources)}"
        )
    first = next(iter(reads.values()))
    alone = first.name if len(reads) == 1 else Path(out).resolve().name
    library = Library(name or alone, entries)
    trials = Trials(reads, entries, resolved)

    def write(chosen: Mapping[Workload, Choice]) -> Manifest:
        return build_library(
            library,
            Path(out),
            resolved,
            selections(chosen),
            model_sha256=first.sha256 if len({r.sha256 for r in reads.values()}) == 1 else None,
            finish=trials.accept_records if chosen else trials.accept_defaults,
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
        problems=(*problems, *trials.problems),
        reference=manifest.sample.source if manifest.sample else "",
        seconds=time.monotonic() - start,
        processing=_processing(manifest),
    )


@validated
def tune_and_build(
    model: Models,
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
    state: StateNames | None = None,
    bounds: Bounds | None = None,
    example_inputs: Any = None,
    preprocess: Preprocessing | None = None,
    postprocess: Postprocessing | None = None,
    at: At | None = None,
    name: str | None = None,
    accuracy: str = DEFAULT_ACCURACY,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
) -> BuildReport:
    """``tune``, then ``build`` with the log; raises what they raise.

    An interrupt while tuning raises KeyboardInterrupt once the records are kept; nothing is built.
    """
    check_output(Path(out))
    reads = read_all(
        model, shapes, values, outputs, state, bounds, example_inputs, preprocess, postprocess
    )
    result, a_build = tuned(
        lambda: reads,
        target,
        trials=trials,
        minutes=minutes,
        log=log,
        packs=packs,
        threads=threads,
        accuracy=accuracy,
        at=at,
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
        reads if isinstance(model, Mapping) else next(iter(reads.values())),
        out,
        target=target,
        log=log,
        packs=packs,
        threads=threads,
        at=at,
        name=name,
        accuracy=accuracy,
    )


def _processing(manifest: Manifest) -> dict[str, str]:
    """By the names of inputs and outputs, after those of entry points where there are several."""
    several = len(manifest.entries) > 1
    return {
        f"{entry.name}:{port.name}" if several else port.name: port.processing
        for entry in manifest.entries
        for port in (*entry.inputs, *entry.outputs)
        if port.processing
    }


def _unread(sources: Sources) -> str:
    """What may have been the record that is missed, as the end of a sentence."""
    if not sources.skipped:
        return ""
    first = f", the first {sources.problems[0]}" if sources.problems else ""
    return f" (records that could not be read: {sources.skipped}{first})"
