"""Targets by name: a level and a processor are the same description on every machine."""

from __future__ import annotations

from ..errors import TargetError
from . import machine
from .isa import ISAS
from .processors import PROCESSORS
from .target import Target


def names() -> tuple[str, ...]:
    """What ``parse`` takes."""
    return "host", "native", *ISAS, *PROCESSORS


def parse(text: str, threads: int | None = None) -> Target:
    """The target of a name; raises TargetError for one that is not in ``names``.

    ``host``, or ``native``, is this machine. A level, such as ``x86-64-v3``, and a processor, such
    as ``znver4``, are the same wherever this runs, but for ``threads`` where it is not given: every
    core this process may use.
    """
    if text in ("host", "native"):
        return machine.host(threads)
    count = threads or machine.available_cores()
    if text in ISAS:
        return Target(text, text, count)
    processor = PROCESSORS.get(text)
    if processor is None:
        raise TargetError(f"unknown target '{text}'; choose one of {', '.join(names())}")
    return Target(processor.level, text, count, processor.l1, processor.l2, processor.l3)
