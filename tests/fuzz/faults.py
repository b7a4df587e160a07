"""A worker with faults for the fuzzer's own tests: Tan crashes, Sinh hangs, Relu computes abs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from luthier.frontend import Entry, Program
from luthier.frontend.program import Branch, Call, Loop, Step
from luthier.schedules import Node, Workload

from . import ours, worker
from .case import Case

run = ours.run


def faulty(cases: Sequence[Case], made_of: Sequence[ours.Imported]) -> list[list[ours.Run]]:
    """In the place of ``ours.run``."""
    operators = {op for case in cases for op in case.operators}
    if "Tan" in operators:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "Sinh" in operators:
        time.sleep(3600)
    return run(cases, [broken(each) for each in made_of])


def broken(made: ours.Imported) -> ours.Imported:
    """What runs a case, with abs for relu in its kernels."""
    if isinstance(made, Entry):
        return replace(made, variants=tuple(map(_program, made.variants)))
    return _program(made)


def _program(program: Program) -> Program:
    return replace(program, steps=tuple(_steps(program.steps)))


def _steps(steps: Sequence[Step]) -> list[Step]:
    return [
        replace(step, workload=_workload(step.workload))
        if isinstance(step, Call)
        else step.over(_steps)
        if isinstance(step, Loop | Branch)
        else step
        for step in steps
    ]


def _workload(workload: Workload) -> Workload:
    nodes = tuple(_node(node) for node in workload.nodes)
    return replace(workload, nodes=nodes)


def _node(node: Node) -> Node:
    changed: Mapping[str, Any] = {"op": "abs"} if node.op == "relu" else {}
    return replace(node, **changed)


if __name__ == "__main__":
    ours.run = faulty
    raise SystemExit(worker.main())
