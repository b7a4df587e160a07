"""Graphs with control flow as regions of a program.

Each is cut at its control flow (``stages``), whose nodes become loops and branches, and the graphs
inside of these regions of their own.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from types import MappingProxyType

import onnx
from onnx import TensorProto

from luthier.schedules import ModelError, Tensor

from ..graph import Array
from ..onnx.branches import without_decided_branches
from ..onnx.given import leading_to
from ..onnx.notes import PartNotes
from ..onnx.opset import is_onnx, node_label
from ..onnx.strip_weights import Known, array_of, constant_tensor, listed_constant
from ..program import Step
from .assembly import Assembly
from .branches import Branches
from .deciding import Deciding, decided
from .declared import Dims, declared_shapes, with_joined
from .finding import Finding
from .found_sizes import FoundSizes
from .kept_pieces import KeptPieces
from .loops import Loops
from .origins import Origins, known_list
from .parts import Held, Inline, Parts, Scope, check_order, is_outermost
from .ranks import Ranks
from .rows import Rows
from .run_time_places import RunTimePlaces
from .scan import as_loop
from .sequences import Sequences, aliases
from .stages import is_control, is_finder, stages
from .told import Told
from .unrolling import Unrolling

_FEW = 64  # elements


class Regions:
    """Makes regions of graphs; ``opset`` is the version of the operators."""

    def __init__(self, parts: Parts, assembly: Assembly, sizes: FoundSizes, opset: int) -> None:
        self._parts, self._assembly, self._sizes, self._opset = parts, assembly, sizes, opset
        self._made: ChainMap[str, onnx.NodeProto] = (
            ChainMap()
        )  # what gives values, and those around
        self._finding = Finding(parts, assembly, sizes)
        self._deciding = Deciding(parts, assembly, sizes)
        places = RunTimePlaces(parts, assembly, sizes, self._deciding)
        self.sequences = Sequences(parts, assembly, places)
        unrolling = Unrolling(parts, assembly, sizes, self.region)
        rows = Rows(parts, assembly, sizes)
        self._branches = Branches(parts, assembly, sizes, self.sequences, self.region)
        pieces = KeptPieces(parts, assembly, sizes, self._finding)
        self._loops = Loops(parts, assembly, rows, pieces, unrolling, self.region)

    def region(
        self,
        graph: onnx.GraphProto,
        around: Scope,
        wanted: Sequence[str],
        inputs: Mapping[str, Held] = MappingProxyType({}),
    ) -> tuple[list[Step], list[Held]]:
        """The steps of a graph, which sees what is around it, and what is ``wanted`` of it."""
        inline, made = bool(around.maps) and isinstance(around.maps[0], Inline), self._made
        try:
            with nullcontext() if inline else self._sizes.apart():
                return self._region(graph, around, wanted, inputs)
        finally:
            self._made = made

    def _region(
        self,
        graph: onnx.GraphProto,
        around: Scope,
        wanted: Sequence[str],
        inputs: Mapping[str, Held],
    ) -> tuple[list[Step], list[Held]]:
        scope: Scope = around.new_child(dict(inputs))
        nodes = self._entered(graph, scope)
        made = self._made.new_child({o: node for node in nodes for o in node.output if o})
        self._made = made
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
        kept = wanted
        if self._sizes.inside and not is_outermost(scope):
            typed = partial(self._parts.type_of, scope=scope)
            listed = partial(known_list, Origins(made, typed, few))
            declared = with_joined(nodes, declared, partial(self._shape, scope), listed)
            more, told = self._deciding.settle_inside(nodes, scope, cut, declared, listed)
            cut |= more
            kept = [*wanted, *sorted(told)]
        ranks = Ranks(nodes, wanted, self._parts, self._assembly)
        for stage in stages(nodes, kept, cut):
            steps += self._parts.steps(stage.nodes, stage.results, scope)
            for node in stage.control:
                if node.op_type == "If":
                    steps += self._branches.steps(node, scope, stage.used, declared, ranks, made)
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

    def _shape(self, scope: Scope, name: str) -> Sequence[int] | None:
        """Of a tensor that is there."""
        held = scope.get(name)
        if isinstance(held, TensorProto):
            return tuple(held.dims)
        return self._assembly.type(held).shape if isinstance(held, int) else None

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
            noted = PartNotes()
            decided = without_decided_branches(model, Known(left), noted).graph
            self._sizes.notes.append(noted)
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
