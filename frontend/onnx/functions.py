"""Calls of functions replaced by what the functions compute.

Functions are the model's own, or the standard's, which spells some operators by others.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any

import onnx
from onnx import defs, helper

from luthier.schedules import ModelError

from ..messages import one_line
from .function_size import Functions, callee, check_size, check_versions, key
from .opset import is_onnx, node_label, operator_name, opset_of
from .scopes import defined_in, every_node, inner_graphs

_DEEPEST = 64  # of operators that the standard spells by others


def local_functions_expanded(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes of a model's graph with its own functions expanded, named for people.

    So are those of graphs inside of nodes. Raises ModelError.
    """
    functions = {key(f.domain, f.name, f.overload): f for f in model.functions}
    nodes = list(model.graph.node)
    if not functions:
        return nodes
    check_size(nodes, functions)
    check_versions(model, functions)
    return _Expansion(_names(model)).nodes(nodes, functions)


def operators_expanded(
    model: onnx.ModelProto,
    known: frozenset[str],
    wanted: Callable[[onnx.FunctionProto], bool] = lambda function: True,
) -> onnx.ModelProto:
    """A model whose operators are ``known``, wherever the standard spells others by functions.

    Some of these depend on the types of what they are applied to. Functions that are not ``wanted``
    are left alone. Raises ModelError.
    """
    expansion = _Expansion(_names(model))
    names = all_spelled(model) - known
    versions = _versions(model)
    for _ in range(_DEEPEST):
        spelled = [n for n in model.graph.node if operator_name(n) in names and n.output]
        if not spelled:
            break
        types = _types(model)
        every = {n.output[0]: _body(n, versions, types) for n in spelled}
        bodies = {name: body for name, body in every.items() if wanted(body)}
        if not bodies:
            break
        nodes: list[onnx.NodeProto] = []
        for node in model.graph.node:
            body = bodies.get(node.output[0]) if node.output else None
            nodes += [node] if body is None else expansion.call(node, body, {})
        nodes = [deepcopy(n) for n in nodes]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return model


class _Expansion:
    """Replaces calls; ``used`` are the names of values that new ones must not have."""

    def __init__(self, used: set[str]) -> None:
        self.used = used
        self.numbers = itertools.count(1)

    def nodes(self, nodes: Iterable[onnx.NodeProto], functions: Functions) -> list[onnx.NodeProto]:
        """The nodes, and in place of each call what it computes."""
        found: list[onnx.NodeProto] = []
        for node in nodes:
            function = functions.get(callee(node))
            if function is not None:
                found += self.call(node, function, functions)
            else:
                found.append(self._inside(node, functions))
        return found

    def _inside(self, node: onnx.NodeProto, functions: Functions) -> onnx.NodeProto:
        """The node, with the calls replaced in the graphs inside of it."""
        if not functions or not any(inner_graphs(node)):
            return node
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        for graph in inner_graphs(copied):
            nodes = [deepcopy(each) for each in self.nodes(graph.node, functions)]
            del graph.node[:]
            graph.node.extend(nodes)
        return copied

    def call(
        self, call: onnx.NodeProto, function: onnx.FunctionProto, functions: Functions
    ) -> list[onnx.NodeProto]:
        """What a call of a function computes."""
        label = node_label(call)
        for what, given, formal in (
            ("inputs", call.input, function.input),
            ("outputs", call.output, function.output),
        ):
            if len(given) > len(formal):
                raise ModelError(
                    f"{label}: the function has {len(formal)} {what}, not {len(given)}"
                )
        scope = dict.fromkeys(function.input, "") | dict(
            zip(function.input, call.input, strict=False)
        )
        results = [(f, a) for f, a in zip(function.output, call.output, strict=False) if a]
        passed = [helper.make_node("Identity", [scope[f]], [a]) for f, a in results if f in scope]
        scope |= {f: a for f, a in results if f not in scope}
        attributes = {a.name: a for a in (*function.attribute_proto, *call.attribute)}
        stem = f"{next(self.numbers)}/"
        body = [
            self._renamed(node, scope, attributes, stem, call.name or call.op_type)
            for node in function.node
        ]
        return self.nodes([*body, *passed], functions)

    def _renamed(
        self,
        node: onnx.NodeProto,
        scope: dict[str, str],
        attributes: Mapping[str, onnx.AttributeProto],
        stem: str,
        caller: str,
    ) -> onnx.NodeProto:
        new = onnx.NodeProto(op_type=node.op_type, domain=node.domain, overload=node.overload)
        new.name = f"{caller}/{node.name or node.op_type}"
        new.input.extend(self._name(name, scope, stem) for name in node.input)
        new.output.extend(self._name(name, scope, stem) for name in node.output)
        for attribute in node.attribute:
            given = (
                attributes.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
            )
            if given is not None:  # else the operator's own default counts
                own = new.attribute.add()
                own.CopyFrom(given)
                own.name = attribute.name
                if not attribute.ref_attr_name:  # else it is a graph over the caller's values
                    for graph in (*([own.g] if own.HasField("g") else ()), *own.graphs):
                        self._rename(graph, scope, attributes, stem, new.name)
        return new

    def _rename(
        self,
        graph: onnx.GraphProto,
        scope: Mapping[str, str],
        attributes: Mapping[str, onnx.AttributeProto],
        stem: str,
        caller: str,
    ) -> None:
        """Give the values of a graph inside of a function names of their own, in place."""
        inner = {name: new for name, new in scope.items() if name not in defined_in(graph)}
        for value in (*graph.input, *graph.initializer):
            value.name = self._name(value.name, inner, stem)
        nodes = [self._renamed(node, inner, attributes, stem, caller) for node in graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
        for value in graph.output:
            value.name = self._name(value.name, inner, stem)

    def _name(self, name: str, scope: dict[str, str], stem: str) -> str:
        """What the caller calls a function's value; a value inside of it gets a new name."""
        if name and name not in scope:
            fresh = stem + name
            while fresh in self.used:
                fresh += "'"
            self.used.add(fresh)
            scope[name] = fresh
        return scope[name] if name else ""


def _names(model: onnx.ModelProto) -> set[str]:
    """All names of values, those of graphs inside of nodes too."""
    graphs = [model.graph]
    graphs += (inner for node in every_node(model.graph.node) for inner in inner_graphs(node))
    return {name for each in graphs for name in (*defined_in(each), *(o.name for o in each.output))}


# Operators that the standard spells by others.


@lru_cache(maxsize=64)
def spelled_operators(opset: int, domain: str = "") -> frozenset[str]:
    """The operators of a domain, the standard's own unless said, that are spelled by others."""
    return frozenset(name for name in _by_domain()[domain] if _is_spelled(name, opset, domain))


def all_spelled(model: onnx.ModelProto) -> frozenset[str]:
    """Those that a model may use, by ``operator_name``: also of onnx's other domains."""
    others = {d: v for d, v in _versions(model).items() if d in _by_domain() and d}
    found = spelled_operators(opset_of(model))
    return found.union(f"{d}.{n}" for d, v in others.items() for n in spelled_operators(v, d))


@lru_cache(maxsize=1)
def _by_domain() -> Mapping[str, frozenset[str]]:
    """The names of all operators, listed once: that takes onnx milliseconds."""
    names: dict[str, set[str]] = {}
    for schema in defs.get_all_schemas():
        names.setdefault("" if is_onnx(schema.domain) else schema.domain, set()).add(schema.name)
    return {domain: frozenset(each) for domain, each in names.items()}


def _versions(model: onnx.ModelProto) -> dict[str, int]:
    """Of the operators of each domain."""
    return {o.domain: int(o.version) for o in model.opset_import} | {"": opset_of(model)}


def _is_spelled(name: str, version: int, domain: str) -> bool:
    try:
        schema: Any = defs.get_schema(name, version, domain)
    except defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception as error:
        raise ModelError(f"the model is not valid ONNX ({one_line(error)})") from error
    types = {v.name: v.type for v in (*graph.output, *graph.value_info, *graph.input)}
    for tensor in graph.initializer:
        types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    return types


def _body(
    node: onnx.NodeProto, versions: Mapping[str, int], types: Mapping[str, onnx.TypeProto]
) -> onnx.FunctionProto:
    """The function by which the standard spells a node, its attributes' defaults filled in."""
    domain = "" if is_onnx(node.domain) else node.domain
    opset = versions[domain]
    schema: Any = defs.get_schema(node.op_type, opset, domain)
    function = onnx.FunctionProto()
    try:
        if schema.has_function:
            version = _newest(schema.function_opset_versions, opset)
            data = schema.get_function_with_opset_version(version)
        else:
            version = _newest(schema.context_dependent_function_opset_versions, opset)
            given = [types.get(n, onnx.TypeProto()).SerializeToString() for n in node.input]
            data = schema.get_context_dependent_function_with_opset_version(
                version, node.SerializeToString(), given
            )
        function.ParseFromString(data)
    except Exception as error:
        raise ModelError(
            f"{node_label(node)}: ONNX's function for it cannot be applied ({one_line(error)})"
        ) from error
    if not function.node:
        raise ModelError(f"{node_label(node)}: ONNX's function for it does not fit its inputs")
    named = {a.name for a in function.attribute_proto}
    for name, attribute in schema.attributes.items():
        if name not in named and attribute.default_value.name:
            function.attribute_proto.add().CopyFrom(attribute.default_value)
    return function


def _newest(versions: Iterable[int], opset: int) -> int:
    return max(v for v in versions if v <= opset)
