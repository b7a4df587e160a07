"""The library's tables of what is interpreted, in C; ``runtime/program.h`` says what they mean."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from luthier.schedules.errors import printable
from luthier.schedules.ir.size import Size

from .c_array import c_array
from .instructions import Reference
from .names import c_string
from .numbers import VariantNumbers
from .plan import Plan

_LONGEST_TEXT = 120  # characters of one in a message


def flow_arrays(name: str, plan: Plan, numbers: VariantNumbers) -> str:
    """The references, instructions, slides, loops and copies of a variant."""
    references = (_reference(r, numbers) for r in numbers.references)
    moving = (str(i) for i, r in enumerate(numbers.references) if r.space in ("INPUT", "OUTPUT"))
    slides = sorted((r.slide.loop, i) for i, r in enumerate(numbers.references) if r.slide)
    loops = [loop for loop, _ in slides]
    ranges = (f"{{{bisect_left(loops, i)}u, {loops.count(i)}u}}" for i in range(plan.loops))
    copies = (f"{{{_reference(r, numbers)}, {k}}}" for r, k in plan.copies)
    return "".join(
        (
            c_array("luthier_reference", f"{name}_references", references),
            c_array("size_t", f"{name}_moving", moving),
            c_array("luthier_instruction", f"{name}_instructions", _instructions(plan, numbers)),
            c_array("luthier_slide", f"{name}_slides", (_slide(numbers, i) for _, i in slides)),
            c_array("luthier_loop", f"{name}_loops", ranges),
            c_array("luthier_copy", f"{name}_copies", copies),
        )
    )


def _instructions(plan: Plan, numbers: VariantNumbers) -> Iterator[str]:
    operand = numbers.first_operand
    for each in plan.instructions:
        buffers = []
        for reference in each.references:
            buffers.append("LUTHIER_NONE" if reference is None else f"{operand}u")
            operand += reference is not None
        first, second = (*buffers, "LUTHIER_NONE", "LUTHIER_NONE")[:2]
        where = f"{each.index}u, {each.target}u, {first}, {second}"
        nbytes = _bytes(each.nbytes, numbers)
        yield f"{{{nbytes}, {where}, LUTHIER_{each.operation.value}, {_text(each.text)}}}"


def _text(text: str) -> str:
    return c_string(printable(text)[:_LONGEST_TEXT]) if text else "NULL"


def _slide(numbers: VariantNumbers, buffer: int) -> str:
    slide = numbers.references[buffer].slide
    assert slide is not None
    return f"{{{_bytes(slide.stride, numbers)}, {slide.mask}u, {slide.ahead}u, {buffer}u}}"


def _reference(reference: Reference, numbers: VariantNumbers) -> str:
    offset = _bytes(reference.offset, numbers)
    return f"{{{reference.at}u, {offset}, LUTHIER_IN_{reference.space}}}"


def _bytes(count: int | Size, numbers: VariantNumbers) -> str:
    """Where they vary, the index of the number that says how many."""
    if isinstance(count, Size):
        return f"{{{numbers.at[count]}u, 1}}"
    return f"{{{count}u, 0}}"
