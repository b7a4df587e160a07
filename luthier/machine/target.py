"""What this machine, or a target for another one, is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from luthier.schedules.errors import TargetError, UsageError, printable
from luthier.schedules.target import ACCURACIES, DEFAULT_ACCURACY, Target, host_cpu, parse

from ..arguments import MAX_THREADS, FilePath, validated
from .measured import Measured, measured
from .target_file import check_suffix, is_target_file, read_target, write_target


@dataclass(frozen=True)
class Machine:
    """A target as people want to see it. Sizes are bytes; L1 and L2 are one core's, L3 is shared.

    ``threads`` is how many worker threads a library built for it uses by default, ``measured`` what
    it reaches, where that was asked for.
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
    measured: Measured | None = None


def resolve(
    target: str | Target, threads: int | None = None, accuracy: str = DEFAULT_ACCURACY
) -> Target:
    """The target of a name or a file, a thread count and an accuracy.

    Raises TargetError and UsageError.
    """
    if accuracy not in ACCURACIES:
        raise UsageError(f"accuracy is one of {', '.join(ACCURACIES)}, not {accuracy!r:.40}")
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"threads must be between 1 and {MAX_THREADS}, not {threads}")
    if isinstance(target, str):
        return replace(_named(target, threads), accuracy=accuracy)
    if not 1 <= target.threads <= MAX_THREADS:
        raise UsageError(f"threads must be between 1 and {MAX_THREADS}, not {target.threads}")
    if threads not in (None, target.threads):
        raise UsageError(f"threads={threads} contradicts the target's {target.threads}")
    if accuracy != target.accuracy:
        raise UsageError(f"accuracy={accuracy} contradicts the target's {target.accuracy}")
    return target


def _named(name: str, threads: int | None) -> Target:
    if not is_target_file(name):
        return parse(name, threads)
    found = read_target(Path(name))
    if found.threads > MAX_THREADS:
        raise TargetError(f"{printable(name)}: threads must be between 1 and {MAX_THREADS}")
    return replace(found, threads=threads or found.threads)


@validated
def target(
    name: str | Target = "host",
    threads: int | None = None,
    *,
    measure: bool = False,
    out: FilePath | None = None,
) -> Machine:
    """Describe ``name``: ``host``, a level (``x86-64-v3``), a processor (``znver4``) or a file.

    With ``measure`` this machine is measured as that target, which takes some seconds; ``out``
    names a file, ending in .json, that keeps it for builds whose default schedules go by it. Raises
    TargetError, ToolchainError and UsageError.
    """
    resolved = resolve(name, threads)
    if out is not None and not measure:
        raise UsageError("out keeps what was measured: it goes with measure")
    if out is not None:
        check_suffix(Path(out))
    found = measured(resolved) if measure else None
    if found and out is not None:
        write_target(replace(resolved, measured=found.costs), Path(out))
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
        measured=found,
    )
