"""Spells what a model does with texts by what it does with their numbers, or with their bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import ModelError, UnsupportedOperator
from luthier.schedules.ops.texts import WIDEST

from ..given import light_types
from ..microsoft.domain import DOMAIN as MICROSOFT
from ..ml.domain import is_ml
from ..opset import is_onnx, node_label, opset_of
from ..scopes import every_node, renamed
from . import computing, mappings, movement, sequences, tokens
from .branches import has_texts_inside, is_string, spell_control, writes_texts
from .domain import DOMAIN, import_domain, is_text
from .labels import numbered, spelled_by_numbers
from .speller import Site, Speller, listed_constants
from .values import NARROWEST, Numbers, Rows, Texts

DEFAULT_WIDTH = 64
"""Bytes of the texts of an input of which nothing else is said."""
_STANDARD: Mapping[str, Callable[[Site], None]] = {
    **movement.OPERATORS, **sequences.OPERATORS, **computing.OPERATORS, **mappings.N_GRAMS,
}  # fmt: skip
_MAPPERS = ("CategoryMapper", "LabelEncoder")


@dataclass(frozen=True)
class Spelled:
    """``labels`` are the texts of the numbers that outputs are; ``widths`` those of inputs and
    outputs that are rows of bytes."""

    labels: Mapping[str, Texts]
    widths: Mapping[str, int]


def spell_texts(
    model: onnx.ModelProto, widths: Mapping[str, int], states: Mapping[str, str]
) -> Spelled:
    """Put numbers or rows of bytes in place of texts.

    ``widths`` are those of inputs where they are not DEFAULT_WIDTH; ``states`` are the outputs that
    inputs become, rows as wide as theirs. Raises ModelError, and UnsupportedOperator for a node
    that does with texts what is not supported.
    """
    for node in model.graph.node:
        if is_text(node.domain):
            raise UnsupportedOperator(f"{node_label(node)}: the domain {DOMAIN} is Luthier's own")
    inside = any(has_texts_inside(node, {}) for node in model.graph.node)
    speller = _speller(model, inside)
    found = {i.name: _take(speller, i, widths) for i in model.graph.input if is_string(i)}
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.STRING:
            numbers, array = numbered(tensor, f"constant '{tensor.name}'")
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
            speller.values[tensor.name] = numbers
    for node in [*model.graph.node]:
        _spell(speller, node)
    for name in states.keys() & found.keys():
        _keep(speller, name, states[name], found[name])
    if speller.values or inside:
        del model.graph.node[:]
        model.graph.node.extend(speller.nodes)
    labels, widths = _typed(speller)
    import_domain(model)
    return Spelled(labels, found | widths)


def _typed(speller: Speller) -> tuple[dict[str, Texts], dict[str, int]]:
    """Let outputs have their types; gives the labels and widths of those that are texts."""
    labels, widths = dict[str, Texts](), dict[str, int]()
    for output in speller.graph.output:
        value = speller.values.get(output.name)
        if isinstance(value, Numbers):
            output.type.tensor_type.elem_type = TensorProto.INT64
            labels[output.name] = value.texts
        elif isinstance(value, Rows):
            _add_dimension(output, value.width)
            widths[output.name] = value.width
    return labels, widths


def _speller(model: onnx.ModelProto, inside: bool) -> Speller:
    graph = model.graph
    tensors = {t.name: t for t in graph.initializer if t.data_type != TensorProto.STRING}
    listed = (t.data_type == TensorProto.STRING for t in graph.initializer)
    texts = inside or has_texts(model) or any(listed)
    types = light_types(model) if texts else {}
    return Speller(model, graph, opset_of(model), types, tensors | listed_constants(graph))


def _add_dimension(info: onnx.ValueInfoProto, width: int) -> None:
    tensor = info.type.tensor_type
    tensor.elem_type = TensorProto.UINT8
    if tensor.HasField("shape"):
        tensor.shape.dim.add().dim_value = width


def _take(speller: Speller, info: onnx.ValueInfoProto, widths: Mapping[str, int]) -> int:
    """The width of an input's rows, of which nothing is known but that they are bytes."""
    name, width = info.name, widths.get(info.name, DEFAULT_WIDTH)
    if not NARROWEST <= width <= WIDEST:
        raise ModelError(
            f"the texts of input '{name}' have {width} bytes at most, and from {NARROWEST} to "
            f"{WIDEST} are supported"
        )
    rank = len(info.type.tensor_type.shape.dim)
    _add_dimension(info, width)
    clean = f"{name}/clean"
    speller.nodes.append(helper.make_node("Clean", [name], [clean], name, domain=DOMAIN))
    speller.values[name], speller.names[name] = Rows(width, rank), clean
    return width


def _keep(speller: Speller, name: str, after: str, width: int) -> None:
    """Let the output that a state becomes be rows of its width."""
    value = speller.values.get(after)
    if value is None:
        raise ModelError(f"the state '{name}' is texts, and what it becomes, '{after}', is none")
    if speller.width(after) > width:
        raise ModelError(
            f"the texts of the state '{name}' have {width} bytes at most, and become ones of "
            f"{speller.width(after)}: give it room for them, such as --bound {name}="
            f"{speller.width(after)}, if they do not grow in each run"
        )
    given, rank = speller.rows(after, width), value.rank
    if rank is None:
        raise UnsupportedOperator(
            f"the state '{name}' becomes texts whose rank is not known, which is not supported"
        )
    if given != after:
        # The output keeps its name, and what it was gets another.
        other = f"{after}/as it was"
        speller.nodes[:] = [renamed(node, {after: other}) for node in speller.nodes]
        for tensor in speller.graph.initializer:
            tensor.name = other if tensor.name == after else tensor.name
        speller.nodes.append(helper.make_node("Identity", [given], [after]))
    speller.values[after] = Rows(width, rank)


def has_texts(model: onnx.ModelProto) -> bool:
    """Whether rows of bytes may come of it, since it takes texts or writes numbers as such."""
    return any(map(is_string, model.graph.input)) or any(
        map(writes_texts, every_node(model.graph.node))
    )


def _spell(speller: Speller, node: onnx.NodeProto) -> None:
    """Write what stands for a node."""
    site = Site(speller, node)
    if has_texts_inside(node, speller.values):
        spell_control(site, _spell)
        return
    if spelled_by_numbers(site):
        return
    mapper = is_ml(node.domain) and node.op_type in _MAPPERS
    if not site.texts and writes_texts(node):
        computing.write_numbers(site)
        return
    if not site.texts and not mapper:
        speller.nodes.append(node)
        return
    if is_onnx(node.domain):
        spell = _STANDARD.get(node.op_type)
    elif node.domain == MICROSOFT:
        spell = tokens.OPERATORS.get(node.op_type)
    else:
        spell = mappings.OPERATORS.get(node.op_type) if is_ml(node.domain) else None
    if spell is None:
        raise UnsupportedOperator(f"{site.label}: texts are not supported here")
    spell(site)
