"""What is true of every program."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import Tensor
from luthier.schedules.ir.core import needed, require
from luthier.schedules.ir.placement import span

from .core import Program
from .steps import walk
from .verify_step import verify_step


def verify(program: Program) -> None:
    """Raise IRError, which says what is wrong and where.

    Each value is an input, a constant, a result of one step, a view of as many bytes, or made of
    parts that fill it; and it is read when it is there. Calls have arguments and a result as their
    workload says, which is one; for loops and branches see ``verify_step``. Sizes that are known
    at run time are sizes of inputs, in one range each.
    """
    require(len(dict(program.inputs)) == len(program.inputs), "an input's name is taken")
    for value, array in program.constants.items():
        tensor = Tensor(tuple(array.shape), str(array.dtype))
        require(program.values[value] == tensor, f"the constant %{value} is {tensor}")
    _verify_sizes(program)
    _verify_places(program)
    _verify_views(program)
    for whole in program.pieces:
        _verify_parts(program, whole)
    program.region.verify(program.constants.keys(), program.made_of)
    for step in walk(program.region):
        verify_step(program, step)
    defined = [*program.region.defined, *program.constants, *program.views, *program.pieces]
    require(len(set(defined)) == len(defined), "a value comes from two places")
    require(len(defined) == len(program.values), "a value comes from nowhere")


def _verify_places(program: Program) -> None:
    """Views and parts lie in values, and none of them in itself."""
    within = {value: (base,) for value, base in program.views.items()}
    within |= {value: (part.whole,) for value, part in program.parts.items()}
    for value, (other,) in within.items():
        known = max(value, other) < len(program.values)
        require(known, f"%{value} in %{other}: a value comes from nowhere")
        require(value not in needed((other,), within), f"%{value} lies in itself")


def _verify_views(program: Program) -> None:
    for value, base in program.views.items():
        fits = _sizes(program, value) == _sizes(program, base)
        require(fits, f"the view %{value} has not the bytes of %{base}")


def _sizes(program: Program, value: int) -> tuple[int, int]:
    """Bytes at least and at most."""
    most = program.values[value]
    least = program.open[value].least if value in program.open else most
    return least.nbytes, most.nbytes


def _verify_parts(program: Program, whole: int) -> None:
    """They have the element type of ``whole`` and fill its elements, each once."""
    all_of, pitch = program.values[whole], program.pitch(whole)
    free = np.zeros(span(all_of.shape, pitch), bool)
    _rows(free, all_of, pitch)[...] = True
    for value in program.pieces[whole]:
        tensor, part = program.values[value], program.parts[value]
        first, size = part.first, span(tensor.shape, part.pitch)
        where = f"%{value} in %{whole} from {first} on"
        require(tensor.dtype == all_of.dtype, f"{where}: it is {tensor}")
        require(value not in program.views, f"{where}: it is a view")
        elements = free[first : first + size]
        require(elements.size == size, f"{where}: it ends outside")
        place = _rows(elements, tensor, part.pitch)
        require(bool(place.all()), f"{where}: it lies where another part does")
        place[...] = False
    require(not free.any(), f"the parts of %{whole} leave gaps")


def _rows(memory: NDArray[np.bool_], tensor: Tensor, pitch: int | None) -> NDArray[np.bool_]:
    """The tensor's own elements, row by row, of the memory that it spans."""
    columns = math.prod(tensor.shape[-1:])
    shape = (tensor.size // columns, columns)
    return np.lib.stride_tricks.as_strided(memory, shape, (pitch or columns, 1))


def _verify_sizes(program: Program) -> None:
    symbols = program.symbols
    for value, tensor in program.open.items():
        where = f"%{value}: {tensor}"
        require(tensor.most == program.values[value], f"{where}: the room for it is another")
        require(
            all(d >= 0 for d in tensor.least.shape), f"{where}: it may have less than no elements"
        )
        for name, symbol in tensor.symbols.items():
            require(symbols.get(name) == symbol, f"{where}: no input has the size {symbol}")
