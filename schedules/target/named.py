"""Targets by name: a level and a processor are the same description on every machine."""

from __future__ import annotations

from dataclasses import replace

from ..errors import TargetError
from . import machine
from .isa import EXTENSIONS, ISAS
from .processors import PROCESSORS
from .target import Target


def names() -> tuple[str, ...]:
    """What ``parse`` takes."""
    return "host", "native", *ISAS, *PROCESSORS


def parse(text: str, threads: int | None = None) -> Target:
    """The target of a name, and of extensions after a plus each, such as ``x86-64-v4+vnni``; raises
    TargetError for a name that is not in ``names``, and for what its level does not go with.

    ``host``, or ``native``, is this machine. A level, such as ``x86-64-v3``, and a processor, such
    as ``znver4``, are the same wherever this runs, but for ``threads`` where it is not given: every
    core this process may use.
    """
    name, *extensions = text.split("+")
    target = _plain(name, threads)
    known = [e.name for e in EXTENSIONS.values() if e.level == target.level]
    if name in ("host", "native") or len(set(extensions)) < len(extensions):
        known = []
    wrong = [f"'+{extension}'" for extension in extensions if extension not in known]
    if wrong:
        there = ", ".join(f"{e.level}+{e.name}" for e in EXTENSIONS.values())
        raise TargetError(
            f"target '{text}': {name} cannot be given {wrong[0]}; extensions that there are, each "
            f"once and after a level or a processor of it: {there}"
        )
    if not extensions:
        return target
    return replace(target, extensions=tuple(e for e in known if e in extensions))


def _plain(text: str, threads: int | None) -> Target:
    if text in ("host", "native"):
        return machine.host(threads)
    count = threads or machine.available_cores()
    if text in ISAS:
        return Target(text, text, count)
    processor = PROCESSORS.get(text)
    if processor is None:
        raise TargetError(f"unknown target '{text}'; choose one of {', '.join(names())}")
    return Target(processor.level, text, count, processor.l1, processor.l2, processor.l3)
