"""Loops over sequences, iteration after iteration: each tensor of a sequence has its own type.

How often such a loop runs is known when a model is built; or it is said how many tensors it gives,
and a run asks whether values agree.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from luthier.schedules import ModelError, UnsupportedOperator

from ..onnx.opset import is_onnx
from ..onnx.scopes import every_node
from ..onnx.strip_weights import constant_tensor
from ..program import Step
from .assembly import Assembly
from .found_sizes import FoundSizes
from .loop_node import LoopNode
from .parts import Held, Inline, Listed, Parts, Scope

Region = Callable[
    [onnx.GraphProto, Scope, Sequence[str], Mapping[str, Held]], tuple[list[Step], list[Held]]
]
_MOST, _MOST_NODES = 1024, 4096  # iterations, and nodes of all of them
_FEW = 64  # iterations that take a tensor of a sequence each
_PLACES = {"SequenceAt": 1, "SequenceErase": 1, "SequenceInsert": 2}  # inputs that are some


@dataclass(frozen=True)
class Unrolling:
    """Each function gives steps; results go into the scope. ``region`` makes those of a graph."""

    parts: Parts
    assembly: Assembly
    sizes: FoundSizes
    region: Region

    def is_for(self, loop: LoopNode, scope: Scope, filled: Collection[str]) -> bool:
        """Whether a loop carries a sequence, or takes tensors of one by the iteration's number.

        Sequences that are ``filled``, from none on, are otherwise what is kept of each iteration.
        """
        if not self.sizes.counts.keys().isdisjoint(loop.outputs):
            return True
        held = (self.parts.held(name, scope, loop.label) for name in loop.carried)
        if not all(isinstance(each, int) for each in held):
            return True
        if not self.is_short(loop, scope):
            return False
        never = self._known(loop.trips, "int64", scope, loop.label) == 0 and bool(filled)
        gives = never or not self.parts.lists.isdisjoint(filled)
        return gives or any(_is_by_place(node, loop.body, scope) for node in loop.body.node)

    def is_short(self, loop: LoopNode, scope: Scope) -> bool:
        """Whether a loop is known to run a few times at most."""
        times = self._known(loop.trips, "int64", scope, loop.label)
        holds = self._known(loop.condition, "bool", scope, loop.label)
        known = holds is not None or not loop.condition
        return known and times is not None and times <= _FEW

    def steps(self, loop: LoopNode, scope: Scope, used: frozenset[str]) -> Sequence[Step]:
        """Of all iterations; raises ModelError and UnsupportedOperator."""
        count, body = len(loop.carried), loop.body
        held = [self.parts.held(name, scope, loop.label) for name in loop.carried]
        times, steps, said = self._begin(loop, held, scope, used)
        kept: dict[int, list[int]] = {i: [] for i in loop.kept(used)}
        wanted = [body.output[i].name for i in (*range(count + 1), *(1 + i for i in kept))]
        true = self.assembly.constant(np.array(True))
        for number in range(times):
            here = self.assembly.constant(np.array(number, np.int64))
            pairs = zip(body.input[2:], held, strict=True)
            given: dict[str, Held] = {info.name: each for info, each in pairs}
            given[body.input[0].name] = self.shaped(here, body.input[0])
            given[body.input[1].name] = self.shaped(true, body.input[1])
            more, (goes, *left) = self.region(body, scope.new_child(Inline()), wanted, given)
            steps += more
            held = left[:count]
            for i, value in zip(kept, left[count:], strict=True):
                kept[i].append(self.parts.tensor(value, loop.outputs[i], loop.label))
            last = number + 1 == times
            condition = self.parts.tensor(goes, body.output[0].name, loop.label)
            known = self.parts.known(condition, "bool", loop.label)
            if known is None and last and loop.trips:
                break  # it ends, whatever the condition says
            if known is None and not said:
                raise UnsupportedOperator(
                    f"{loop.label}: data decide after how many iterations it ends, which over "
                    f"sequences is not supported, unless it is said how many tensors "
                    f"{_names(loop)} has: --shape NAME=3"
                )
            if known is None:
                says = f"whether it goes on after {number + 1} iterations is"
                steps += self.parts.expect(condition, int(not last), says, loop.label)
            elif not known:
                break
            elif last and not loop.trips:
                raise ModelError(f"{loop.label}: nothing ends it")
        scope.update({o: h for o, h in zip(loop.outputs, held, strict=False) if o})
        for i, values in kept.items():
            steps += self._stacked(loop, i, values, scope)
        self._check_counts(loop, scope)
        return steps

    def shaped(self, value: int, info: onnx.ValueInfoProto) -> int:
        """A number as a body says that it takes it: some have a dimension of 1."""
        rank = len(info.type.tensor_type.shape.dim)
        return self.assembly.view(value, (1,) * rank) if rank else value

    def _begin(
        self, loop: LoopNode, held: Sequence[Held], scope: Scope, used: frozenset[str]
    ) -> tuple[int, list[Step], bool]:
        """How often it runs, the steps that ask, and whether a user says how long sequences are."""
        label, steps = loop.label, list[Step]()
        times = self._known(loop.trips, "int64", scope, label)
        holds = self._known(loop.condition, "bool", scope, label)
        if holds is not None and not holds:
            return 0, steps, False
        names = [o for o in loop.outputs[: len(held)] if o in self.sizes.counts]
        decided = times is not None and (holds is not None or not loop.condition)
        if not names and not decided:
            pairs = zip(loop.outputs, held, strict=False)
            lists = [o for o, h in pairs if o in used and isinstance(h, Listed)]
            if lists:
                self.sizes.count(lists[0], label)  # which asks for it
            raise UnsupportedOperator(
                f"{label}: data decide how often it runs, which over sequences is not supported: "
                "make the number a constant, such as by --value NAME=3"
            )
        if names:
            before = held[loop.outputs.index(names[0])]
            length = len(before.values) if isinstance(before, Listed) else 0
            wanted = max(self.sizes.count(names[0], label) - length, 0)
            if times is None and loop.trips:
                trips = self.parts.value(loop.trips, scope, label)
                steps += self.parts.expect(trips, wanted, "it runs so many times:", label)
            times = wanted if times is None else times
        if holds is None and loop.condition and times:
            condition = self.parts.value(loop.condition, scope, label)
            steps += self.parts.expect(condition, 1, "whether it begins is", label)
        times = max(int(times or 0), 0)
        nodes = sum(1 for _ in every_node(loop.body.node))
        if times > _MOST or times * nodes > _MOST_NODES:
            raise UnsupportedOperator(
                f"{label}: {times} iterations over sequences of {nodes} nodes each are more than "
                "are supported"
            )
        return times, steps, bool(names)

    def _known(self, name: str, dtype: str, scope: Scope, label: str) -> int | None:
        """A number of a loop, where it has one that is known."""
        if not name:
            return None
        array = self.parts.known(self.parts.value(name, scope, label), dtype, label)
        return None if array is None else int(array)

    def _stacked(
        self, loop: LoopNode, index: int, values: Sequence[int], scope: Scope
    ) -> Sequence[Step]:
        """What is kept of each iteration, along a new first dimension."""
        name, types = loop.outputs[index], {self.assembly.type(value) for value in values}
        if not values:
            raise UnsupportedOperator(
                f"{loop.label}: its result '{name}' is what is kept of no iteration, which is not "
                "supported"
            )
        if len(types) > 1:
            raise UnsupportedOperator(
                f"{loop.label}: its result '{name}' is {' and '.join(sorted(map(str, types)))} in "
                "different iterations, which is not supported"
            )
        steps, scope[name] = self.parts.stacked(values, 0, name)
        return steps

    def _check_counts(self, loop: LoopNode, scope: Scope) -> None:
        """Raise ModelError where a sequence has another length than a user says."""
        for name in self.sizes.counts.keys() & set(loop.outputs):
            held, wanted = scope[name], self.sizes.count(name, loop.label)
            length = len(held.values) if isinstance(held, Listed) else None
            if length != wanted:
                found = "is not a sequence" if length is None else f"has {length} tensors"
                raise ModelError(f"{loop.label}: its result '{name}' {found}, not {wanted}")


def _names(loop: LoopNode) -> str:
    return f"'{next((o for o in loop.outputs if o), '')}'"


def _is_by_place(node: onnx.NodeProto, body: onnx.GraphProto, scope: Scope) -> bool:
    """Whether a place in a sequence is computed in the body, or another in each iteration."""
    index = _PLACES.get(node.op_type, len(node.input)) if is_onnx(node.domain) else len(node.input)
    if index >= len(node.input) or not node.input[index]:
        return False
    known = {t.name for t in body.initializer}
    known |= {n.output[0] for n in body.node if constant_tensor(n) is not None}
    name = node.input[index]
    return name not in known and (name not in scope or name in {i.name for i in body.input})
