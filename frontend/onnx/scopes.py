"""Graphs inside of nodes, which see the values around them: what they read, and other names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import onnx

from luthier.schedules import ModelError

from .opset import node_label


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs in a node's attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def inner_graph(node: onnx.NodeProto, name: str) -> onnx.GraphProto:
    """The graph that an attribute is; raises ModelError where there is none."""
    for attribute in node.attribute:
        if attribute.name == name and attribute.HasField("g"):
            graph: onnx.GraphProto = attribute.g
            return graph
    raise ModelError(f"{node_label(node)}: it has no graph '{name}'")


def every_node(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes, and those of the graphs inside of them."""
    pending = [iter(nodes)]
    while pending:
        node = next(pending[-1], None)
        if node is None:
            pending.pop()
            continue
        yield node
        pending += [iter(graph.node) for graph in inner_graphs(node)]


def results_of(model: onnx.ModelProto) -> set[str]:
    """The names of what the nodes of a model give, those of its functions and inner graphs too."""
    bodies = (model.graph.node, *(function.node for function in model.functions))
    return set().union(*map(results_in, bodies))


def results_in(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """The names of what nodes give, those of the graphs inside of them too."""
    return {name for node in every_node(nodes) for name in node.output if name}


def depth(nodes: Iterable[onnx.NodeProto]) -> int:
    """How many graphs are inside one another; 0 where there are none."""
    deepest, level = 0, list(nodes)
    while level := [n for node in level for graph in inner_graphs(node) for n in graph.node]:
        deepest += 1
    return deepest


def defined_in(graph: onnx.GraphProto) -> set[str]:
    """The names of a graph's own values."""
    made = {name for node in graph.node for name in node.output}
    return made | {v.name for v in (*graph.input, *graph.initializer)}


def reads(node: onnx.NodeProto) -> set[str]:
    """The values around a node that it reads, by its graphs too."""
    found = {name for name in node.input if name}
    for graph in inner_graphs(node):
        found |= free_names(graph)
    return found


def free_names(graph: onnx.GraphProto) -> set[str]:
    """The values around a graph that it reads."""
    read = {output.name for output in graph.output if output.name}
    return read.union(*map(reads, graph.node)) - defined_in(graph)


def renamed(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    """The node over other names, in the graphs inside of it, too."""
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    for field in (copied.input, copied.output):
        for i, name in enumerate(field):
            field[i] = names.get(name, name)
    for graph in inner_graphs(copied):
        own = defined_in(graph)
        outer = {old: new for old, new in names.items() if old not in own}
        inner = [renamed(each, outer) for each in graph.node]
        del graph.node[:]
        graph.node.extend(inner)
        for value in graph.output:
            value.name = outer.get(value.name, value.name)
    return copied
