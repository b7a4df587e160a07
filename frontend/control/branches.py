"""Branches that a run chooses between: the steps of an If."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import onnx
from onnx import helper

from luthier.schedules import ModelError, UnsupportedOperator

from ..onnx.opset import node_label
from ..onnx.scopes import inner_graph
from ..program import Branch, Step
from .assembly import Assembly
from .decision import Decision
from .declared import Dims
from .differing import Differing
from .differing import region as branch_of
from .found_sizes import FoundInsideError, FoundSizes
from .hoisting import hoisted, may_end
from .impossible import BRANCHES, asked, is_impossible, said
from .parts import Held, Inline, Parts, Scope, is_outermost
from .ranks import Ranks
from .results import alike, like, text_of, values_of
from .retaking import extents
from .sequences import Sequences
from .varying import Varying, varying_axes


class _Side(NamedTuple):
    """A branch: steps before it that ``always`` run, its own, what it gives, and in which
    dimensions of that a run finds how large it is; and how large each is at most, where the branch
    finds that itself."""

    always: Sequence[Step]
    steps: Sequence[Step]
    held: Sequence[Held]
    vary: Sequence[Sequence[bool]]
    rooms: Sequence[Sequence[int]]


class _Wanted(NamedTuple):
    """The results of an If that are wanted: their ``names``, and their ``places`` among those of a
    branch. ``scope`` is what is around it, ``label`` its name for people."""

    names: Sequence[str]
    places: Sequence[int]
    scope: Scope
    label: str


class Branches:
    """Makes steps of If nodes; ``region`` those of a graph in what is around it, and gives what is
    wanted of it."""

    def __init__(
        self,
        parts: Parts,
        assembly: Assembly,
        sizes: FoundSizes,
        sequences: Sequences,
        region: Callable[..., tuple[list[Step], list[Held]]],
    ) -> None:
        self._parts, self._assembly, self._sizes = parts, assembly, sizes
        self._sequences, self._region = sequences, region

    def steps(
        self,
        node: onnx.NodeProto,
        scope: Scope,
        used: frozenset[str],
        declared: Mapping[str, Dims],
        ranks: Ranks,
        made: Mapping[str, onnx.NodeProto],
    ) -> Sequence[Step]:
        """The steps of an If; its results that are ``used`` go into ``scope``.

        ``declared`` are the shapes that its graph declares, and ``made`` the nodes that give its
        values, by name.
        """
        label = node_label(node)
        graphs = [inner_graph(node, name) for name in BRANCHES]
        if len(node.input) != 1 or any(len(g.output) != len(node.output) for g in graphs):
            raise ModelError(f"{label}: its branches do not give its results")
        kept = [i for i, name in enumerate(node.output) if name in used]
        condition = self._parts.value(node.input[0], scope, label)
        known = self._parts.known(condition, "bool", label)
        if known is not None:
            return self._inline(node, graphs[0] if known else graphs[1], kept, scope)
        names = [node.output[i] for i in kept]
        wanted = _Wanted(names, kept, scope, label)
        tried = [self._tried(graph, wanted) for graph in graphs]
        sides = [side for side in tried if isinstance(side, _Side)]
        if len(sides) == len(tried):
            return self._chosen(node, condition, names, sides, scope, declared, ranks)
        impossible = [is_impossible(side) for side in tried]
        if sum(impossible) != 1:
            inputs = self._parts.inputs_of(node.input[0], made)
            raise next(said(e, label, inputs) for e in tried if isinstance(e, ModelError))
        place = impossible.index(True)
        steps = [*asked(self._parts, condition, place, label, tried[place])]
        if not sides:  # what the other finds is found by every run that does not end
            return [*steps, *self._inline(node, graphs[1 - place], kept, scope)]
        (side,) = sides
        scope.update(zip(names, side.held, strict=True))
        return [*steps, *side.always, *side.steps]

    def _inline(
        self, node: onnx.NodeProto, graph: onnx.GraphProto, kept: Sequence[int], scope: Scope
    ) -> Sequence[Step]:
        """The steps of a branch that every run takes."""
        wanted = [graph.output[i].name for i in kept]
        steps, results = self._region(graph, scope.new_child(Inline()), wanted)
        scope.update({node.output[i]: v for i, v in zip(kept, results, strict=True)})
        return steps

    def _chosen(
        self,
        node: onnx.NodeProto,
        condition: int,
        names: Sequence[str],
        sides: Sequence[_Side],
        scope: Scope,
        declared: Mapping[str, Dims],
        ranks: Ranks,
    ) -> Sequence[Step]:
        """The steps of a choice between two branches."""
        label = node_label(node)
        always = [step for side in sides for step in side.always]
        joined = dict[str, tuple[Held, list[Differing]]]()
        for i, (name, one, other) in enumerate(zip(names, *(s.held for s in sides), strict=True)):
            first, second = alike(self._assembly, *ranks.evened(name, one, other, scope))
            if type(first) is not type(second) or len(values_of(first)) != len(values_of(second)):
                raise UnsupportedOperator(
                    f"{label}: its result '{name}' is {text_of(first)} in one branch and "
                    f"{text_of(second)} in the other, which is not supported unless its condition "
                    "is known when the library is built, as by --value"
                )
            vary = [any(each) for each in zip_longest(*(side.vary[i] for side in sides))]
            rooms = [side.rooms[i] for side in sides]
            joined[name] = first, self._joined(name, first, second, label, vary, rooms)
        every = [one for _, own in joined.values() for one in own]
        if not every:
            return always
        then, otherwise = (branch_of(every, place, side.steps) for place, side in enumerate(sides))
        given = [self._assembly.value(t, f"{label}: its result") for o in every for t in o.given]
        steps = [*always, Branch(condition, then, otherwise, tuple(given), label)]
        left = iter(given)
        for name, (held, own) in joined.items():
            values = list[int]()
            for each in own:
                apart = helper.make_node("If", [], [each.title], node.name)
                taking = Decision(
                    apart, scope, self._parts, self._assembly, self._sizes, declared, {}
                )
                values.append(taking.taken(each, [next(left) for _ in each.given]))
                steps += taking.steps
            scope[name] = like(held, values)
        return steps

    def _tried(self, graph: onnx.GraphProto, wanted: _Wanted) -> _Side | ModelError:
        """A branch, or what is wrong with it where another one may do without it."""
        count = len(self._sizes.symbols)
        try:
            return self._side(graph, wanted)
        except ModelError as error:
            if not (is_impossible(error) or isinstance(error, FoundInsideError)):
                raise
            self._sizes.forget(count)
            return error

    def _side(self, graph: onnx.GraphProto, wanted: _Wanted) -> _Side:
        """A branch, and what it gives of what is wanted, sequences tensor by tensor."""
        scope, rest = wanted.scope, graph
        given = [graph.output[i].name for i in wanted.places]
        always, before, sized = list[Step](), dict[str, Held](), set[str]()
        count = len(self._sizes.symbols)
        while True:
            try:
                steps, results = self._region(rest, scope, given, before)
                break
            except FoundInsideError as error:
                parts = hoisted(rest, error.node) if is_outermost(scope) else None
                if parts is None:
                    raise
                first, rest, read = parts
                found, values = self._region(first, scope.new_child(Inline(before)), read)
                if may_end(found, self._sizes.sure):
                    because = ": what leads to it may end the run, where another branch would not"
                    raise FoundInsideError(error.label, error.node, because) from None
                always += found
                sized.update(filter(None, error.node.output))
                before |= zip(read, values, strict=True)
        varying: Varying = {}
        if sized:
            own: Scope = scope.new_child({tensor.name: tensor for tensor in graph.initializer})
            model, _ = self._parts.model_of(graph.node, own, without_sequences=True)
            varying = varying_axes(model, sized)
        held = list[Held]()
        for name, result in zip(wanted.names, results, strict=True):
            more, listed = self._sequences.listed(result, name, wanted.label)
            steps += more
            held.append(listed)
        axes: list[Sequence[bool]] = [
            varying[name].axes if name in varying else () for name in given
        ]
        rooms: Sequence[Sequence[int]] = [()] * len(given)
        finds = len(self._sizes.symbols) > count
        if self._sizes.inside and finds and not self._sizes.retakes:
            axes, rooms = self._found(graph, scope, given, results, count)
        return _Side(always, steps, held, axes, rooms)

    def _found(
        self,
        graph: onnx.GraphProto,
        scope: Scope,
        given: Sequence[str],
        held: Sequence[Held],
        before: int,
    ) -> tuple[list[Sequence[bool]], list[Sequence[int]]]:
        """Of what a branch in a loop gives, the dimensions that are others where it finds other
        sizes, and how large it is where these are as large as they can be; ``before`` is how many
        of these there were before it."""

        def again() -> list[Sequence[int]]:
            _, others = self._region(graph, scope, given)
            return [self._assembly.type(e).shape if isinstance(e, int) else () for e in others]

        axes, largest = list[Sequence[bool]](), list[Sequence[int]]()
        for each, (vary, most) in zip(
            held, extents(self._sizes, before, len(given), again), strict=True
        ):
            own = self._assembly.type(each).shape if isinstance(each, int) else ()
            axes.append(vary)
            largest.append([h if v else o for v, h, o in zip(vary, most, own, strict=False)])
        return axes, largest

    def _joined(
        self,
        name: str,
        one: Held,
        other: Held,
        label: str,
        vary: Sequence[bool],
        rooms: Sequence[Sequence[int]],
    ) -> list[Differing]:
        """What is of one branch or the other, tensor by tensor; in dimensions that ``vary`` a run
        finds how large one is, of a single tensor as large as ``rooms`` at most."""
        pairs = list(zip(values_of(one), values_of(other), strict=True))
        titles = [name] if isinstance(one, int) else [f"{name}_{i}" for i in range(len(pairs))]
        made = [
            Differing(self._parts, self._assembly, pair, title, vary, rooms)
            for title, pair in zip(titles, pairs, strict=True)
        ]
        for each in made:
            if not each.fits:
                first, second = each.types
                raise UnsupportedOperator(
                    f"{label}: its result '{name}' is {first} in one branch and {second} in the "
                    "other, which is not supported"
                )
        return made
