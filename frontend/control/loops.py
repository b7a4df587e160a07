"""``Loop`` nodes as loops of a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from luthier.schedules import ModelError, Tensor, UnsupportedOperator
from luthier.schedules.ir.core import Region as Steps

from ..graph import Array
from ..program import Loop, Step
from .assembly import Assembly
from .declared import Dims
from .filling import without_sequences
from .loop_node import LoopNode
from .parts import Parts, Scope, Stacked
from .rows import Rows
from .unrolling import Region, Unrolling


@dataclass(frozen=True)
class Loops:
    """Each function gives steps; results go into the scope. ``region`` makes those of a graph."""

    parts: Parts
    assembly: Assembly
    rows: Rows
    unrolling: Unrolling
    region: Region

    def steps(
        self,
        node: onnx.NodeProto,
        scope: Scope,
        used: frozenset[str],
        declared: Mapping[str, Dims],
    ) -> Sequence[Step]:
        """Of a node; ``declared`` are the shapes that its graph declares, by value."""
        changed, stacks = without_sequences(node, scope)
        loop = LoopNode.of(changed)
        if self.unrolling.is_for(loop, scope, stacks):
            return self.unrolling.steps(LoopNode.of(node), scope, used)
        is_short = self.unrolling.is_short(loop, scope)
        for name in () if is_short else self.parts.lists.intersection(stacks):
            self._ask_length(loop, name, scope)
        try:
            steps, vary = self._loop(loop, scope, used, declared)
        except UnsupportedOperator:  # it may append tensors of different shapes
            if not (stacks and is_short):
                raise
            return self.unrolling.steps(LoopNode.of(node), scope, used)
        for name in used.intersection(stacks):
            scope[name] = Stacked(self.parts.value(name, scope, loop.label), vary)
        return steps

    def _loop(
        self, loop: LoopNode, scope: Scope, used: frozenset[str], declared: Mapping[str, Dims]
    ) -> tuple[Sequence[Step], bool]:
        """The steps, and whether a run finds how much is kept."""
        label, body, count = loop.label, loop.body, len(loop.carried)
        first = [self.parts.value(name, scope, label) for name in loop.carried]
        trips, times = self._decides(loop.trips, "int64", scope, label)
        begins, holds = self._decides(loop.condition, "bool", scope, label)
        never = (times is not None and times <= 0) or (holds is not None and not holds)
        kept = loop.kept(used)
        if never:
            for i in kept:
                raise UnsupportedOperator(
                    f"{label}: its result '{loop.outputs[i]}' is what is kept of no iteration, "
                    "which is not supported"
                )
            scope.update({o: v for o, v in zip(loop.outputs, first, strict=False) if o})
            return [], False

        same = loop.unchanged()
        changing = [i for i in range(count) if i not in same]
        number = self.assembly.value(Tensor((), "int64"), label)
        true = self.assembly.constant(np.array(True))
        carried = [self.assembly.value(self.assembly.type(first[i]), label) for i in changing]
        own = dict(zip(changing, carried, strict=True)) | {i: first[i] for i in same}
        inner = {body.input[2 + i].name: own[i] for i in range(count)}
        shaped = self.unrolling.shaped
        inner[body.input[0].name] = shaped(number, body.input[0])
        inner[body.input[1].name] = shaped(true, body.input[1])  # or it would not run
        wanted = [body.output[i].name for i in (0, *(1 + k for k in (*changing, *kept)))]
        steps, held = self.region(body, scope, wanted, inner)
        pairs = zip(wanted, held, strict=True)
        goes_on, *left = (self.parts.tensor(each, name, label) for name, each in pairs)
        ends = begins if holds is None else None
        again = self.parts.known(goes_on, "bool", label)
        if ends is None and (again is None or not again):
            ends = true
        if trips is None and ends is None:
            raise ModelError(f"{label}: nothing ends it")
        for i, before, after in zip(changing, carried, left, strict=False):
            self._check_carried(label, body.input[2 + i].name, before, after)
        begun, pieces = tuple(first[i] for i in changing), left[len(carried) :]
        ended = [
            self.assembly.value(self.assembly.type(v), f"{label}: its result") for v in carried
        ]
        region = Steps((number, *carried), tuple(steps), (goes_on, *left))
        if not kept or (ends is None and times is not None):
            given = ended + [self.rows.of(value, int(times or 0), label) for value in pieces]
            if ends is None:
                region = Steps(region.parameters, region.statements, tuple(left))
            whole = Loop(region, begun, tuple(given), trips, ends, label)
            made, vary = [whole] if given else list[Step](), False
        else:
            bare = Loop(region, begun, tuple(ended), trips, ends, label)
            goes = again is not None and bool(again)
            names = [loop.outputs[i] for i in kept]
            made, stacks, vary = self.rows.counted(
                bare,
                names,
                pieces,
                scope,
                declared,
                most=None if times is None else int(times),
                goes=goes,
            )
            given = [*ended, *stacks]
        results = dict(zip((*changing, *kept), given, strict=True)) | {i: first[i] for i in same}
        scope.update({o: results[i] for i, o in enumerate(loop.outputs) if o and i in results})
        return made, vary

    def _ask_length(self, loop: LoopNode, name: str, scope: Scope) -> None:
        """Raise UnsupportedOperator for a sequence that is an output, unless it is known how often
        the loop runs."""
        trips, holds = (
            self._decides(given, dtype, scope, loop.label)[1]
            for given, dtype in ((loop.trips, "int64"), (loop.condition, "bool"))
        )
        if trips is None or (holds is None and loop.condition):
            self.rows.sizes.count(name, loop.label)

    def _decides(
        self, name: str, dtype: str, scope: Scope, label: str
    ) -> tuple[int | None, Array | None]:
        """A number that a loop may be given, and what it is where that is known."""
        if not name:
            return None, None
        value = self.parts.value(name, scope, label)
        return value, self.parts.known(value, dtype, label)

    def _check_carried(self, label: str, name: str, before: int, after: int) -> None:
        first, then = self.assembly.type(before), self.assembly.type(after)
        if first != then:
            raise UnsupportedOperator(
                f"{label}: its value '{name}' is {first} at first and {then} after an iteration, "
                "which is not supported"
            )
