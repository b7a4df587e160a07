"""The process that does the work: requests on standard input, answers on a descriptor of its own.

A request is a line of JSON: ``{"grow": [seeds], "setting": {...}}`` or ``{"case": folder}``. Each
answer is a line: first what is being done, then ``{"outcomes": [...]}``. Cases that turn out to be
faulty are written to the request's ``folder``; one that is alone already before it is tried.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from .case import Case, Setting
from .grow import grow
from .trial import Outcome, attempt

MOST_MEMORY = 8 << 30  # bytes of address space


def main() -> int:
    """Answer until standard input ends; the argument is the descriptor to answer on."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(int(sys.argv[1]), "w") as answers:

        def say(answer: dict[str, Any]) -> None:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()

        for line in sys.stdin:
            request = json.loads(line)
            folder = Path(request["folder"])
            cases = _cases(request, say)
            if len(cases) == 1:
                cases[0].save(folder / file_name(cases[0].seed))
            outcomes = attempt(cases, lambda doing, seed: say({"doing": doing, "seed": seed}))
            say({"outcomes": [_answer(o, folder) for o in outcomes]})
    return 0


def _cases(request: dict[str, Any], say: Any) -> list[Case]:
    if "case" in request:
        return [Case.load(Path(request["case"]))]
    setting = Setting(**request["setting"])
    cases = []
    for seed in request["grow"]:
        say({"doing": "grow", "seed": seed})
        cases.append(grow(seed, setting))
    return cases


def _answer(outcome: Outcome, folder: Path) -> dict[str, Any]:
    judgement, case = outcome.judgement, outcome.case
    answer = {
        "seed": case.seed,
        "verdict": judgement.verdict.value,
        "detail": judgement.detail,
        "judged": judgement.judged,
        "elements": judgement.elements,
        "operators": case.operators,
        "refusals": list(outcome.refusals),
        "sizes": len(case.sizes),
    }
    if judgement.verdict.is_find:
        case.save(folder / file_name(case.seed))
    return answer


def file_name(seed: str) -> str:
    """A case's folder."""
    return seed.replace(":", "-").replace(" ", "_")


if __name__ == "__main__":
    raise SystemExit(main())
