"""What is told of a text: its place among keys, and whether a pattern matches it.

A text is looked for by its hash among those of the keys, which are in order, and is then compared
with the one key that it may be.
"""

from __future__ import annotations

from ...emit.builder import PhaseBuilder
from ...tir.indices import Index
from ...tir.literals import constant
from ...tvm_late import tirx
from .cells import Cell, byte, one_if
from .form import Texts


def place(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """Its key's, or -1."""
    width, count = form.width, form.workload.inputs[1].shape[0]
    start = builder.let(text * width)
    total = Cell(builder, 0, "int64")
    with builder.loop(width, "i") as i:
        given = tirx.Cast("int64", builder.load(builder["in0"], start + i))
        total.add(given * builder.load(builder["in3"], i))
    below = Cell(builder, 0)  # how many hashes are known to be less
    for step in (1 << bit for bit in reversed(range(count.bit_length()))):
        upto = builder.let(below.now + step)
        hashed = builder.load(builder["in2"], tirx.min(upto, count) - 1)
        less = tirx.And(upto <= count, hashed < total.now)
        below.set(tirx.Select(less, upto, below.now))
    key = builder.let(tirx.min(below.now, count - 1))
    differs = Cell(builder, 0, "uint8")
    with builder.loop(width, "i") as i:
        given = builder.load(builder["in0"], start + i)
        known = builder.load(builder["in1"], key * width + i)
        differs.set(tirx.bitwise_or(differs.now, tirx.bitwise_xor(given, known)))
    found = tirx.Select(differs.now == byte(0), tirx.Cast("int64", key), constant(-1, "int64"))
    builder.store(builder["out"], text, found)


def match(builder: PhaseBuilder, form: Texts, text: Index) -> None:
    """The state of an automaton after its bytes."""
    kinds = form.workload.inputs[2].shape[1]
    start = builder.let(text * form.width)
    state = Cell(builder, int(form.node.attr("begin")))
    with builder.loop(form.width, "i") as i:
        given = builder.let(tirx.Cast("int32", builder.load(builder["in0"], start + i)))
        kind = tirx.Cast("int32", builder.load(builder["in1"], given))
        following = builder.load(builder["in2"], state.now * kinds + kind)
        state.set(tirx.Select(given == 0, state.now, following))
    accepted = state.now >= int(form.node.attr("accepts"))
    builder.store(builder["out"], text, one_if(accepted, "bool"))
