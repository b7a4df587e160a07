"""The static memory plan: where every buffer of every call lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from luthier.frontend.program import Program
from luthier.schedules import ALIGNMENT, Kernel

ARENA, WEIGHTS, INPUT, OUTPUT = "ARENA", "WEIGHTS", "INPUT", "OUTPUT"


@dataclass(frozen=True)
class Reference:
    """A place: a byte offset in the arena or the weights, or the index of an input or output."""

    space: str
    at: int


@dataclass(frozen=True)
class Block:
    """``nbytes`` that are in use from call ``first`` to call ``last``, both included."""

    nbytes: int
    first: int
    last: int

    def meets(self, other: Block) -> bool:
        """Whether there is a call at which both are in use."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class WeightPlaces:
    """Offsets of constants: by (call, argument), and by output for outputs that are constants."""

    arguments: Mapping[tuple[int, int], int]
    outputs: Mapping[int, int]
    nbytes: int


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


def _lowest_best_gap(taken: Iterable[tuple[int, int]], nbytes: int) -> int:
    """Offset of the tightest gap between the (begin, end) spans, or their common end."""
    cursor, best, best_size = 0, None, 0
    for begin, end in sorted(taken):
        gap = begin - cursor
        if gap >= nbytes and (best is None or gap < best_size):
            best, best_size = cursor, gap
        cursor = max(cursor, end)
    return cursor if best is None else best


def place(blocks: Sequence[Block]) -> tuple[list[int], int]:
    """Offsets (multiples of 64) for the blocks, and the bytes of the whole arena.

    Greedy by size with best fit, after Pisarchyk and Lee, "Efficient memory management for deep
    neural net inference" (2020).
    """
    offsets = [0] * len(blocks)
    placed: list[int] = []
    for i in sorted(range(len(blocks)), key=lambda i: (-blocks[i].nbytes, blocks[i].first)):
        size = _round_up(blocks[i].nbytes)
        spans = [
            (offsets[j], offsets[j] + _round_up(blocks[j].nbytes))
            for j in placed
            if blocks[i].meets(blocks[j])
        ]
        offsets[i] = _lowest_best_gap(spans, size)
        if size:
            placed.append(i)
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


def plan(program: Program, kernels: Sequence[Kernel], weights: WeightPlaces) -> Plan:
    """Lay out the program; ``kernels[c]`` computes call ``c``."""
    blocks = _Blocks()
    end = len(program.calls)  # the time at which outputs are copied
    at_input = [blocks.add(program.values[v].nbytes, 0) for _, v in program.inputs]
    holder = {v: Reference(INPUT, k) for k, (_, v) in enumerate(program.inputs)}
    block_of = {v: at_input[k] for k, (_, v) in enumerate(program.inputs)}
    written = _outputs_written_in_place(program)
    at_output: dict[int, int] = {}
    drafts: list[list[Reference]] = []

    for time, (call, kernel) in enumerate(zip(program.calls, kernels, strict=True)):
        temps = [Reference(ARENA, blocks.add(n, time)) for n in kernel.temps]
        block = block_of[call.result] = blocks.add(program.values[call.result].nbytes, time)
        output = written.get(call.result)
        if output is None:
            holder[call.result] = Reference(ARENA, block)
        else:
            holder[call.result] = Reference(OUTPUT, output)
            at_output[output] = block
            blocks.use(block, end)
        arguments = []
        for i, value in enumerate(call.args):
            base = program.base(value)
            if (time, i) in weights.arguments:
                arguments.append(Reference(WEIGHTS, weights.arguments[time, i]))
                continue
            blocks.use(block_of[base], time)
            arguments.append(holder[base])
        drafts.append([*arguments, *temps, holder[call.result]])

    copies = []
    for k, (_, value) in enumerate(program.outputs):
        if k in at_output:
            continue
        at_output[k] = blocks.add(program.values[value].nbytes, end)
        base = program.base(value)
        if k in weights.outputs:
            copies.append((Reference(WEIGHTS, weights.outputs[k]), k))
        else:
            blocks.use(block_of[base], end)
            copies.append((holder[base], k))

    offsets, arena_bytes = blocks.place()

    def settle(reference: Reference) -> Reference:
        return Reference(ARENA, offsets[reference.at]) if reference.space == ARENA else reference

    return Plan(
        buffers=tuple(tuple(map(settle, draft)) for draft in drafts),
        copies=tuple((settle(source), k) for source, k in copies),
        input_places=tuple(offsets[b] for b in at_input),
        output_places=tuple(offsets[at_output[k]] for k in range(len(program.outputs))),
        arena_bytes=arena_bytes,
    )


def _outputs_written_in_place(program: Program) -> dict[int, int]:
    """For each call's result that is an output, the first output that it is."""
    results = {call.result for call in program.calls}
    written: dict[int, int] = {}
    for k, (_, value) in enumerate(program.outputs):
        base = program.base(value)
        if base in results:
            written.setdefault(base, k)
    return written
