"""Graphs with control flow as regions of a program.

Each is cut at its control flow (``stages``), whose nodes become loops and branches, and the graphs
inside of these regions of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import onnx
from onnx import TensorProto

from luthier.schedules import ModelError, Tensor, UnsupportedOperator
from luthier.schedules.ir.core import Region

from ..graph import Array
from ..onnx.branches import without_decided_branches
from ..onnx.opset import is_onnx, node_label
from ..onnx.strip_weights import constant_tensor, strip_weights
from ..program import Branch, Loop, Step
from .assembly import Assembly
from .deciding import Deciding, decided
from .finding import Finding
from .parts import Parts, Scope, Stacked, check_order
from .scan import as_loop
from .sequences import Sequences, without_sequences
from .stages import is_control, is_finder, stages


class Regions:
    """Makes regions of graphs; ``opset`` is the version of the operators."""

    def __init__(
        self,
        parts: Parts,
        assembly: Assembly,
        finding: Finding,
        deciding: Deciding,
        opset: int,
    ) -> None:
        self._finding, self._deciding = finding, deciding
        self._parts, self._assembly, self._opset = parts, assembly, opset
        self._sequences = Sequences(parts, assembly)

    def region(
        self,
        graph: onnx.GraphProto,
        around: Scope,
        wanted: Sequence[str],
        inputs: Mapping[str, int] = MappingProxyType({}),
    ) -> tuple[list[Step], list[int]]:
        """The steps of a graph, which sees what is around it, and the values ``wanted`` of it."""
        scope: Scope = around.new_child(dict(inputs))
        nodes = self._entered(graph, scope)
        steps: list[Step] = []
        cut = decided(nodes, scope, self._known(scope))
        if any(map(is_finder, nodes)):
            # The types of what comes first are known then, and tell those of what follows.
            first = next(stages(nodes, wanted, cut))
            steps += self._parts.steps(first.nodes, first.results, scope)
            done = {node.output[0] for node in first.nodes}
            nodes = [node for node in nodes if node.output[0] not in done]
            cut |= self._deciding.cut_short(nodes, scope)
        for stage in stages(nodes, wanted, cut):
            steps += self._parts.steps(stage.nodes, stage.results, scope)
            for node in stage.control:
                steps += self._flow(node, scope, stage.used)
        where = f"graph '{graph.name}'"
        return steps, [self._parts.value(name, scope, where) for name in wanted]

    def _known(self, scope: Scope) -> set[str]:
        """The names of values that are known, or are not tensors."""
        return {
            name
            for name, value in scope.items()
            if not isinstance(value, int) or self._assembly.known(value) is not None
        }

    def _entered(self, graph: onnx.GraphProto, scope: Scope) -> Sequence[onnx.NodeProto]:
        """A graph's nodes, its weights in ``scope``; what is decided in it is gone."""
        if graph.sparse_initializer:
            raise ModelError(f"graph '{graph.name}': sparse initializers are not supported")
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
            model, _ = self._parts.model_of(nodes, scope)
            held = len(model.graph.initializer)
            decided = without_decided_branches(model, lambda part: strip_weights(part)[0]).graph
            enter((tensor.name, tensor) for tensor in decided.initializer[held:])
            nodes = list(decided.node)
        check_order(nodes, scope)
        enter((n.output[0], t) for n in nodes if (t := constant_tensor(n)) is not None)
        return [node for node in nodes if constant_tensor(node) is None]

    # ---- control flow ----

    def _flow(self, node: onnx.NodeProto, scope: Scope, used: frozenset[str]) -> Sequence[Step]:
        """The steps of one node of control flow; those of its results that are used are known."""
        if node.op_type == "If":
            return self._if(node, scope, used)
        if node.op_type == "Loop":
            loop, stacks = without_sequences(node, scope)
            steps = self._loop(loop, scope, used)
            for name in used.intersection(stacks):
                scope[name] = Stacked(self._parts.value(name, scope, node_label(node)))
            return steps
        if node.op_type == "Scan":
            return self._scan(node, scope, used)
        if is_finder(node):
            return self._finding.steps(node, scope)
        if is_control(node):
            return self._sequences.steps(node, scope)
        return self._deciding.steps(node, scope)

    def _if(self, node: onnx.NodeProto, scope: Scope, used: frozenset[str]) -> Sequence[Step]:
        label = node_label(node)
        graphs = [_graph(node, name) for name in ("then_branch", "else_branch")]
        if len(node.input) != 1 or any(len(g.output) != len(node.output) for g in graphs):
            raise ModelError(f"{label}: its branches do not give its results")
        kept = [i for i, name in enumerate(node.output) if name in used]
        condition = self._parts.value(node.input[0], scope, label)
        known = self._parts.known(condition, "bool", label)
        if known is not None:
            chosen = graphs[0] if known else graphs[1]
            steps, results = self.region(chosen, scope, [chosen.output[i].name for i in kept])
            scope.update({node.output[i]: v for i, v in zip(kept, results, strict=True)})
            return steps
        regions = []
        for graph in graphs:
            steps, results = self.region(graph, scope, [graph.output[i].name for i in kept])
            regions.append(Region((), tuple(steps), tuple(results)))
        then, otherwise = regions
        given = []
        for i, a, b in zip(kept, then.results, otherwise.results, strict=True):
            first, second = self._assembly.type(a), self._assembly.type(b)
            if first != second:
                raise UnsupportedOperator(
                    f"{label}: its result '{node.output[i]}' is {first} in one branch and {second} "
                    "in the other, which is not supported"
                )
            given.append(self._result(first, label))
        scope.update({node.output[i]: v for i, v in zip(kept, given, strict=True)})
        return [Branch(condition, then, otherwise, tuple(given), label)] if given else []

    def _result(self, tensor: Tensor, label: str) -> int:
        return self._assembly.value(tensor, f"{label}: its result")

    def _loop(self, node: onnx.NodeProto, scope: Scope, used: frozenset[str]) -> Sequence[Step]:
        label, body = node_label(node), _graph(node, "body")
        inputs = [*node.input, "", ""][: max(2, len(node.input))]
        outside = inputs[2:]
        count = len(outside)
        fits = len(body.input) == count + 2 and len(body.output) > count
        if not fits or len(node.output) >= len(body.output):
            raise ModelError(f"{label}: its body does not take what it is given, or give it")
        first = [self._parts.value(name, scope, label) for name in outside]
        trips, times = self._decides(inputs[0], "int64", scope, label)
        begins, holds = self._decides(inputs[1], "bool", scope, label)
        never = (times is not None and times <= 0) or (holds is not None and not holds)
        kept = [i for i in range(count, len(node.output)) if node.output[i] in used]
        if never:
            for i in kept:
                raise UnsupportedOperator(
                    f"{label}: its result '{node.output[i]}' is what is kept of no iteration, "
                    "which is not supported"
                )
            scope.update({o: v for o, v in zip(node.output, first, strict=False) if o})
            return []

        same = _unchanged(body, count)
        changing = [i for i in range(count) if i not in same]
        number = self._assembly.value(Tensor((), "int64"), label)
        true = self._assembly.constant(np.array(True))
        carried = [self._assembly.value(self._assembly.type(first[i]), label) for i in changing]
        own = dict(zip(changing, carried, strict=True)) | {i: first[i] for i in same}
        inner = {body.input[2 + i].name: own[i] for i in range(count)}
        inner[body.input[0].name] = self._shaped(number, body.input[0])
        inner[body.input[1].name] = self._shaped(true, body.input[1])  # or it would not run
        if len(inner) < count + 2:
            raise ModelError(f"{label}: two inputs of its body have the same name")
        wanted = [body.output[i].name for i in (0, *(1 + k for k in (*changing, *kept)))]
        steps, (goes_on, *left) = self.region(body, scope, wanted, inner)
        ends = begins if holds is None else None
        again = self._parts.known(goes_on, "bool", label)
        if ends is None and (again is None or not again):
            ends = true
        if trips is None and ends is None:
            raise ModelError(f"{label}: nothing ends it")
        for i, before, after in zip(changing, carried, left, strict=False):
            self._check_carried(label, body.input[2 + i].name, before, after)
        rows = None if ends is not None or times is None else int(times)
        given = [self._result(self._assembly.type(v), label) for v in carried]
        given += [
            self._stack(node, i, rows, v) for i, v in zip(kept, left[len(carried) :], strict=True)
        ]
        results = dict(zip((*changing, *kept), given, strict=True)) | {i: first[i] for i in same}
        scope.update({o: results[i] for i, o in enumerate(node.output) if o and i in results})
        if not given:
            return []
        region = Region(
            (number, *carried), tuple(steps), tuple(left if ends is None else (goes_on, *left))
        )
        return [Loop(region, tuple(first[i] for i in changing), tuple(given), trips, ends, label)]

    def _decides(
        self, name: str, dtype: str, scope: Scope, label: str
    ) -> tuple[int | None, Array | None]:
        """A number that a loop may be given, and what it is where that is known."""
        if not name:
            return None, None
        value = self._parts.value(name, scope, label)
        return value, self._parts.known(value, dtype, label)

    def _shaped(self, value: int, info: onnx.ValueInfoProto) -> int:
        """A number as a body says that it takes it: some have a dimension of 1."""
        rank = len(info.type.tensor_type.shape.dim)
        return self._assembly.view(value, (1,) * rank) if rank else value

    def _check_carried(self, label: str, name: str, before: int, after: int) -> None:
        first, then = self._assembly.type(before), self._assembly.type(after)
        if first != then:
            raise UnsupportedOperator(
                f"{label}: its value '{name}' is {first} at first and {then} after an iteration, "
                "which is not supported"
            )

    def _stack(self, node: onnx.NodeProto, index: int, rows: int | None, value: int) -> int:
        """What is kept of each iteration."""
        if rows is None:
            raise UnsupportedOperator(
                f"{node_label(node)}: its result '{node.output[index]}' has a row for each "
                "iteration, whose number is known only at run time, which is not supported"
            )
        piece = self._assembly.type(value)
        return self._result(Tensor((rows, *piece.shape), piece.dtype), node_label(node))

    def _scan(self, node: onnx.NodeProto, scope: Scope, used: frozenset[str]) -> Sequence[Step]:
        label = node_label(node)

        def type_of(name: str) -> Tensor:
            return self._assembly.type(self._parts.value(name, scope, label))

        spelled = as_loop(node, self._opset, type_of)
        names = [name for name in node.output if name in used]
        steps, results = self.region(spelled.graph, scope, names)
        scope.update(zip(names, results, strict=True))
        for name in names:
            value = self._parts.value(name, scope, label)
            rank, axis = len(self._assembly.type(value).shape), spelled.axes.get(name, 0)
            if axis and not -rank <= axis < rank:
                raise ModelError(f"{label}: the axis {axis} is outside of {rank} dimensions")
            more, scope[name] = self._parts.moved(value, axis % rank if axis else 0, scope)
            steps += more
        return steps


def _graph(node: onnx.NodeProto, name: str) -> onnx.GraphProto:
    for attribute in node.attribute:
        if attribute.name == name and attribute.HasField("g"):
            graph: onnx.GraphProto = attribute.g
            return graph
    raise ModelError(f"{node_label(node)}: it has no graph '{name}'")


def _unchanged(body: onnx.GraphProto, count: int) -> list[int]:
    """The carried values that the body gives back as it got them."""
    source = {n.output[0]: n.input[0] for n in body.node if _is_identity(n)}
    found = []
    for i in range(count):
        name = body.output[1 + i].name
        for _ in range(len(body.node) + 1):
            if name not in source:
                break
            name = source[name]
        if name == body.input[2 + i].name:
            found.append(i)
    return found


def _is_identity(node: onnx.NodeProto) -> bool:
    return node.op_type == "Identity" and is_onnx(node.domain) and len(node.input) == 1
