"""Which chunks are one thread's: neighbouring rows of an image or matrix, where it can be.

The pool gives each thread a run of neighbouring chunks. Where a run is some of the columns of all
rows, every thread reads what all threads wrote; and who wrote a line that another core read waits
for that core before it writes there again, in the next run of the model. Zen 4 then writes 7 to 9
GB/s where it writes 90 otherwise, and 2 GB/s where the cores share no L3. Kernels that share rows
alike read what their own core wrote.
"""

from __future__ import annotations

from ..emit.builder import PhaseBuilder
from ..ir.size import Size
from ..target.target import Target
from ..tir.indices import Index, ceildiv, divide, modulo
from ..tvm_late import tirx

FAR_BYTE = 1 / 16  # cycles to read a byte from beyond L2, where arithmetic does not hide it
_TAKEN_BACK = 1 / 2  # cycles a byte to write where another core read, beyond those of writing,
_AGAIN = 1 / 5  # and to read weights from beyond L2 that another core reads as well


def taken_back(inputs: int, target: Target) -> float:
    """Cycles that the threads before spend more where all threads read all of so many bytes."""
    return 0.0 if target.threads == 1 else inputs * _TAKEN_BACK / target.threads


def by_rows(inputs: int, weights: int, target: Target) -> bool:
    """Whether threads should share rows rather than columns: each then reads all weights.

    Both are bytes; weights that L2 keeps are read again for nothing.
    """
    threads = target.threads
    if threads == 1:
        return False
    again = 0.0 if weights <= target.l2 // 2 else weights * _AGAIN * (threads - 1) / threads
    return taken_back(inputs, target) >= again


def place(
    builder: PhaseBuilder, chunk: Index, rows: Index, others: int, parts: int
) -> tuple[Index, Index]:
    """(block of rows, block of what is not rows) of a chunk. Rows vary first, within one of
    ``parts`` of them, which come after one another."""
    if parts == 1 or others == 1 or isinstance(rows, Size) or rows < parts:
        return modulo(chunk, rows), divide(chunk, rows)
    high = ceildiv(rows, parts)
    last = rows - (parts - 1) * high  # rows of the last part
    if last < 1:
        return place(builder, chunk, rows, others, parts - 1)
    part = builder.let(tirx.min(divide(chunk, high * others), parts - 1))
    rest = builder.let(chunk - part * (high * others))
    if last == high:
        return part * high + modulo(rest, high), divide(rest, high)
    height = builder.let(tirx.Select(part == parts - 1, last, high))
    return part * high + tirx.truncmod(rest, height), tirx.truncdiv(rest, height)
