"""Maps, which operators of ONNX-ML take or give, become arrays with an element for each key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import ModelError, UnsupportedOperator

from ..opset import node_label
from ..scopes import every_node, inner_graphs
from ..texts.values import decoded
from .domain import is_ml

Keys: TypeAlias = "tuple[str, ...] | tuple[int, ...]"
"""Of each element of an array the key of a map."""
ROWS = "rows"
"""The size that says how many maps there are in a run, where sizes are said of it."""
_MOST = 1 << 20  # keys that an operator counts, and the file does not list
_VOCABULARIES: Mapping[int, str] = {
    TensorProto.STRING: "string_vocabulary", TensorProto.INT64: "int64_vocabulary"
}  # fmt: skip
_CASTS = ("TO_FLOAT", "TO_STRING", "TO_INT64")
_FORMS = ("DENSE", "SPARSE")


def without_maps(model: onnx.ModelProto, said: Collection[str]) -> dict[str, Keys]:
    """Let inputs that are maps be arrays [1, keys], and what takes maps be operators on arrays.

    Gives the keys by input. An element is the value of its key, 0 or "" where a map has none; where
    an operator takes all values of a map as they come, there are no keys, and the array has the
    values by ascending keys. Where sizes are ``said`` of an input, or of ``ROWS``, there may be
    several maps, in rows. ``ZipMap``, which makes a map of a row of scores, gives the scores as
    they are. Raises ModelError, and UnsupportedOperator.
    """
    _without_zips(model)
    found: dict[str, Keys] = {}
    for info in model.graph.input:
        if info.type.HasField("map_type"):
            taken = _Map.of(info, model.graph)
            first = None if info.name in said else ROWS if ROWS in said else 1
            _write(model.graph, taken)
            size = None if taken.is_dense else len(taken.keys)
            info.CopyFrom(helper.make_tensor_value_info(info.name, taken.value, (first, size)))
            if not taken.is_dense:
                found[info.name] = taken.keys
    if found and (ROWS in said or not found.keys().isdisjoint(said)):
        _forget_one_row(model)
    return found


def _without_zips(model: onnx.ModelProto) -> None:
    made = set()
    for node in model.graph.node:
        if node.op_type == "ZipMap" and is_ml(node.domain):
            made.update(node.output)
            node.CopyFrom(helper.make_node("Identity", node.input, node.output, node.name))
    for output in model.graph.output:
        if output.name in made:
            output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, None))


def _forget_one_row(model: onnx.ModelProto) -> None:
    """That a model declares results of one row, since it took one map."""
    for output in model.graph.output:
        dims = output.type.tensor_type.shape.dim
        if dims and dims[0].dim_value == 1:
            dims[0].Clear()


@dataclass(frozen=True)
class _Map:
    """An input with values of one element type; ``nodes`` are the names of results of those that
    take it, with the keys of what each gives, None for all values."""

    name: str
    value: int
    keys: Keys
    nodes: dict[str, Keys | None] = field(default_factory=dict)

    @property
    def is_dense(self) -> bool:
        """Whether its values count, whatever their keys are."""
        return None in self.nodes.values()

    @staticmethod
    def of(info: onnx.ValueInfoProto, graph: onnx.GraphProto) -> _Map:
        """What a graph makes of an input."""
        nodes: dict[str, Keys | None] = {}
        kind = info.type.map_type
        for node in every_node(graph.node):
            if info.name in node.input:
                nodes[node.output[0]] = _keys(node, kind.key_type)
        if not nodes or info.name in {output.name for output in graph.output}:
            raise UnsupportedOperator(
                f"input '{info.name}' is a map that no DictVectorizer or CastMap takes, which is "
                "not supported"
            )
        if len(nodes) > 1 and None in nodes.values():
            raise UnsupportedOperator(
                f"input '{info.name}' is a map of which one node takes all values and another "
                "those of some keys, which is not supported"
            )
        if not kind.value_type.HasField("tensor_type"):
            raise UnsupportedOperator(
                f"input '{info.name}' is a map to what is not a tensor, which is not supported"
            )
        every: Any = tuple(dict.fromkeys(key for keys in nodes.values() for key in keys or ()))
        return _Map(info.name, kind.value_type.tensor_type.elem_type, every, nodes)


def _keys(node: onnx.NodeProto, kind: int) -> Keys | None:
    """Those of what a node makes of a map with keys of this type."""
    label, attrs = node_label(node), {a.name: a for a in node.attribute}
    if is_ml(node.domain) and node.op_type == "DictVectorizer":
        listed = attrs.get(_VOCABULARIES.get(kind, ""))
        if listed is None or len(node.output) != 1:
            raise ModelError(f"{label}: it has no vocabulary of its map's keys")
        if kind == TensorProto.INT64:
            words: Keys = tuple(listed.ints)
        else:
            words = decoded(listed.strings, label)
        if not words:
            raise ModelError(f"{label}: its vocabulary is empty")
        return words
    if not is_ml(node.domain) or node.op_type != "CastMap" or len(node.output) != 1:
        raise UnsupportedOperator(f"{label}: maps are not supported here")
    if kind != TensorProto.INT64:
        raise ModelError(f"{label}: the keys of its map are not int64")
    form = _chosen(node, "map_form", _FORMS)
    if form == "DENSE":
        return None
    most = attrs["max_map"].i if "max_map" in attrs else 1
    if most < 1:
        raise ModelError(f"{label}: its max_map is {most}")
    if most > _MOST:
        raise UnsupportedOperator(f"{label}: a max_map of more than {_MOST} is not supported")
    return tuple(range(most))


def _chosen(node: onnx.NodeProto, name: str, among: Sequence[str]) -> str:
    """An attribute that is one of some words, the first where it is left out."""
    given = next((a.s for a in node.attribute if a.name == name), among[0].encode())
    found = next((word for word in among if word.encode() == given), "")
    if not found:
        raise ModelError(f"{node_label(node)}: its {name} is {given[:40]!r}")
    return found


def _write(graph: onnx.GraphProto, taken: _Map) -> None:
    """In place of the nodes that take a map others, that take an array."""
    for inner in [graph, *_graphs(graph)]:
        if any(taken.name in node.input for node in inner.node):
            nodes = [
                each
                for node in inner.node
                for each in (
                    _Writer(graph, taken, node).nodes() if taken.name in node.input else [node]
                )
            ]
            del inner.node[:]
            inner.node.extend(nodes)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    for node in every_node(graph.node):
        yield from inner_graphs(node)


@dataclass
class _Writer:
    """What becomes of one node; constants are those of the outermost ``graph``."""

    graph: onnx.GraphProto
    map: _Map
    node: onnx.NodeProto
    made: list[onnx.NodeProto] = field(default_factory=list)

    def nodes(self) -> list[onnx.NodeProto]:
        """Those in its place."""
        output, keys = self.node.output[0], self.map.nodes[self.node.output[0]]
        x = self.map.name
        if keys is not None and keys != self.map.keys:
            place = {key: number for number, key in enumerate(self.map.keys)}
            places = self._constant("places", np.array([place[key] for key in keys], np.int64))
            x = self._emit("Gather", [x, places], f"{output}/of its keys", axis=1)
        if self.node.op_type == "CastMap":
            self._cast(x, output, absent=keys is not None)
        else:
            self._emit("Identity", [x], output)
        return self.made

    def _cast(self, x: str, output: str, *, absent: bool) -> None:
        """Numbers or texts of values; what is absent is what ONNX Runtime makes of it."""
        to, text = _chosen(self.node, "cast_to", _CASTS), self.map.value == TensorProto.STRING
        label = node_label(self.node)
        if to == "TO_STRING" and not text:
            raise UnsupportedOperator(f"{label}: texts of numbers that are floats, as which no two "
                                      "engines write them alike, are not supported")  # fmt: skip
        if not text and self.map.value != TensorProto.FLOAT:
            raise ModelError(f"{label}: the values of its map are neither float nor texts")
        if to == "TO_INT64":
            self._emit("Cast", [x], output, to=TensorProto.INT64)
            return
        if not text or not absent:
            kind = TensorProto.FLOAT if to == "TO_FLOAT" else TensorProto.STRING
            self._emit("Cast", [x], output, to=kind)
            return
        nothing = self._constant("nothing", np.array("", object))
        is_absent = self._emit("Equal", [x, nothing], f"{output}/is absent")
        if to == "TO_FLOAT":
            found = self._emit("Cast", [x], f"{output}/as numbers", to=TensorProto.FLOAT)
            other = self._constant("zero", np.array(0, np.float32))
        else:
            found, other = x, self._constant("zero", np.array("0.f", object))
        self._emit("Where", [is_absent, other, found], output)

    def _emit(self, op: str, inputs: Sequence[str], output: str, **attrs: Any) -> str:
        self.made.append(helper.make_node(op, inputs, [output], self.node.name, **attrs))
        return output

    def _constant(self, title: str, array: np.ndarray[Any, Any]) -> str:
        name = f"{self.node.output[0]}/{title}"
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name
