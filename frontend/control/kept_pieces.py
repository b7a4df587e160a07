"""What a loop keeps of iterations that find how large it is.

Each iteration gives its piece with zeros after it, as large as any may be, and how large it is.
After the loop pieces of a sequence lie one after the other, and those of a tensor must be alike.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from onnx import helper

from ..program import Step
from .assembly import Assembly
from .decision import Decision
from .declared import Dims
from .differing import padded
from .finding import Finding
from .found_sizes import FoundSizes
from .iteration import Iteration
from .loop_plan import LoopPlan
from .parts import Parts, Ragged, Scope, Stacked, is_outermost
from .retaking import Extent, extents


class Kept(NamedTuple):
    """What a loop keeps under a name: the piece of an iteration, how that varies, and whether it is
    a sequence."""

    name: str
    piece: int
    extent: Extent
    is_list: bool

    @property
    def axes(self) -> list[int]:
        """Along which pieces vary."""
        return [axis for axis, varies in enumerate(self.extent.axes) if varies]


@dataclass(frozen=True)
class KeptPieces:
    """Of loops: within an iteration, and after it."""

    parts: Parts
    assembly: Assembly
    sizes: FoundSizes
    finding: Finding

    def of(
        self,
        plan: LoopPlan,
        again: Callable[[], Iteration],
        once: Iteration,
        before: int,
        lists: Collection[str],
    ) -> list[Kept]:
        """What a loop keeps, as sequences what ``lists`` names; how that varies is told by the same
        iteration ``again`` with other sizes, of which there were so many ``before`` it."""
        first, label = 1 + len(plan.changing), plan.loop.label
        names = [plan.loop.outputs[i] for i in plan.kept]

        def pieces(iteration: Iteration) -> list[int]:
            pairs = zip(iteration.held[first:], names, strict=True)
            return [self.parts.tensor(held, name, label) for held, name in pairs]

        def shapes() -> list[Sequence[int]]:
            return [self.assembly.type(piece).shape for piece in pieces(again())]

        own, found = pieces(once), [Extent((), ())] * len(names)
        if names and len(self.sizes.symbols) > before:
            found = extents(self.sizes, before, len(names), shapes)
        each = zip(names, own, found, strict=True)
        return [Kept(name, piece, extent, name in lists) for name, piece, extent in each]

    def within(self, kept: Sequence[Kept]) -> tuple[Sequence[Step], dict[str, int]]:
        """The steps to what an iteration gives, by names: its pieces, each with room for the
        largest where it varies, and the sizes of these.

        There is room for one element more, so that something comes after any piece: so programs of
        several sizes are alike.
        """
        steps, given = list[Step](), {each.name: each.piece for each in kept}
        for each in kept:
            if not each.axes:
                continue
            name, piece, shape = each.name, each.piece, self.assembly.type(each.piece).shape
            pairs = enumerate(zip(shape, each.extent.most, strict=True))
            room = [most + 1 if i in each.axes else own for i, (own, most) in pairs]
            more, given[name] = padded(self.parts, self.assembly, piece, room, name)
            steps += more
            sizes = np.array([shape[axis] for axis in each.axes], np.int64)
            given[_sizes(name)] = self.assembly.table(f"{name}/sizes of {piece}", sizes)
        return steps, given

    def after(
        self,
        kept: Sequence[Kept],
        stacks: Mapping[str, int],
        scope: Scope,
        declared: Mapping[str, Dims],
        *,
        varies: bool,
    ) -> Sequence[Step]:
        """The steps to results, which go into the scope, from what was given by names, iteration
        after iteration; whether their number ``varies`` from run to run."""
        steps = list[Step]()
        for each in kept:
            if len(each.axes) == 1 and each.is_list:
                more, scope[each.name] = self._joined(each, stacks, scope)
                steps += more
                continue
            value = stacks[each.name]
            if each.axes:
                more, value = self._alike(each, stacks, scope, declared)
                steps += more
            scope[each.name] = Stacked(value, varies) if each.is_list else value
        return steps

    def _joined(
        self, kept: Kept, stacks: Mapping[str, int], scope: Scope
    ) -> tuple[Sequence[Step], Ragged]:
        """Pieces that vary along one axis, one after the other."""
        d, (axis,) = self._decision(kept, stacks, scope, {}), kept.axes
        e, shape = d.spelled, d.type(0).shape
        count, room, x = shape[0], shape[1 + axis], "input 0"
        others = [i for i in range(1, len(shape)) if i != 1 + axis]
        if axis:
            x = e("Transpose", x, perm=[0, 1 + axis, *others])
        rows = e("Reshape", x, [count * room, *(shape[i] for i in others)])
        there = e("Less", d.sizes(range(room), "places"), "input 1")
        mask = e("Reshape", there, [count * room])
        held, flags = d.compute(rows, mask)
        own = scope_of({"rows": held, "mask": flags}, scope)
        search = helper.make_node("Compress", ["rows", "mask"], [kept.name], kept.name, axis=0)
        found = self.finding.steps(search, own, {})
        more, whole = self.parts.moved(self.parts.value(kept.name, own, kept.name), axis, own)
        return [*d.steps, *found, *more], Ragged(whole, axis, count)

    def _alike(
        self, kept: Kept, stacks: Mapping[str, int], scope: Scope, declared: Mapping[str, Dims]
    ) -> tuple[Sequence[Step], int]:
        """Pieces of one size, which a run finds."""
        d, x = self._decision(kept, stacks, scope, declared), "input 0"
        most = [kept.extent.most[axis] for axis in kept.axes]
        dims = d.declared(len(d.type(0).shape))
        places = alike(d, "input 1", [dims[1 + axis] for axis in kept.axes], most)
        for axis, some in zip(kept.axes, places, strict=True):
            (x,) = d.apart(d.spelled("Gather", x, some, axis=1 + axis))
        (value,) = d.compute(x)
        return d.steps, value

    def _decision(
        self, kept: Kept, stacks: Mapping[str, int], scope: Scope, declared: Mapping[str, Dims]
    ) -> Decision:
        """Of the pieces and their sizes."""
        given = {"pieces": stacks[kept.name], "sizes": stacks[_sizes(kept.name)]}
        node = helper.make_node("Loop", [*given], [kept.name], kept.name)
        own = scope_of(given, scope)
        return Decision(node, own, self.parts, self.assembly, self.sizes, declared, {})


def _sizes(name: str) -> str:
    return f"sizes of {name}"


def alike(d: Decision, sizes: str, wanted: Dims, most: Sequence[int]) -> Sequence[str]:
    """As many places along each axis as pieces have that have these ``sizes``, a row each; a run
    ends whose pieces are not alike."""
    e, none = d.spelled, np.zeros((1, len(most)), np.int64)
    largest = e("ReduceMax", e("Concat", none, sizes, axis=0), [0], keepdims=0)
    less = e("Concat", none, e("Sub", largest, sizes), axis=0)
    says = "by how much some of its pieces are smaller than others:"
    d.expect(e("ReduceMax", less, [0], keepdims=0), [0] * len(most), says)
    counts = d.settle(largest, wanted, most, "the sizes of its pieces are")
    return d.apart(*map(d.counting, counts))


def scope_of(given: Mapping[str, int], around: Scope) -> Scope:
    """Of some values alone, which always run or not as what is ``around`` does."""
    own: Scope = ChainMap(dict(given))
    return own if is_outermost(around) else own.new_child().new_child()
