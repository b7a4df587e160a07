"""What is true of every program."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import Tensor
from luthier.schedules.ir.core import needed, require
from luthier.schedules.ir.placement import Placement, span
from luthier.schedules.ir.size import Size
from luthier.schedules.ir.size import value as value_of
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.ops.verify import verify as verify_workload

from ..graph.arrays import type_of
from .core import Program, State
from .open_tensor import OpenTensor
from .steps import Branch, Call, Expect, Find, Loop, Step, walk

_MOST_ENDS = 1 << 10  # of sizes together

Type: TypeAlias = Tensor | OpenTensor
Types: TypeAlias = tuple[Type, ...]


def verify(program: Program) -> None:
    """Raise IRError, which says what is wrong and where.

    Each value is an input, a constant, a result of one step, a view of as many bytes, or made of
    parts that fill it; and it is read when it is there. Calls have arguments and a result as their
    workload says, which is one; for other steps see their classes. Sizes that are known at run time
    are in one range each; those that are found are, once, before anything has them. For states see
    ``State``.
    """
    require(len(dict(program.inputs)) == len(program.inputs), "an input's name is taken")
    for value, array in program.constants.items():
        tensor = type_of(array)
        require(program.values[value] == tensor, f"the constant %{value} is {tensor}")
    _verify_sizes(program)
    _verify_places(program)
    _verify_found(program)
    _verify_views(program)
    befores = {state.before for state in program.states}
    for whole in program.pieces.keys() - befores:
        _verify_parts(program, whole)
    for state in program.states:
        _verify_state(program, state)
    program.region.verify(program.constants.keys(), program.made_of)
    for step in walk(program.region):
        if isinstance(step, Call):
            _verify_call(program, step)
        elif isinstance(step, Loop):
            _verify_loop(program, step)
        elif isinstance(step, Find):
            fits = _is_number(program.type(step.value), "int64")
            require(fits, f"it is {program.type(step.value)}", step)
        elif isinstance(step, Expect):
            _verify_expect(program, step)
        else:
            _verify_branch(program, step)
    wholes = program.pieces.keys() - befores
    defined = [*program.region.defined, *program.constants, *program.views, *wholes]
    require(len(set(defined)) == len(defined), "a value comes from two places")
    require(len(defined) == len(program.values), "a value comes from nowhere")


def _verify_places(program: Program) -> None:
    """Views and parts lie in values, and none of them in itself."""
    for value, (other,) in program.within.items():
        known = max(value, other) < len(program.values)
        require(known, f"%{value} in %{other}: a value comes from nowhere")
        require(value not in needed((other,), program.within), f"%{value} lies in itself")


def _verify_views(program: Program) -> None:
    for value, base in program.views.items():
        names = {*_names(program, value), *_names(program, base)}
        symbols = [symbol for symbol in program.symbols if symbol.name in names]
        fits = _bytes(program, value, symbols) == _bytes(program, base, symbols)
        require(fits, f"the view %{value} has not the bytes of %{base}")


def _names(program: Program, value: int) -> frozenset[str]:
    """Of the sizes that a value has."""
    return program.open[value].names if value in program.open else frozenset()


def _bytes(program: Program, value: int, symbols: Sequence[Symbol]) -> list[int]:
    """Of a value, where each size is the smallest or the largest; of many, some such choices."""
    names = [s.name for s in symbols]
    tensor = program.type(value)
    ends = itertools.islice(itertools.product(*((s.least, s.most) for s in symbols)), _MOST_ENDS)
    if isinstance(tensor, Tensor):
        return [tensor.nbytes for _ in ends]
    return [tensor.at(dict(zip(names, sizes, strict=True))).nbytes for sizes in ends]


def _verify_parts(program: Program, whole: int) -> None:
    """They have the element type of ``whole`` and fill its elements, each once."""
    all_of, pitch = program.values[whole], program.pitch(whole)
    free = np.zeros(span(all_of.shape, pitch), bool)
    _rows(free, all_of, pitch)[...] = True
    for value in program.pieces[whole]:
        tensor, part = program.values[value], program.parts[value]
        first, size = _most(program, part.first), span(tensor.shape, part.pitch)
        where = f"%{value} in %{whole} from {first} on"
        require(tensor.dtype == all_of.dtype, f"{where}: it is {tensor}")
        require(value not in program.views, f"{where}: it is a view")
        elements = free[first : first + size]
        require(elements.size == size, f"{where}: it ends outside")
        place = _rows(elements, tensor, part.pitch)
        require(bool(place.all()), f"{where}: it lies where another part does")
        place[...] = False
    require(not free.any(), f"the parts of %{whole} leave gaps")


def _verify_state(program: Program, state: State) -> None:
    """It becomes what has its type, or is a part that lies in it for all sizes."""
    where, whole = f"the state '{state.name}'", program.values[state.before]
    require(state.before not in program.open, f"{where}: its type varies")
    part = program.parts.get(state.after)
    if part is None or part.whole != state.before:
        same = program.type(state.after) == whole
        require(same, f"{where}: it is {whole} and becomes {program.type(state.after)}")
        require(not program.pieces.get(state.before), f"{where}: it is written elsewhere")
        return
    require(program.pieces[state.before] == [state.after], f"{where}: two parts are written")
    tensor, names = program.type(state.after), [s.name for s in program.symbols]
    require(tensor.dtype == whole.dtype, f"{where}: {tensor} is appended to {whole}")
    require(not state.length or state.length in names, f"{where}: '{state.length}' is not a size")
    begin = part.first.names if isinstance(part.first, Size) else frozenset[str]()
    read = begin | _names(program, state.after)
    some = [symbol for symbol in program.symbols if symbol.name in read]
    for ends in itertools.product(*((s.least, s.most) for s in some)):
        sizes = {s.name: end for s, end in zip(some, ends, strict=True)}
        shape = tensor.shape if isinstance(tensor, Tensor) else tensor.at(sizes).shape
        first = int(value_of(part.first, sizes))
        fits = first >= 0 and first + span(shape, part.pitch) <= whole.size
        require(fits, f"{where}: what is appended ends outside, with {sizes}")


def _most(program: Program, size: int) -> int:
    """A place where sizes are the largest, as the types in ``values`` are."""
    return int(value_of(size, {symbol.name: symbol.most for symbol in program.symbols}))


def _rows(memory: NDArray[np.bool_], tensor: Tensor, pitch: int | None) -> NDArray[np.bool_]:
    """The tensor's own elements, row by row, of the memory that it spans."""
    columns = math.prod(tensor.shape[-1:])
    shape = (tensor.size // max(columns, 1), columns)
    return np.lib.stride_tricks.as_strided(memory, shape, (pitch or columns, 1))


def _verify_sizes(program: Program) -> None:
    symbols = {symbol.name: symbol for symbol in program.symbols}
    require(len(symbols) == len(program.symbols), "a size's name is taken")
    for value, tensor in program.open.items():
        where = f"%{value}: {tensor}"
        for name in sorted(tensor.names):
            require(name in symbols, f"{where}: nobody says which sizes '{name}' may have")
        most = tensor.most(symbols)
        require(most == program.values[value], f"{where}: the room for it is another")
        sizes = (size for corner in tensor.corners(symbols) for size in corner.shape)
        require(min(sizes, default=0) >= 0, f"{where}: it may have less than no elements")


def _verify_found(program: Program) -> None:
    """Each size is found once, and what has it comes after that; one that is found in a loop or
    branch is known in that alone."""
    inner = sum(isinstance(step, Find) for step in walk(program.region))
    require(inner == len(program.found), "a size is found twice")
    require(program.found <= {s.name for s in program.symbols}, "a size is found that has no range")
    grows = program.found and any(state.length for state in program.states)
    require(not grows, "a state grows where a run finds sizes")
    for name, value in program.inputs:
        unknown = program.found & _names(program, value)
        require(not unknown, f"the input '{name}' has a size to be found")
    _verify_known(program, program.steps, program.found)


def _verify_known(program: Program, steps: Sequence[Step], unknown: frozenset[str]) -> None:
    """That what these steps have is none of what is ``unknown`` before them, until it is found.

    How long a loop's result is that grows may be found after it: it has room for the most before.
    """
    for step in steps:
        if isinstance(step, Find):
            unknown -= {step.size}
        inside = [each for region in step.regions for each in walk(region)]
        found = {each.size for each in inside if isinstance(each, Find)}
        ends = (value for region in step.regions for value in (*region.parameters, *region.results))
        growing = step.grown if isinstance(step, Loop) else ()
        for value in (*step.reads, *step.defines, *ends):
            if value in growing:
                continue
            own = frozenset[str]() if value in step.defines else found
            later = (unknown - own) & _place_names(program, value)
            require(not later, f"{', '.join(sorted(later))} is found later", step)
        for region in step.regions:
            _verify_known(program, region.statements, unknown)


def _place_names(program: Program, value: int) -> frozenset[str]:
    """Of the sizes that say what a value is, and where it lies."""
    found = _names(program, value)
    base = program.base(value)
    while base in program.parts:
        first = program.parts[base].first
        found |= first.names if isinstance(first, Size) else frozenset()
        base = program.base(program.parts[base].whole)
    return found


# Steps: the types of what they read and define.


def _verify_call(program: Program, call: Call) -> None:
    workload = call.workload
    verify_workload(workload)
    inputs = tuple(program.values[arg] for arg in call.args)
    require(workload.inputs == inputs, f"its arguments are {_text(inputs)}", call)
    known = [program.base(arg) in program.constants for arg in call.args]
    fits = all(k or not c for k, c in zip(known, workload.constants, strict=True))
    require(fits, "it wants a constant where there is none", call)
    result = program.values[call.result]
    require(workload.output == result, f"its result is {result}", call)
    if call.open is not None:
        most = {symbol.name: symbol.most for symbol in program.symbols}
        require(call.open.at(most) == workload, "with the largest sizes it is another", call)
        wanted = [*call.open.workload.inputs, call.open.workload.output]
        given = [program.type(value) for value in (*call.args, call.result)]
        fits = list(map(str, wanted)) == list(map(str, given))
        require(fits, f"its arguments are {_text(given)}", call)
    lies = Placement.of([program.pitch(arg) for arg in call.args], program.pitch(call.result))
    require(call.placement == lies, f"its tensors lie otherwise: {lies}", call)


def _verify_loop(program: Program, loop: Loop) -> None:
    body = loop.body
    require(bool(loop.controls), "nothing ends it", loop)
    if loop.trips is not None:
        fits = _is_number(program.type(loop.trips), "int64")
        require(fits, f"it runs %{loop.trips} times", loop)
    carried = _types(program, loop.carried)
    grows = loop.grows or (None,) * len(carried)
    require(len(grows) == len(carried), f"it says of {len(grows)} values how they grow", loop)
    taken = _types(program, body.parameters)
    fits = taken[:1] == (Tensor((), "int64"),) and _alike(taken[1:], carried, grows)
    require(fits, f"its body takes {_text(taken)}, not a number and {_text(carried)}", loop)
    results = list(body.results)
    if loop.condition is not None:
        require(bool(results), "its body does not say whether to go on", loop)
        _verify_condition(program, loop, loop.condition)
        _verify_condition(program, loop, results.pop(0))
    count = len(carried)
    left, kept = _types(program, results[:count]), _types(program, results[count:])
    fits = _alike(left, carried, grows)
    require(fits, f"its body leaves {_text(left)}, not {_text(carried)}", loop)
    ends, stacks = _types(program, loop.results[:count]), _types(program, loop.results[count:])
    fits = _alike(ends, carried, grows)
    require(fits, f"it ends with {_text(ends)}, not {_text(carried)}", loop)
    fits = len(stacks) == len(kept) and all(map(_is_stack, stacks, kept))
    require(fits, f"it gives {_text(stacks)} for {_text(kept)} of each iteration", loop)


def _verify_branch(program: Program, branch: Branch) -> None:
    _verify_condition(program, branch, branch.condition)
    results = _types(program, branch.results)
    for region in branch.regions:
        require(not region.parameters, "its regions have no parameters", branch)
        left = _types(program, region.results)
        require(left == results, f"a region gives {_text(left)}, not {_text(results)}", branch)


def _verify_expect(program: Program, expect: Expect) -> None:
    both = _types(program, expect.reads)
    fits = both[0] == both[1] and isinstance(both[0], Tensor) and both[0].dtype == "int64"
    require(fits, f"they are {_text(both)}", expect)


def _verify_condition(program: Program, step: Step, value: int) -> None:
    require(_is_number(program.type(value), "bool"), f"%{value} is not a condition", step)


def _alike(types: Types, others: Types, grows: Sequence[int | None]) -> bool:
    """Whether types are the same but along the axes along which each grows."""

    def without(tensor: Type, axis: int | None) -> tuple[str, tuple[int | Size, ...]]:
        shape = tuple(tensor.shape)
        return tensor.dtype, shape if axis is None else (*shape[:axis], -1, *shape[axis + 1 :])

    pairs = zip(types, others, grows, strict=False)
    same = all(without(one, axis) == without(other, axis) for one, other, axis in pairs)
    return len(types) == len(others) and same


def _is_number(tensor: Type, dtype: str) -> bool:
    return tensor.dtype == dtype and all(size == 1 for size in tensor.shape)


def _is_stack(whole: Type, piece: Type) -> bool:
    return bool(whole.shape) and (whole.shape[1:], whole.dtype) == (piece.shape, piece.dtype)


def _types(program: Program, values: Sequence[int]) -> Types:
    return tuple(program.type(value) for value in values)


def _text(types: Sequence[Type]) -> str:
    return ", ".join(map(str, types)) or "nothing"
