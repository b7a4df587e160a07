"""The graphs of a node, written out where they are called: their weights once, around all calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import helper, numpy_helper

from luthier.schedules import ModelError

from ....graph import Array
from ...opset import is_onnx
from ...scopes import inner_graph, renamed
from ..spelling import Spelling

_FEW = 64  # elements, which shapes may follow from


@dataclass(frozen=True)
class Subgraph:
    """A graph, and the names that its weights have around it."""

    title: str
    graph: onnx.GraphProto
    weights: dict[str, str]

    @staticmethod
    def of(call: Spelling, title: str) -> Subgraph:
        """The graph that is an attribute of a node; raises ModelError."""
        graph = inner_graph(call.node, title)
        if graph.sparse_initializer:
            raise ModelError(f"{call.label}: sparse initializers of its {title} are not supported")
        weights = {}
        for tensor in graph.initializer:
            try:
                array = numpy_helper.to_array(tensor)
            except Exception as error:
                raise ModelError(
                    f"{call.label}: '{tensor.name}' of its {title} has data that does not fit its "
                    "shape"
                ) from error
            few = array.size <= _FEW
            weights[tensor.name] = _constant(call, array) if few else call.weight(array)
        return Subgraph(title, graph, weights)

    def has(self, *names: str) -> bool:
        """Whether its first inputs have these names."""
        return [i.name for i in self.graph.input[: len(names)]] == list(names)

    def sizes(self, index: int, *, output: bool = False) -> list[int]:
        """The declared sizes of an input or output, 0 for those that are not numbers."""
        info = (self.graph.output if output else self.graph.input)[index]
        return [d.dim_value for d in info.type.tensor_type.shape.dim]

    def call(
        self, s: Spelling, inputs: Sequence[str], shapes: Sequence[Sequence[int | None]]
    ) -> list[str]:
        """What it gives for these inputs: results of these shapes, of the types that it declares.

        Raises ModelError where it does not take so many, or gives others.
        """
        graph = self.graph
        if len(inputs) != len(graph.input) or len(shapes) != len(graph.output):
            raise ModelError(
                f"{s.label}: its {self.title} has {len(graph.input)} inputs and "
                f"{len(graph.output)} outputs, not {len(inputs)} and {len(shapes)}"
            )
        stem = f"{s.stem}/{self.title} {len(s.nodes)}"
        names = self.weights | {i.name: given for i, given in zip(graph.input, inputs, strict=True)}
        for node in graph.node:
            names |= {o: f"{stem}/{o}" for o in node.output if o}
        results = [names.get(o.name, o.name) for o in graph.output]
        for node in graph.node:
            s.nodes.append(renamed(node, names))
            if is_onnx(node.domain):
                s.types.follow(s.nodes[-1])
        for info, name, shape in zip(graph.output, results, shapes, strict=True):
            s.types.has(name, info.type.tensor_type.elem_type, shape)
        return results


def _constant(call: Spelling, array: Array) -> str:
    """Under a name of the node's: what it is may be of any type."""
    name = f"{call.stem}/{len(call.nodes)}"
    value = numpy_helper.from_array(array)
    call.nodes.append(helper.make_node("Constant", [], [name], value=value))
    call.types.follow(call.nodes[-1])
    return name
