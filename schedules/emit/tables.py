"""Functions of one number of 8 bits as tables of 256.

A model that keeps activations in 8 bits may round what each of its operators gives, so that a Gelu
of five operators is a long way from one number of 8 bits to another. Where a processor finds bytes
in a table that lies in registers (``vpermi2b`` of AVX512-VBMI, in 128 at a time), 64 of them take
as long as one of those operators takes for 16. Others read it from the first-level cache, a byte in
a cycle, which is faster than arithmetic from some exponentials or the like on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import ops
from ..ir.dtype import FLOAT32, DType
from ..ir.kernel import Array
from ..ir.workload import Tensor, Workload
from ..late import late
from ..ops.evaluate import evaluate
from ..target.target import Target
from ..tir.indices import Expr, Index
from ..tir.literals import constant
from ..tvm_late import tirx
from .builder import PhaseBuilder
from .tile import splat, vector_index

_sym = late("tvm.sym")

FEATURE = "avx512vbmi"
LANES = 64
_SIZE = 256
_LEAST = 3  # operators between two numbers of 8 bits that are worth a table in registers
# Costly ones, a rounding among them, that are worth a read in memory: two of vectors of 8 floats,
# three of 16, as measured on Zen 5.
_COSTLY, _LANES = 2, 8


@dataclass(frozen=True)
class Table:
    """What a workload's result is for each number that value ``arg`` of it may be: ``numbers`` are
    in the order of the bits of that, read as a number without a sign. ``in_registers`` says how
    they are found."""

    arg: int
    numbers: Array
    in_registers: bool


def table_of(workload: Workload, target: Target) -> Table | None:
    """Of the value farthest from the result that alone decides it; None where none of 8 bits
    does, or where arithmetic is as fast."""
    if not _is_narrow(workload.output.element):
        return None
    last = len(workload.inputs) + len(workload.nodes) - 1
    for arg in range(last):
        tensor = workload.tensor(arg)
        if not _is_narrow(tensor.element) or tensor.shape != workload.output.shape:
            continue
        between = _between(workload, arg, last)
        if between is not None and _is_worth(workload, between, target):
            return Table(arg, _numbers(workload, arg, between), FEATURE in target.features)
    return None


def _is_worth(workload: Workload, between: list[int], target: Target) -> bool:
    found = [ops.of(workload.nodes[value - len(workload.inputs)]) for value in between]
    if FEATURE in target.features:
        return len(found) >= _LEAST
    costly = sum(isinstance(o, ops.Elementwise) and o.is_costly for o in found)
    return costly >= _COSTLY and costly * _LANES > target.lanes(FLOAT32)


def _is_narrow(element: DType) -> bool:
    return element.is_whole and element.bits == 8 and not element.is_narrow


def _between(workload: Workload, arg: int, last: int) -> list[int] | None:
    """The values that ``last`` is made of, in order, if these are made of ``arg`` alone."""
    first, found, pending = len(workload.inputs), set[int](), [last]
    while pending:
        value = pending.pop()
        if value == arg or value in found:
            continue
        if value < first or not ops.of(workload.nodes[value - first]).is_elementwise:
            return None
        found.add(value)
        pending += workload.nodes[value - first].args
    return sorted(found)


def _numbers(workload: Workload, arg: int, between: list[int]) -> Array:
    element, first = workload.tensor(arg).element, len(workload.inputs)
    known: dict[int, Array] = {arg: np.arange(_SIZE, dtype=np.uint8).view(element.numpy)}
    for value in between:
        node = workload.nodes[value - first]
        if node.op != "const":
            node = replace(node, out=Tensor((_SIZE,), node.out.dtype))
        known[value] = np.asarray(evaluate(node, [known[a] for a in node.args]))
    return np.broadcast_to(known[between[-1]], (_SIZE,)).copy()


def laid(builder: PhaseBuilder, table: Table) -> Any:
    """The numbers of a table, in an array that ``find`` reads."""
    dtype = str(table.numbers.dtype)
    held = builder.local(_SIZE, dtype)
    for i, value in enumerate(table.numbers):
        builder.store(held, i, constant(int(value), dtype))
    return held


def store(
    builder: PhaseBuilder, table: Table, held: Any, place: tuple[Any, Index], number: Expr
) -> None:
    """Write to a place in a buffer what the table has for a number: of all lanes at once, after
    the vector loop that is being written."""
    buffer, index = place
    old, lane = builder.beside(LANES, number.ty.dtype)
    new, _ = builder.beside(LANES, buffer.dtype)

    def write(lane: Index, lanes: int) -> None:
        find(builder, table, held, old, new, lanes)
        with builder.vector(lanes) as other:
            at = index if lanes == 1 else _sym.Analyzer().simplify(tirx.Let(lane, other, index))
            builder.store(buffer, at, builder.load(new, other))

    builder.store(old, lane, number)
    builder.after(write)


def find(builder: PhaseBuilder, table: Table, held: Any, old: Any, new: Any, lanes: int) -> None:
    """Write to ``new`` what a table that was laid has for each of ``lanes`` numbers in ``old``,
    both of which have room for LANES."""
    if table.in_registers:
        permute(builder, held, old, new)
        return
    with builder.loop(lanes, "byte") as i:
        place = tirx.Cast("int32", _bits("uint8", builder.load(old, i)))
        builder.store(new, i, builder.load(held, builder.let(place)))


def permute(builder: PhaseBuilder, held: Any, old: Any, new: Any) -> None:
    """The same of LANES by two instructions, of which each knows half of the table."""
    every = vector_index(0, LANES)
    place = builder.let(_bits(f"int8x{LANES}", builder.load(old, every)))
    parts = [
        _bits(f"int8x{LANES}", builder.load(held, vector_index(LANES * i, LANES))) for i in range(4)
    ]

    def one_of(first: Any, second: Any) -> Any:
        name = "llvm.x86.avx512.vpermi2var.qi.512"
        return tirx.call_llvm_pure_intrin(f"int8x{LANES}", name, first, place, second)

    upper = place < splat(constant(0, "int8"), LANES)
    value = tirx.Select(upper, one_of(*parts[2:]), one_of(*parts[:2]))
    builder.store(new, every, _bits(f"{new.dtype}x{LANES}", value))


def _bits(dtype: str, value: Any) -> Any:
    return tirx.call_intrin(dtype, "tirx.reinterpret", value)
