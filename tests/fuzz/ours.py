"""What Luthier computes: several programs in one library, of chosen schedules, run twice."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from luthier.deploy import Selection, build, load
from luthier.frontend import Library, Program, import_model
from luthier.frontend.program import Part, Step
from luthier.schedules import Target, Workload
from luthier.schedules.templates.registry import spaces

from .case import Case, Setting
from .values import Array

_DEFAULTS = 0.25  # of the kernels, where schedules are drawn


class UnsteadyError(Exception):
    """A library gave two results for the same inputs, or changed its inputs."""


def target(setting: Setting) -> Target:
    """The target of a setting: a level, not this machine."""
    sizes = (32 << 10, 512 << 10, 16 << 20)
    return Target(setting.level, setting.level, setting.threads, *sizes, accuracy=setting.accuracy)


def programs(cases: Sequence[Case]) -> list[Program]:
    """Each case's program; raises LuthierError where a model is refused."""
    return [import_model(case.model, target(case.setting)) for case in cases]


def run(cases: Sequence[Case], imported: Sequence[Program]) -> list[dict[str, Array]]:
    """The outputs of each case; all are built into one library, as the first one's setting says.

    Raises LuthierError where that fails, UnsteadyError.
    """
    setting = cases[0].setting
    made = target(setting)
    whole = _joined(imported)
    selected = drawn([c.workload for c in whole.calls], made, setting.schedules)
    inputs = {f"{i}/{n}": a for i, case in enumerate(cases) for n, a in case.inputs.items()}
    with tempfile.TemporaryDirectory(prefix="luthier-fuzz-") as folder:
        build(Library.of(whole), Path(folder, "built"), made, selected)
        with load(Path(folder, "built"), threads=setting.threads) as artifact:
            outputs = _twice(artifact, inputs)
    found: list[dict[str, Array]] = [{} for _ in cases]
    for name, array in outputs.items():
        number, _, own = name.partition("/")
        found[int(number)][own] = array
    return found


def _twice(artifact: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    before = {n: a.tobytes() for n, a in inputs.items()}
    first, second = artifact.run(inputs), artifact.run(inputs)
    for name, array in first.items():
        if array.tobytes() != second[name].tobytes():
            raise UnsteadyError(f"output '{name}' differs from run to run")
    if {n: a.tobytes() for n, a in inputs.items()} != before:
        raise UnsteadyError("an input was changed")
    return dict(first)


def drawn(workloads: Sequence[Workload], made: Target, seed: int) -> dict[Workload, Selection]:
    """Random schedules of workloads, some left to the default; none for seed 0."""
    if seed == 0:
        return {}
    selected = {}
    for workload in dict.fromkeys(workloads):
        rng = random.Random(f"{seed} {workload.key}")
        if rng.random() >= _DEFAULTS:
            selected[workload] = Selection(rng.choice(spaces(workload, made)).sample(rng))
    return selected


def _joined(programs: Sequence[Program]) -> Program:
    """One program that does what all of them do; names begin with the program's number."""
    values: list[Any] = []
    inputs: list[tuple[str, int]] = []
    outputs: list[tuple[str, int]] = []
    steps: list[Step] = []
    constants: dict[int, Array] = {}
    views: dict[int, int] = {}
    parts: dict[int, Part] = {}
    for i, program in enumerate(programs):
        first = len(values)
        values += program.values
        inputs += [(f"{i}/{n}", first + v) for n, v in program.inputs]
        outputs += [(f"{i}/{n}", first + v) for n, v in program.outputs]
        constants |= {first + v: np.asarray(a) for v, a in program.constants.items()}
        views |= {first + v: first + base for v, base in program.views.items()}
        parts |= {first + v: replace(p, whole=first + p.whole) for v, p in program.parts.items()}
        number = dict(enumerate(range(first, len(values))))
        steps += program.region.renumbered(number).statements
    return Program(
        name="fuzz",
        values=tuple(values),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        constants=constants,
        views=views,
        steps=tuple(steps),
        parts=parts,
    )
