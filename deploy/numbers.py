"""The numbers of a variant: constant, or computed from the sizes by a C function.

``runtime/program.h`` says what they mean and in what order they come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from luthier.schedules import Kernel, ModelError
from luthier.schedules.ir.size import Condition, Size
from luthier.schedules.ir.size_text import c_condition, c_text
from luthier.schedules.ir.symbol import Symbol

from .bounds import after, bounds
from .instructions import Instruction, Reference
from .layout import AnyKernel, Variant, alternatives
from .open_bytes import Number, nbytes

_MOST_CHUNKS = 2**31 - 1
Numbers = tuple[Number, ...]


@dataclass(frozen=True)
class Choice:
    """Numbers in a row: those of the first case whose conditions hold, else the last's."""

    cases: tuple[tuple[tuple[Condition, ...], Numbers], ...]

    @property
    def length(self) -> int:
        """How many there are, in the longest case."""
        return max(len(numbers) for _, numbers in self.cases)


@dataclass(frozen=True)
class VariantNumbers:
    """The numbers of a variant, and the references and first numbers of steps that go with them.

    From ``first_operand`` on, references are what instructions work on, one after the other.
    ``at`` is the index of the number for each expression that is none of these: offsets of
    references, strides of slides, and bytes that are copied.
    """

    choices: tuple[Choice, ...]
    references: tuple[Reference, ...]
    first_numbers: tuple[int, ...]
    first_operand: int
    at: Mapping[Size, int]

    @property
    def length(self) -> int:
        """How many numbers there are."""
        return sum(choice.length for choice in self.choices)

    @property
    def constant(self) -> Numbers | None:
        """All of them where none depends on sizes."""
        if any(len(choice.cases) > 1 for choice in self.choices):
            return None
        numbers = tuple(n for choice in self.choices for n in choice.cases[0][1])
        return None if any(isinstance(n, Size) for n in numbers) else numbers


def numbers_of(variant: Variant, kernels: Sequence[AnyKernel]) -> VariantNumbers:
    """The numbers of a variant; ``kernels`` are the tables'. Raises ModelError."""
    program, symbols = variant.program, {s.name: s for s in variant.program.symbols}
    types = [program.type(v) for _, v in (*program.inputs, *program.outputs)]
    choices = [_always(nbytes(t)) for t in types]
    choices += [_always(*t.shape) for t in types if t.shape]
    choices += [_always(state.more) for state in program.states]
    length = sum(choice.length for choice in choices)
    references: list[Reference] = []
    first_numbers = []
    for index, buffers in zip(variant.step_kernels, variant.plan.buffers, strict=True):
        starts: dict[tuple[Reference, ...], int] = {}
        for row in buffers:
            if row not in starts:
                starts[row] = len(references)
                references += row
        cases: list[tuple[tuple[Condition, ...], Numbers]] = []
        left: Mapping[str, Symbol] = symbols
        for i, a in enumerate(alternatives(kernels[index])):
            cases.append((a.conditions, (i, starts[buffers[i]], *_chunks(a.kernel, left))))
            left = after(left, a.conditions)
        choices.append(Choice(tuple(cases)))
        first_numbers.append(length)
        length += choices[-1].length
    operands = (r for each in variant.plan.instructions for r in each.references)
    first_operand = len(references)
    references += [reference for reference in operands if reference is not None]
    at: dict[Size, int] = {}
    copied = (reference for reference, _ in variant.plan.copies)
    for number in _single([*references, *copied], variant.plan.instructions):
        if isinstance(number, Size) and number not in at:
            at[number] = length
            choices.append(_always(number))
            length += 1
    return VariantNumbers(
        tuple(choices), tuple(references), tuple(first_numbers), first_operand, at
    )


def _single(
    references: Iterable[Reference], instructions: Iterable[Instruction]
) -> Iterator[Number]:
    """Where buffers begin, how far they move with an iteration, and how much is copied."""
    for reference in references:
        yield reference.offset
        yield 0 if reference.slide is None else reference.slide.stride
    yield from (each.nbytes for each in instructions)


def _chunks(kernel: Kernel, symbols: Mapping[str, Symbol]) -> list[Number]:
    chunks: list[Number] = [phase.chunks for phase in kernel.phases]
    for count in chunks:
        if isinstance(count, Size) and bounds(count, symbols)[1] > _MOST_CHUNKS:
            ranges = ", ".join(map(str, symbols.values()))
            raise ModelError(f"{kernel.workload} is too large for {ranges}")
    return chunks


def _always(*numbers: Number) -> Choice:
    return Choice((((), numbers),))


def settle_function(
    name: str, numbers: VariantNumbers, names: Sequence[str], symbols: Mapping[str, Symbol]
) -> str:
    """The C function that writes the numbers; ``symbols`` are the variant's, ``names`` the
    library's. Raises ModelError where its arithmetic could overflow."""
    written = {symbol: f"s[{names.index(symbol)}]" for symbol in symbols}
    lines, first = [], 0
    for choice in numbers.choices:
        lines += _choice_text(choice, first, written, symbols)
        first += choice.length
    body = "".join(f"    {line}\n" for line in lines)
    return f"static void {name}(const int64_t *s, int64_t *n)\n{{\n    (void)s;\n{body}}}\n"


def _choice_text(
    choice: Choice, first: int, written: Mapping[str, str], symbols: Mapping[str, Symbol]
) -> list[str]:
    lines, left = [], symbols
    for i, (conditions, numbers) in enumerate(choice.cases):
        last = i == len(choice.cases) - 1
        for size in (*numbers, *(side for c in conditions for side in (c.left, c.right))):
            bounds(size, left)
        left = after(left, conditions)
        assignments = [f"n[{first + k}] = {c_text(n, written)};" for k, n in enumerate(numbers)]
        holds = " && ".join(f"({c_condition(c, written)})" for c in conditions) or "1"
        if len(choice.cases) == 1:
            return assignments
        head = "} else {" if last else f"if ({holds}) {{" if i == 0 else f"}} else if ({holds}) {{"
        lines += [head, *(f"    {assignment}" for assignment in assignments)]
    return [*lines, "}"]
