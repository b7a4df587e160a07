"""The static memory plan: where every buffer of every call lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from luthier.frontend.program import Program
from luthier.schedules import Kernel
from luthier.schedules.ir.kernel import OpenKernel

from .flow import Layout, Places, WeightPlaces
from .instructions import ARENA, WEIGHTS, Instruction, Operation, Reference


@dataclass(frozen=True)
class Plan:
    """``buffers[c]`` are the buffers of call ``c``, for each alternative of its kernel: arguments,
    temps, result, and the sizes if these are open.

    There is room for the largest sizes. ``instructions`` say which calls run, and how often.
    ``copies`` are (from, output) for outputs that no step writes. An input or output whose buffer
    the caller did not align lies in the arena at ``input_places`` or ``output_places``.
    """

    buffers: tuple[tuple[tuple[Reference, ...], ...], ...]
    copies: tuple[tuple[Reference, int], ...]
    input_places: tuple[int, ...]
    output_places: tuple[int, ...]
    arena_bytes: int
    instructions: tuple[Instruction, ...]

    @property
    def loops(self) -> int:
        """How many loops there are."""
        return sum(each.operation is Operation.ENTER for each in self.instructions)


def plan(
    program: Program,
    kernels: Sequence[Kernel | OpenKernel],
    weights: WeightPlaces,
    states: Mapping[str, int] = MappingProxyType({}),
) -> Plan:
    """Lay out the program; ``kernels[c]`` computes call ``c``, ``states`` lie where these say."""
    places = Places(program, weights, states)
    layout = Layout(places, kernels, weights)
    layout.region(program.steps)
    befores = {state.before for state in program.states}
    saved = {
        k: layout.saved(value)
        for k, (_, value) in enumerate(program.outputs)
        if program.place(value).whole in befores
    }
    layout.states(program.states)
    blocks, end = places.blocks, layout.time  # the time at which outputs are copied
    for reference in saved.values():
        blocks.use(reference.at, end)
    for block in places.at_output.values():
        blocks.use(block, end)

    copies = []
    for k, (_, value) in enumerate(program.outputs):
        if k in places.at_output:
            continue
        places.at_output[k] = blocks.add(program.values[value].nbytes, end)
        if k in saved:
            copies.append((saved[k], k))
        elif k in weights.outputs:
            copies.append((Reference(WEIGHTS, weights.outputs[k]), k))
        else:
            copies.append((places.read(value, end), k))

    offsets, arena_bytes = blocks.place()

    def settle(reference: Reference) -> Reference:
        if reference.space != ARENA:
            return reference
        return replace(reference, at=offsets[reference.at])

    return Plan(
        buffers=tuple(tuple(tuple(map(settle, row)) for row in draft) for draft in layout.drafts),
        copies=tuple((settle(source), k) for source, k in copies),
        input_places=tuple(offsets[b] for b in places.at_input),
        output_places=tuple(offsets[places.at_output[k]] for k in range(len(program.outputs))),
        arena_bytes=arena_bytes,
        instructions=tuple(each.over(settle) for each in layout.instructions),
    )
