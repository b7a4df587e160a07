"""What loops keep of each iteration where a run decides how many of these there are.

Where the model declares how many rows there are, a run asks whether that is so; else their number
is a size that the run finds.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from onnx import helper

from luthier.schedules import Tensor, Workload
from luthier.schedules.ir.core import Region
from luthier.schedules.ir.workload import node as operator

from ..onnx.given import leading_to
from ..program import Call, Expect, Find, Loop, Step
from .assembly import Assembly
from .declared import Dims
from .found_sizes import FoundInsideError, FoundSizes
from .parts import Parts, Scope, may_find
from .spelled import OPSET, Spelled

Kept = tuple[list[Step], list[int], bool]
"""Steps, the values that are kept, and whether a run finds how many rows these have."""


@dataclass(frozen=True)
class Rows:
    """Rows of loops."""

    parts: Parts
    assembly: Assembly
    sizes: FoundSizes

    def of(self, piece: int, rows: int, label: str) -> int:
        """A new value with so many rows like ``piece``."""
        tensor = self.assembly.type(piece)
        whole = Tensor((rows, *tensor.shape), tensor.dtype)
        return self.assembly.value(whole, f"{label}: its result")

    def counted(
        self,
        bare: Loop,
        names: Sequence[str],
        pieces: Sequence[int],
        scope: Scope,
        declared: Mapping[str, Dims],
        *,
        most: int | None,
        goes: bool,
    ) -> Kept:
        """A loop that keeps ``pieces`` under these names, of which ``bare`` has no results yet.

        It runs ``most`` times at most, where that is known. The first result of its body is the
        condition, which is always true where it ``goes`` on. Raises ModelError and
        UnsupportedOperator.
        """
        wanted = self._declared(names, pieces, declared)
        if wanted is None and not may_find(scope, self.sizes):
            says = (
                f"its result '{names[0]}' has a row for each iteration, whose number is known only "
                "at run time, which in a loop or branch is not supported"
            )
            raise FoundInsideError(bare.source, helper.make_node("Loop", [], names), says=says)
        if bare.trips is not None and (bare.condition is None or goes):
            return self._before(bare, names, pieces, wanted, most)
        return self._after(bare, names, pieces, wanted, most)

    def _declared(
        self, names: Sequence[str], pieces: Sequence[int], declared: Mapping[str, Dims]
    ) -> int | None:
        """How many rows the model says that there are."""
        for name, piece in zip(names, pieces, strict=True):
            dims = declared.get(name, ())
            if len(dims) == 1 + len(self.assembly.type(piece).shape) and dims[0] is not None:
                return dims[0]
        return None

    def _before(
        self,
        bare: Loop,
        names: Sequence[str],
        pieces: Sequence[int],
        wanted: int | None,
        most: int | None,
    ) -> Kept:
        """Rows whose number is known when the loop begins."""
        assert bare.trips is not None
        e, label = Spelled(names[0]), bare.source
        inner: Scope = ChainMap({}, {}, {"trips": self.assembly.view(bare.trips, ())})
        times = e("Max", "trips", np.array(0))
        if bare.condition is not None:
            inner["begins"] = self.assembly.view(bare.condition, ())
            times = e("Mul", times, e.cast("begins", "int64"))
        steps = self.computed(e, inner, times)
        trips = self.parts.value(times, inner, label)
        if wanted is None:
            found, rows = self.sizes.add(names[0], most, label)
            steps.append(Find(found, trips, label))
        else:
            rows = wanted
            steps.append(self._asked(trips, wanted, names[0], label))
        stacks = [self.of(piece, rows, label) for piece in pieces]
        body = Region(bare.body.parameters, bare.body.statements, bare.body.results[1:])
        results = (*bare.results, *stacks)
        steps.append(replace(bare, body=body, results=results, trips=trips, condition=None))
        return steps, stacks, wanted is None

    def _after(
        self,
        bare: Loop,
        names: Sequence[str],
        pieces: Sequence[int],
        wanted: int | None,
        most: int | None,
    ) -> Kept:
        """Rows that are counted as the loop goes on: there is room for the most."""
        assert bare.condition is not None
        label, found, rows, room = bare.source, "", 0, wanted or 0
        if wanted is None:
            found, rows = self.sizes.add(names[0], most, label)
            room = self.sizes.room(found)
        e = Spelled(names[0])
        inner: Scope = ChainMap({}, {}, {})
        steps, trips = list[Step](), self.assembly.constant(np.array(room))
        if bare.trips is not None:
            inner["trips"] = self.assembly.view(bare.trips, ())
            least = e("Min", "trips", np.array(room))
            steps = self.computed(e, inner, least)
            trips = self.parts.value(least, inner, label)
        loop, count, goes = self.counting(bare, names[0])
        stacks = [self.of(piece, room, label) for piece in pieces]
        steps.append(replace(loop, results=(*loop.results, *stacks), trips=trips))
        inner |= {"count": count, "goes": goes}
        more = e("And", "goes", e("GreaterOrEqual", "count", np.array(room)))
        if bare.trips is not None:
            more = e("And", more, e("Greater", "trips", np.array(room)))
        over = e.cast(more, "int64")
        steps += self.computed(e, inner, over)
        value, says = (
            self.parts.value(over, inner, label),
            f"whether it keeps more than {room} rows:",
        )
        none = self.assembly.table(f"{names[0]}/more", np.array(0))
        steps.append(Expect(value, none, says, label))
        if wanted is not None:
            return [*steps, self._asked(count, wanted, names[0], label)], stacks, False
        steps.append(Find(found, count, label))
        cut = [self.of(piece, rows, label) for piece in pieces]
        steps += (self._beginning(*pair, label) for pair in zip(stacks, cut, strict=True))
        return steps, cut, True

    def counting(self, bare: Loop, name: str) -> tuple[Loop, int, int]:
        """A loop that counts its iterations, how many there were, and whether it would go on."""
        label, body = bare.source, bare.body
        number, goes_on = body.parameters[0], body.results[0]
        kinds = (Tensor((), "int64"), Tensor((), "bool"))
        taken, ended = ([self.assembly.value(kind, label) for kind in kinds] for _ in range(2))
        inner: Scope = ChainMap({}, {}, {"number": number})
        e = Spelled(name)
        after = e("Add", "number", np.array(1))
        statements = (*body.statements, *self.computed(e, inner, after))
        left, goes = self.parts.value(after, inner, label), self.assembly.view(goes_on, ())
        count = len(bare.carried)
        own, kept = body.results[1 : 1 + count], body.results[1 + count :]
        assert bare.condition is not None
        begins = self.assembly.view(bare.condition, ())
        counted = Region((*body.parameters, *taken), statements, (goes_on, *own, left, goes, *kept))
        carried = (*bare.carried, self.assembly.constant(np.array(0)), begins)
        grows = (*bare.grows, None, None) if bare.grows else ()
        results = (*bare.results, *ended)
        loop = replace(bare, body=counted, carried=carried, results=results, grows=grows)
        return loop, ended[0], ended[1]

    def _beginning(self, stack: int, cut: int, label: str) -> Call:
        """As many of the first rows as there are."""
        tensor, out = self.assembly.type(stack), self.assembly.type(cut)
        rank = len(tensor.shape)
        node = operator("slice", (0,), out, begin=(0,) * rank, steps=(1,) * rank)
        return Call(Workload((tensor,), (False,), (node,)), (stack,), cut, label)

    def _asked(self, value: int, wanted: int, name: str, label: str) -> Expect:
        rows = self.assembly.table(f"{name}/rows", np.array(wanted))
        return Expect(value, rows, "its iterations, of each of which it keeps a row, are", label)

    def computed(self, spelled: Spelled, inner: Scope, name: str) -> list[Step]:
        """The steps of what was spelled and is not there yet."""
        inner.update({n: self.assembly.constant(a) for n, a in spelled.constants.items()})
        left = [node for node in spelled.nodes if node.output[0] not in inner]
        return list(self.parts.steps(leading_to(left, [name]), [name], inner, OPSET))
