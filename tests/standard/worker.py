"""The process that does the work, which a kernel may crash; see ``tests.fuzz.workers``.

A request is a line of JSON: ``{}`` for all cases and their operators, ``{"names": [...]}`` to try
some. Each answer is a line: first what is being done, then ``{"outcomes": [...]}``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

from tests.fuzz.worker import MOST_MEMORY

from .cases import load_cases
from .trial import attempt


def main() -> int:
    """Answer until standard input ends; the argument is the descriptor to answer on."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cases = load_cases()
    with os.fdopen(int(sys.argv[1]), "w") as answers:

        def say(answer: dict[str, Any]) -> None:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()

        for line in sys.stdin:
            request = json.loads(line)
            if "names" in request:
                asked = [cases[name] for name in request["names"]]
                found = attempt(asked, lambda doing, name: say({"doing": doing, "seed": name}))
                say({"outcomes": [{"name": n, "why": why} for n, why in found.items()]})
            else:
                named = ((n, sorted(case.operators)) for n, case in cases.items())
                say({"outcomes": [{"name": n, "operators": operators} for n, operators in named]})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
