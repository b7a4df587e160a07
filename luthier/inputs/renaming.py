"""New names for a model's values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx


def rename_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model, whose first outputs get ``names``; what had one of these gets another."""
    outputs = [value.name for value in model.graph.output][: len(names)]
    taken = _values(model.graph)
    new = dict(zip(outputs, names, strict=True))
    for name in names:
        if name in taken and name not in new:
            new[name] = next(other for other in _others(name) if other not in taken)
    rename(model.graph, new)
    return model


def rename(graph: onnx.GraphProto, new: Mapping[str, str]) -> None:
    """Give values their new names, in graphs inside of nodes too."""
    for each in _graphs(graph):
        for node in each.node:
            node.input[:] = [new.get(name, name) for name in node.input]
            node.output[:] = [new.get(name, name) for name in node.output]
        for value in (*each.input, *each.output, *each.value_info, *each.initializer):
            value.name = new.get(value.name, value.name)


def _values(graph: onnx.GraphProto) -> set[str]:
    found = set()
    for each in _graphs(graph):
        found |= {name for node in each.node for name in (*node.input, *node.output)}
        found |= {value.name for value in (*each.input, *each.output, *each.initializer)}
    return found


def _others(name: str) -> Iterator[str]:
    while True:
        name += "_"
        yield name


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """With those inside of nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.HasField("g") else []
            for each in (*inner, *attribute.graphs):
                yield from _graphs(each)
