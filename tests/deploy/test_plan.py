"""The memory plan: blocks in use at the same time never share a byte."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from luthier.deploy.arena import Block, place
from luthier.deploy.instructions import ARENA, INPUT, OUTPUT, WEIGHTS, Reference
from luthier.deploy.plan import Plan, plan
from luthier.deploy.weights import WeightPool, write_weights
from luthier.frontend.program import Call, Program
from luthier.schedules import Kernel, Schedule, Tensor, Workload, node

blocks = st.builds(
    lambda nbytes, first, length: Block(nbytes, first, first + length),
    st.integers(0, 5000),
    st.integers(0, 20),
    st.integers(0, 8),
)


@given(st.lists(blocks, max_size=40))
def test_blocks_that_live_together_never_overlap(some: list[Block]) -> None:
    offsets, total = place(some)
    assert all(offset % 64 == 0 for offset in offsets)
    assert all(o + b.nbytes <= total for o, b in zip(offsets, some, strict=True))
    for i, a in enumerate(some):
        for j, b in enumerate(some[:i]):
            if a.nbytes and b.nbytes and a.first <= b.last and b.first <= a.last:
                apart = offsets[i] + a.nbytes <= offsets[j] or offsets[j] + b.nbytes <= offsets[i]
                assert apart, (a, b)


@given(st.lists(blocks, max_size=40))
def test_arena_is_no_larger_than_all_blocks_and_no_smaller_than_any_moment(
    some: list[Block],
) -> None:
    _, total = place(some)
    rounded = [-(-b.nbytes // 64) * 64 for b in some]
    moments = [
        sum(n for n, b in zip(rounded, some, strict=True) if b.first <= t <= b.last)
        for t in range(30)
    ]
    assert max(moments) <= total <= sum(rounded)


def test_a_chain_needs_two_buffers() -> None:
    chain = [Block(64, i, i + 1) for i in range(50)]
    assert place(chain)[1] == 128


def test_a_small_block_takes_the_tightest_gap() -> None:
    # A gap of 256 bytes below and one of 64 above, both free at time 1.
    some = [
        Block(1024, 0, 2),
        Block(512, 0, 0),
        Block(512, 2, 2),
        Block(64, 1, 1),
        Block(448, 1, 1),
    ]
    assert place(some)[1] == 1024 + 512


UNARY = "negative"


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Chains and joins over inputs, constants and views, with outputs of every kind."""
    values: list[Tensor] = []
    views: dict[int, int] = {}
    constants = {}
    inputs, calls = [], []
    for i in range(draw(st.integers(1, 3))):
        inputs.append((f"in{i}", len(values)))
        values.append(Tensor((draw(st.integers(1, 40)), 4)))
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["call", "call", "call", "view", "constant"]))
        source = draw(st.integers(0, len(values) - 1))
        if kind == "constant":
            constants[len(values)] = np.full((3, 4), len(values), np.float32)
            values.append(Tensor((3, 4)))
        elif kind == "view":
            views[len(values)] = source
            values.append(Tensor((values[source].size,)))
        else:
            args = tuple(draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=3)))
            out = Tensor((draw(st.integers(1, 40)), 4))
            types = tuple(values[a] for a in args)
            workload = Workload(types, (False,) * len(args), (node("f", args, out),))
            calls.append(Call(workload, args, len(values)))
            values.append(out)
    picks = draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=4))
    outputs = tuple((f"out{i}", v) for i, v in enumerate(picks))
    return Program("p", tuple(values), tuple(inputs), outputs, constants, views, tuple(calls))


def planned(program: Program) -> Plan:
    kernels = [
        Kernel(c.workload, Schedule("t", 1, ()), (), (None,) * len(c.args), temps=(100,))
        for c in program.calls
    ]
    return plan(program, kernels, write_weights(program, kernels, WeightPool(io.BytesIO())))


class Memory:
    """Plays a plan: remembers which value was last written to each byte."""

    def __init__(self, program: Program, layout: Plan, staged: bool) -> None:
        self.layout, self.staged = layout, staged
        self.arena = np.full(layout.arena_bytes, -1)
        self.caller = {
            **{
                (INPUT, k): np.full(program.values[v].nbytes, -1)
                for k, (_, v) in enumerate(program.inputs)
            },
            **{
                (OUTPUT, k): np.full(program.values[v].nbytes, -1)
                for k, (_, v) in enumerate(program.outputs)
            },
        }

    def bytes(self, reference: Reference, nbytes: int) -> np.ndarray:
        if reference.space in (INPUT, OUTPUT):
            if not self.staged:
                return self.caller[reference.space, reference.at]
            places = (
                self.layout.input_places if reference.space == INPUT else self.layout.output_places
            )
            reference = Reference(ARENA, places[reference.at])
        return self.arena[reference.at : reference.at + nbytes]


@given(programs(), st.booleans())
def test_every_call_reads_what_was_written_for_it(program: Program, staged: bool) -> None:
    layout = planned(program)
    memory = Memory(program, layout, staged)
    for k, (_, value) in enumerate(program.inputs):
        memory.bytes(Reference(INPUT, k), program.values[value].nbytes)[:] = value
    for call, buffers in zip(program.calls, layout.buffers, strict=True):
        ((*arguments, temp, result),) = buffers
        for value, reference in zip(call.args, arguments, strict=True):
            base = program.base(value)
            if base in program.constants:
                assert reference.space == WEIGHTS
            else:
                assert (memory.bytes(reference, program.values[value].nbytes) == base).all()
        memory.bytes(temp, 100)[:] = -2
        memory.bytes(result, program.values[call.result].nbytes)[:] = call.result
        for value, reference in zip(call.args, arguments, strict=True):  # not overwritten meanwhile
            if reference.space != WEIGHTS:
                seen = memory.bytes(reference, program.values[value].nbytes)
                assert (seen == program.base(value)).all()
    for source, k in layout.copies:
        nbytes = program.values[program.outputs[k][1]].nbytes
        if source.space == WEIGHTS:
            memory.bytes(Reference(OUTPUT, k), nbytes)[:] = program.base(program.outputs[k][1])
        else:
            memory.bytes(Reference(OUTPUT, k), nbytes)[:] = memory.bytes(source, nbytes)
    for k, (_, value) in enumerate(program.outputs):
        seen = memory.bytes(Reference(OUTPUT, k), program.values[value].nbytes)
        assert (seen == program.base(value)).all()
