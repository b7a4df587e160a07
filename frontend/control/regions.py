"""Graphs with control flow as regions of a program.

Each is cut at its control flow (``stages``), whose nodes become loops and branches, and the graphs
inside of these regions of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from types import MappingProxyType
from typing import NamedTuple

import onnx
from onnx import TensorProto, helper

from luthier.schedules import ModelError, Tensor, UnsupportedOperator

from ..graph import Array
from ..onnx.branches import without_decided_branches
from ..onnx.given import leading_to
from ..onnx.opset import is_onnx, node_label
from ..onnx.scopes import inner_graph
from ..onnx.strip_weights import Known, array_of, constant_tensor, listed_constant
from ..program import Branch, Step
from .assembly import Assembly
from .deciding import Deciding, decided
from .decision import Decision
from .declared import Dims, declared_shapes
from .differing import Differing
from .differing import region as branch_of
from .finding import Finding
from .found_sizes import FoundInsideError, FoundSizes
from .hoisting import hoisted, may_end
from .loops import Loops
from .parts import Held, Inline, Parts, Scope, check_order, is_outermost
from .ranks import Ranks
from .results import alike, like, text_of, values_of
from .rows import Rows
from .run_time_places import RunTimePlaces
from .scan import as_loop
from .sequences import Sequences, aliases
from .stages import is_control, is_finder, stages
from .told import Told
from .unrolling import Unrolling
from .varying import Varying, varying_axes

_FEW = 64  # elements


class _Side(NamedTuple):
    """A branch: steps before it that ``always`` run, its own, what it gives, and in which
    dimensions of that a run finds how large it is."""

    always: Sequence[Step]
    steps: Sequence[Step]
    held: Sequence[Held]
    vary: Sequence[Sequence[bool]]


class Regions:
    """Makes regions of graphs; ``opset`` is the version of the operators."""

    def __init__(self, parts: Parts, assembly: Assembly, sizes: FoundSizes, opset: int) -> None:
        self._parts, self._assembly, self._sizes, self._opset = parts, assembly, sizes, opset
        self._finding = Finding(parts, assembly, sizes)
        self._deciding = Deciding(parts, assembly, sizes)
        places = RunTimePlaces(parts, assembly, sizes, self._deciding)
        self.sequences = Sequences(parts, assembly, places)
        unrolling = Unrolling(parts, assembly, sizes, self.region)
        rows = Rows(parts, assembly, sizes)
        self._loops = Loops(parts, assembly, rows, unrolling, self.region)

    def region(
        self,
        graph: onnx.GraphProto,
        around: Scope,
        wanted: Sequence[str],
        inputs: Mapping[str, Held] = MappingProxyType({}),
    ) -> tuple[list[Step], list[Held]]:
        """The steps of a graph, which sees what is around it, and what is ``wanted`` of it."""
        scope: Scope = around.new_child(dict(inputs))
        nodes = self._entered(graph, scope)
        made = {name: node for node in nodes for name in node.output if name}
        steps: list[Step] = []
        few = partial(self._few, scope, made)
        declared = declared_shapes(graph, nodes, few, self._sizes.taken)
        finds = any(map(is_finder, nodes))
        if len(scope.maps) == 2 and not finds:  # what is in branches may not run
            asked, nodes = Told(self._parts, self._assembly, scope, few).take(nodes, declared)
            steps += asked
        known, computed = self._known(scope), self._sizes.computed
        cut = decided(nodes, scope, known, computed) | aliases(nodes, scope)
        if finds:
            # The types of what comes first are known then, and tell those of what follows.
            first = next(stages(nodes, wanted, cut))
            steps += self._parts.steps(first.nodes, first.results, scope)
            done = {node.output[0] for node in first.nodes}
            rest = [node for node in nodes if node.output[0] not in done]
            nodes = leading_to(rest, wanted)  # others read what was not kept
            cut |= self._deciding.cut_short(nodes, scope)
        ranks = Ranks(nodes, wanted, self._parts, self._assembly)
        for stage in stages(nodes, wanted, cut):
            steps += self._parts.steps(stage.nodes, stage.results, scope)
            for node in stage.control:
                if node.op_type == "If":
                    steps += self._if(node, scope, stage.used, declared, ranks, made)
                else:
                    steps += self._flow(node, scope, stage.used, declared, made)
        where = f"graph '{graph.name}'"
        return steps, [self._parts.held(name, scope, where) for name in wanted]

    def _known(self, scope: Scope) -> set[str]:
        """The names of values that are known, or are not tensors."""
        return {
            name
            for name, value in scope.items()
            if not isinstance(value, int) or self._assembly.known(value) is not None
        }

    def _few(self, scope: Scope, made: Mapping[str, onnx.NodeProto], name: str) -> Array | None:
        """The numbers of a value, where they are few and known."""
        held = scope.get(name)
        if name in made and made[name].op_type == "Constant":
            return listed_constant(made[name])
        if isinstance(held, TensorProto):
            return array_of(held, f"'{name}'") if math.prod(held.dims) <= _FEW else None
        array = self._assembly.known(held) if isinstance(held, int) else None
        return array if array is not None and array.size <= _FEW else None

    def _entered(self, graph: onnx.GraphProto, scope: Scope) -> Sequence[onnx.NodeProto]:
        """A graph's nodes, its weights in ``scope``; what is decided in it is gone."""
        own = scope.maps[0]

        def enter(tensors: Iterable[tuple[str, TensorProto]]) -> None:
            for name, tensor in tensors:
                if not name or name in own:
                    raise ModelError(f"two values of the model have the same name '{name}'")
                own[name] = tensor

        enter((tensor.name, tensor) for tensor in graph.initializer)
        nodes = list(graph.node)
        check_order(nodes, scope)
        if any(node.op_type == "If" and is_onnx(node.domain) for node in nodes):
            model, _ = self._parts.model_of(nodes, scope, without_sequences=True)
            held = len(model.graph.initializer)
            left = frozenset(self._sizes.computed)
            decided = without_decided_branches(model, Known(left)).graph
            enter((tensor.name, tensor) for tensor in decided.initializer[held:])
            nodes = list(decided.node)
        check_order(nodes, scope)
        enter((n.output[0], t) for n in nodes if (t := constant_tensor(n)) is not None)
        return [node for node in nodes if constant_tensor(node) is None]

    # ---- control flow ----

    def _flow(
        self,
        node: onnx.NodeProto,
        scope: Scope,
        used: frozenset[str],
        declared: Mapping[str, Dims],
        made: Mapping[str, onnx.NodeProto],
    ) -> Sequence[Step]:
        """The steps of one node of control flow, no If; its results that are used are known.

        ``declared`` are the shapes that its graph declares, and ``made`` the nodes that give its
        values, by name.
        """
        if node.op_type == "Loop":
            return self._loops.steps(node, scope, used, declared)
        if node.op_type == "Scan":
            return self._scan(node, scope, used)
        if is_finder(node):
            return self._finding.steps(node, scope, made)
        if is_control(node) or node.op_type == "Identity":  # of what is not a tensor
            return self.sequences.steps(node, scope)
        return self._deciding.steps(node, scope, declared, made)

    def _if(
        self,
        node: onnx.NodeProto,
        scope: Scope,
        used: frozenset[str],
        declared: Mapping[str, Dims],
        ranks: Ranks,
        made: Mapping[str, onnx.NodeProto],
    ) -> Sequence[Step]:
        label = node_label(node)
        graphs = [inner_graph(node, name) for name in ("then_branch", "else_branch")]
        if len(node.input) != 1 or any(len(g.output) != len(node.output) for g in graphs):
            raise ModelError(f"{label}: its branches do not give its results")
        kept = [i for i, name in enumerate(node.output) if name in used]
        condition = self._parts.value(node.input[0], scope, label)
        known = self._parts.known(condition, "bool", label)
        if known is not None:
            chosen = graphs[0] if known else graphs[1]
            wanted = [chosen.output[i].name for i in kept]
            inline, results = self.region(chosen, scope.new_child(Inline()), wanted)
            scope.update({node.output[i]: v for i, v in zip(kept, results, strict=True)})
            return inline
        names = [node.output[i] for i in kept]
        try:
            sides = [self._side(graph, kept, names, scope, label) for graph in graphs]
        except ModelError as error:
            inputs = self._parts.inputs_of(node.input[0], made)
            if isinstance(error, UnsupportedOperator) or not inputs:
                raise
            said = " ".join(f"--value {name}=.." for name in inputs)
            raise ModelError(
                f"{error}; this is in a branch of {label}: if it never runs, say so by {said}"
            ) from error
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
            joined[name] = first, self._joined(name, first, second, label, vary)
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

    def _side(
        self,
        graph: onnx.GraphProto,
        kept: Sequence[int],
        names: Sequence[str],
        scope: Scope,
        label: str,
    ) -> _Side:
        """A branch, and what it gives of the results that are kept, sequences tensor by tensor."""
        wanted, rest = [graph.output[i].name for i in kept], graph
        always, before, sized = list[Step](), dict[str, Held](), set[str]()
        while True:
            try:
                steps, results = self.region(rest, scope, wanted, before)
                break
            except FoundInsideError as error:
                parts = hoisted(rest, error.node) if is_outermost(scope) else None
                if parts is None:
                    raise
                first, rest, read = parts
                found, values = self.region(first, scope.new_child(Inline(before)), read)
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
        for name, result in zip(names, results, strict=True):
            more, listed = self.sequences.listed(result, name, label)
            steps += more
            held.append(listed)
        return _Side(always, steps, held, [varying.get(name, ()) for name in wanted])

    def _joined(
        self, name: str, one: Held, other: Held, label: str, vary: Sequence[bool]
    ) -> list[Differing]:
        """What is of one branch or the other, tensor by tensor; in dimensions that ``vary`` a run
        finds how large one is."""
        pairs = list(zip(values_of(one), values_of(other), strict=True))
        titles = [name] if isinstance(one, int) else [f"{name}_{i}" for i in range(len(pairs))]
        made = [
            Differing(self._parts, self._assembly, pair, title, vary)
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

    def _scan(self, node: onnx.NodeProto, scope: Scope, used: frozenset[str]) -> Sequence[Step]:
        label = node_label(node)

        def type_of(name: str) -> Tensor:
            return self._assembly.type(self._parts.value(name, scope, label))

        spelled = as_loop(node, self._opset, type_of)
        names = [name for name in node.output if name in used]
        steps, results = self.region(spelled.graph, scope.new_child(Inline()), names)
        scope.update(zip(names, results, strict=True))
        for name in names:
            value = self._parts.value(name, scope, label)
            rank, axis = len(self._assembly.type(value).shape), spelled.axes.get(name, 0)
            if axis and not -rank <= axis < rank:
                raise ModelError(f"{label}: the axis {axis} is outside of {rank} dimensions")
            more, scope[name] = self._parts.moved(value, axis % rank if axis else 0, scope)
            steps += more
        return steps
