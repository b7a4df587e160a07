"""Tune, build and load: the rooms put together."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import onnx

from luthier.autotune import Log, Progress, Record, TuneResult
from luthier.autotune import tune as tune_workloads
from luthier.deploy import build as build_program
from luthier.deploy import check_output
from luthier.frontend import Program, import_model, read_model
from luthier.schedules import Target
from luthier.schedules.errors import ModelError, TargetError, UsageError
from luthier.schedules.target import DEFAULT_ACCURACY, host_features
from luthier.schedules.toolchain import find_compiler

from ._machine import resolve
from ._reference import reference
from ._samples import random_inputs
from ._timed import before_and_after

Model = str | os.PathLike[str] | onnx.ModelProto
Shapes = Mapping[str, Sequence[int]]
FilePath = str | os.PathLike[str]

DEFAULT_LOG = "luthier.log.jsonl"
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
    ``accuracy`` is what was asked for.
    ``foreign_records`` describe the same kernels on other kinds of machines and were not used;
    ``skipped_lines`` of the log could not be read, ``problems`` tells about the first few.
    """

    folder: Path
    name: str
    accuracy: str
    kernels: int
    from_records: int
    from_defaults: int
    foreign_records: int
    skipped_lines: int
    problems: tuple[str, ...]
    reference: str
    seconds: float


def tune(
    model: Model,
    target: str | Target = "host",
    *,
    trials: int | None = None,
    minutes: float | None = None,
    log: FilePath = DEFAULT_LOG,
    threads: int | None = None,
    shapes: Shapes | None = None,
    accuracy: str = DEFAULT_ACCURACY,
    seed: int = 0,
    timed: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> TuneReport:
    """Measure schedules of the model's kernels on this machine and append the records to ``log``.

    Stops after ``trials`` measurements (default: 1000, or no limit where ``minutes`` is given) or
    after ``minutes``. Records of earlier runs are used and not measured again. Schedules that are
    less exact than ``accuracy`` ("strict", "balanced" or "standard") asks for are left out. At the
    end the whole model is built twice in a temporary folder, with default and with the best
    schedules, and ``timed``. Raises ModelError, LogError, TargetError (a target that this machine
    cannot run), ToolchainError and UsageError.
    """
    _check_limits(trials, minutes)
    resolved = resolve(target, threads, accuracy)
    _check_runs_here(resolved)
    find_compiler()
    program = import_model(model, resolved, shapes)
    if trials is None:
        trials = DEFAULT_TRIALS if minutes is None else _UNLIMITED
    opened = Log.open(log)
    result = tune_workloads(
        Counter(call.workload.dense for call in program.calls),
        resolved,
        trials,
        opened,
        minutes=minutes,
        seed=seed,
        on_progress=on_progress,
    )
    before = after = None
    changed = any(k.best < k.default for k in result.kernels)
    if timed and changed and not result.interrupted:
        best = {key: record.schedule for key, record in _best(program, resolved, opened).items()}
        inputs = random_inputs(read_model(model, shapes), _SAMPLE_SEED)
        before, after = before_and_after(program, resolved, best, inputs)
    known = {f.name: getattr(result, f.name) for f in fields(result)}
    return TuneReport(**known, model_before=before, model_after=after)


def build(
    model: Model,
    out: FilePath,
    *,
    target: str | Target = "host",
    log: FilePath | None = DEFAULT_LOG,
    threads: int | None = None,
    shapes: Shapes | None = None,
    name: str | None = None,
    accuracy: str = DEFAULT_ACCURACY,
) -> BuildReport:
    """Build the artifact folder ``out``, replacing an artifact there; never measures.

    A kernel gets its fastest schedule among the records of ``log`` that were measured on this kind
    of machine, or else its default schedule. ``log=None`` uses defaults alone. A ``log`` that does
    not exist is an error, save for the default name. Schedules that are less exact than
    ``accuracy`` ("strict", "balanced" or "standard") asks for are left out, however fast. In C the
    model is called ``name``, by default like its file. Raises ModelError, LogError, TargetError,
    ArtifactError, ToolchainError and UsageError.
    """
    start = time.monotonic()
    check_output(Path(out))
    find_compiler()
    resolved = resolve(target, threads, accuracy)
    opened = _open_log(log)
    program = import_model(model, resolved, shapes)
    best = _best(program, resolved, opened)
    engine, sample = _sample(model, shapes)
    manifest = build_program(
        replace(program, name=name or _name(model)),
        Path(out),
        resolved,
        {key: record.schedule for key, record in best.items()},
        record_hashes={key: record.hash for key, record in best.items()},
        model_sha256=_sha256(model),
        sample=sample,
    )
    kernels = {call.workload.dense for call in program.calls}
    foreign = sum(len(opened.foreign(w, resolved)) for w in kernels) if opened else 0
    return BuildReport(
        folder=Path(out),
        name=manifest.name,
        accuracy=resolved.accuracy,
        kernels=len(kernels),
        from_records=len(best),
        from_defaults=len(kernels) - len(best),
        foreign_records=foreign,
        skipped_lines=opened.skipped if opened else 0,
        problems=tuple(opened.problems) if opened else (),
        reference=engine,
        seconds=time.monotonic() - start,
    )


def tune_and_build(
    model: Model,
    out: FilePath,
    target: str | Target = "host",
    *,
    trials: int | None = None,
    minutes: float | None = None,
    log: FilePath = DEFAULT_LOG,
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
    result = tune(
        model,
        target,
        trials=trials,
        minutes=minutes,
        log=log,
        threads=threads,
        shapes=shapes,
        accuracy=accuracy,
        seed=seed,
        timed=False,
        on_progress=on_progress,
    )
    if result.interrupted:
        raise KeyboardInterrupt
    return build(
        model,
        out,
        target=target,
        log=log,
        threads=threads,
        shapes=shapes,
        name=name,
        accuracy=accuracy,
    )


def _check_limits(trials: int | None, minutes: float | None) -> None:
    if trials is not None and trials < 1:
        raise UsageError(f"trials must be at least 1, not {trials}")
    if minutes is not None and not minutes > 0:
        raise UsageError(f"minutes must be above 0, not {minutes}")


def _check_runs_here(target: Target) -> None:
    missing = sorted(set(target.features) - host_features())
    if missing:
        raise TargetError(
            f"{target.level} cannot be measured here: this CPU lacks {', '.join(missing)}"
        )


def _open_log(log: FilePath | None) -> Log | None:
    if log is None or (str(log) == DEFAULT_LOG and not Path(log).exists()):
        return None
    return Log(log)


def _best(program: Program, target: Target, log: Log | None) -> dict[str, Record]:
    """The log's best records, by key of the dense workload: where a tensor lies changes little."""
    if log is None:
        return {}
    computed = {c.workload.dense for c in program.calls}
    best = {workload.key: log.best(workload, target) for workload in computed}
    return {key: record for key, record in best.items() if record}


def _sample(model: Model, shapes: Shapes | None) -> tuple[str, dict[str, Any]]:
    """The reference engine's name, and what ``luthier check DIR`` replays."""
    proto = read_model(model, shapes)
    inputs = random_inputs(proto, _SAMPLE_SEED)
    truth = reference(proto)
    outputs = truth.run(inputs)
    sample = {f"in:{name}": array for name, array in inputs.items()}
    sample.update({f"out:{name}": array for name, array in outputs.items()})
    return truth.engine, sample


def _name(model: Model) -> str:
    return str(model.graph.name) if isinstance(model, onnx.ModelProto) else Path(model).stem


def _sha256(model: Model) -> str:
    digest = hashlib.sha256()
    if isinstance(model, onnx.ModelProto):
        digest.update(model.SerializeToString(deterministic=True))
        return digest.hexdigest()
    try:
        with Path(model).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ModelError(f"{model}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()
