"""Joins 1x1 convolutions with the depthwise ones after them, as in inverted residuals.

What is between the two then never lies in memory as a whole. It must have no other reader, and the
model of the template must expect a gain on the target.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from luthier.schedules import Target, Workload
from luthier.schedules.templates.separable.form import Separable

from ..program import Call, Part, Program


def join_depthwise(program: Program, target: Target) -> Program:
    """The program with one call for each such pair."""
    readers = Counter(program.base(a) for call in program.calls for a in call.args)
    readers.update(program.base(value) for _, value in program.outputs)
    readers.update(program.base(value) for value in program.views)
    readers.update(program.parts.keys())  # whoever reads the whole
    calls: dict[int, Call] = {}  # by result
    for call in program.calls:
        first = calls.get(call.args[0]) if call.args else None
        if first is not None and readers[first.result] == 1:
            joined = _join(first, call)
            form = Separable.match(joined.workload, target)
            if form is not None and form.saves > 0:
                del calls[first.result]
                calls[call.result] = joined
                continue
        calls[call.result] = call
    gone = {call.result for call in program.calls} - calls.keys()
    return _without(replace(program, calls=tuple(calls.values())), gone)


def _join(first: Call, second: Call) -> Call:
    """Both calls as one, where ``second`` reads the result of ``first``."""
    a, b = first.workload, second.workload
    tensors = {arg: (a.inputs[i], a.constants[i]) for i, arg in enumerate(first.args)}
    tensors |= {arg: (b.inputs[i], b.constants[i]) for i, arg in enumerate(second.args)}
    del tensors[first.result]
    args = tuple(tensors)
    place = {arg: i for i, arg in enumerate(args)}
    n = len(args)
    of_first = [place[arg] for arg in first.args] + [n + i for i in range(len(a.nodes))]
    place[first.result] = of_first[-1]
    of_second = [place[arg] for arg in second.args]
    of_second += [n + len(a.nodes) + i for i in range(len(b.nodes))]
    nodes = [
        replace(node, args=tuple(number[x] for x in node.args))
        for workload, number in ((a, of_first), (b, of_second))
        for node in workload.nodes
    ]
    inputs, constants = zip(*tensors.values(), strict=True)
    source = " + ".join(s for s in (first.source, second.source) if s)
    return Call(Workload(inputs, constants, tuple(nodes)), args, second.result, source)


def _without(program: Program, gone: set[int]) -> Program:
    """The program with its values numbered anew."""
    kept = [v for v in range(len(program.values)) if v not in gone]
    number = {old: new for new, old in enumerate(kept)}
    return Program(
        program.name,
        tuple(program.values[v] for v in kept),
        tuple((name, number[v]) for name, v in program.inputs),
        tuple((name, number[v]) for name, v in program.outputs),
        {number[v]: array for v, array in program.constants.items()},
        {number[v]: number[base] for v, base in program.views.items()},
        tuple(
            replace(c, args=tuple(number[a] for a in c.args), result=number[c.result])
            for c in program.calls
        ),
        {number[v]: Part(number[p.whole], p.first) for v, p in program.parts.items()},
    )
