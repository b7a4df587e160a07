"""What counts of a pack's records, found in one pass and in little memory.

Teams' packs grow to millions of lines, of which a build needs few: of each schedule of its kernels
on a kind of machine the latest record, and of these the fastest; and those that were last timed in
turns with the default. So a line is looked at as text,
and whole records are made of what is left in the end.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from luthier.schedules import Workload

from .record import NOISY_SPREAD, Outcome, horizon

_FASTEST = 250  # that are kept of a kernel, a kind of machine and a template's version
_REFUTED = 10_000  # schedules of a kernel that are known to be wrong
_HEAD = re.compile(
    rb'\{"hash":"(?P<hash>[0-9a-f]{16})",'
    rb'"cold":(?P<cold>true|false),"detail":"[^"\\]*","noisy":(?P<noisy>true|false),'
    rb'"outcome":"(?P<outcome>[a-z_]+)",'
    rb'"schedule":(?P<schedule>\{"knobs":\{[^{}]*\},(?P<template>[^{}]*)\}),"schema":[123],'
    rb'"seconds":(?:null|\{(?:"default":(?P<default>[0-9.e+-]{1,30}),)?(?:"disturbed":true,)?'
    rb'"median":(?P<median>[0-9.e+-]{1,30}),[^{}]*\}),'
    rb'"target":(?P<target>\{[^{}]*\}),"time":"(?P<time>[0-9T:.Z-]{24})",'
    rb'"tools":\{[^{}]*\},"workload":'
)
_HASH = len('"hash":"0123456789abcdef",')
_WRONG = {Outcome.WRONG_RESULT.value.encode(), Outcome.CRASHED.value.encode()}
_Ranked = dict[int, tuple[float, int, bytes]]  # by a schedule's key: seconds, line number, line


@dataclass(frozen=True)
class _Compared:
    """A line of a schedule that was timed in turns with the default."""

    when: bytes
    time: bytes
    is_default: bool
    number: int
    line: bytes


class Condensed:
    """Takes lines one by one and keeps those that may count; a later one replaces an earlier."""

    def __init__(self, workloads: Collection[Workload] | None) -> None:
        """Of these kernels, or of all where that is None."""
        wanted = None if workloads is None else {workload.text.encode() for workload in workloads}
        self._wanted = wanted
        self._horizon = horizon().encode()
        self._latest: dict[int, bytes] = {}
        self._ranked: dict[tuple[bytes, ...], _Ranked] = {}
        self._compared: dict[tuple[bytes, ...], dict[int, _Compared]] = {}
        self._refuted: dict[bytes, dict[bytes, tuple[int, bytes]]] = {}

    def take(self, number: int, line: bytes) -> bool:
        """Whether line ``number`` could be judged: it is written as Luthier writes records."""
        found = _HEAD.match(line)
        if found is None or not line.endswith(b"}}"):
            return False
        workload = line[found.end() : -1]
        if self._wanted is not None and workload not in self._wanted:
            return True
        hash_, cold, noisy, outcome, schedule, template, default, median, target, time = (
            found.groups()
        )
        if hashlib.sha256(b"{" + line[1 + _HASH :]).hexdigest()[:16].encode() != hash_:
            return False
        if outcome in _WRONG:
            refuted = self._refuted.setdefault(workload, {})
            if len(refuted) < _REFUTED:
                refuted.setdefault(schedule, (number, line))
        key, when = hash((workload, target, cold, schedule)), self._when(time, hash_)
        if default is not None:
            beside = self._compared.setdefault((workload, target, cold), {})
            if key not in beside or when > beside[key].when:
                beside[key] = _Compared(when, time, default == median, number, line)
        if when > self._latest.get(key, b""):
            self._latest[key] = when
            group = workload, target, cold, template
            ranked = self._ranked.setdefault(group, {})
            ranked[key] = (_rank(median, noisy), number, line)
            if len(ranked) > 2 * _FASTEST:
                self._ranked[group] = _fastest(ranked)
        return True

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """What is left, with line numbers; a line may come twice."""
        for ranked in self._ranked.values():
            yield from ((number, line) for _, number, line in _fastest(ranked).values())
        for beside in self._compared.values():
            yield from ((each.number, each.line) for each in self._last(beside))
        for refuted in self._refuted.values():
            yield from refuted.values()

    def _last(self, beside: dict[int, _Compared]) -> list[_Compared]:
        """The default's latest, and what was timed in turns with it and not measured since."""
        defaults = [each for each in beside.values() if each.is_default]
        if not defaults:
            return []
        last = max(defaults, key=lambda each: each.when)
        held = (each for key, each in beside.items() if each.when == self._latest.get(key))
        return [last, *(each for each in held if each.time == last.time)]

    def _when(self, time: bytes, hash_: bytes) -> bytes:
        """To compare records of one schedule by: the latest counts (see ``horizon``)."""
        return b"%d%b%b" % (time <= self._horizon, time, hash_)


def _rank(median: bytes | None, noisy: bytes) -> float:
    """``Record.rank``, and infinity for what no record has."""
    try:
        seconds = float(median or b"inf")
    except ValueError:
        return float("inf")
    return seconds * (1 + NOISY_SPREAD) if noisy == b"true" else seconds


def _fastest(ranked: _Ranked) -> _Ranked:
    if len(ranked) <= _FASTEST:
        return ranked
    return dict(sorted(ranked.items(), key=lambda item: item[1])[:_FASTEST])
