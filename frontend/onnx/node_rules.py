"""The standard's rules on nodes by themselves, kept before anything else reads a node.

What a node reads is there, how many arguments and results it has, which attributes, of which kind;
and tensors hold what they say. ONNX's own checker has these rules, too. What is rewritten before
that sees a model, such as operators on texts, relies on them, and onnx's shape inference may end
the process where they are broken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import onnx
from onnx import AttributeProto, NodeProto, TensorProto, defs, numpy_helper

from luthier.schedules import ModelError
from luthier.schedules.ir.dtype import DTYPES

from .element_types import dtype_name
from .opset import is_onnx, node_label, opset_of
from .scopes import every_node, inner_graphs

_MOST_OPSET = 2**31 - 1
_TO = "to"  # of Cast and BitCast
_ELEMENT_TYPES = frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}
_KINDS = frozenset(AttributeProto.AttributeType.values()) - {AttributeProto.UNDEFINED}


@dataclass(frozen=True)
class _Rule:
    """Of an operator: how many inputs and outputs there are, which inputs must be there, and of the
    attributes the kinds and those that it needs."""

    inputs: tuple[int, int]
    outputs: tuple[int, int]
    needed_inputs: frozenset[int]
    attributes: Mapping[str, int]
    needed: tuple[str, ...]


def check_nodes(model: onnx.ModelProto) -> None:
    """Raise ModelError for a node or tensor that breaks a rule, or an output that nothing gives."""
    _check_functions(model.functions)
    own = frozenset(("" if is_onnx(f.domain) else f.domain, f.name) for f in model.functions)
    _check_body(model.graph.node, _versions(model.opset_import, opset_of(model)), own)
    for function in model.functions:
        _check_body(function.node, _versions(function.opset_import, 0), own)
        _check_names(function.node, [{*function.input, ""}])
    for tensor in model.graph.initializer:
        _check_tensor(tensor, f"initializer '{tensor.name}'")
    there = {"", *(v.name for v in (*model.graph.input, *model.graph.initializer))}
    _check_names(model.graph.node, [there])
    for output in model.graph.output:
        if output.name not in there:
            raise ModelError(f"the model computes no value '{output.name}', which is its output")


def _check_functions(functions: Iterable[onnx.FunctionProto]) -> None:
    seen: set[tuple[str, str, str]] = set()
    for each in functions:
        named = "" if is_onnx(each.domain) else each.domain, each.name, each.overload
        if named in seen:
            raise ModelError(f"the model is not valid ONNX (two functions '{each.name:.200}')")
        seen.add(named)


def _versions(imports: Iterable[onnx.OperatorSetIdProto], default: int) -> dict[str, int]:
    found = {"": default} if default else {}
    for each in imports:
        if not 1 <= each.version <= _MOST_OPSET:
            whose = each.domain or "ai.onnx"
            raise ModelError(f"there is no version {each.version} of the operators of '{whose}'")
        found["" if is_onnx(each.domain) else each.domain] = each.version
    return found


def _check_body(
    nodes: Iterable[NodeProto], versions: Mapping[str, int], own: frozenset[tuple[str, str]]
) -> None:
    for node in every_node(nodes):
        domain = "" if is_onnx(node.domain) else node.domain
        broken = next(_broken(node), None)
        if broken is None and domain in versions and (domain, node.op_type) not in own:
            rule = _rule(node.op_type, versions[domain], domain)
            broken = None if rule is None else next(_against(node, rule), None)
        if broken is not None:
            raise ModelError(f"{node_label(node)}: the model is not valid ONNX ({broken})")
        for attribute in node.attribute:
            what = f"{node_label(node)}: its attribute '{attribute.name}'"
            for tensor in (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors):
                _check_tensor(tensor, what)
            for graph in (attribute.g, *attribute.graphs):
                for tensor in graph.initializer:
                    _check_tensor(tensor, f"initializer '{tensor.name}'")


def _check_names(nodes: Iterable[NodeProto], scopes: list[set[str]]) -> None:
    """Raise ModelError for a node that reads what is not there yet, or computes what is; ``scopes``
    are the names around it, of which the last are those of its graph."""
    for node in nodes:
        for name in node.input:
            if not any(name in scope for scope in scopes):
                raise ModelError(
                    f"{node_label(node)}: the model is not valid ONNX (nothing before it gives "
                    f"its input '{name}')"
                )
        for graph in inner_graphs(node):
            own = {v.name for v in (*graph.input, *graph.initializer)}
            _check_names(graph.node, [*scopes, own])
        for name in node.output:
            if name and name in scopes[-1]:
                raise ModelError(
                    f"{node_label(node)}: the model is not valid ONNX (it computes '{name}' a "
                    "second time: graphs are in single static assignment)"
                )
            scopes[-1].add(name)


def _broken(node: NodeProto) -> Iterator[str]:
    """What is wrong whatever the operator is."""
    if not node.output:
        yield "it has no outputs"
    seen: set[str] = set()
    for attribute in node.attribute:
        if attribute.type not in _KINDS:
            yield f"its attribute '{attribute.name}' is of no known kind"
        if attribute.name in seen:
            yield f"it has two attributes '{attribute.name}'"
        seen.add(attribute.name)
        if attribute.name == _TO and is_onnx(node.domain) and attribute.i not in _ELEMENT_TYPES:
            yield f"its attribute '{_TO}' is {attribute.i}, which is not an element type"


def _against(node: NodeProto, rule: _Rule) -> Iterator[str]:
    """What breaks an operator's rule."""
    for what, count, (least, most) in (
        ("inputs", len(node.input), rule.inputs),
        ("outputs", len(node.output), rule.outputs),
    ):
        if not least <= count <= most:
            yield f"it has {count} {what}, and the operator {least}" + _to(least, most)
    for number in rule.needed_inputs:
        if number < len(node.input) and not node.input[number]:
            yield f"its input {number} is left out"
    kinds = {attribute.name: attribute.type for attribute in node.attribute}
    for name, kind in kinds.items():
        if rule.attributes.get(name, kind) != kind:
            wanted = AttributeProto.AttributeType.Name(rule.attributes[name])
            yield f"its attribute '{name}' is not of the kind {wanted}"
    for name in rule.needed:
        if name not in kinds:
            yield f"it lacks the attribute '{name}'"


def _to(least: int, most: int) -> str:
    return "" if least == most else " or more" if most >= _MOST_OPSET else f" to {most}"


@lru_cache(maxsize=4096)
def _rule(name: str, version: int, domain: str) -> _Rule | None:
    """None for an operator that onnx does not know."""
    try:
        schema: Any = defs.get_schema(name, version, domain)
    except defs.SchemaError:
        return None
    single = defs.OpSchema.FormalParameterOption.Single
    attributes = schema.attributes
    return _Rule(
        (schema.min_input, schema.max_input),
        (schema.min_output, schema.max_output),
        frozenset(i for i, each in enumerate(schema.inputs) if each.option == single),
        {each: int(about.type.value) for each, about in attributes.items()},
        tuple(each for each, about in attributes.items() if about.required),
    )


def _check_tensor(tensor: TensorProto, what: str) -> None:
    """Raise ModelError where a tensor of a known type does not hold as much as its shape says."""
    count = math.prod(tensor.dims) if min(tensor.dims, default=0) >= 0 else -1
    if tensor.data_type == TensorProto.STRING:
        fits = len(tensor.string_data) == count
    elif tensor.HasField("raw_data"):
        bits = DTYPES[dtype_name(tensor.data_type, what)].bits
        fits = len(tensor.raw_data) == -(-count * bits // 8)
    else:
        dtype_name(tensor.data_type, what)
        fits = _holds(tensor)
    if not fits:
        raise ModelError(f"{what} has data that does not fit its shape")


def _holds(tensor: TensorProto) -> bool:
    """The same of one whose elements are listed one by one."""
    try:
        numpy_helper.to_array(tensor)
    except Exception:
        return False
    return True
