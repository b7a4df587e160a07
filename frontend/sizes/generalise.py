"""The program of which some programs are what it is at certain sizes.

Importing a model at several sizes gives programs that are alike but for numbers. Where all numbers
are expressions of the sizes, one program over these stands for all: their least general
generalisation (Plotkin, "A note on inductive generalization", 1970).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from luthier.schedules import Tensor, Workload
from luthier.schedules.ir.open_workload import OpenWorkload
from luthier.schedules.ir.size import Size, Sizes, simplified
from luthier.schedules.ir.size import value as value_of
from luthier.schedules.ir.symbol import Symbol
from luthier.schedules.ir.workload import Node, node
from luthier.schedules.ops.attention_form import STRIDES, strides_matter

from ..graph.arrays import equal
from ..program import Call, Expect, Find, OpenTensor, Part, Program, Step
from ..program.steps import walk
from .alignment import Alignment, NotAlikeError, OtherTableError, title
from .computed import (
    Bounded,
    Runs,
    bounded,
    inserted,
    numbers,
    runs,
    with_bounded,
    with_numbers,
    with_runs,
)
from .fit import Points, UndecidedError
from .grids import Grid, grid, with_grid
from .keys import Keys
from .pieces import in_pieces
from .unshared import unshared

Array = NDArray[Any]
Numbers: TypeAlias = tuple[int | Size, ...]
Followed: TypeAlias = Numbers | Runs | Bounded | Grid


class Sample(NamedTuple):
    """A model's program at some sizes, and what tells its values."""

    sizes: Sizes
    keys: Keys

    @property
    def program(self) -> Program:
        """The program."""
        return self.keys.program


class LiesOtherwiseError(NotAlikeError):
    """Tensors of a call lie apart, by pitches that follow from the sizes."""


def generalise(samples: Sequence[Sample], symbols: Sequence[Symbol]) -> Program:
    """The program over the sizes; the last sample is of the largest, and no size is exact.

    Raises NotAlikeError, and UndecidedError where another sample would decide.
    """
    points = Points(tuple(symbols), tuple(sample.sizes for sample in samples))
    aligned = _aligned([sample.keys for sample in samples])
    return _Generalisation(aligned[-1].base, points, aligned).program()


def _aligned(programs: Sequence[Keys]) -> list[Alignment]:
    """Each with the last one."""
    try:
        return [Alignment(programs[-1], program) for program in programs]
    except NotAlikeError:
        apart = [Keys(program) for program in unshared([each.program for each in programs])]
        return [Alignment(apart[-1], program) for program in apart]


@dataclass(frozen=True)
class _Generalisation:
    base: Program
    points: Points
    aligned: Sequence[Alignment]

    def program(self) -> Program:
        base = self.base
        self._meet()
        types = {value: self._type(value) for value in range(len(base.values))}
        open_ = {v: t for v, t in types.items() if any(isinstance(d, Size) for d in t.shape)}
        parts = {value: self._part(value) for value in base.parts}
        program = replace(base, open=open_, symbols=self.points.symbols, parts=parts)
        windows, computed = self._constants()
        steps = tuple(self._step(step, program, computed) for step in base.steps)
        program = replace(program, steps=steps)
        for value, how in computed.items():
            if isinstance(how, Runs):
                program = with_runs(program, value, how)
            elif isinstance(how, Bounded):
                program = with_bounded(program, value, how)
            elif isinstance(how, Grid):
                program = with_grid(program, value, how)
            else:
                program = with_numbers(program, value, how)
        return in_pieces(_with_slices(program, windows))

    def _meet(self) -> None:
        """What sums are of may follow these; raises UndecidedError with one choice of sizes for all
        of these that do not decide yet."""
        undecided: dict[str, UndecidedError] = {}
        for value in range(len(self.base.values)):
            for sizes in zip(*self._shapes(value), strict=True):
                try:
                    self.points.fit(sizes)
                except UndecidedError as error:
                    undecided.setdefault(error.name, error)
        if undecided:
            (name, first), *_ = undecided.items()
            others = {other: error.sizes[other] for other, error in undecided.items()}
            raise UndecidedError({**first.sizes, **others}, name)

    def _shapes(self, value: int) -> list[tuple[int, ...]]:
        return [each.other.values[each.at[value]].shape for each in self.aligned]

    def _type(self, value: int) -> OpenTensor:
        shapes = self._shapes(value)
        return OpenTensor(self._fit(shapes, value), self.base.values[value].dtype)

    def _attr(self, name: str, nodes: Sequence[Node], value: int) -> Any:
        """What an attribute is; strides of an attention along one element could be any."""
        found = [node.attr(name) for node in nodes]
        if nodes[0].op != "attention" or name not in STRIDES:
            return self._fit(found, value)
        matters = zip(*(strides_matter(node, name) for node in nodes), strict=True)
        numbers = zip(zip(*found, strict=True), matters, strict=True)
        return tuple(self._fit(each, value, some) for each, some in numbers)

    def _fit(self, attrs: Sequence[Any], value: int, matters: Sequence[bool] = ()) -> Any:
        """What attributes are, or their parts where they are tuples.

        ``matters``: at which points they do.
        """
        first = attrs[0]
        if isinstance(first, tuple):
            if len({len(attr) for attr in attrs}) > 1:
                raise NotAlikeError(f"{title(self.base, value)}: a list has another length")
            return tuple(self._fit(each, value) for each in zip(*attrs, strict=True))
        if type(first) is not int:
            return first  # programs that are aligned have the same
        points = self.points
        if any(matters):
            points, attrs = points.where(matters), tuple(itertools.compress(attrs, matters))
        found = points.fit(attrs)
        if found is None:
            some = ", ".join(map(str, dict.fromkeys(attrs[:4])))
            raise NotAlikeError(
                f"{title(self.base, value)}: no expression of the sizes gives the numbers {some}"
            )
        return found

    def _part(self, value: int) -> Part:
        parts = [each.other.parts[each.at[value]] for each in self.aligned]
        pitches = {part.pitch for part in parts}
        if len(pitches) > 1:
            raise LiesOtherwiseError(f"{title(self.base, value)} lies otherwise for other sizes")
        first = self._fit([part.first for part in parts], value)
        return Part(self.base.parts[value].whole, first, pitches.pop())

    def _step(self, step: Step, program: Program, computed: Collection[int]) -> Step:
        if isinstance(step, Call):
            return self._call(step, program, computed)
        if not isinstance(step, Find | Expect):
            return step.over(lambda steps: [self._step(s, program, computed) for s in steps])
        for each in self.aligned:
            if step.renumbered(each.at) not in walk(each.other.region):
                raise NotAlikeError(f"{step.source}: it finds or expects another number")
        return step

    def _call(self, call: Call, program: Program, computed: Collection[int]) -> Call:
        """Of constants whose sizes vary it knows no more than of what is computed: that these are
        packed for the largest sizes would be wrong for others."""
        calls = [each.call(call) for each in self.aligned]
        if len({str(each.placement) for each in calls}) > 1:
            raise LiesOtherwiseError(f"{title(program, call.result)} lies otherwise")
        workloads = [each.workload for each in calls]
        others = {*program.open, *computed}
        varying = [program.base(arg) in others for arg in call.args]
        is_fixed = all(workload == call.workload for workload in workloads)
        constants = tuple(
            known and not varies
            for known, varies in zip(call.workload.constants, varying, strict=True)
        )

        if is_fixed:
            return replace(call, workload=replace(call.workload, constants=constants))

        def tensor(tensors: Sequence[Tensor]) -> Tensor:
            return Tensor(self._fit([t.shape for t in tensors], call.result), tensors[0].dtype)

        def fitted(nodes: Sequence[Node]) -> Node:
            names = (name for name, _ in nodes[0].attrs)
            attrs = tuple((name, self._attr(name, nodes, call.result)) for name in names)
            return replace(nodes[0], out=tensor([n.out for n in nodes]), attrs=attrs)

        inputs = tuple(map(tensor, zip(*(w.inputs for w in workloads), strict=True)))
        nodes = tuple(map(fitted, zip(*(w.nodes for w in workloads), strict=True)))
        open_ = OpenWorkload(Workload(inputs, constants, nodes))
        return replace(call, workload=replace(call.workload, constants=constants), open=open_)

    def _constants(self) -> tuple[dict[int, Numbers], dict[int, Followed]]:
        """Where constants begin in the largest, and how those that are not a beginning of it follow
        from the sizes; raises NotAlikeError for what does neither."""
        windows: dict[int, Numbers] = {}
        computed: dict[int, Followed] = {}
        for value, array in self.base.constants.items():
            others = [each.other.constants[each.at[value]] for each in self.aligned]
            begin = self._window(value, array, others)
            if begin is not None:
                windows[value] = begin
                continue
            fit = self.points.fit
            how: Followed | None = numbers(others, fit) or runs(others, fit)
            how = how or bounded(array, others, fit) or grid(others, self.points)
            if how is None:
                raise OtherTableError(
                    f"a constant of type {self.base.values[value]}, which is computed from the "
                    "sizes, is another for other sizes"
                )
            computed[value] = how
        return windows, computed

    def _window(self, value: int, array: Array, others: Sequence[Array]) -> Numbers | None:
        """Where the others lie in a constant: at its beginning, or at what a size is less than the
        largest, as a mask of what comes before each of the last rows does."""
        begins: list[Numbers] = [(0,) * array.ndim]
        if any(other.shape != array.shape for other in others):
            shape: Any = self._type(value).shape
            begins = list(itertools.product(*map(self._begins, array.shape, shape)))
        return next((begin for begin in begins if self._is_window(array, others, begin)), None)

    def _begins(self, most: int, size: int | Size) -> list[int | Size]:
        """Of one dimension."""
        if not isinstance(size, Size):
            return [0]
        symbols = (s for s in self.points.symbols if s.name in size.names)
        lacking = [simplified("-", s.most, Size.named(s.name)) for s in symbols]
        return list(dict.fromkeys([0, *lacking, simplified("-", most, size)]))

    def _is_window(self, array: Array, others: Sequence[Array], begin: Numbers) -> bool:
        for sizes, other in zip(self.points.sizes, others, strict=True):
            firsts = [int(value_of(each, sizes)) for each in begin]
            places = tuple(slice(f, f + n) for f, n in zip(firsts, other.shape, strict=True))
            if other is not array and not equal(array[places], other):
                return False
        return True


def _with_slices(program: Program, windows: Mapping[int, Numbers]) -> Program:
    """Constants whose size varies, but for those that lie at the beginning of the largest, become
    slices of it."""
    values, constants = list(program.values), dict(program.constants)
    order = program.steps
    for value, tensor in program.open.items():
        most = values[value]
        if value not in constants or not most.size:
            continue
        if not any(windows[value]) and _is_prefix(tensor):
            continue
        values.append(most)
        whole = len(values) - 1
        constants[whole] = constants.pop(value)
        begin, steps = windows[value], (1,) * len(most.shape)
        part = Tensor(tensor.shape, tensor.dtype)  # type: ignore[arg-type]
        cut = node("slice", (0,), part, begin=begin, steps=steps)  # type: ignore[arg-type]
        open_ = OpenWorkload(Workload((most,), (True,), (cut,)))
        identity = node("slice", (0,), most, begin=(0,) * len(most.shape), steps=steps)
        largest = Workload((most,), (True,), (identity,))
        call = Call(largest, (whole,), value, "a constant", open=open_)
        order = inserted(order, tensor.names, call)
    return replace(program, values=tuple(values), constants=constants, steps=order)


def _is_prefix(tensor: OpenTensor) -> bool:
    """Whether all but the outermost dimension that is not 1 are fixed."""
    outer = next((i for i, size in enumerate(tensor.shape) if size != 1), 0)
    return not any(isinstance(size, Size) for size in tensor.shape[outer + 1 :])
