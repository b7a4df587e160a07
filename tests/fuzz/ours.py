"""What Luthier computes: several programs in one library, of chosen schedules, run twice.

Those of fixed sizes are one entry point, or each is one; each with sizes that are named or found is
another.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from luthier.deploy import Selection, build, load
from luthier.frontend import Entry, Library, Program, import_entry, import_model, read_model
from luthier.frontend.program import Part, Step
from luthier.schedules import LuthierError, Target, Workload
from luthier.schedules.templates.registry import spaces

from .case import Case, Setting
from .sizes import allowed, tried
from .values import Array

_BOUND, _MOST_ASKED = 64, 6  # of sizes that a run finds, where an error asks for one
_DEFAULTS = 0.25  # of the kernels, where schedules are drawn

Imported = Program | Entry
Run = tuple[Case, dict[str, Array]]
"""A case of fixed sizes, and what came out."""


class UnsteadyError(Exception):
    """A library gave two results for the same inputs, or changed its inputs."""


def target(setting: Setting) -> Target:
    """The target of a setting: a level, not this machine."""
    sizes = (32 << 10, 512 << 10, 16 << 20)
    return Target(setting.level, setting.level, setting.threads, *sizes, accuracy=setting.accuracy)


def imported(case: Case) -> Imported:
    """What runs a case; raises LuthierError where it is refused."""
    if not case.sizes and not case.finds:
        return import_model(case.model, target(case.setting))
    shapes = {
        name: said if ".." in said else tuple(allowed(said)) for name, said in case.sizes.items()
    }
    bounds: dict[str, int] = {}
    for _ in range(_MOST_ASKED):
        try:
            read = read_model(case.model, shapes, bounds=bounds)
            return import_entry(read, target(case.setting))
        except LuthierError as error:
            asked = re.search(r"--bound (\w+)=", str(error))
            if asked is None or asked[1] in bounds:
                raise
            bounds[asked[1]] = _BOUND
    return import_entry(read_model(case.model, shapes, bounds=bounds), target(case.setting))


def run(cases: Sequence[Case], made_of: Sequence[Imported]) -> list[list[Run]]:
    """The runs of each case, at some of its sizes; all are built into one library, as the first
    one's setting says.

    Raises LuthierError where that fails, UnsteadyError.
    """
    setting = cases[0].setting
    made = target(setting)
    made_of = [Entry.of(p) if setting.apart and isinstance(p, Program) else p for p in made_of]
    fixed = {i: p for i, p in enumerate(made_of) if isinstance(p, Program)}
    entries = {f"e{i}": e for i, e in enumerate(made_of) if isinstance(e, Entry)}
    if fixed:
        entries = {"fixed": Entry.of(_joined(fixed)), **entries}
    library = Library("fuzz", entries)
    calls = [call.workload for program in library.programs for call in program.calls]
    selected = drawn(calls, made, setting.schedules)
    found: list[list[Run]] = [[] for _ in cases]
    with tempfile.TemporaryDirectory(prefix="luthier-fuzz-") as folder:
        build(library, Path(folder, "built"), made, selected)
        with load(Path(folder, "built"), threads=setting.threads) as first:
            if fixed:
                for i, outputs in _of_all(first, {i: cases[i] for i in fixed}).items():
                    found[i] = [(cases[i], outputs)]
            for i, case in enumerate(cases):
                if i not in fixed:
                    with first.entry(f"e{i}") as artifact:
                        each = [case.at(sizes) for sizes in tried(case)]
                        found[i] = [(fit, _twice(artifact, fit.inputs)) for fit in each]
    return found


def _of_all(artifact: Any, cases: Mapping[int, Case]) -> dict[int, dict[str, Array]]:
    """What the program of all cases of fixed sizes gives, by the numbers of the cases."""
    inputs = {f"{i}/{n}": a for i, case in cases.items() for n, a in case.inputs.items()}
    found: dict[int, dict[str, Array]] = {i: {} for i in cases}
    for name, array in _twice(artifact, inputs).items():
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


def _joined(programs: Mapping[int, Program]) -> Program:
    """One program that does what all of them do; names begin with the program's number."""
    values: list[Any] = []
    inputs: list[tuple[str, int]] = []
    outputs: list[tuple[str, int]] = []
    steps: list[Step] = []
    constants: dict[int, Array] = {}
    views: dict[int, int] = {}
    parts: dict[int, Part] = {}
    for i, program in programs.items():
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
