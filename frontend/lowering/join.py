"""Two calls as one, where the second reads what the first writes."""

from __future__ import annotations

from collections import Counter
from itertools import count

from luthier.schedules import Workload
from luthier.schedules.ir.placement import Placement

from ..program import Call, Program


def readers(program: Program) -> Counter[int]:
    """How often each value is read, be it as an output, a view or a part."""
    found = Counter(program.base(value) for step in program.steps for value in step.reads)
    found.update(program.base(value) for _, value in program.outputs)
    found.update(program.base(value) for value in program.views)
    found.update(program.parts.keys())  # whoever reads the whole
    return found


def joined(first: Call, second: Call) -> Call:
    """Both calls as one, where ``second`` reads the result of ``first`` and nobody else does."""
    a, b = first.workload, second.workload
    inputs = dict(zip(first.args, a.signature, strict=True))
    inputs |= zip(second.args, b.signature, strict=True)
    del inputs[first.result]
    fresh = count(max(*inputs, first.result, second.result) + 1)
    ops = (
        *a.inlined(first.args, first.result, fresh),
        *b.inlined(second.args, second.result, fresh),
    )
    source = " + ".join(s for s in (first.source, second.source) if s)
    pitches = {
        arg: call.placement.pitch(i) for call in (first, second) for i, arg in enumerate(call.args)
    }
    placement = Placement.of([pitches[arg] for arg in inputs], second.placement.output)
    return Call(Workload.of(inputs, ops), tuple(inputs), second.result, source, placement)
