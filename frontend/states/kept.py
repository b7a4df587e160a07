"""Programs whose states are inputs and outputs no more."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from luthier.schedules import ModelError, Node, Tensor, UnsupportedOperator, Workload
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.placement import Placement
from luthier.schedules.ir.size import Size

from ..program import Call, Entry, OpenTensor, Part, Program, State, Step
from .agreement import expecting
from .growth import Growth


def kept(entry: Entry, pairs: Mapping[str, str], grown: Sequence[Growth]) -> Entry:
    """The entry point whose inputs and outputs that are ``pairs`` are states.

    Raises ModelError for a state that becomes something of another type.
    """
    if not pairs:
        return entry
    lengths = {growth.length for growth in grown}
    symbols = sorted(entry.symbols, key=lambda symbol: symbol.name in lengths)
    variants = tuple(_kept(program, pairs, grown, lengths) for program in entry.variants)
    return Entry(tuple(symbols), variants)


def _kept(
    program: Program, pairs: Mapping[str, str], grown: Sequence[Growth], lengths: set[str]
) -> Program:
    inputs, outputs = dict(program.inputs), dict(program.outputs)
    growing = {growth.name: growth for growth in grown}
    program = expecting(program)
    program = replace(
        program,
        inputs=tuple((n, v) for n, v in program.inputs if n not in pairs),
        outputs=tuple((n, v) for n, v in program.outputs if n not in pairs.values()),
        gives=tuple(each for each in program.gives if each.name not in pairs.values()),
        symbols=tuple(sorted(program.symbols, key=lambda symbol: symbol.name in lengths)),
    )
    for name, becomes in pairs.items():
        state = State(name, becomes, inputs[name], outputs[becomes])
        if name in growing:
            program = _appended(program, state, growing[name])
        else:
            program = _replaced(program, state)
    return _ordered(program).compact()


def _replaced(program: Program, state: State) -> Program:
    before, after = program.type(state.before), program.type(state.after)
    if before != after:
        raise ModelError(
            f"the state '{state.name}' is {before} and becomes '{state.becomes}', which is "
            f"{after}: a state keeps its type, or grows along an axis whose size is left open, as "
            "by --shape past=0..511"
        )
    return replace(program, states=(*program.states, state))


def _appended(program: Program, state: State, growth: Growth) -> Program:
    """With a call that writes what is new, as rows, behind what the state holds."""
    values, open_ = list(program.values), dict(program.open)
    views, parts = dict(program.views), dict(program.parts)
    room, new = values[state.before], program.type(state.after)
    outer, inner = math.prod(room.shape[: growth.axis]), math.prod(room.shape[growth.axis + 1 :])
    more = new.shape[growth.axis]
    largest = values[state.after].shape[growth.axis]
    rows = Tensor((outer, largest * inner), room.dtype)
    view, result = len(values), len(values) + 1
    values += [rows, rows]
    if isinstance(more, Size):
        open_ |= dict.fromkeys((view, result), OpenTensor((outer, more * inner), room.dtype))
    views[view] = state.after
    pitch = growth.capacity * inner if outer > 1 else None
    parts[result] = Part(state.before, _first(program, growth) * inner, pitch)

    def copy(shape: tuple[int | Size, ...]) -> Workload:
        tensor = Tensor(shape, room.dtype)  # type: ignore[arg-type]
        return Workload((tensor,), (False,), (Node("cast", (0,), tensor),))

    call = Call(
        copy(rows.shape),
        (view,),
        result,
        f"append to {state.name}",
        Placement.of([None], pitch),
        OpenWorkload(copy((outer, more * inner))) if isinstance(more, Size) else None,
    )
    after = replace(state, after=result, axis=growth.axis, length=growth.length, more=more)
    return replace(
        program,
        values=tuple(values),
        open=open_,
        views=views,
        parts=parts,
        steps=(*program.steps, call),
        states=(*program.states, after),
    )


def _first(program: Program, growth: Growth) -> int | Size:
    """How many the state holds when a run begins."""
    symbol = next(s for s in program.symbols if s.name == growth.length)
    return symbol.least if symbol.least == symbol.most else Size.named(symbol.name)


def _ordered(program: Program) -> Program:
    """What is appended comes before who reads the state; raises UnsupportedOperator where it is
    computed from it."""
    by_result = {value: step for step in program.steps for value in step.defines}
    reads = {id(step): _made(program, step.reads) for step in program.steps}
    ordered: list[Step] = []
    done: set[int] = set()
    begun: set[int] = set()
    for first in program.steps:
        waiting: list[tuple[Step, Iterator[int]]] = [(first, iter(reads[id(first)]))]
        while waiting:
            step, rest = waiting[-1]
            if id(step) in done:
                waiting.pop()
                continue
            begun.add(id(step))
            value = next(rest, None)
            if value is None:
                waiting.pop()
                ordered.append(step)
                done.add(id(step))
                continue
            before = by_result.get(value)
            if before is None or id(before) in done:
                continue
            if id(before) in begun:
                raise UnsupportedOperator(
                    f"{step.source or 'a step'}: what is appended to a state is computed from what "
                    "the state holds, which is not supported"
                )
            waiting.append((before, iter(reads[id(before)])))
    return replace(program, steps=tuple(ordered))


def _made(program: Program, values: Sequence[int]) -> list[int]:
    """The results of steps that reading these values needs."""
    return list(dict.fromkeys(v for value in values for v in sorted(program.made_of(value))))
