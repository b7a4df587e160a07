"""Cases as a process of their own tries them, and what a crash of it tells."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fuzz.workers import DeadError, Worker

SECONDS = 240  # for one step: to import, build or run


def every_case(worker: Worker) -> dict[str, list[str]]:
    """All cases in order, and the operators of each."""
    listed = worker.ask({}, SECONDS)
    return {case["name"]: case["operators"] for case in listed}


def reasons(worker: Worker, names: Sequence[str]) -> dict[str, str]:
    """By name why cases do not pass, "" for those that do; a case may end the worker."""
    if not names:
        return {}
    try:
        return {case["name"]: case["why"] for case in worker.ask({"names": names}, SECONDS)}
    except DeadError as error:
        said = f"fault: the process died: {error}"
        if len(names) == 1:
            return {names[0]: said}
        if error.seed in names:
            rest = [name for name in names if name != error.seed]
            return {error.seed: said} | reasons(worker, rest)
    half = len(names) // 2
    return reasons(worker, names[:half]) | reasons(worker, names[half:])
