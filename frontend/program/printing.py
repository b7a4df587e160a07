"""A program as a text that people read and tests compare."""

from __future__ import annotations

from collections.abc import Iterator

from luthier.schedules.ir.core import listing

from .core import Program


def program_text(program: Program) -> str:
    """A line for each value, and for each output what it is.

    ``%5 = 0a1b2c3d4e5f6789(%0, %2): conv2d+relu(...) -> float32[1,8,8,16]  # Conv 'first'``
    """
    title, region, outputs = f"program {program.name}", program.region, program.outputs
    return listing(title, _leaves(program), region, outputs, program.type)


def _leaves(program: Program) -> Iterator[str]:
    yield from (f"size {symbol}" for symbol in program.symbols.values())
    for name, value in program.inputs:
        yield f"%{value} = input {name!r}: {program.type(value)}"
    for value in sorted(program.constants):
        yield f"%{value} = constant: {program.type(value)}"
    for value, base in sorted(program.views.items()):
        yield f"%{value} = view of %{base}: {program.type(value)}"
    for value, part in sorted(program.parts.items()):
        apart = f", {part.pitch} apart" if part.pitch else ""
        yield f"%{value} in %{part.whole} from {part.first} on{apart}: {program.type(value)}"
