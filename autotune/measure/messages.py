"""What workers are asked, and what they answer."""

from __future__ import annotations

import json

from msgspec import Struct

from luthier.schedules import Schedule, Target, Workload

from ..records.record import Outcome
from .harness import Effort


class BuildRequest(Struct, frozen=True):
    """Build these schedules of a workload, by the names that their functions begin with.

    ``workload`` is the workload's ``text``. Libraries and constants are written to ``folder``;
    ``seed`` is that of the constants.
    """

    workload: str
    target: Target
    schedules: dict[str, Schedule]
    folder: str
    seed: int


class Built(Struct, frozen=True, tag=True):
    """A candidate's functions, one a phase, with the number of each one's ``chunks``.

    ``constants`` are files with the packed constant inputs, by index; ``temps`` and ``scratch`` are
    bytes, the latter of each thread.
    """

    library: str
    functions: tuple[str, ...]
    chunks: tuple[int, ...]
    constants: dict[int, str]
    temps: tuple[int, ...]
    scratch: int


class Failed(Struct, frozen=True, tag=True):
    """No candidate. ``limit``: a limit of the machine may be what failed it."""

    outcome: Outcome
    detail: str
    limit: bool = False


Build = Built | Failed


class RunRequest(Struct, frozen=True):
    """Run a candidate, compare its output with that in ``reference``, and time it.

    The first candidate of a workload has no reference, and its output goes to ``store``. Without an
    ``effort`` nothing is timed. ``cold``, ``swept``: see ``Measurer``. ``timeout``: seconds.
    """

    built: Built
    workload: str
    target: Target
    seed: int
    harness: str
    reference: str | None
    store: str | None
    effort: Effort | None
    cold: bool
    swept: bool
    timeout: float


class Ran(Struct, frozen=True):
    """How a candidate ended; ``samples``, ``disturbed`` and ``limit`` are those of a measurement.

    ``pulse`` is the fastest beside its timings, ``cores`` how many the runner had.
    """

    outcome: Outcome
    detail: str = ""
    samples: tuple[float, ...] = ()
    disturbed: bool = False
    limit: bool = False
    pulse: float | None = None
    cores: int | None = None


def workload(text: str) -> Workload:
    """The workload of a request."""
    return Workload.from_json(json.loads(text))
