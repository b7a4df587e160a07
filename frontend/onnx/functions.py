"""Calls of functions replaced by what the functions compute.

Functions are the model's own, or the standard's, which spells some operators by others. A small
file can spell a huge graph by functions that call functions, so the result is counted before it is
made.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import defs, helper

from luthier.schedules import ModelError

from ..messages import one_line
from .opset import is_onnx, node_label, opset_of

# What the model's functions may grow to: this much, or this many times what the file holds.
MOST_NODES, MOST_BYTES, MOST_TIMES = 100_000, 256 << 20, 8
_DEEPEST = 64

_Key = tuple[str, str, str]
_Functions = Mapping[_Key, onnx.FunctionProto]


def local_functions_expanded(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes of a model's graph with its own functions expanded, named for people.

    Nodes that contain graphs stay as they are. Raises ModelError.
    """
    functions = {_key(f.domain, f.name, f.overload): f for f in model.functions}
    nodes = list(model.graph.node)
    if not functions:
        return nodes
    _check_size(nodes, functions)
    _check_versions(model, functions)
    return _Expansion(_names(model)).nodes(nodes, functions)


def operators_expanded(model: onnx.ModelProto, known: frozenset[str]) -> onnx.ModelProto:
    """A model whose operators are ``known``, wherever the standard spells others by functions.

    Some of these depend on the types of what they are applied to. Raises ModelError.
    """
    expansion = _Expansion(_names(model))
    opset = opset_of(model)
    names = spelled_operators(opset) - known
    for _ in range(_DEEPEST):
        spelled = [n for n in model.graph.node if n.op_type in names and is_onnx(n.domain)]
        if not spelled:
            break
        types = _types(model)
        bodies = {n.output[0]: _body(n, opset, types) for n in spelled}
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

    def nodes(self, nodes: Iterable[onnx.NodeProto], functions: _Functions) -> list[onnx.NodeProto]:
        """The nodes, and in place of each call what it computes."""
        found: list[onnx.NodeProto] = []
        for node in nodes:
            function = functions.get(_callee(node))
            found += [node] if function is None else self.call(node, function, functions)
        return found

    def call(
        self, call: onnx.NodeProto, function: onnx.FunctionProto, functions: _Functions
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
                new.attribute.add().CopyFrom(given)
                new.attribute[-1].name = attribute.name
        return new

    def _name(self, name: str, scope: dict[str, str], stem: str) -> str:
        """What the caller calls a function's value; a value inside of it gets a new name."""
        if name and name not in scope:
            fresh = stem + name
            while fresh in self.used:
                fresh += "'"
            self.used.add(fresh)
            scope[name] = fresh
        return scope[name] if name else ""


def _key(domain: str, name: str, overload: str) -> _Key:
    return "" if is_onnx(domain) else domain, name, overload


def _callee(node: onnx.NodeProto) -> _Key:
    return _key(node.domain, node.op_type, node.overload)


def _names(model: onnx.ModelProto) -> set[str]:
    graph = model.graph
    made = {output for node in graph.node for output in node.output}
    return made | {v.name for v in (*graph.input, *graph.output, *graph.initializer)}


# The size that calls grow to.


@dataclass(frozen=True)
class _Size:
    nodes: int
    nbytes: int
    depth: int


def _check_size(nodes: Sequence[onnx.NodeProto], functions: _Functions) -> None:
    """Raise ModelError where the functions grow beyond bounds, or call themselves."""
    bodies = [list(f.node) for f in functions.values()]
    written = sum(map(len, bodies), len(nodes))
    nbytes = sum(n.ByteSize() for body in (nodes, *bodies) for n in body)
    sizes: dict[_Key, _Size] = {}
    for key in _callees_first(functions):
        sizes[key] = _expanded(functions[key].node, sizes)
    total = _expanded(nodes, sizes)
    if total.depth > _DEEPEST:
        raise ModelError(f"the model's functions call each other more than {_DEEPEST} deep")
    if total.nodes > max(MOST_NODES, MOST_TIMES * written):
        raise ModelError(
            f"the model's functions expand to {_short(total.nodes)} nodes, and more than "
            f"{max(MOST_NODES, MOST_TIMES * written)} are refused: the file holds {written}"
        )
    if total.nbytes > max(MOST_BYTES, MOST_TIMES * nbytes):
        raise ModelError(
            f"the model's functions expand to {_short(total.nbytes)} bytes, and more than "
            f"{max(MOST_BYTES, MOST_TIMES * nbytes)} are refused: the file holds {nbytes}"
        )


def _short(number: int) -> str:
    return str(number) if number < 10**12 else f"{float(min(number, 10**300)):.0e}"


def _expanded(nodes: Iterable[onnx.NodeProto], sizes: Mapping[_Key, _Size]) -> _Size:
    count = nbytes = depth = 0
    for node in nodes:
        own, called = node.ByteSize(), sizes.get(_callee(node))
        # Attributes of a call may be repeated by each node inside.
        count += called.nodes if called else 1
        nbytes += called.nbytes + own * called.nodes if called else own
        depth = max(depth, called.depth if called else 0)
    return _Size(count, nbytes, depth + 1)


def _callees_first(functions: _Functions) -> list[_Key]:
    """The functions in an order in which each stands after those that it calls."""
    called = {
        key: iter({k: None for n in f.node if (k := _callee(n)) in functions})
        for key, f in functions.items()
    }
    done: dict[_Key, None] = {}
    for first in functions:
        path = {first: None} if first not in done else {}
        while path:
            key = next(reversed(path))
            callee = next(called[key], None)
            if callee is None:
                done[key] = path.pop(key)
            elif callee in path:
                raise ModelError(f"the model's function '{callee[1]}' calls itself")
            elif callee not in done:
                path[callee] = None
    return list(done)


def _check_versions(model: onnx.ModelProto, functions: _Functions) -> None:
    """Raise ModelError where an operator means one thing in a function and another around it."""
    opset = opset_of(model)
    for function in functions.values():
        own = next((o.version for o in function.opset_import if is_onnx(o.domain)), opset)
        for node in function.node if own != opset else ():
            if is_onnx(node.domain) and _since(node.op_type, own) != _since(node.op_type, opset):
                raise ModelError(
                    f"the model's function '{function.name}' uses {node.op_type} of operator set "
                    f"{own}, which differs from that of the model's operator set {opset}: "
                    "convert the model with onnx.version_converter"
                )


def _since(name: str, opset: int) -> int | None:
    try:
        return int(defs.get_schema(name, opset, "").since_version)
    except defs.SchemaError:
        return None


# Operators that the standard spells by others.


def spelled_operators(opset: int) -> frozenset[str]:
    """The operators that the standard spells by others."""
    return frozenset(s.name for s in defs.get_all_schemas() if _is_spelled(s.name, opset))


def _is_spelled(name: str, opset: int) -> bool:
    try:
        schema: Any = defs.get_schema(name, opset, "")
    except defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    inferred = onnx.shape_inference.infer_shapes(model)
    graph = inferred.graph
    types = {v.name: v.type for v in (*graph.output, *graph.value_info, *graph.input)}
    for tensor in graph.initializer:
        types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    return types


def _body(
    node: onnx.NodeProto, opset: int, types: Mapping[str, onnx.TypeProto]
) -> onnx.FunctionProto:
    """The function by which the standard spells a node, its attributes' defaults filled in."""
    schema: Any = defs.get_schema(node.op_type, opset, "")
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
