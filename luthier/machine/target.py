"""What this machine, or a target for another one, is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import psutil

from luthier.schedules.errors import UsageError
from luthier.schedules.target import ACCURACIES, DEFAULT_ACCURACY, Target, host_cpu, parse

from ..arguments import MAX_THREADS, validated


@dataclass(frozen=True)
class Machine:
    """A target as people want to see it. Sizes are bytes; L1 and L2 are one core's, L3 is shared.

    ``threads`` is how many worker threads a library built for it uses by default.
    """

    target: str
    level: str
    cpu: str
    llvm: str
    threads: int
    physical_cores: int
    logical_cores: int
    memory: int
    l1: int
    l2: int
    l3: int
    vector_bits: int
    vector_registers: int
    features: tuple[str, ...]


def resolve(
    target: str | Target, threads: int | None = None, accuracy: str = DEFAULT_ACCURACY
) -> Target:
    """The target of a name, a thread count and an accuracy; raises TargetError and UsageError."""
    if accuracy not in ACCURACIES:
        raise UsageError(f"accuracy is one of {', '.join(ACCURACIES)}, not {accuracy!r:.40}")
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"threads must be between 1 and {MAX_THREADS}, not {threads}")
    if isinstance(target, str):
        return replace(parse(target, threads), accuracy=accuracy)
    if not 1 <= target.threads <= MAX_THREADS:
        raise UsageError(f"threads must be between 1 and {MAX_THREADS}, not {target.threads}")
    if threads not in (None, target.threads):
        raise UsageError(f"threads={threads} contradicts the target's {target.threads}")
    if accuracy != target.accuracy:
        raise UsageError(f"accuracy={accuracy} contradicts the target's {target.accuracy}")
    return target


@validated
def target(name: str | Target = "host", threads: int | None = None) -> Machine:
    """Describe ``name``: ``host``, a level (``x86-64-v3``) or a processor (``znver4``).

    Raises TargetError and UsageError.
    """
    resolved = resolve(name, threads)
    return Machine(
        target=name if isinstance(name, str) else resolved.level,
        level=resolved.level,
        cpu=resolved.cpu,
        llvm=host_cpu(),
        threads=resolved.threads,
        physical_cores=psutil.cpu_count(logical=False) or 1,
        logical_cores=psutil.cpu_count() or 1,
        memory=psutil.virtual_memory().total,
        l1=resolved.l1,
        l2=resolved.l2,
        l3=resolved.l3,
        vector_bits=8 * resolved.vector_bytes,
        vector_registers=resolved.vector_registers,
        features=resolved.features,
    )
