"""Tune, build and load: the rooms put together."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import onnx

from luthier.autotune import Choice, Layers, Progress, TuneResult
from luthier.autotune import tune as tune_workloads
from luthier.autotune.measure import Measurer
from luthier.deploy import Manifest, check_output
from luthier.deploy import build as build_program
from luthier.frontend import ReadModel, import_model, read_model
from luthier.schedules import Schedule, Target
from luthier.schedules.errors import AccuracyError, LogError, TargetError
from luthier.schedules.target import DEFAULT_ACCURACY, check_cores, host_cpu, host_features
from luthier.schedules.toolchain import find_compiler

from ._arguments import validated
from ._layers import DEFAULT_LOG, FilePath, LayerHits, choices, hits, reading, writing
from ._machine import resolve
from ._samples import random_inputs
from ._timed import before_and_after
from ._trial import Trial

Model = str | os.PathLike[str] | onnx.ModelProto | ReadModel
Shapes = Mapping[str, Sequence[int]]

DEFAULT_TRIALS = 1000
_UNLIMITED = 1 << 40  # trials, where only the time is limited
_SAMPLE_SEED = 0


@dataclass(frozen=True)
class TuneReport(TuneResult):
    """What a session did, and what became of the model.

    ``model_before`` and ``model_after`` are the median seconds of a run of the whole model with
    default and with the best schedules, timed in turns; None where that was not asked for, the
    session was interrupted, or the defaults are the best.
    """

    model_before: float | None = None
    model_after: float | None = None


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
def tune(
    model: Model,
    target: str | Target = "host",
    *,
    trials: int | None = None,
    minutes: float | None = None,
    log: FilePath = DEFAULT_LOG,
    packs: Sequence[FilePath] = (),
    verify: bool = False,
    threads: int | None = None,
    shapes: Shapes | None = None,
    accuracy: str = DEFAULT_ACCURACY,
    seed: int = 0,
    timed: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> TuneReport:
    """Measure schedules of the model's kernels on this machine and add the records to ``log``.

    ``log`` is a file's path or a ``postgresql://`` URL. Stops after ``trials`` measurements
    (default: 1000, or no limit where ``minutes`` is given) or after ``minutes``. Records of earlier
    runs are used and not measured again; what won on other machines, says the log, a pack or what
    ships with Luthier, is tried first. ``verify``: that alone, in turns with the defaults, at most
    four trials a kernel. Schedules that are less exact than ``accuracy`` ("strict", "balanced" or
    "standard") asks for are left out. At the end the whole model is built twice in a temporary
    folder, with default and with the best schedules, and ``timed``. Raises ModelError, LogError,
    TargetError (a target that this machine cannot run, or more threads than it has
    cores for), ToolchainError and UsageError.
    """
    resolved = resolve(target, threads, accuracy)
    _check_runs_here(resolved)
    check_cores(resolved.threads)
    find_compiler()
    if trials is None:
        trials = DEFAULT_TRIALS if minutes is None and not verify else _UNLIMITED
    with contextlib.ExitStack() as opened:
        measurer = opened.enter_context(Measurer(resolved, seed=seed))  # gets ready meanwhile
        read = read_model(model, shapes)
        program = import_model(read, resolved)
        layers = opened.enter_context(writing(log, packs, resolved))
        result = tune_workloads(
            Counter(call.workload.dense for call in program.calls),
            trials,
            layers,
            verify=verify,
            minutes=minutes,
            seed=seed,
            on_progress=on_progress,
            measurer=measurer,
        )
        changed = any(k.best < k.default for k in result.kernels)
        wanted = timed and changed and not result.interrupted
        best = _schedules(choices(program, layers)) if wanted else {}
    before = after = None
    if wanted:
        inputs = random_inputs(read.proto, _SAMPLE_SEED)
        before, after = before_and_after(program, resolved, best, inputs)
    known = {f.name: getattr(result, f.name) for f in fields(result)}
    return TuneReport(**known, model_before=before, model_after=after)


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
    out, however fast. In C the model is called ``name``, by default like its file. Raises
    ModelError, LogError, TargetError, ArtifactError, ToolchainError and UsageError.
    """
    start = time.monotonic()
    check_output(Path(out))
    find_compiler()
    resolved = resolve(target, threads, accuracy)
    read = read_model(model, shapes)
    program = import_model(read, resolved)
    kernels = {call.workload.dense for call in program.calls}
    with reading(log, packs, resolved, kernels) as layers:
        chosen = choices(program, layers)
        foreign = sum(map(layers.elsewhere, kernels))
    missed = [workload for workload in kernels if workload.key not in chosen]
    if require_hits and missed:
        raise LogError(
            f"{len(missed)} of {len(kernels)} kernels have no record, among them {missed[0]}; tune "
            f"the model, or give a pack that has them{_unread(layers)}"
        )
    named = replace(program, name=name or read.name)
    trial = Trial(read, program, resolved, random_inputs(read.proto, _SAMPLE_SEED))

    def write(chosen: Mapping[str, Choice]) -> Manifest:
        return build_program(
            named,
            Path(out),
            resolved,
            _schedules(chosen),
            record_hashes={key: choice.record.hash for key, choice in chosen.items()},
            model_sha256=read.sha256,
            finish=trial.accept_records if chosen else trial.accept_defaults,
        )

    problems = layers.problems
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
        skipped_records=layers.skipped,
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
    name: str | None = None,
    accuracy: str = DEFAULT_ACCURACY,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
) -> BuildReport:
    """``tune``, then ``build`` with the log; raises what they raise.

    An interrupt while tuning raises KeyboardInterrupt once the records are kept; nothing is built.
    """
    check_output(Path(out))
    read = read_model(model, shapes)
    result = tune(
        read,
        target,
        trials=trials,
        minutes=minutes,
        log=log,
        packs=packs,
        threads=threads,
        accuracy=accuracy,
        seed=seed,
        timed=False,
        on_progress=on_progress,
    )
    if result.interrupted:
        raise KeyboardInterrupt
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


def _unread(layers: Layers) -> str:
    """What may have been the record that is missed, as the end of a sentence."""
    if not layers.skipped:
        return ""
    first = f", the first {layers.problems[0]}" if layers.problems else ""
    return f" (records that could not be read: {layers.skipped}{first})"


def _check_runs_here(target: Target) -> None:
    missing = sorted(set(target.features) - host_features())
    if missing:
        raise TargetError(
            f"{target.level} cannot be measured here: this CPU lacks {', '.join(missing)}"
        )
    if not target.is_generic and target.cpu != host_cpu():
        raise TargetError(
            f"{target.cpu} cannot be measured here: this CPU is a {host_cpu()}; tune on such a "
            f"machine, or for {target.level}"
        )


def _schedules(chosen: Mapping[str, Choice]) -> dict[str, Schedule]:
    return {key: choice.schedule for key, choice in chosen.items()}
