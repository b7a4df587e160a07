"""The last word on tuned schedules: the whole model, with them and without, timed in turns.

A kernel whose winner is slower inside the model than its default gets its default back; so do all,
where the model is no faster on the whole. The log is told, as a comparison like any other, so that
a build decides the same later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from luthier.autotune import Layers, Machine, Outcome
from luthier.autotune.measurement import Measurement, recorded, side_by_side
from luthier.autotune.record import normal, now
from luthier.deploy import build as build_program
from luthier.frontend import Program
from luthier.schedules import Schedule, Workload, registry
from luthier.schedules.temporary import TemporaryFolder

from ._timed import Inputs, InTurns, in_turns, is_slower

WHERE = "timed inside a model"  # what the records say
ATTEMPTS = 2  # with the winners, and with those that are left


@dataclass(frozen=True)
class Verdict:
    """Median seconds of a run with default and with the best schedules, timed in turns.

    ``busy``: something else kept the machine busy, so nobody knows. ``kept`` defaults: the model is
    no faster with the best schedules. ``reverted`` has the default of each kernel that got it back,
    by key of the dense workload.
    """

    before: float
    after: float
    busy: bool
    kept: bool
    reverted: Mapping[str, Schedule]


class Stage(Protocol):
    """Is told what is done, and says whether there is time for it."""

    def __call__(self, doing: str) -> None:
        """It is done now."""

    def in_time(self) -> bool:
        """Whether two libraries can be built and timed."""


def judge(
    program: Program,
    layers: Layers,
    schedules: Mapping[str, Schedule],
    inputs: Inputs,
    stage: Stage,
) -> Verdict | None:
    """Compare the program with ``schedules`` (see ``build``) and with defaults.

    None where they are the same, or there is no time. Adds to the layers' own store what makes a
    build decide the same. Raises ArtifactError, LogError, ToolchainError and ModelError.
    """
    target = layers.target
    kernels = {call.workload.dense.key: call.workload.dense for call in program.calls}
    defaults = {key: registry.default(kernel, target) for key, kernel in kernels.items()}
    changed = {key: s for key, s in schedules.items() if normal(s) != normal(defaults[key])}
    verdict: Verdict | None = None
    reverted: dict[str, Schedule] = {}
    with TemporaryFolder() as folder:
        default, best = folder / "default", folder / "best"
        for attempt in range(ATTEMPTS):
            if not changed or not stage.in_time():
                break
            if not attempt:
                stage("building it with default schedules")
                build_program(program, default, target, {})
            stage("building it with the best schedules")
            build_program(program, best, target, changed)
            stage("timing both in turns")
            shown = in_turns(default, best, inputs, target.threads)
            losing = _losing(shown, changed, last=attempt == ATTEMPTS - 1)
            for key in losing:
                reverted[key] = normal(defaults[key])
                pair = defaults[key], changed.pop(key)
                _tell(layers, kernels[key], pair, shown.kernels[key])
            times = shown.first, shown.second
            verdict = Verdict(*times, shown.busy, not changed, dict(reverted))
            if not losing:
                break
    return verdict


def _losing(shown: InTurns, changed: Mapping[str, Schedule], *, last: bool) -> list[str]:
    """Kernels that get their defaults back."""
    if shown.busy:
        return []
    slower = [key for key in changed if is_slower(*reversed(shown.kernels[key]))]
    if shown.second < shown.first:
        return slower
    return list(changed) if last or not slower else slower


def _tell(
    layers: Layers,
    workload: Workload,
    pair: tuple[Schedule, Schedule],
    samples: tuple[tuple[float, ...], tuple[float, ...]],
) -> None:
    """Record a comparison that the default wins.

    Where the kernel itself was not slower, only the whole model, the default stands alone in it.
    """
    measured = [
        Measurement(schedule, Outcome.OK, times, WHERE)
        for schedule, times in zip(pair, samples, strict=True)
    ]
    lost = is_slower(*reversed(samples))
    machine, at = Machine.host(layers.target), now()
    for each in side_by_side([measured if lost else measured[:1]]):
        layers.add(recorded(workload, machine, each, cold=layers.cold, time=at))
