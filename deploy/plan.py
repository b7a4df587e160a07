"""The static memory plan: where every buffer of every call lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from luthier.frontend.program import Program
from luthier.schedules import ALIGNMENT, Kernel

from .straight_line import straight_line

ARENA, WEIGHTS, INPUT, OUTPUT = "ARENA", "WEIGHTS", "INPUT", "OUTPUT"


@dataclass(frozen=True)
class Reference:
    """A place: a byte offset in the arena or the weights, or ``offset`` bytes into an input or
    output, whose index ``at`` is.
    """

    space: str
    at: int
    offset: int = 0


@dataclass(frozen=True)
class Block:
    """``nbytes`` that are in use from call ``first`` to call ``last``, both included."""

    nbytes: int
    first: int
    last: int


@dataclass(frozen=True)
class WeightPlaces:
    """Offsets of constants: by (call, argument), and by output for outputs that are constants."""

    arguments: Mapping[tuple[int, int], int]
    outputs: Mapping[int, int]


@dataclass(frozen=True)
class Plan:
    """``buffers[c]`` are the buffers of call ``c``: arguments, temps, result.

    ``copies`` are (from, output) for outputs that no call writes. An input or output whose buffer
    the caller did not align lies in the arena at ``input_places`` or ``output_places``.
    """

    buffers: tuple[tuple[Reference, ...], ...]
    copies: tuple[tuple[Reference, int], ...]
    input_places: tuple[int, ...]
    output_places: tuple[int, ...]
    arena_bytes: int


def _round_up(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class _Placed:
    """Blocks with their offsets, in the order of these."""

    def __init__(self, most: int) -> None:
        self._table = np.zeros((4, most), np.int64)  # begin, end, first, last
        self._count = 0

    def gap(self, block: Block, nbytes: int) -> int:
        """Offset of the tightest gap between the blocks that are in use with ``block``, or their
        common end."""
        begin, end, first, last = self._table[:, : self._count]
        used = (first <= block.last) & (last >= block.first)
        reach = np.maximum.accumulate(np.concatenate([[0], end[used]]))
        free = begin[used] - reach[:-1]
        fits = np.flatnonzero(free >= nbytes)
        return int(reach[fits[np.argmin(free[fits])]] if fits.size else reach[-1])

    def add(self, block: Block, offset: int, nbytes: int) -> None:
        at = int(np.searchsorted(self._table[0, : self._count], offset))
        self._table[:, at + 1 : self._count + 1] = self._table[:, at : self._count].copy()
        self._table[:, at] = offset, offset + nbytes, block.first, block.last
        self._count += 1


def place(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """Offsets (multiples of 64) for the blocks, and the bytes of the whole arena.

    Greedy by size with best fit, after Pisarchyk and Lee, "Efficient memory management for deep
    neural net inference" (2020).
    """
    offsets = [0] * len(blocks)
    placed = _Placed(len(blocks))
    for i in sorted(range(len(blocks)), key=lambda i: (-blocks[i].nbytes, blocks[i].first)):
        size = _round_up(blocks[i].nbytes)
        offsets[i] = placed.gap(blocks[i], size)
        if size:
            placed.add(blocks[i], offsets[i], size)
    ends = (o + _round_up(b.nbytes) for o, b in zip(offsets, blocks, strict=True))
    return offsets, max(ends, default=0)


@dataclass
class _Blocks:
    """Blocks under construction; an index stands for the offset that ``place`` will choose."""

    sizes: list[int] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)

    def add(self, nbytes: int, time: int) -> int:
        self.sizes.append(nbytes)
        self.spans.append((time, time))
        return len(self.sizes) - 1

    def use(self, block: int, time: int) -> None:
        first, last = self.spans[block]
        self.spans[block] = first, max(last, time)

    def place(self) -> tuple[list[int], int]:
        return place([Block(n, *s) for n, s in zip(self.sizes, self.spans, strict=True)])


class _Places:
    """Where values lie: ``block`` and ``holder`` of each value that is neither view nor part.

    Until ``place`` has chosen offsets, a reference into the arena names a block.
    """

    def __init__(self, program: Program) -> None:
        self.program, self.blocks = program, _Blocks()
        self.end = len(program.steps)  # the time at which outputs are copied
        self.at_input = [self.blocks.add(program.values[v].nbytes, 0) for _, v in program.inputs]
        self.at_output: dict[int, int] = {}
        self._holder = {v: Reference(INPUT, k) for k, (_, v) in enumerate(program.inputs)}
        self._block = {v: self.at_input[k] for k, (_, v) in enumerate(program.inputs)}
        self._written = _outputs_written_in_place(program)

    def read(self, value: int, time: int) -> Reference:
        """The place of a value that is in use at ``time``."""
        part = self.program.place(value)
        self.blocks.use(self._block[part.whole], time)
        offset = self.program.values[value].element.nbytes(part.first)
        return replace(self._holder[part.whole], offset=offset)

    def write(self, value: int, time: int) -> Reference:
        """The place of a call's result; the first part of a value makes room for all of it."""
        whole = self.program.place(value).whole
        if whole not in self._block:
            block = self._block[whole] = self.blocks.add(self.program.values[whole].nbytes, time)
            output = self._written.get(whole)
            if output is None:
                self._holder[whole] = Reference(ARENA, block)
            else:
                self._holder[whole] = Reference(OUTPUT, output)
                self.at_output[output] = block
                self.blocks.use(block, self.end)
        return self.read(value, time)


def plan(program: Program, kernels: Sequence[Kernel], weights: WeightPlaces) -> Plan:
    """Lay out the program; ``kernels[c]`` computes call ``c``."""
    places = _Places(program)
    blocks, end = places.blocks, places.end
    drafts: list[list[Reference]] = []
    for time, (call, kernel) in enumerate(zip(straight_line(program), kernels, strict=True)):
        temps = [Reference(ARENA, blocks.add(n, time)) for n in kernel.temps]
        result = places.write(call.result, time)
        arguments = [
            Reference(WEIGHTS, weights.arguments[time, i])
            if (time, i) in weights.arguments
            else places.read(value, time)
            for i, value in enumerate(call.args)
        ]
        drafts.append([*arguments, *temps, result])

    copies = []
    for k, (_, value) in enumerate(program.outputs):
        if k in places.at_output:
            continue
        places.at_output[k] = blocks.add(program.values[value].nbytes, end)
        if k in weights.outputs:
            copies.append((Reference(WEIGHTS, weights.outputs[k]), k))
        else:
            copies.append((places.read(value, end), k))

    offsets, arena_bytes = blocks.place()

    def settle(reference: Reference) -> Reference:
        if reference.space != ARENA:
            return reference
        return Reference(ARENA, offsets[reference.at] + reference.offset)

    return Plan(
        buffers=tuple(tuple(map(settle, draft)) for draft in drafts),
        copies=tuple((settle(source), k) for source, k in copies),
        input_places=tuple(offsets[b] for b in places.at_input),
        output_places=tuple(offsets[places.at_output[k]] for k in range(len(program.outputs))),
        arena_bytes=arena_bytes,
    )


def _outputs_written_in_place(program: Program) -> dict[int, int]:
    """For each value that calls make and that is an output, the first output that it is."""
    results = {program.place(call.result).whole for call in straight_line(program)}
    written: dict[int, int] = {}
    for k, (_, value) in enumerate(program.outputs):
        base = program.base(value)
        if base in results:
            written.setdefault(base, k)
    return written
