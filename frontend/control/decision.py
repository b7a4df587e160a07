"""A node whose shape or attributes values decide: what is computed of these, asked, and found."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import onnx

from luthier.schedules import ModelError, Tensor, UnsupportedOperator, Workload
from luthier.schedules.ir.core import Region
from luthier.schedules.ir.workload import node as operator

from ..graph import Array
from ..graph.emitter import MOST_IN_TABLE
from ..onnx.given import leading_to
from ..onnx.opset import attributes_of, node_label
from ..program import Branch, Call, Expect, Find, Step
from .assembly import Assembly
from .declared import Dims
from .differing import Differing, region
from .found_sizes import FoundInsideError, FoundSizes
from .origins import Origin
from .parts import Parts, Scope, is_outermost, may_find
from .spelled import OPSET, Spelled, Term
from .tracing import Tracing

_MOST_VARIANTS, _MOST_DIMENSIONS = 16, 64
MOST = 2**31  # beyond any size: numbers are kept within it before they are computed with


class Count(NamedTuple):
    """How many there are: a number, or a size called ``found`` that is taken to be one."""

    number: int
    most: int
    found: str = ""


class Decision:
    """What becomes of one node; ``steps`` are its steps so far.

    ``declared`` are the shapes that the model declares, by value, and ``made`` the nodes that give
    values. Names of what is ``spelled`` are this decision's own; those of the node's inputs are
    ``input 0`` and so on.
    """

    def __init__(
        self,
        node: onnx.NodeProto,
        scope: Scope,
        parts: Parts,
        assembly: Assembly,
        sizes: FoundSizes,
        declared: Mapping[str, Dims],
        made: Mapping[str, onnx.NodeProto],
    ) -> None:
        self.node, self.label = node, node_label(node)
        self.attrs = attributes_of(node)
        self.steps: list[Step] = []
        self.spelled = Spelled(node.name or node.output[0])
        self._outer, self._parts, self._assembly = scope, parts, assembly
        self._sizes, self._declared = sizes, declared
        self._tracing = Tracing(made, scope, parts, self.label)
        self.sure, self.as_long = sizes.be_sure, sizes.as_long
        values = {i: parts.value(n, scope, self.label) for i, n in enumerate(node.input) if n}
        self._inner: Scope = ChainMap({}, {}, {f"input {i}": v for i, v in values.items()})
        # Iterations that are written out have nodes of one name: their tables stay apart.
        self._own = f"{node.output[0]} of {list(values.values())}"

    @property
    def _outputs(self) -> list[str]:
        return [output for output in self.node.output if output]

    @property
    def opset(self) -> int:
        """The version of the operators."""
        return self._parts.opset

    def attr(self, name: str, default: Any) -> Any:
        """An attribute, text as ``str``."""
        value = self.attrs.get(name, default)
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def has(self, index: int) -> bool:
        """Whether an input is there."""
        return f"input {index}" in self._inner

    def open(self, index: int) -> bool:
        """Whether an input is there whose numbers are not known."""
        return self.has(index) and self.known(index) is None

    def type(self, index: int) -> Tensor:
        """Of an input; raises ModelError where it is left out."""
        return self._assembly.type(self._value(index))

    def known(self, index: int) -> Array | None:
        """An input's numbers, where they are known."""
        return self._assembly.known(self._value(index)) if self.has(index) else None

    def origins(self, index: int) -> Sequence[Origin]:
        """Where each number of an input comes from; of none where that is not told."""
        return self._tracing.origins(self.node.input[index])

    def between(self, first: int, last: int) -> int | None:
        """How much less an input of one number is than another at most, where nodes tell."""
        names = self.node.input
        return self._tracing.between(names[first], names[last])

    def declared(self, rank: int, index: int = 0) -> Dims:
        """The shape that the model declares of a result, None for what it does not."""
        if not 0 <= rank <= _MOST_DIMENSIONS:
            raise ModelError(f"{self.label}: its result would have {rank} dimensions")
        found = self._declared.get(self.node.output[index])
        if found is None:
            return (None,) * rank
        if len(found) != rank:
            raise ModelError(
                f"{self.label}: its result has {rank} dimensions, but the model declares "
                f"{len(found)}"
            )
        return found

    def axis(self, number: int, rank: int) -> int:
        """A dimension, counted from the end below 0."""
        if not -rank <= number < rank:
            raise ModelError(f"{self.label}: the axis {number} is outside of {rank} dimensions")
        return number % rank

    def unsupported(self, what: str) -> UnsupportedOperator:
        """The error for what it asks for."""
        return UnsupportedOperator(f"{self.label}: {what} is not supported")

    def _value(self, index: int) -> int:
        if not self.has(index):
            raise ModelError(f"{self.label}: its input {index} is left out")
        return self._parts.value(f"input {index}", self._inner, self.label)

    def numbers(self, index: int) -> str:
        """An input as int64 numbers, one after the other."""
        flat = self.spelled("Reshape", f"input {index}", [self.type(index).size])
        return self.spelled.cast(flat, "int64")

    def counting(self, count: Count) -> str:
        """0, 1, and so on; where a run finds how many, the beginning of a table that is the same
        for all that it may find."""
        if count.most > MOST_IN_TABLE:
            raise self.unsupported(f"to count to {count.most}")
        if not count.found:
            return self.spelled.name(np.arange(count.number, dtype=np.int64))
        table = self._table(count.found, np.arange(count.most + 1, dtype=np.int64))
        return self.spelled("Slice", table, [0], [count.number], [0])

    def sizes(self, numbers: Sequence[int], what: str = "shape") -> str:
        """Numbers that may follow from sizes, as those of the first input's shape do."""
        return self._table(f"{self._own}/{what}", np.array(numbers, np.int64))

    def _table(self, name: str, numbers: Array) -> str:
        self._inner[name] = self._assembly.table(name, numbers)
        return name

    def compute(self, *names: str) -> list[int]:
        """The values of what was spelled."""
        for name, array in self.spelled.constants.items():
            self._inner[name] = self._assembly.constant(array)
        left = [node for node in self.spelled.nodes if node.output[0] not in self._inner]
        missing = [name for name in dict.fromkeys(names) if name not in self._inner]
        nodes = leading_to(left, missing)
        self.steps += self._parts.steps(nodes, missing, self._inner, OPSET)
        return [self._parts.value(name, self._inner, self.label) for name in names]

    def type_of(self, name: str) -> Tensor:
        """Of what was spelled."""
        return self._assembly.type(self.compute(name)[0])

    def apart(self, *names: str) -> tuple[str, ...]:
        """The same names, computed before what reads them.

        How kernels are made of operators depends on how large these are; so operators on what is
        found and on numbers of it are not left together.
        """
        self.compute(*names)
        return names

    def operator(self, op: str, inputs: Sequence[str], out: Tensor, **attrs: Any) -> str:
        """The name of what one of the graph's own operators gives."""
        values = self.compute(*inputs)
        types = tuple(map(self._assembly.type, values))
        numbers = tuple(range(len(values)))
        made = Workload(types, (False,) * len(values), (operator(op, numbers, out, **attrs),))
        result = self._assembly.value(out, f"{self.label}: its result")
        self.steps.append(Call(made, tuple(values), result, self.label))
        name = f"{op} {len(self._inner)}"
        self._inner[name] = result
        return name

    def expect(self, name: str, wanted: Sequence[int] | Array, says: str) -> None:
        """Let the run end unless some numbers are what is wanted."""
        (value,) = self.compute(name)
        known, array = self._assembly.known(value), np.array(wanted, np.int64)
        if known is None:
            wants = self._assembly.table(f"{self._own}/{says}", array)
            self.steps.append(Expect(value, wants, says, self.label))
        elif not np.array_equal(known, array):
            raise ModelError(f"{self.label}: {says} {known.tolist()}, not {array.tolist()}")

    def settle(
        self,
        name: str,
        wanted: Dims,
        most: Dims,
        says: str,
        origins: Sequence[Origin | None] = (),
    ) -> list[Count]:
        """What numbers are: what is wanted of them, or else sizes that the run finds.

        ``most`` are the largest that these can be, None where nothing tells. Of one of the
        ``origins`` there is one size.
        """
        (value,) = self.compute(name)
        told = origins if len(origins) == len(wanted) else [None] * len(wanted)
        least = 1 if self.node.op_type == "Reshape" else 0  # to which 0 and -1 tell something else
        sure = [o if isinstance(o, int) and o >= least else None for o in told]
        wanted = [n if n is not None else o for n, o in zip(wanted, sure, strict=True)]
        if self._sizes.single and not is_outermost(self._outer):
            wanted = [1 if n is None and m == 1 else n for n, m in zip(wanted, most, strict=True)]
        known = self._assembly.known(value)
        if known is not None:
            wanted = [int(n) for n in known.reshape(-1)] if None in wanted else wanted
        places = [i for i, number in enumerate(wanted) if number is not None]
        left = [i for i, number in enumerate(wanted) if number is None]
        each = dict(
            zip(left, self.apart(*(self.spelled.element(name, i) for i in left)), strict=True)
        )
        if places:
            some = name
            if len(places) < len(wanted):
                some = self.spelled("Gather", name, places, axis=0)
            self.expect(some, [wanted[i] or 0 for i in places], says)
        return [
            self._found(each[i], i if len(wanted) > 1 else None, most[i], says, told[i])
            if number is None
            else Count(number, number)
            for i, number in enumerate(wanted)
        ]

    def reserved(self, place: int | None, most: int | None, origin: Origin | None = None) -> Count:
        """A size that the run is going to find."""
        if not may_find(self._outer, self._sizes):
            raise FoundInsideError(self.label, self.node)
        sure, title = self._tracing.most(origin), self._title(place)
        size, taken = self._sizes.add(title, most, self.label, origin, sure=sure)
        return Count(taken, self._sizes.room(size), size)

    def find(self, count: Count, name: str) -> None:
        """Let a size that is reserved be a number."""
        (value,) = self.compute(name)
        self.steps.append(Find(count.found, value, self.label))

    def _title(self, place: int | None) -> str:
        return str(self.node.output[0]) + ("" if place is None else f"_{place}")

    def _found(
        self, name: str, place: int | None, most: int | None, says: str, origin: Origin | None
    ) -> Count:
        size = self._sizes.of(origin)
        if not size:
            count = self.reserved(place, most, origin)
            self.find(count, name)
            return count
        # It was found before: a run ends unless it is this one, too.
        (value,) = self.compute(name)
        taken = self._sizes.number(size)
        wants = self._assembly.table(f"{self._own}/{place} {says}", np.array([taken], np.int64))
        self.steps.append(Expect(value, wants, says, self.label))
        return Count(taken, self._sizes.room(size), size)

    def give(self, *names: str) -> None:
        """Let what was spelled be the results."""
        for output, value in zip(self.node.output, self.compute(*names), strict=True):
            self._outer[output] = value

    def choose(self, picks: Sequence[str], variants: Sequence[Mapping[int, Term]]) -> None:
        """The node with the numbers of the first variant whose pick is true, else of the last."""
        self.branch(picks, [partial(self.straight, numbers) for numbers in variants])

    def branch(self, picks: Sequence[str], variants: Sequence[Callable[[], None]]) -> None:
        """What the first variant gives whose pick is true, else the last one."""
        if len(variants) > _MOST_VARIANTS:
            raise self.unsupported(f"to choose among {len(variants)} variants at run time")
        conditions, before, around = self.compute(*picks), self.steps, self._inner
        names, made = self._outputs, []
        for make in variants:
            self.steps, self._inner = [], ChainMap({}, *around.maps)
            make()
            values = [self._parts.value(name, self._outer, self.label) for name in names]
            made.append((self.steps, values))
        self.steps, self._inner = before, around
        pairs = zip(names, zip(*(own for _, own in made), strict=True), strict=True)
        joined = [Differing(self._parts, self._assembly, own, name) for name, own in pairs]
        regions = [region(joined, place, steps) for place, (steps, _) in enumerate(made)]
        otherwise = regions.pop()
        for condition, then in zip(reversed(conditions), reversed(regions), strict=True):
            types = (each for one in joined for each in one.given)
            results = tuple(self._assembly.value(each, self.label) for each in types)
            branch = Branch(condition, then, otherwise, results, self.label)
            otherwise = Region((), (branch,), results)
        self.steps += otherwise.statements
        left = iter(otherwise.results)
        for name, one in zip(names, joined, strict=True):
            self._outer[name] = self.taken(one, [next(left) for _ in one.given])

    def taken(self, one: Differing, given: Sequence[int]) -> int:
        """What a branch gave of one of its results, as large as it is."""
        if not one.axes:
            return given[0]
        whole, sizes = f"whole {one.title}", f"sizes {one.title}"
        self._inner |= dict(zip((whole, sizes), given, strict=True))
        most = one.most
        declared = self.declared(len(most), list(self.node.output).index(one.title))
        wanted = [declared[axis] for axis in one.axes]
        says = "the sizes of its result are"
        found = self.settle(sizes, wanted, [most[axis] for axis in one.axes], says)
        self.sure(count.found for count in found)
        for axis, size in zip(one.axes, found, strict=True):
            (whole,) = self.apart(self.spelled("Gather", whole, self.counting(size), axis=axis))
        return self.compute(whole)[0]

    def straight(self, numbers: Mapping[int, Term]) -> None:
        """The node, with these numbers in place of inputs."""
        node = onnx.NodeProto()
        node.CopyFrom(self.node)
        inner: Scope = ChainMap({}, {}, {})
        for i, name in enumerate(self.node.input):
            if i in numbers:
                inner[f"input {i}"] = self._assembly.constant(np.asarray(numbers[i]))
            elif name:
                inner[f"input {i}"] = self._value(i)
            node.input[i] = f"input {i}" if name else ""
        self.steps += self._parts.steps([node], self._outputs, inner)
        finds = any(isinstance(step, Find) for step in self.steps)
        for output in self._outputs:
            value = self._parts.value(output, inner, self.label)
            known = self._assembly.known(value) if finds else None
            # Two that are as large as they may be could be one constant, and are not else.
            own = f"{output} of {self._own}"
            self._outer[output] = value if known is None else self._assembly.table(own, known)
