"""``Loop`` nodes as loops of a program."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnx

from luthier.schedules import ModelError, Tensor, UnsupportedOperator
from luthier.schedules.ir.core import Region as Steps

from ..onnx.scopes import results_in
from ..program import Loop, Step
from .assembly import Assembly
from .beginning import Beginning
from .carried import Carried
from .counted import counted
from .declared import Dims
from .filling import without_sequences
from .found_sizes import FoundInsideError
from .growing import Growing, Growth
from .impossible import is_impossible
from .iteration import Iteration
from .kept_pieces import Kept, KeptPieces
from .loop_node import LoopNode
from .loop_plan import LoopPlan
from .never import Never
from .parts import Held, Parts, Scope, Stacked, is_outermost, may_find
from .rows import Rows
from .unrolling import Region, Unrolling
from .ways import Remembered, first_of


@dataclass(frozen=True)
class Loops:
    """Each function gives steps; results go into the scope. ``region`` makes those of a graph."""

    parts: Parts
    assembly: Assembly
    rows: Rows
    pieces: KeptPieces
    unrolling: Unrolling
    region: Region

    @property
    def never(self) -> Never:
        """Of loops that do not run."""
        return Never(self.parts, self.assembly, self.rows)

    @property
    def growing(self) -> Growing:
        """Finds the sizes of what grows."""
        return Growing(self.rows)

    def steps(
        self,
        node: onnx.NodeProto,
        scope: Scope,
        used: frozenset[str],
        declared: Mapping[str, Dims],
    ) -> Sequence[Step]:
        """Of a node; ``declared`` are the shapes that its graph declares, by value."""
        node = counted(node, scope, self.parts, self.assembly)
        changed, stacks = without_sequences(node, scope)
        loop = LoopNode.of(changed)
        if self.unrolling.is_for(loop, scope, stacks):
            return self.unrolling.steps(LoopNode.of(node), scope, used)
        is_short, sizes = self.unrolling.is_short(loop, scope), self.rows.sizes
        if not is_short:
            self._ask_lengths(loop, self.parts.lists.intersection(stacks), scope)

        def looped(single: bool, inside: bool) -> Sequence[Step]:
            with sizes.within(single=single, inside=inside):
                return self._loop(loop, scope, used, declared, stacks)

        def unrolled() -> Sequence[Step]:
            return self.unrolling.steps(LoopNode.of(node), scope, used)

        known, remembered = len(sizes.symbols), Remembered(looped, sizes, loop.label)
        if (steps := remembered.steps()) is not None:
            return steps
        try:
            return looped(sizes.single, sizes.inside)
        except UnsupportedOperator as error:
            # It may append tensors of different shapes, or find sizes in each iteration.
            sizes.forget(known)
            if sizes.single or sizes.inside or not isinstance(error, FoundInsideError):
                if is_short and stacks:
                    return unrolled()
                raise
            cause = error

        ways = remembered.ways()
        if is_short and (stacks or is_outermost(scope)):
            ways.insert(0 if self._is_fixed(loop, scope, known) else len(ways), unrolled)
        return first_of(ways, sizes, cause, spare=unrolled)

    def _is_fixed(self, loop: LoopNode, scope: Scope, known: int) -> bool:
        """Whether how often it runs stands in the model, or no size is ``known`` that may tell."""
        is_written = self.parts.written(loop.trips, scope) is not None
        return is_written or not (self.rows.sizes.given or known)

    def _loop(
        self,
        loop: LoopNode,
        scope: Scope,
        used: frozenset[str],
        declared: Mapping[str, Dims],
        lists: Collection[str],
    ) -> Sequence[Step]:
        """The steps; what it keeps as ``lists`` are sequences."""
        begin = Beginning.of(loop, self.parts, scope)
        plan = LoopPlan.of(loop, self.parts, scope, used)
        unread = {plan.changing.index(i) for i in loop.unread() if i in plan.changing}
        values = Carried(self.assembly, plan.lasting, unread, begin.runs)
        once = partial(self._iteration, plan, begin, scope, values)
        met = len(self.rows.sizes.symbols)
        listed = [name for name in lists if name in used]
        if begin.never:
            self._never(plan, scope, once)
            self._list(listed, scope, loop)
            self.rows.sizes.skipped |= results_in(loop.body.node)
            return []
        try:
            taken = once()
        except ModelError as error:
            # At other sizes than are taken to be found it may be.
            if begin.runs or self.rows.sizes.symbols or not is_impossible(error):
                raise
            self.rows.sizes.forget(met)
            self._never(plan, scope, once)
            self._list(listed, scope, loop)
            return self.never.asked(loop, begin, error)
        kept = self.pieces.of(plan, once, taken, met, lists)
        return self._looped(plan, begin, scope, declared, values, taken, kept)

    def _never(self, plan: LoopPlan, scope: Scope, once: Callable[[], Iteration]) -> None:
        """Give what a loop gives that does not run."""
        loop, count = plan.loop, 1 + len(plan.changing)

        def pieces() -> list[Tensor]:
            held = zip(plan.kept, once().held[count:], strict=True)
            values = (self.parts.tensor(v, loop.outputs[i], loop.label) for i, v in held)
            return list(map(self.assembly.type, values))

        self.never.give(loop, plan.first, plan.kept, scope, pieces)

    def _list(self, names: Iterable[str], scope: Scope, loop: LoopNode) -> None:
        """Let results be sequences."""
        scope.update({name: Stacked(self.parts.value(name, scope, loop.label)) for name in names})

    def _looped(
        self,
        plan: LoopPlan,
        begin: Beginning,
        scope: Scope,
        declared: Mapping[str, Dims],
        values: Carried,
        once: Iteration,
        kept: Sequence[Kept],
    ) -> Sequence[Step]:
        """The steps of a loop that runs."""
        loop, label, changing = plan.loop, plan.loop.label, plan.changing
        true = self.assembly.constant(np.array(True))
        pairs = zip(plan.wanted, once.held[: 1 + len(changing)], strict=False)
        goes_on, *left = (self.parts.tensor(each, name, label) for name, each in pairs)
        ends = begin.condition if begin.holds is None else None
        again = self.parts.known(goes_on, "bool", label)
        if ends is None and (again is None or not again):
            ends = true
        if begin.trips is None and ends is None:
            raise ModelError(f"{label}: nothing ends it")
        times = begin.times
        ending = self._endings(loop, once, changing, left, None if ends is not None else times)
        firsts = zip(changing, once.types, strict=True)
        begun = tuple(values.begun(k, t, plan.first[i]) for k, (i, t) in enumerate(firsts))
        inside, pieces = self.pieces.within(kept)
        ended = [self.assembly.value(tensor, f"{label}: its result") for tensor in ending]
        steps, gives = (*once.steps, *inside), (goes_on, *left, *pieces.values())
        region = Steps((once.number, *once.carried), steps, gives)
        bare = Loop(region, begun, tuple(ended), begin.trips, ends, label, once.grows)
        found, bare, after = self._lengths(bare, once)
        made, stacks, vary = list[Step](), list[int](), False
        if pieces and (bare.condition is not None or times is None):
            goes, names = again is not None and bool(again) and not after, list(pieces)
            made, stacks, vary = self.rows.counted(
                bare, names, list(pieces.values()), scope, declared, most=times, goes=goes
            )
        elif bare.results or pieces:
            stacks = [self.rows.of(value, times or 0, label) for value in pieces.values()]
            made = [_with_stacks(bare, stacks)]
        results = dict(enumerate(plan.first)) | dict(zip(changing, ended, strict=True))
        scope.update({o: results[i] for i, o in enumerate(loop.outputs) if o and i in results})
        rows = dict(zip(pieces, stacks, strict=True))
        left_steps = self.pieces.after(kept, rows, scope, declared, varies=vary)
        return [*found, *made, *after, *left_steps]

    def _lengths(self, bare: Loop, once: Iteration) -> tuple[Sequence[Step], Loop, Sequence[Step]]:
        """What finds how long results are that grow, before a loop or after it; the loop counts its
        iterations where only that tells it."""
        sizes = {size: once.growths[k] for k, (size, _) in once.lengths.items()}
        if not sizes:
            return (), bare, ()
        count, loop = bare.trips, bare
        if bare.condition is not None:
            loop, count, _ = self.rows.counting(bare, next(iter(sizes)))
        assert count is not None
        found = [
            step
            for size, growth in sizes.items()
            for step in self.growing.found(size, growth, count, bare.source)
        ]
        return ((), loop, found) if bare.condition is not None else (found, loop, ())

    def _iteration(
        self, plan: LoopPlan, begin: Beginning, scope: Scope, values: Carried
    ) -> Iteration:
        """One of a loop: those values that are changing get others; those that grow have a size
        that is found."""
        loop, first, changing, lasting = plan.loop, plan.first, plan.changing, plan.lasting
        wanted, times, sure = plan.wanted, begin.times, begin.sure
        label, body = loop.label, loop.body
        sizes, known = self.rows.sizes, len(self.rows.sizes.symbols)
        number = self.assembly.value(Tensor((), "int64"), label)
        true = self.assembly.constant(np.array(True))

        def iterated(types: Sequence[Tensor], growths: dict[int, Growth]) -> Iteration:
            carried = [self.assembly.value(tensor, label) for tensor in types]
            own = dict(enumerate(first)) | dict(zip(changing, carried, strict=True))
            inner: dict[str, Held] = {body.input[2 + i].name: own[i] for i in own}
            shaped = self.unrolling.shaped
            inner[body.input[0].name] = shaped(number, body.input[0])
            inner[body.input[1].name] = shaped(true, body.input[1])  # or it would not run
            steps, held = self.region(body, scope, wanted, inner)
            return Iteration(number, types, carried, steps, held, growths)

        types = [self.assembly.type(first[i]) for i in changing]
        once = iterated(types, {})
        if (evened := values.types(types, once.held[1:])) != types:
            met = sizes.symbols[known:]
            sizes.forget(known)
            other = iterated(evened, {})
            if self._types_of(other.held) == self._types_of(once.held):
                types, once = evened, other
            else:
                sizes.symbols[known:] = met
        growths = self._growths(types, once.held[1:], scope)
        if not growths:
            return once
        sizes.forget(known)  # what it found is found when it is imported again
        again = self.parts.tensor(once.held[0], wanted[0], label)
        goes = self.parts.known(again, "bool", label)
        results = dict[str, Growth]()
        if sure is None or goes is None or not goes:
            results = {lasting[k]: growth for k, growth in growths.items() if k in lasting}
        ends = self.growing.ends(results, times, label)
        after = [(results[name], size) for name, (size, _) in ends.items()]
        names = [body.input[2 + changing[k]].name for k in growths]
        found = self.growing.sizes(names, list(growths.values()), times, label, after)
        for k, growth in growths.items():
            types[k] = growth.at(types[k], found[growth][1])
        once = iterated(types, growths)
        before = self.growing.steps(found, number, label)
        lengths = {k: ends[lasting[k]] for k in growths if lasting.get(k) in ends}
        return replace(once, steps=[*before, *once.steps], lengths=lengths)

    def _types_of(self, held: Sequence[Held]) -> list[Tensor | None]:
        return [self.assembly.type(each) if isinstance(each, int) else None for each in held]

    def _endings(
        self,
        loop: LoopNode,
        once: Iteration,
        changing: Sequence[int],
        left: Sequence[int],
        times: int | None,
    ) -> list[Tensor]:
        """The types of carried values after so many iterations; None is what a run decides.

        Raises UnsupportedOperator where an iteration leaves other ones than it must.
        """
        ending = list(once.types)
        for k, (i, after) in enumerate(zip(changing, left, strict=False)):
            found, name = once.growths.get(k), loop.body.input[2 + i].name
            wants = ending[k] if found is None else found.after(ending[k])
            self._check_carried(loop.label, name, ending[k], after, wants)
            if k in once.lengths and found is not None:
                ending[k] = found.at(ending[k], once.lengths[k][1])
            elif found is not None:
                ending[k] = found.ended(ending[k], times)
        return ending

    def _ask_lengths(self, loop: LoopNode, names: Iterable[str], scope: Scope) -> None:
        """Raise UnsupportedOperator for sequences that are outputs, unless it is known how often
        the loop runs."""
        begin = Beginning.of(loop, self.parts, scope)
        for name in () if begin.runs and begin.trips is not None else names:
            self.rows.sizes.count(name, loop.label)

    def _growths(
        self, types: Sequence[Tensor], held: Sequence[Held], scope: Scope
    ) -> dict[int, Growth]:
        """How carried values grow, by their places; where no sizes may be found none may."""
        if not may_find(scope, self.rows.sizes):
            return {}
        pairs = enumerate(zip(types, held, strict=False))
        found = {
            k: Growth.of(before, self.assembly.type(after))
            for k, (before, after) in pairs
            if isinstance(after, int)
        }
        return {k: growth for k, growth in found.items() if growth is not None}

    def _check_carried(
        self, label: str, name: str, first: Tensor, after: int, wanted: Tensor
    ) -> None:
        then = self.assembly.type(after)
        if then != wanted:
            raise UnsupportedOperator(
                f"{label}: its value '{name}' is {first} at first and {then} after an iteration, "
                "which is not supported"
            )


def _with_stacks(bare: Loop, stacks: Sequence[int]) -> Loop:
    """A loop with what it keeps of each iteration; the first result of its body is the condition,
    which one without leaves out."""
    body = bare.body
    if bare.condition is None:
        body = Steps(body.parameters, body.statements, body.results[1:])
    return replace(bare, body=body, results=(*bare.results, *stacks))
