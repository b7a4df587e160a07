"""Texts in the graphs of ``If``, ``Loop`` and ``Scan``, and what these give.

What stands for a text where branches meet, or from one iteration to the next, holds what either
has: a list the texts of both, rows as many bytes as the wider one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from luthier.schedules import ModelError

from ..given import light_types, read_by
from ..ml.domain import is_ml
from ..opset import is_onnx
from ..scopes import every_node, free_names, inner_graph, inner_graphs
from .labels import numbered
from .speller import Site, Speller, Value
from .values import Numbers, Rows

# Iterations after which a carried text has stopped growing, by how deep its loop is in others.
_TRIES = (8, 4, 3, 2)
_OLDEST_SCAN = 9  # before, it was over batches

Spell = Callable[[Speller, onnx.NodeProto], None]
"""Writes what stands for a node."""


def writes_texts(node: onnx.NodeProto) -> bool:
    """Whether it casts to texts."""
    casts = is_onnx(node.domain) and node.op_type == "Cast"
    return casts and any(a.name == "to" and a.i == TensorProto.STRING for a in node.attribute)


def is_string(info: onnx.ValueInfoProto) -> bool:
    """Whether a value's elements are texts."""
    return bool(info.type.tensor_type.elem_type == TensorProto.STRING)


def has_texts_inside(node: onnx.NodeProto, values: Mapping[str, Value]) -> bool:
    """Whether the graphs in a node deal with texts, of their own or among ``values``."""
    graphs = list(inner_graphs(node))
    if not graphs:
        return False
    inside = read_by([node]) - set(node.input)
    if inside & values.keys() or set(node.input) & values.keys():
        return True
    own = list(every_node(inner for graph in graphs for inner in graph.node))
    graphs += [graph for inner in own for graph in inner_graphs(inner)]
    infos = (info for graph in graphs for info in (*graph.input, *graph.output))
    tensors = (tensor for graph in graphs for tensor in graph.initializer)
    return (
        any(map(is_string, infos))
        or any(tensor.data_type == TensorProto.STRING for tensor in tensors)
        or any(map(_mentions_texts, own))
    )


def _mentions_texts(node: onnx.NodeProto) -> bool:
    kinds = (onnx.AttributeProto.STRING, onnx.AttributeProto.STRINGS)
    listed = any(a.type in kinds for a in node.attribute) and is_ml(node.domain)
    constant = node.op_type == "Constant" and any(
        a.type in kinds or a.t.data_type == TensorProto.STRING for a in node.attribute
    )
    return listed or constant or writes_texts(node)


def spell_control(site: Site, spell: Spell) -> None:
    """Write a node whose graphs deal with texts; raises UnsupportedOperator and ModelError."""
    forms = {"If": _if, "Loop": _loop, "Scan": _scan}
    form = forms.get(site.node.op_type) if is_onnx(site.node.domain) else None
    if form is None:
        raise site.refuse("a text in its graph")
    form(site, spell)


@dataclass
class _Inside:
    """A graph that was spelled, in which values of the graphs around stand for texts, too."""

    speller: Speller
    graph: onnx.GraphProto
    given: int = 0

    @staticmethod
    def of(
        site: Site, graph: onnx.GraphProto, spell: Spell, inputs: Mapping[str, Value]
    ) -> _Inside:
        """A copy of a graph; ``inputs`` are those of its inputs that are texts."""
        made = onnx.GraphProto()
        made.CopyFrom(graph)
        speller = site.speller.inside(made, _types(site.speller, graph))
        speller.loops += site.node.op_type != "If"
        for info in made.input:
            if info.name in inputs:
                _be(info, inputs[info.name])
                speller.values[info.name] = inputs[info.name]
            elif is_string(info):
                raise ModelError(f"{site.label}: its input '{info.name}' is given no texts")
        for tensor in made.initializer:
            if tensor.data_type == TensorProto.STRING:
                numbers, array = numbered(tensor, f"constant '{tensor.name}'")
                tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
                speller.values[tensor.name] = numbers
        for node in graph.node:
            spell(speller, node)
        return _Inside(speller, made)

    def value(self, place: int) -> Value | None:
        """What stands for an output that is a text."""
        return self.speller.values.get(self.graph.output[place].name)

    def give(self, place: int, value: Value) -> None:
        """Let an output be this."""
        info = self.graph.output[place]
        name = _become(self.speller, info.name, value)
        self.given += 1
        info.name = f"{info.name}/given {self.given}"
        self.speller.nodes.append(helper.make_node("Identity", [name], [info.name]))
        _be(info, value)

    def finished(self) -> onnx.GraphProto:
        """The graph with what was written."""
        del self.graph.node[:]
        self.graph.node.extend(self.speller.nodes)
        del self.graph.value_info[:]
        return self.graph


def _types(speller: Speller, graph: onnx.GraphProto) -> Mapping[str, onnx.TypeProto]:
    """Of a graph's values, and of those around it."""
    part = onnx.ModelProto(ir_version=speller.model.ir_version)
    part.opset_import.extend(speller.model.opset_import)
    part.functions.extend(speller.model.functions)
    part.graph.CopyFrom(graph)
    for name in sorted(free_names(graph) & speller.types.keys()):
        part.graph.input.add(name=name).type.CopyFrom(speller.types[name])
    return {**speller.types, **light_types(part)}


def _be(info: onnx.ValueInfoProto, value: Value) -> None:
    """Let a value be declared as what stands for its texts."""
    tensor = info.type.tensor_type
    tensor.Clear()
    tensor.elem_type = TensorProto.INT64 if isinstance(value, Numbers) else TensorProto.UINT8


def _become(speller: Speller, name: str, value: Value) -> str:
    """The name of what a text is as this, which holds what it may be."""
    own = speller.values[name]
    if isinstance(value, Rows):
        return speller.rows(name, value.width)
    if not isinstance(own, Numbers):
        raise ModelError(f"'{name}' is not a number of a text")
    if own.texts == value.texts:
        return name
    places = {text: place for place, text in enumerate(value.texts)}
    order = np.array([places[text] for text in own.texts] or [0], np.int64)
    other = f"{name}/of {len(value.texts)}"
    table = speller.constant(f"{other} texts", order)
    speller.nodes.append(helper.make_node("Gather", [table, name], [other], axis=0))
    return other


def _joined(site: Site, first: tuple[Speller, str], second: tuple[Speller, str]) -> Value:
    """What holds either of two texts, of two graphs."""
    values = [speller.values[name] for speller, name in (first, second)]
    one, other = values
    ranks = {value.rank for value in values if value.rank is not None}
    if len(ranks) > 1:
        raise site.refuse(f"texts of {min(ranks)} and {max(ranks)} dimensions in one place")
    rank = next(iter(ranks), None)
    if isinstance(one, Numbers) and isinstance(other, Numbers):
        return Numbers(tuple(dict.fromkeys((*one.texts, *other.texts))), rank)
    if rank is None:
        raise site.refuse("texts whose number of dimensions is not known")
    return Rows(max(speller.width(name) for speller, name in (first, second)), rank)


def _if(site: Site, spell: Spell) -> None:
    names = ("then_branch", "else_branch")
    sides = [_Inside.of(site, inner_graph(site.node, name), spell, {}) for name in names]
    if any(len(side.graph.output) != len(site.node.output) for side in sides):
        raise ModelError(f"{site.label}: its branches do not give its results")
    for place in range(len(site.node.output)):
        are_texts = [side.value(place) is not None for side in sides]
        if not any(are_texts):
            continue
        if not all(are_texts):
            raise ModelError(f"{site.label}: its result {place} is a text in one branch alone")
        first, second = ((side.speller, side.graph.output[place].name) for side in sides)
        value = _joined(site, first, second)
        for side in sides:
            side.give(place, value)
        site.gives(place, value)
    made = {name: side.finished() for name, side in zip(names, sides, strict=True)}
    site.copy(list(site.node.input), **made)


def _carried(
    site: Site, spell: Spell, first: int, count: int, rows: Mapping[str, Value]
) -> tuple[_Inside, list[Value | None]]:
    """The body of a loop, spelled, and what stands for the texts that it carries: ``count`` inputs
    of the node, and of the body, from the place ``first`` on. ``rows`` are its other inputs that
    are texts.
    """
    body = inner_graph(site.node, "body")
    skip = 1 if site.node.op_type == "Loop" else 0  # the condition
    held = [site.text(first + i) for i in range(count)]
    if len(body.input) < first + count or len(body.output) < skip + count:
        raise ModelError(f"{site.label}: its body does not take what it is given, or give it")
    if any(value is not None for value in held) and site.speller.loops >= len(_TRIES):
        raise site.refuse(f"a text that is carried by a loop in {site.speller.loops} others")
    for _ in range(_TRIES[site.speller.loops] if any(v is not None for v in held) else 1):
        names = [body.input[first + i].name for i in range(count)]
        given = {n: v for n, v in zip(names, held, strict=True) if v is not None}
        inside = _Inside.of(site, body, spell, {**rows, **given})
        after: list[Value | None] = []
        for place, value in enumerate(held):
            end = inside.graph.output[skip + place].name
            if (value is None) != (inside.value(skip + place) is None):
                raise ModelError(f"{site.label}: its value '{names[place]}' is not always a text")
            both = (inside.speller, names[place]), (inside.speller, end)
            after.append(None if value is None else _joined(site, *both))
        if after == held:
            for place, value in enumerate(held):
                if value is not None:
                    inside.give(skip + place, value)
            return inside, held
        held = after
    raise site.refuse("a text that grows from one iteration to the next")


def _kept(site: Site, inside: _Inside, first: int, count: int) -> None:
    """What is kept of each iteration has one more dimension."""
    for place in range(count, len(site.node.output)):
        value = inside.value(first + place - count)
        if value is None:
            continue
        inside.give(first + place - count, value)
        site.gives(place, value.of_rank(None if value.rank is None else value.rank + 1))


def _begun(site: Site, first: int, held: Sequence[Value | None]) -> list[str]:
    """The node's inputs, those that it carries as these."""
    inputs = list(site.node.input)
    for place, value in enumerate(held):
        if value is not None:
            inputs[first + place] = _become(site.speller, site.name(first + place), value)
    return inputs


def _loop(site: Site, spell: Spell) -> None:
    count = max(len(site.node.input) - 2, 0)
    inside, held = _carried(site, spell, 2, count, {})
    inputs = _begun(site, 2, held)
    for place, value in enumerate(held):
        if value is not None and place < len(site.node.output):
            site.gives(place, value)
    _kept(site, inside, 1 + count, count)
    site.copy(inputs, body=inside.finished())


def _scan(site: Site, spell: Spell) -> None:
    if site.speller.opset < _OLDEST_SCAN:
        raise site.refuse("a text in its graph")
    scanned = int(site.attrs.get("num_scan_inputs", 0))
    count, body = len(site.node.input) - scanned, inner_graph(site.node, "body")
    if not 0 < scanned <= len(site.node.input) or len(body.input) != len(site.node.input):
        raise ModelError(f"{site.label}: its body does not take what it is given")
    axes = list(site.attrs.get("scan_input_axes", [0] * scanned))
    rows: dict[str, Value] = {}
    for i in range(scanned):
        value = site.text(count + i)
        if value is None:
            continue
        rank = site.rank(count + i)
        axes[i] = int(axes[i]) % max(rank, 1)
        rows[body.input[count + i].name] = value.of_rank(rank - 1)
    inside, held = _carried(site, spell, 0, count, rows)
    inputs = _begun(site, 0, held)
    for i in range(scanned):
        name = site.name(count + i)
        inputs[count + i] = site.speller.names.get(name, name)
    outputs = list(site.attrs.get("scan_output_axes", [0] * (len(site.node.output) - count)))
    for place, value in enumerate(held):
        if value is not None:
            site.gives(place, value)
    for i in range(len(outputs)):
        kept = inside.value(count + i)
        if kept is not None and kept.rank is not None:
            outputs[i] = int(outputs[i]) % (kept.rank + 1)
    _kept(site, inside, count, count)
    site.copy(inputs, body=inside.finished(), scan_input_axes=axes, scan_output_axes=outputs)
