"""What an import of a straight part knew of each of its nodes: by which the import at other sizes
is told to be of a model that does the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import helper

from ..graph import Array
from .single import StaticType

FEW = 16  # numbers of a list that are looked at one by one
_NOT_READ = frozenset({"value"})  # of attributes: a constant's, which may be large


@dataclass(frozen=True)
class NodeNote:
    """An operator with its attributes, and the names of what it reads and gives."""

    op: str
    attrs: tuple[tuple[str, str], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @staticmethod
    def of(node: onnx.NodeProto) -> NodeNote:
        """Of a node, whose graphs are not told."""
        attrs = (
            (a.name, repr(helper.get_attribute_value(a)))
            for a in node.attribute
            if a.name not in _NOT_READ and not a.HasField("g")
        )
        return NodeNote(
            f"{node.domain}.{node.op_type}",
            tuple(sorted(attrs)),
            tuple(node.input),
            tuple(node.output),
        )


@dataclass
class PartNotes:
    """Of one part: its ``nodes`` in order, the ``shapes`` of values, the ``arrays`` of those that
    are known, and the values that are ``left``: results of nodes that become kernels, and outputs.
    ``conditions`` are what was known of those that decided branches, and ``moved`` is what some do
    that leaves all as it is at other sizes.
    """

    nodes: tuple[NodeNote, ...] = ()
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    left: frozenset[str] = frozenset()
    conditions: list[PartNotes] = field(default_factory=list)
    moved: set[tuple[object, ...]] = field(default_factory=set)

    def begin(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Before anything is computed."""
        self.nodes = tuple(map(NodeNote.of, nodes))

    def meet(self, types: Mapping[str, StaticType], known: Mapping[str, Array]) -> None:
        """What is known at some time."""
        self.shapes |= {name: tuple(tensor.shape) for name, tensor in types.items()}
        self.shapes |= {name: array.shape for name, array in known.items()}
        self.arrays |= known

    def end(self, graph: onnx.GraphProto) -> None:
        """What is left to compute, and what is given."""
        made = (name for node in graph.node for name in node.output)
        self.left = frozenset((*made, *(output.name for output in graph.output)))

    def few(self) -> PartNotes:
        """What is asked of a part that no other is made beside: as of conditions, what is known of
        its nodes that has few elements; and what they move."""
        arrays = {name: array for name, array in self.arrays.items() if array.size <= FEW}
        own = PartNotes(self.nodes, arrays=arrays)
        return PartNotes(conditions=[own, *self.conditions], moved=self.moved)
