"""Plans of loops and branches: played on memory, each leaves what its program says."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from luthier.deploy.instructions import (
    INPUT,
    OUTPUT,
    WEIGHTS,
    Instruction,
    Operation,
    Reference,
)  # fmt: skip
from luthier.deploy.open_bytes import nbytes
from luthier.deploy.plan import Plan, plan
from luthier.deploy.weights import WeightPool, write_weights
from luthier.frontend.program import Branch, Call, Loop, OpenTensor, Program, Step, at
from luthier.schedules import Kernel, Schedule, Tensor, Workload, node
from luthier.schedules.ir.core import Region
from luthier.schedules.ir.size import Size, Sizes
from luthier.schedules.ir.size import value as value_of
from luthier.schedules.ir.symbol import Symbol

X, COUNT, TRUTH = Tensor((5, 4)), Tensor((), "int64"), Tensor((), "bool")
STACK = Tensor((3, 5, 4))
FLAT = Tensor((20,))
# The same where sizes are open; those above are the largest.
ROWS, STEPS = Size.named("rows"), Size.named("steps")
RANGES = (Symbol("rows", 0, 5), Symbol("steps", 0, 3))
OPEN = {X: (ROWS, 4), STACK: (STEPS, ROWS, 4), FLAT: (ROWS * 4,)}


class Draft:
    """Random steps over values of a few types; ``seen`` are those that may be read, by type."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.values: list[Tensor] = []
        self.constants: dict[int, np.ndarray] = {}
        self.views: dict[int, int] = {}

    def value(self, tensor: Tensor) -> int:
        self.values.append(tensor)
        return len(self.values) - 1

    def program(self, is_open: bool = False) -> Program:
        inputs = [self.value(t) for t in (X, X, COUNT, TRUTH)]
        for array in (np.ones((5, 4), np.float32), np.array(3), np.array(True)):
            self.constants[self.value(Tensor(array.shape, str(array.dtype)))] = array
        seen = [*inputs, *self.constants]
        steps = self.steps(seen, self.random.randint(1, 5), 2)
        outputs = [self.pick(seen, X) for _ in range(3)]
        outputs += [v for v in seen if self.values[v] == STACK][:2]
        return Program(
            "flow",
            tuple(self.values),
            tuple((f"in{i}", v) for i, v in enumerate(inputs)),
            tuple((f"out{i}", v) for i, v in enumerate(outputs)),
            self.constants,
            self.views,
            tuple(steps),
            open={v: OpenTensor(OPEN[t], t.dtype) for v, t in enumerate(self.values) if t in OPEN}
            if is_open
            else {},
            symbols=RANGES if is_open else (),
        ).compact()

    def pick(self, seen: Sequence[int], tensor: Tensor) -> int:
        fitting = [v for v in seen if self.values[v] == tensor]
        return self.random.choice(fitting[-6:] if self.random.random() < 0.7 else fitting)

    def steps(self, seen: list[int], count: int, depth: int) -> list[Step]:
        found: list[Step] = []
        for _ in range(count):
            kind = self.random.choice(["call", "call", "view", "loop", "branch"])
            if kind == "view":
                flat = self.value(FLAT)
                self.views[flat] = self.pick(seen, X)
                seen.append(flat)
            elif kind == "loop" and depth:
                found.append(self.loop(seen, depth - 1))
            elif kind == "branch" and depth:
                found.append(self.branch(seen, depth - 1))
            else:
                found.append(self.call(seen, X))
        return found

    def call(self, seen: list[int], out: Tensor) -> Call:
        args = tuple(self.random.choice(seen[-8:]) for _ in range(self.random.randint(1, 3)))
        types = tuple(self.values[a] for a in args)
        result = self.value(out)
        seen.append(result)
        made = Workload(types, (False,) * len(args), (node("f", tuple(range(len(args))), out),))
        return Call(made, args, result, str(result))

    def branch(self, seen: list[int], depth: int) -> Branch:
        condition = self.pick(seen, TRUTH)
        kinds = [X] * self.random.randint(1, 3)
        regions = []
        for _ in range(2):
            inner = list(seen)
            steps = self.steps(inner, self.random.randint(0, 3), depth)
            regions.append(Region((), tuple(steps), tuple(self.pick(inner, t) for t in kinds)))
        results = tuple(self.value(t) for t in kinds)
        seen.extend(results)
        return Branch(condition, *regions, results)

    def loop(self, seen: list[int], depth: int) -> Loop:
        keeps = self.random.random() < 0.5
        known = next(v for v, a in self.constants.items() if a.dtype == np.int64)
        trips = known if keeps else self.pick(seen, COUNT)
        begin = None if keeps or self.random.random() < 0.5 else self.pick(seen, TRUTH)
        carried = [self.pick(seen, X) for _ in range(self.random.randint(0 if keeps else 1, 3))]
        parameters = [self.value(COUNT), *(self.value(X) for _ in carried)]
        inner = [*seen, *parameters]
        steps = self.steps(inner, self.random.randint(0, 3), depth)
        left = [self.pick(inner, X) for _ in carried]
        kept = [self.pick(inner, X) for _ in range(2 if keeps else 0)]
        if begin is not None:
            steps.append(self.call(inner, TRUTH))
            left.insert(0, inner[-1])
        results = tuple(self.value(X) for _ in carried) + tuple(self.value(STACK) for _ in kept)
        seen.extend(results)
        body = Region(tuple(parameters), tuple(steps), (*left, *kept))
        return Loop(body, tuple(carried), results, trips, begin)


# Each byte of a value holds a number; a call's result is one that depends on all it reads.


def mixed(call: Call, contents: Sequence[np.ndarray]) -> int:
    return abs(hash((call.source, *(c.tobytes() for c in contents)))) % 10**9


def number(content: np.ndarray) -> int:
    return int(content[0]) % 5 - 1


def truth(content: np.ndarray) -> bool:
    return bool(content[0] % 4)


def filled(tensor: Tensor, what: int) -> np.ndarray:
    return np.full(tensor.nbytes, what)


def followed(program: Program, given: dict[int, np.ndarray], sizes: Sizes) -> list[np.ndarray]:
    """What the outputs hold."""
    program = at(program, sizes)
    values = dict(given)

    def held(value: int) -> np.ndarray:
        return values[program.base(value)]

    def run(steps: Sequence[Step]) -> None:
        for step in steps:
            if isinstance(step, Call):
                made = mixed(step, [held(a) for a in step.args])
                values[step.result] = filled(program.values[step.result], made)
            elif isinstance(step, Branch):
                region = step.then if truth(held(step.condition)) else step.otherwise
                run(region.statements)
                values.update(zip(step.results, [held(v) for v in region.results], strict=True))
            else:
                repeat(step)

    def repeat(loop: Loop) -> None:
        assert loop.trips is not None
        trips = sizes["steps"] if loop.trips in program.constants else number(held(loop.trips))
        carried: list[np.ndarray] = [held(v) for v in loop.carried]
        kept: list[list[np.ndarray]] = [[] for _ in loop.results[len(carried) :]]
        on, i = loop.condition is None or truth(held(loop.condition)), 0
        while on and i < trips:
            first, *parameters = loop.body.parameters
            values[first] = filled(COUNT, i)
            values.update(zip(parameters, carried, strict=True))
            run(loop.body.statements)
            left = [held(v) for v in loop.body.results]
            on = loop.condition is None or truth(left.pop(0))
            carried, rows = left[: len(carried)], left[len(carried) :]
            kept = [[*stack, row] for stack, row in zip(kept, rows, strict=True)]
            i += 1
        stacks = [np.concatenate([np.zeros(0, int), *rows]) for rows in kept]
        values.update(zip(loop.results, [*carried, *stacks], strict=True))

    run(program.steps)
    return [held(v) for _, v in program.outputs]


@dataclass
class Memory:
    """Plays a plan as run.c does."""

    program: Program
    layout: Plan
    weights: dict[int, np.ndarray]
    staged: bool
    sizes: Sizes
    turns: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.arena = np.full(self.layout.arena_bytes, -1)
        sides = ((INPUT, self.program.inputs), (OUTPUT, self.program.outputs))
        self.caller = {
            (space, k): filled(self.program.values[v], -1)
            for space, ports in sides
            for k, (_, v) in enumerate(ports)
        }

    def bytes(self, reference: Reference, nbytes: int) -> np.ndarray:
        begin, slide = 0, reference.slide
        if slide is not None:
            stride = int(value_of(slide.stride, self.sizes))
            begin = ((self.turns[slide.loop] + slide.ahead) & slide.mask) * stride
        if reference.space == WEIGHTS:
            return self.weights[reference.at][:nbytes]
        if reference.space in (INPUT, OUTPUT) and not self.staged:
            found = self.caller[reference.space, reference.at][begin:][:nbytes]
        else:
            if reference.space in (INPUT, OUTPUT):
                plan = self.layout
                places = plan.input_places if reference.space == INPUT else plan.output_places
                begin += places[reference.at]
            else:
                assert isinstance(reference.offset, int)
                begin += reference.at + reference.offset
            found = self.arena[begin : begin + nbytes]
        assert found.size == nbytes
        return found

    def nbytes(self, value: int) -> int:
        return int(value_of(nbytes(self.program.type(value)), self.sizes))

    def run(self, given: dict[int, np.ndarray]) -> list[np.ndarray]:
        for k, (_, value) in enumerate(self.program.inputs):
            self.bytes(Reference(INPUT, k), given[value].size)[:] = given[value]
        self.ends, at = {}, 0
        while at < len(self.layout.instructions):
            at = self.after(self.layout.instructions[at], at + 1)
        for source, k in self.layout.copies:
            size = self.nbytes(self.program.outputs[k][1])
            self.bytes(Reference(OUTPUT, k), size)[:] = self.bytes(source, size)
        return [
            self.bytes(Reference(OUTPUT, k), self.nbytes(v))
            for k, (_, v) in enumerate(self.program.outputs)
        ]

    def after(self, one: Instruction, at: int) -> int:
        """Where it goes on after an instruction, behind which ``at`` is."""
        first, second = (*one.references, None, None)[:2]
        if one.operation is Operation.RUN:
            self.call(one.index)
        elif one.operation is Operation.COPY:
            size = int(value_of(one.nbytes, self.sizes))
            self.read(first, size)[:] = self.read(second, size).copy()
        elif one.operation is Operation.UNLESS:
            return at if truth(self.read(first, 1)) else one.target
        elif one.operation is Operation.ENTER:
            assert first is not None
            known = first.space == WEIGHTS
            begins = second is None or truth(self.read(second, 1))
            self.ends[one.index] = (
                self.sizes["steps"] if known else number(self.read(first, 8))
            ) * begins
            self.turns[one.index] = 0
        elif one.operation is Operation.ITERATE:
            if self.turns[one.index] >= self.ends[one.index]:
                return one.target
            self.read(first, 8)[:] = self.turns[one.index]
        elif one.operation is Operation.NEXT:
            goes_on = first is None or truth(self.read(first, 1))
            self.turns[one.index] += 1
            self.ends[one.index] = self.ends[one.index] if goes_on else self.turns[one.index]
        return one.target if one.operation in (Operation.JUMP, Operation.NEXT) else at

    def read(self, reference: Reference | None, nbytes: int) -> np.ndarray:
        assert reference is not None
        return self.bytes(reference, nbytes)

    def call(self, index: int) -> None:
        call = self.program.calls[index]
        (buffers,) = self.layout.buffers[index]
        *arguments, temp, result = buffers
        sizes = [self.nbytes(a) for a in call.args]
        read = [self.bytes(r, size) for r, size in zip(arguments, sizes, strict=True)]
        made = mixed(call, read)
        self.bytes(temp, 100)[:] = -2
        assert mixed(call, read) == made
        self.bytes(result, self.nbytes(call.result))[:] = made
        if all(call.result != arg for arg in call.args):
            assert mixed(call, read) == made


@settings(max_examples=400, deadline=None)
@example(131, True, False)  # what a loop carries lasts as long as it, where nobody reads its end
@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_a_plan_leaves_what_its_program_says(seed: int, staged: bool, is_open: bool) -> None:
    random = Random(seed)
    program = Draft(random).program(is_open)
    sizes = {s.name: random.randint(s.least, s.most) if is_open else s.most for s in RANGES}
    check(program, random, staged, sizes)


def check(program: Program, random: Random, staged: bool, sizes: Sizes) -> None:
    """Play it at some sizes; the largest, where none is open."""
    kernels = [
        Kernel(c.workload, Schedule("t", 1, ()), (), (None,) * len(c.args), temps=(100,))
        for c in program.calls
    ]
    places = write_weights(program, kernels, WeightPool(io.BytesIO()))
    layout = plan(program, kernels, places)
    constants = {v: filled(program.values[v], random.randint(1, 99)) for v in program.constants}
    offsets = {places.arguments[k]: k for k in places.arguments}
    weights = {
        offset: constants[program.base(program.calls[call].args[i])]
        for offset, (call, i) in offsets.items()
    }
    weights |= {offset: constants[value] for value, offset in places.values.items()}
    outputs = places.outputs.items()
    weights |= {o: constants[program.base(program.outputs[k][1])] for k, o in outputs}
    types = at(program, sizes).values
    given = {v: filled(types[v], random.randint(0, 99)) for _, v in program.inputs}
    known = {v: filled(types[v], array[0]) for v, array in constants.items()}
    wanted = followed(program, known | given, sizes)
    memory = Memory(program, layout, weights, staged, sizes)
    for _ in range(2):
        for ours, want in zip(memory.run(given), wanted, strict=True):
            np.testing.assert_array_equal(ours, want)


@pytest.mark.parametrize("seed", range(30))
def test_random_programs_read_what_is_there(seed: int) -> None:
    program = Draft(Random(seed)).program()
    program.region.verify(program.constants.keys(), program.made_of)
