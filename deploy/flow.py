"""Where the values of a program lie, and the instructions that work on them, region by region."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from luthier.frontend.program import Branch, Call, Expect, Find, Loop, Program, State, Step
from luthier.frontend.program.steps import walk
from luthier.schedules import Kernel
from luthier.schedules.ir.core import Region
from luthier.schedules.ir.kernel import OpenKernel
from luthier.schedules.ir.size import Size

from .arena import Blocks, round_up
from .instructions import (
    ARENA,
    ENDLESS,
    INPUT,
    OUTPUT,
    SIZES,
    STATE,
    WEIGHTS,
    Instruction,
    Operation,
    Reference,
    Slide,
)
from .open_bytes import element_bytes, nbytes


@dataclass(frozen=True)
class WeightPlaces:
    """Offsets of constants: by (call, argument), by output for outputs that are constants, and by
    value for what loops and branches read.
    """

    arguments: Mapping[tuple[int, int], int]
    outputs: Mapping[int, int]
    values: Mapping[int, int] = field(default_factory=dict)


class Places:
    """Where values lie: ``block`` and ``holder`` of each value that is neither view nor part.

    Until ``place`` has chosen offsets, a reference into the arena names a block.
    """

    def __init__(self, program: Program, weights: WeightPlaces, states: Mapping[str, int]) -> None:
        """``states`` are the offsets of states by name."""
        self.program, self.blocks = program, Blocks()
        self._weights = weights
        self.at_input = [self.blocks.add(program.values[v].nbytes, 0) for _, v in program.inputs]
        self.at_output: dict[int, int] = {}
        self._holder = {v: Reference(INPUT, k) for k, (_, v) in enumerate(program.inputs)}
        self._block = {v: self.at_input[k] for k, (_, v) in enumerate(program.inputs)}
        self._written = _outputs_written_in_place(program)
        for state in program.states:
            self.keep(state.before, Reference(STATE, states[state.name]), self.blocks.add(0, 0))

    def read(self, value: int, time: int) -> Reference:
        """The place of a value that is in use at ``time``."""
        part = self.program.place(value)
        if part.whole in self.program.constants:
            return Reference(WEIGHTS, self._weights.values[part.whole])
        self.blocks.use(self._block[part.whole], time)
        offset = element_bytes(self.program.values[value].element, part.first)
        return replace(self._holder[part.whole], offset=offset)

    def write(self, value: int, time: int) -> Reference:
        """The place of a step's result; the first part of a value makes room for all of it."""
        whole = self.program.place(value).whole
        if whole not in self._block:
            block = self.blocks.add(self.program.values[whole].nbytes, time)
            output = self._written.get(whole)
            if output is None:
                self.keep(whole, Reference(ARENA, block), block)
            else:
                self.keep(whole, Reference(OUTPUT, output), block)
                self.at_output[output] = block
        return self.read(value, time)

    def keep(self, value: int, holder: Reference, block: int) -> None:
        """Let a value lie at ``holder``, in a block."""
        self._holder[value], self._block[value] = holder, block

    def adopt(self, value: int, region: Region[Step], holder: Reference, result: int) -> bool:
        """Whether a result of a region is written where ``result`` has a place for it."""
        base = self.program.base(value)
        made = (self.program.place(v).whole for step in region.statements for v in step.defines)
        if base in self._block or base not in made:
            return False
        self.keep(base, holder, self._block[self.program.base(result)])
        return True

    def lasts(self, values: Iterable[int], since: int, until: int) -> None:
        """Values that lie somewhere since before a loop are read in each iteration."""
        for value in values:
            block = self._block.get(self.program.place(value).whole)
            if block is not None and self.blocks.spans[block][0] <= since:
                self.blocks.use(block, until)


class Layout:
    """The buffers of calls, and the instructions, region by region."""

    def __init__(
        self, places: Places, kernels: Sequence[Kernel | OpenKernel], weights: WeightPlaces
    ) -> None:
        self.places, self.kernels, self.weights = places, kernels, weights
        self.program = places.program
        self.drafts: list[list[list[Reference]]] = []
        self.instructions: list[Instruction] = []
        self.time = self.loops = 0
        self._found = sorted(self.program.found)
        self._left = sum(isinstance(step, Find) for step in self.program.steps)
        self._read = _read(self.program)

    def region(self, statements: Sequence[Step]) -> None:
        """Lay out steps one after the other."""
        for step in statements:
            if isinstance(step, Call):
                self._call(step)
            elif isinstance(step, Branch):
                self._branch(step)
            elif isinstance(step, Find):
                self._find(step)
            elif isinstance(step, Expect):
                self._expect(step)
            else:
                self._loop(step)

    def _find(self, step: Find) -> None:
        place, index = self.places.read(step.value, self.time), self._found.index(step.size)
        if step in self.program.steps:
            self._left -= 1
            self._add(Operation.FIND, place, index=index, target=self._left)
        else:
            self._add(Operation.GROW, place, index=index)

    def _expect(self, step: Expect) -> None:
        both = (self.places.read(value, self.time) for value in step.reads)
        nbytes = self.program.values[step.value].nbytes
        self._add(Operation.EXPECT, *both, nbytes=nbytes, text=step.text)

    def _add(self, operation: Operation, *references: Reference | None, **more: Any) -> int:
        self.instructions.append(Instruction(operation, references, **more))
        self.time += 1
        return len(self.instructions) - 1

    def _lead(self, jump: int) -> None:
        """Let a jump lead to what comes next."""
        here = len(self.instructions)
        self.instructions[jump] = replace(self.instructions[jump], target=here)

    def _call(self, call: Call) -> None:
        number, places = len(self.drafts), self.places
        kernel = self.kernels[number]
        alternatives = _temps(kernel)
        most = [max(temps) for temps in zip_longest(*alternatives, fillvalue=0)]
        temps = [Reference(ARENA, places.blocks.add(n, self.time)) for n in most]
        result = places.write(call.result, self.time)
        arguments = [
            Reference(WEIGHTS, self.weights.arguments[number, i])
            if (number, i) in self.weights.arguments
            else places.read(value, self.time)
            for i, value in enumerate(call.args)
        ]
        after = [result] if isinstance(kernel, Kernel) else [result, Reference(SIZES, 0)]
        self.drafts.append([[*arguments, *temps[: len(own)], *after] for own in alternatives])
        self._add(Operation.RUN, index=number)

    def _copy(self, to: Reference, value: int) -> None:
        size = nbytes(self.program.type(value))
        self._add(Operation.COPY, to, self.places.read(value, self.time), nbytes=size)

    def states(self, states: Sequence[State]) -> None:
        """Let them become what they become; who changes places with another waits in between."""
        places, program = self.places, self.program
        befores = {state.before for state in states}
        late: list[tuple[Reference, Reference, int]] = []
        for state in states:
            whole, size = program.place(state.after).whole, program.values[state.after].nbytes
            if whole == state.before:
                continue  # it was written in place, or stays what it is
            source = places.read(state.after, self.time)
            if whole in befores:
                between = Reference(ARENA, places.blocks.add(size, self.time))
                self._add(Operation.COPY, between, source, nbytes=size)
                source = between
            late.append((places.read(state.before, self.time), source, size))
        for to, source, size in late:
            if source.space == ARENA:
                places.blocks.use(source.at, self.time)
            self._add(Operation.COPY, to, source, nbytes=size)

    def saved(self, value: int) -> Reference:
        """A copy of a value in the arena."""
        block = self.places.blocks.add(self.program.values[value].nbytes, self.time)
        self._copy(Reference(ARENA, block), value)
        return Reference(ARENA, block)

    def _branch(self, branch: Branch) -> None:
        for result in branch.results:
            self.places.write(result, self.time)
        condition = self.places.read(branch.condition, self.time)
        unless = self._add(Operation.UNLESS, condition)
        self._side(branch, branch.then)
        jump = self._add(Operation.JUMP)
        self._lead(unless)
        self._side(branch, branch.otherwise)
        self._lead(jump)

    def _side(self, branch: Branch, region: Region[Step]) -> None:
        places, copied = self.places, []
        for value, result in zip(region.results, branch.results, strict=True):
            if not places.adopt(value, region, places.read(result, self.time), result):
                copied.append((value, result))
        self.region(region.statements)
        for value, result in copied:
            self._copy(places.read(result, self.time), value)

    def _loop(self, loop: Loop) -> None:
        places, blocks, body = self.places, self.places.blocks, loop.body
        since, index = self.time, self.loops
        self.loops += 1
        number, *parameters = body.parameters
        count = blocks.add(self.program.values[number].nbytes, since)
        places.keep(number, Reference(ARENA, count), count)
        # A carried value has two places, and goes from one to the other with each iteration.
        left: list[tuple[int, Reference, int]] = []  # results of the body, where they go, whose
        results = body.results[loop.condition is not None :]
        for parameter, first, result in zip(parameters, loop.carried, results, strict=False):
            types = (self.program.values[value] for value in (first, parameter, result))
            stride = round_up(max(tensor.nbytes for tensor in types))
            block = blocks.add(2 * stride, since)
            self._copy(Reference(ARENA, block), first)
            here, there = (
                Reference(ARENA, block, slide=Slide(index, stride, ahead, 1)) for ahead in (0, 1)
            )
            places.keep(parameter, here, block)
            left.append((result, there, parameter))
        stacks = list(zip(loop.results, results, strict=True))[len(parameters) :]
        moved: list[tuple[int, Reference]] = []
        for stack, result in stacks:
            place = places.write(stack, self.time)
            if place.slide is not None:  # it moves with an iteration around this one
                moved.append((stack, place))
                block = blocks.add(self.program.values[stack].nbytes, since)
                place = Reference(ARENA, block)
                places.keep(stack, place, block)
            row = nbytes(self.program.type(result))
            left.append((result, replace(place, slide=Slide(index, row, 0, ENDLESS)), stack))

        controls = (loop.trips, loop.condition)
        decides = (v if v is None else places.read(v, self.time) for v in controls)
        self._add(Operation.ENTER, *decides, index=index)
        head = self._add(Operation.ITERATE, places.read(number, self.time), index=index)
        copied = [each for each in left if not places.adopt(each[0], body, each[1], each[2])]
        self.region(body.statements)
        for value, to, _ in copied:
            self._copy(to, value)
        goes_on = places.read(body.results[0], self.time) if loop.condition is not None else None
        self._add(Operation.NEXT, goes_on, index=index, target=head)
        self._lead(head)
        for parameter, result in zip(parameters, loop.results, strict=False):
            source = places.read(parameter, self.time)  # which lasts as long as the loop
            if places.program.place(result).whole in self._read:
                size, place = nbytes(self.program.type(result)), places.write(result, self.time)
                self._add(Operation.COPY, place, source, nbytes=size)
        for stack, home in moved:
            self._copy(home, stack)
        places.lasts(body.free, since, self.time)


def _read(program: Program) -> set[int]:
    """The values that anything reads."""
    read = [value for step in walk(program.region) for value in step.reads]
    read += [value for region in _regions(program.region) for value in region.results]
    return {program.place(value).whole for value in read}


def _regions(region: Region[Step]) -> Iterator[Region[Step]]:
    yield region
    for step in walk(region):
        yield from step.regions


def _is_found(program: Program, value: int) -> bool:
    """Whether a size that is found says what a value is, or where its parts lie."""
    pieces = program.pieces.get(value, ())
    numbers = [program.parts[piece].first for piece in pieces]
    shape: Sequence[int | Size] = program.type(value).shape
    sizes = [size for size in (*shape, *numbers) if isinstance(size, Size)]
    found = any(size.names & program.found for size in sizes)
    return found or any(_is_found(program, piece) for piece in pieces)


def _temps(kernel: Kernel | OpenKernel) -> list[tuple[int, ...]]:
    """The temps of each alternative; one runs, so that those of the same index share a place."""
    if isinstance(kernel, Kernel):
        return [kernel.temps]
    return [alternative.kernel.temps for alternative in kernel.alternatives]


def _outputs_written_in_place(program: Program) -> dict[int, int]:
    """For each value that steps make and that is an output, the first output that it is.

    How much room one needs whose sizes are found is known at the end, when it is copied.
    """
    results = {program.place(value).whole for step in program.steps for value in step.defines}
    written: dict[int, int] = {}
    for k, (_, value) in enumerate(program.outputs):
        base = program.base(value)
        if base in results and not _is_found(program, base):
            written.setdefault(base, k)
    return written
