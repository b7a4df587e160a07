"""The best few of each of several lists, of what is above a threshold, and these joined: a
detector's boxes, class by class.

Exporters spell it by the places where each list is above it, of which there are as many as a run
finds, list by list. What is not above it may as well be the smallest number there is, come last of
the best, and be left out of what is joined: so a run finds one size, however many lists there are.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

from ..graph import Array
from .given import light_types
from .opset import attributes_of
from .scopes import free_names, inner_graphs, reads
from .spellings import Made, Reading, Writing, is_operator

_VIEWS = ("Cast", "Gather", "Identity", "Reshape", "Squeeze", "Unsqueeze")  # of a single number
_WHOLE = (TensorProto.INT32, TensorProto.INT64)
_DEEPEST = 16  # nodes one after the other


def with_late_choices(model: onnx.ModelProto) -> None:
    """Spell such nodes of the model's own graph in place, where they are found."""
    operators = {node.op_type for node in model.graph.node}
    if not {"TopK", "NonZero", "GatherND", "Concat"} <= operators:
        return
    reading = _Reading(model.graph)
    found = [best for node in model.graph.node if (best := reading.best(node)) is not None]
    if found:
        types = light_types(model)
        found = [best for best in found if _rank(types.get(best.scores)) == 1]
    found = _joined_together(found)
    if found:
        _rewrite(model.graph, found)


def _rank(type_: onnx.TypeProto | None) -> int | None:
    known = type_ is not None and type_.tensor_type.HasField("shape")
    return len(type_.tensor_type.shape.dim) if known and type_ is not None else None


@dataclass(frozen=True)
class _Best:
    """The best few of the elements of ``scores`` that are above what ``lowest`` stands for, where
    the ``mask`` is true. ``some`` are those elements, of which ``top`` gives the best.

    ``taken`` are what each node takes of other lists, at the places of the best among these;
    ``pieces`` are lists of as many elements as there are best, and ``joints`` what joins them.
    """

    top: NodeProto
    some: str
    scores: str
    mask: str
    lowest: Array
    taken: Mapping[str, str]
    pieces: frozenset[str]
    joints: Sequence[NodeProto]


class _Reading(Reading):
    def __init__(self, graph: onnx.GraphProto) -> None:
        made: dict[str, Made] = {tensor.name: tensor for tensor in graph.initializer}
        super().__init__(made | {name: n for n in graph.node for name in n.output if name})
        self._readers: dict[str, list[NodeProto]] = {}
        self._kept = {output.name for output in graph.output}
        for node in graph.node:
            self._kept |= set().union(*map(free_names, inner_graphs(node)))
            for name in set(node.input):
                self._readers.setdefault(name, []).append(node)

    def best(self, top: NodeProto) -> _Best | None:
        """What a node gives the best of, where nothing else needs to know how many these are."""
        if not is_operator(top, "TopK") or len(top.output) != 2 or not _is_descending(top):
            return None
        some, (best, places) = top.input[0], top.output
        scores, mask = self._chosen(some)
        lowest = self._lowest(scores, mask)
        taken, labels = self._taken(places, mask), self._labels(best)
        if lowest is None or taken is None or labels is None or not self._is_counted(top):
            return None
        pieces = frozenset((best, *labels, *taken))
        joints = [
            node
            for name in sorted(pieces)
            for node in self._readers.get(name, [])
            if name != best or not is_operator(node, "Shape")
        ]
        if not pieces.isdisjoint(self._kept) or not all(map(_joins_rows, joints)):
            return None
        return _Best(top, some, scores, mask, lowest, taken, pieces, joints)

    def _is_counted(self, top: NodeProto) -> bool:
        """Whether it gives the best of all, or of a constant number where there are more, and
        nothing else reads how many there are."""
        some, count = top.input
        counted = self._counted(count, some)
        names = (some, *(node.output[0] for node in counted or ()))
        return counted is not None and all(self._is_read_by(n, [top, *counted]) for n in names)

    def _is_read_by(self, name: str, nodes: Sequence[NodeProto]) -> bool:
        """Whether nothing but these reads a value."""
        own = {id(node) for node in nodes}
        return name not in self._kept and all(id(n) in own for n in self._readers.get(name, []))

    def _chosen(self, name: str) -> tuple[str, str]:
        """The list of which a value has those elements for which a mask is true, and that mask;
        nothing where there is none."""
        node = self.node(name, "GatherND")
        if node is None or attributes_of(node).get("batch_dims", 0):
            return "", ""
        mask = self.mask(node.input[1])
        return (node.input[0], mask) if mask else ("", "")

    def _lowest(self, scores: str, mask: str) -> Array | None:
        """A number that is less than all scores for which a mask is true; None for no such."""
        above = self.node(mask, "Greater", "GreaterOrEqual")
        if above is None or above.input[0] != scores:
            return None
        threshold = self.constant(above.input[1], 1)
        if threshold is None or threshold.size != 1 or threshold.dtype.kind not in "fi":
            return None
        is_float = threshold.dtype.kind == "f"
        lowest = -np.inf if is_float else np.iinfo(threshold.dtype).min
        if above.op_type == "GreaterOrEqual" and threshold.item() == lowest:
            return None
        return np.array(lowest, threshold.dtype)

    def _counted(self, name: str, some: str, depth: int = 0) -> list[NodeProto] | None:
        """The nodes that give how many elements ``some`` has, or a constant where that is less;
        None where they may give another number."""
        node = self.node(name, "Shape", "Min", "ReduceMin", *_VIEWS)
        if node is None or depth == _DEEPEST:
            return None
        if node.op_type == "Shape":
            return [node] if node.input[0] == some and not node.attribute else None
        joined = self.node(node.input[0], "Concat") if node.op_type == "ReduceMin" else None
        numbers = [] if self._is_other(node) else self._least_of(joined or node)
        found = [self._counted(n, some, depth + 1) for n in numbers if self.constant(n, 1) is None]
        known = [nodes for nodes in found if nodes is not None]
        if not known or len(known) < len(found):
            return None
        return [node, *filter(None, [joined]), *itertools.chain(*known)]

    def _is_other(self, node: NodeProto) -> bool:
        """Whether it may give something else than the least of the numbers that it reads."""
        attrs = attributes_of(node)
        if node.op_type == "Cast":
            return attrs["to"] not in _WHOLE
        known = node.op_type == "Min" or all(
            self.constant(n, 1) is not None for n in node.input[1:]
        )
        return not known or bool(attrs.get("noop_with_empty_axes", 0))

    @staticmethod
    def _least_of(node: NodeProto) -> list[str]:
        return list(node.input) if node.op_type in ("Min", "Concat") else [node.input[0]]

    def _taken(self, places: str, mask: str) -> dict[str, str] | None:
        """What is taken of other lists at the places of the best, and these lists; None where
        something else is done with such a place."""
        taken: dict[str, str] = {}
        if places in self._kept:
            return None
        for node in self._readers.get(places, []):
            takes = is_operator(node, "Gather") and not attributes_of(node).get("axis", 0)
            if not takes or node.input[0] == places:
                return None
            whole, own = self._chosen(node.input[0])
            if own != mask or not whole:
                return None
            taken[node.output[0]] = whole
        return taken

    def _labels(self, best: str) -> list[str] | None:
        """Lists of one number for each of the best; None where their count is used otherwise."""
        labels = []
        for shape in self._readers.get(best, []):
            if not is_operator(shape, "Shape"):
                continue
            spread = self._readers.get(shape.output[0], [])
            plain = not shape.attribute and shape.output[0] not in self._kept
            if not plain or not all(is_operator(node, "ConstantOfShape") for node in spread):
                return None
            labels += [node.output[0] for node in spread]
        return labels


def _joined_together(found: list[_Best]) -> list[_Best]:
    """Those that nothing joins to anything but the others, list by list."""
    while True:
        pieces = {name: best for best in found for name in best.pieces}
        kept = [
            best for best in found if best.joints and all(_fits(n, pieces) for n in best.joints)
        ]
        if len(kept) == len(found):
            return kept
        found = kept


def _fits(joint: NodeProto, pieces: Mapping[str, _Best]) -> bool:
    bests = [pieces[name] for name in joint.input if name in pieces]
    return len(bests) == len(joint.input) and len({best.lowest.dtype for best in bests}) == 1


def _rewrite(graph: onnx.GraphProto, found: Sequence[_Best]) -> None:
    of_some = {best.some: best for best in found}
    pieces = {name: best for best in found for name in best.pieces}
    whole = {name: each for best in found for name, each in best.taken.items()}
    write = _Writing()
    for node in graph.node:
        if is_operator(node, "GatherND") and node.output[0] in of_some:
            write.scores(node, of_some[node.output[0]])
        elif is_operator(node, "Gather") and node.output[0] in whole:
            taken = NodeProto.FromString(node.SerializeToString())
            taken.input[0] = whole[node.output[0]]
            write.nodes.append(taken)
        elif is_operator(node, "Concat") and node.input[0] in pieces:
            write.joint(node, [pieces[name] for name in node.input])
        else:
            write.nodes.append(node)
    kept = {output.name for output in graph.output}
    nodes = list[NodeProto]()
    for node in reversed(write.nodes):  # what found the places is read no more
        if not is_operator(node, "GatherND", "Transpose", "NonZero") or not kept.isdisjoint(
            node.output
        ):
            kept |= reads(node)
            nodes.append(NodeProto.FromString(node.SerializeToString()))
    del graph.node[:]
    graph.node.extend(reversed(nodes))


class _Writing(Writing):
    def __init__(self) -> None:
        super().__init__("late")
        self._places: dict[tuple[str, ...], str] = {}

    def scores(self, node: NodeProto, best: _Best) -> None:
        """In place of the scores that are above, all of them."""
        lowest = self.write(node, "Constant", value=numpy_helper.from_array(best.lowest))
        self.write(node, "Where", best.mask, best.scores, lowest, result=best.some)

    def joint(self, node: NodeProto, bests: Sequence[_Best]) -> None:
        """What joins pieces, and keeps of them what was above."""
        names = tuple(best.top.output[0] for best in bests)
        if names not in self._places:
            joined = self.write(node, "Concat", *names, axis=0)
            lowest = self.write(node, "Constant", value=numpy_helper.from_array(bests[0].lowest))
            is_above = self.write(node, "Greater", joined, lowest)
            found = self.write(node, "NonZero", is_above, result=f"{node.output[0]}/chosen")
            self._places[names] = self.write(node, "Transpose", found, perm=[1, 0])
        joined = self.write(node, "Concat", *node.input, axis=0)
        self.write(node, "GatherND", joined, self._places[names], result=node.output[0])


def _joins_rows(node: NodeProto) -> bool:
    return is_operator(node, "Concat") and attributes_of(node).get("axis") == 0


def _is_descending(top: NodeProto) -> bool:
    attrs = attributes_of(top)
    largest, in_order = attrs.get("largest", 1), attrs.get("sorted", 1)
    is_one_list = len(top.input) == 2 and attrs.get("axis", -1) in (-1, 0)
    return bool(largest and in_order) and is_one_list
