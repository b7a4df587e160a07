"""One batch of cases from models to judgements, in this process, which may not survive it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from luthier.schedules import LuthierError

from . import ours
from .case import Case, reads
from .judge import Judgement, Verdict, judge
from .reference import NoReferenceError
from .refusals import documented
from .sizes import fixed, sizes_of, text, works

_RIGHT = Verdict.RIGHT
_MOST_REFUSALS = 6  # of one graph, before it is given up


@dataclass(frozen=True)
class Outcome:
    """A case as it was tried, without the nodes that were refused."""

    case: Case
    judgement: Judgement
    refusals: tuple[str, ...] = ()


Ready = tuple[Case, ours.Imported, tuple[str, ...]]
"""A case, what runs it, and what was refused of it."""

Note = Callable[[str, str], None]
"""Called with what is done now, and for which seed: the last words of a process that crashes."""


def attempt(cases: Sequence[Case], note: Note = lambda doing, seed: None) -> list[Outcome]:
    """Import each, build all that are not refused into one library, run and judge."""
    outcomes: list[Outcome] = []
    ready: list[Ready] = []
    for case in cases:
        note("import", case.seed)
        found = _imported(case)
        if isinstance(found, Outcome):
            outcomes.append(found)
        else:
            ready.append(found)
    return outcomes + _tried(ready, note)


def _imported(case: Case) -> Outcome | Ready:
    """The program, of what is left once refused sizes and nodes are taken away."""
    refusals: list[str] = []
    while True:
        try:
            return case, ours.imported(case), tuple(refusals)
        except LuthierError as error:
            message = str(error)
        except Exception as error:
            return Outcome(case, _internal(error), tuple(refusals))
        if case.sizes and not _works_there(case, message):
            case = fixed(case)
            continue
        why = documented(message, finds=case.finds)
        if why is None:
            return Outcome(case, Judgement(Verdict.UNDOCUMENTED, message), tuple(refusals))
        refusals.append(why)
        if case.sizes:
            case = fixed(case)
            continue
        smaller = without(case, message)
        if smaller is None or len(refusals) > _MOST_REFUSALS:
            return Outcome(case, Judgement(Verdict.REFUSED, message), tuple(refusals))
        case = smaller


def _works_there(case: Case, message: str) -> bool:
    """Whether a reference computes the case at the sizes for which a message says what is wrong."""
    match = re.match(r"for ((?:\w+=\d+(?:, )?)+): ", message)
    if not match:
        return True
    sizes = {name: int(size) for name, size in re.findall(r"(\w+)=(\d+)", match[1])}
    return works(case.at(sizes))


def without(case: Case, message: str) -> Case | None:
    """The case without the node that a message names, and what needs it; None if that is all."""
    names = {node.name for node in case.nodes}
    refused = next((n for n in re.findall(r"'([^']+)'", message) if n in names), None)
    gone = {o for n in case.nodes if n.name == refused for o in n.output}
    if not gone:
        return None
    kept = []
    for node in case.nodes:
        if node.name == refused or gone.intersection(reads(node)):
            gone.update(node.output)
        else:
            kept.append(node)
    outputs = {n: p for n, p in case.outputs.items() if n not in gone}
    return trimmed(replace(case, nodes=tuple(kept), outputs=outputs)) if outputs else None


def trimmed(case: Case) -> Case:
    """The case without nodes, inputs and constants that no output needs."""
    needed, kept = set(case.outputs), []
    for node in reversed(case.nodes):
        if needed.intersection(node.output):
            needed.update(reads(node))
            kept.append(node)
    dims = {n: each for n, each in case.dims.items() if n in needed}
    return replace(
        case,
        nodes=tuple(kept[::-1]),
        inputs={n: a for n, a in case.inputs.items() if n in needed},
        constants={n: a for n, a in case.constants.items() if n in needed},
        dims=dims,
        sizes={n: s for n, s in case.sizes.items() if any(n in each for each in dims.values())},
    )


def _tried(ready: Sequence[Ready], note: Note) -> list[Outcome]:
    if not ready:
        return []
    cases, programs = [r[0] for r in ready], [r[1] for r in ready]
    note("build and run", " ".join(c.seed for c in cases))
    try:
        outputs = ours.run(cases, programs)
    except Exception as error:
        if len(ready) > 1:  # whose fault it is, one by one
            return [outcome for one in ready for outcome in _tried([one], note)]
        if isinstance(error, LuthierError) and documented(str(error), finds=cases[0].finds):
            if cases[0].sizes:
                return attempt([fixed(cases[0])], note)
            return [Outcome(cases[0], Judgement(Verdict.REFUSED, str(error)), ready[0][2])]
        unsteady = isinstance(error, ours.UnsteadyError)
        found = Judgement(Verdict.UNSTEADY, str(error)) if unsteady else _internal(error)
        return [Outcome(cases[0], found, ready[0][2])]
    outcomes = []
    for (case, _, refusals), runs in zip(ready, outputs, strict=True):
        note("judge", case.seed)
        try:
            outcomes.append(Outcome(case, _judged(case, runs), refusals))
        except NoReferenceError as error:  # of what rounding may make of it
            outcomes.append(Outcome(case, Judgement(Verdict.REFUSED, str(error)), refusals))
    return outcomes


def _judged(case: Case, runs: Sequence[ours.Run]) -> Judgement:
    """Of all runs: the first fault, or else disagreement."""
    found = []
    for fit, arrays in runs:
        each = judge(fit, arrays)
        where = f"at {text(shapes)}: " if (shapes := sizes_of(case, fit)) else ""
        found.append(replace(each, detail=where + each.detail if each.detail else ""))
    ranked = sorted(found, key=lambda each: (not each.verdict.is_find, each.verdict is _RIGHT))
    if not ranked:
        return Judgement(Verdict.REFUSED, "no reference computes it at any of its sizes")
    judged, elements = (sum(getattr(e, n) for e in found) for n in ("judged", "elements"))
    return replace(ranked[0], judged=judged, elements=elements)


def _internal(error: Exception) -> Judgement:
    """What was raised, and where in Luthier."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f for f in reversed(frames) if "/tests/" not in f.filename), frames[-1])
    at = f"{place.filename.rsplit('/', 1)[-1]}:{place.name}"
    return Judgement(
        Verdict.INTERNAL, f"{type(error).__name__}: {' '.join(str(error).split())[:300]} ({at})"
    )
