"""Inputs that are sequences or optional values become tensors, as many as a user says.

A sequence ``x`` of 3 tensors is the inputs ``x_0``, ``x_1`` and ``x_2``, of which a node of the
model makes the sequence; an optional value is there, or is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
from onnx import helper

from luthier.schedules import ModelError, UnsupportedOperator
from luthier.schedules.ir.symbol import NAME

from ..program import Argument, element_name
from .element_types import dtype_name
from .open_shapes import Shapes
from .opset import is_onnx
from .scopes import defined_in, every_node, inner_graphs

_MOST = 1024  # tensors of a sequence
_FUNCTIONS = ("min", "max")  # of expressions of sizes
# Nodes of which values may decide how many tensors they give.
_COUNTED = frozenset({"Loop", "SplitToSequence"})


@dataclass(frozen=True)
class Said:
    """What ``shapes`` and ``values`` say of the inputs that are left.

    ``takes`` are the model's own inputs where one of them is not one tensor. ``counts`` are the
    numbers of tensors of sequences that the model computes, by name.
    """

    shapes: Shapes
    values: Mapping[str, Any]
    takes: tuple[Argument, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def with_tensors(model: onnx.ModelProto, shapes: Shapes, values: Mapping[str, Any]) -> Said:
    """Make tensors of the model's inputs, in place.

    Raises ModelError, and UnsupportedOperator for sequences of what is not a tensor.
    """
    graph, left, given = model.graph, dict(shapes), dict(values)
    counts = {name: _count(name, left.pop(name)) for name in _computed(graph) & left.keys()}
    if all(info.type.HasField("tensor_type") for info in graph.input):
        return Said(left, given, (), counts)
    used = _names(graph)
    takes, inputs, nodes = list[Argument](), list[onnx.ValueInfoProto](), list[onnx.NodeProto]()
    for info in graph.input:
        name, kind = info.name, _held(info.type)
        if kind is not info.type and name in given and given[name] is None:
            del given[name]
            takes.append(Argument(name, absent=True))
            nodes.append(helper.make_node("Optional", [], [name], name, type=kind))
        elif kind.HasField("tensor_type"):
            takes.append(Argument(name))
            inputs.append(helper.make_value_info(name, kind))
        else:
            takes.append(Argument(name, _given_count(name, left)))
            tensor = _element(name, kind)
            inputs += (
                helper.make_value_info(each, _of(tensor, number))
                for number, each in enumerate(takes[-1].tensors)
            )
            nodes.append(_made(takes[-1], tensor))
    _check_names(takes, used)
    _check_values(takes, given)
    nodes += graph.node
    del graph.input[:], graph.node[:]
    graph.input.extend(inputs)
    graph.node.extend(nodes)
    return Said(left, given, tuple(takes), counts)


def still_taken(takes: Sequence[Argument], graph: onnx.GraphProto) -> tuple[Argument, ...]:
    """Those whose tensors are still inputs, after others became constants, or were not needed."""
    inputs = {info.name for info in graph.input}
    found = tuple(argument for argument in takes if inputs.issuperset(argument.tensors))
    return () if all(argument.is_tensor for argument in found) else found


def _held(kind: onnx.TypeProto) -> onnx.TypeProto:
    """What an optional value holds where it is there; another type as it is."""
    return kind.optional_type.elem_type if kind.HasField("optional_type") else kind


def _element(name: str, kind: onnx.TypeProto) -> onnx.TypeProto:
    """The type of a sequence's tensors."""
    found = kind.sequence_type.elem_type
    if not kind.HasField("sequence_type") or not found.HasField("tensor_type"):
        raise UnsupportedOperator(
            f"input '{name}' is neither a tensor nor a sequence of tensors, which is not supported"
        )
    dtype_name(found.tensor_type.elem_type, f"input '{name}'")
    return found


def _of(tensor: onnx.TypeProto, number: int) -> onnx.TypeProto:
    """The type of one tensor of a sequence: it may have other sizes than the others."""
    own = onnx.TypeProto()
    own.CopyFrom(tensor)
    for dim in own.tensor_type.shape.dim:
        if dim.dim_param:
            dim.dim_param = re.sub(NAME, lambda word: _own(word[0], number), dim.dim_param)
    return own


def _own(name: str, number: int) -> str:
    return name if name in _FUNCTIONS else element_name(name, number)


def _made(argument: Argument, tensor: onnx.TypeProto) -> onnx.NodeProto:
    """The node that gives a sequence."""
    name = argument.name
    if argument.tensors:
        return helper.make_node("SequenceConstruct", argument.tensors, [name], name)
    return helper.make_node("SequenceEmpty", [], [name], name, dtype=tensor.tensor_type.elem_type)


def _computed(graph: onnx.GraphProto) -> set[str]:
    """The names of the sequences of a graph that values may decide how long they are."""
    nodes = (node for node in graph.node if node.op_type in _COUNTED and is_onnx(node.domain))
    found = {name for node in nodes for name in node.output if name}
    outputs = {o.name for o in graph.output if not o.type.HasField("tensor_type")}
    dims = (dim for info in graph.input for dim in info.type.tensor_type.shape.dim)
    sizes = {word for dim in dims for word in re.findall(NAME, dim.dim_param)}
    return (found | outputs) - {info.name for info in graph.input} - sizes


def _given_count(name: str, shapes: dict[str, Any]) -> int:
    """How many tensors an input has, which is taken out of what is said of sizes."""
    if name not in shapes:
        raise ModelError(
            f"input '{name}' is a sequence of tensors: say of how many, such as --shape {name}=3 "
            f"or shapes={{'{name}': 3}}; each is an input of its own, '{element_name(name, 0)}' "
            "and so on"
        )
    return _count(name, shapes.pop(name))


def _count(name: str, said: object) -> int:
    numbers = [said] if isinstance(said, int | str) else said
    number = numbers[0] if isinstance(numbers, Sequence) and len(numbers) == 1 else None
    if isinstance(number, str) and number.isdecimal() and len(number) < len(str(_MOST)) + 1:
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= _MOST:
        raise ModelError(
            f"'{name}' is a sequence: give the number of its tensors, from 0 to {_MOST}, such as "
            f"--shape {name}=3; their shapes are said of '{element_name(name, 0)}' and so on"
        )
    return number


def _names(graph: onnx.GraphProto) -> set[str]:
    """All names of values, those of graphs inside of nodes too."""
    return set(_every_name(graph))


def _every_name(graph: onnx.GraphProto) -> Iterator[str]:
    graphs = [graph, *(g for node in every_node(graph.node) for g in inner_graphs(node))]
    for each in graphs:
        yield from defined_in(each)


def _check_names(takes: Sequence[Argument], used: set[str]) -> None:
    """Raise ModelError where a tensor of a sequence would have the name of another value."""
    for argument in takes:
        for name in () if argument.is_tensor else argument.tensors:
            if name in used:
                raise ModelError(
                    f"the tensors of the sequence '{argument.name}' would be called "
                    f"'{element_name(argument.name, 0)}' and so on, but '{name}' is another value: "
                    "rename it"
                )
            used.add(name)


def _check_values(takes: Sequence[Argument], values: Mapping[str, Any]) -> None:
    """Raise ModelError for a value of what has none."""
    for argument in takes:
        if values.get(argument.name, 0) is None:
            raise ModelError(f"input '{argument.name}' is not optional: it has to be there")
        if argument.count is not None and argument.name in values:
            raise ModelError(
                f"a value is given for '{argument.name}', which is a sequence: no constants can be"
            )
    own = {name: a.name for a in takes if not a.is_tensor for name in a.tensors}
    for name in own.keys() & values.keys():
        raise ModelError(
            f"a value is given for '{name}', a tensor of the sequence '{own[name]}', whose tensors "
            "are given together"
        )
