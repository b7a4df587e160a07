"""What is true of every step of a program: the types of what it reads and defines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from luthier.schedules import Tensor
from luthier.schedules.ir.core import require
from luthier.schedules.ir.placement import Placement
from luthier.schedules.ops.verify import verify

from .core import Program
from .dim import OpenTensor
from .steps import Branch, Call, Loop, Step

Type: TypeAlias = Tensor | OpenTensor
Types: TypeAlias = tuple[Type, ...]


def verify_step(program: Program, step: Step) -> None:
    """Raise IRError, which says what is wrong and where."""
    if isinstance(step, Call):
        _verify_call(program, step)
    elif isinstance(step, Loop):
        _verify_loop(program, step)
    else:
        _verify_branch(program, step)


def _verify_call(program: Program, call: Call) -> None:
    workload = call.workload
    verify(workload)
    inputs = tuple(program.values[arg] for arg in call.args)
    require(workload.inputs == inputs, f"{call}: its arguments are {_told(inputs)}")
    known = [program.base(arg) in program.constants for arg in call.args]
    fits = all(k or not c for k, c in zip(known, workload.constants, strict=True))
    require(fits, f"{call}: it wants a constant where there is none")
    result = program.values[call.result]
    require(workload.output == result, f"{call}: its result is {result}")
    lies = Placement.of([program.pitch(arg) for arg in call.args], program.pitch(call.result))
    require(call.placement == lies, f"{call}: its tensors lie otherwise: {lies}")


def _verify_loop(program: Program, loop: Loop) -> None:
    body = loop.body
    require(bool(loop.controls), f"{loop}: nothing ends it")
    if loop.trips is not None:
        require(
            _is_number(program.type(loop.trips), "int64"), f"{loop}: it runs %{loop.trips} times"
        )
    carried = _types(program, loop.carried)
    taken = _types(program, body.parameters)
    wanted = (Tensor((), "int64"), *carried)
    require(taken == wanted, f"{loop}: its body takes {_told(taken)}, not {_told(wanted)}")
    results = list(body.results)
    if loop.condition is not None:
        require(bool(results), f"{loop}: its body does not say whether to go on")
        _verify_condition(program, loop, loop.condition)
        _verify_condition(program, loop, results.pop(0))
    left, kept = _split(program, results, len(carried))
    require(left == carried, f"{loop}: its body leaves {_told(left)}, not {_told(carried)}")
    ends, stacks = _split(program, loop.results, len(carried))
    require(ends == carried, f"{loop}: it ends with {_told(ends)}, not {_told(carried)}")
    fits = len(stacks) == len(kept) and all(map(_is_stack, stacks, kept))
    require(fits, f"{loop}: it gives {_told(stacks)} for {_told(kept)} of each iteration")


def _verify_branch(program: Program, branch: Branch) -> None:
    _verify_condition(program, branch, branch.condition)
    results = _types(program, branch.results)
    for region in branch.regions:
        require(not region.parameters, f"{branch}: its regions have no parameters")
        left = _types(program, region.results)
        require(left == results, f"{branch}: a region gives {_told(left)}, not {_told(results)}")


def _verify_condition(program: Program, step: Step, value: int) -> None:
    require(_is_number(program.type(value), "bool"), f"{step}: %{value} is not a condition")


def _is_number(tensor: Type, dtype: str) -> bool:
    return tensor.dtype == dtype and all(size == 1 for size in tensor.shape)


def _is_stack(whole: Type, piece: Type) -> bool:
    return bool(whole.shape) and (whole.shape[1:], whole.dtype) == (piece.shape, piece.dtype)


def _split(program: Program, values: Sequence[int], at: int) -> tuple[Types, Types]:
    return _types(program, values[:at]), _types(program, values[at:])


def _types(program: Program, values: Sequence[int]) -> Types:
    return tuple(program.type(value) for value in values)


def _told(types: Sequence[Type]) -> str:
    return ", ".join(map(str, types)) or "nothing"
