"""How much noise each layer alone adds: what is quantised of it is fed with the original's numbers.

Noise of the layers before would hide which of them makes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from .engine import opened
from .samples import Run

_ALONE = "luthier_alone:"
_SIGNAL, _NOISE = "luthier_signal:", "luthier_noise:"


@dataclass(frozen=True)
class Layer:
    """A layer of the model, by its node's name, with the signal-to-noise ratio in decibels of what
    its quantised form gives for the original's inputs; ``kept`` is in float."""

    name: str
    kind: str
    decibels: float
    kept: bool = False


def measured(
    original: onnx.ModelProto, quantised: onnx.ModelProto, runs: Sequence[Run]
) -> tuple[Layer, ...]:
    """The layers that are quantised, the worst first."""
    found = list(_quantised_layers(original, quantised))
    if not found:
        return ()
    run = opened(_probe(original, quantised, found), [n for f in found for n in f.results])
    signal, noise = np.zeros(len(found)), np.zeros(len(found))
    for inputs in runs:
        outputs = run(inputs)
        signal += [float(outputs[_SIGNAL + each.output]) for each in found]
        noise += [float(outputs[_NOISE + each.output]) for each in found]
    layers = (
        Layer(each.node.name, each.node.op_type, _decibels(s, n))
        for each, s, n in zip(found, signal, noise, strict=True)
    )
    return tuple(sorted(layers, key=lambda layer: layer.decibels))


def _decibels(signal: float, noise: float) -> float:
    """Infinite without noise; of NaN the lowest."""
    if np.isnan(noise) or np.isnan(signal):
        return float("-inf")
    if not noise:
        return float("inf")
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(signal / noise))


@dataclass(frozen=True)
class _Found:
    """A node of the original, and the nodes of the quantised model that compute its output."""

    node: onnx.NodeProto
    cluster: tuple[onnx.NodeProto, ...]

    @property
    def output(self) -> str:
        return str(self.node.output[0])

    @property
    def results(self) -> tuple[str, str]:
        """The names of the sums of squares."""
        return _SIGNAL + self.output, _NOISE + self.output


def _quantised_layers(original: onnx.ModelProto, quantised: onnx.ModelProto) -> Iterator[_Found]:
    """Those whose output the quantised model computes in another way."""
    known = _types(original)
    makers = {name: node for node in quantised.graph.node for name in node.output}
    for node in original.graph.node:
        kind = known.get(node.output[0], TensorProto.UNDEFINED)
        if kind != TensorProto.FLOAT or node.output[0] not in makers:
            continue
        cluster = _cluster(node.output[0], makers, known)
        if len(cluster) > 1 or cluster[0].op_type != node.op_type:
            yield _Found(node, cluster)


def _types(model: onnx.ModelProto) -> Mapping[str, int]:
    """The element types of inputs and of what nodes compute, by name."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    computed = {name for node in graph.node for name in node.output}
    return {
        value.name: value.type.tensor_type.elem_type
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.name in computed or value in graph.input
    }


def _cluster(
    output: str, makers: Mapping[str, onnx.NodeProto], known: Mapping[str, int]
) -> tuple[onnx.NodeProto, ...]:
    """The nodes from values of the original to this one, in order."""
    found: dict[int, onnx.NodeProto] = {}
    left = [output]
    while left:
        name = left.pop()
        maker = makers.get(name)
        if maker is None or (name != output and name in known) or id(maker) in found:
            continue
        found[id(maker)] = maker
        left += maker.input
    return tuple(reversed(found.values()))


def _probe(
    original: onnx.ModelProto, quantised: onnx.ModelProto, found: Sequence[_Found]
) -> onnx.ModelProto:
    """The original, each layer's quantised form beside it, and the sums of squares of both."""
    probe = onnx.ModelProto()
    probe.CopyFrom(original)
    known, graph = _types(original), probe.graph
    for number, each in enumerate(found):
        prefix = f"{_ALONE}{number}:"
        inside = {name for node in each.cluster for name in node.output}
        for place, node in enumerate(_in_order(each.cluster)):
            copy = graph.node.add()
            copy.CopyFrom(node)
            copy.name = f"{prefix}{place}"
            for names in (copy.input, copy.output):
                for i, name in enumerate(names):
                    if name in inside and (name not in known or name == each.output):
                        names[i] = prefix + name
        graph.node.extend(_sums(each, prefix + each.output))
    there = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(t for t in quantised.graph.initializer if t.name not in there)
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for each in found
        for name in each.results
    )
    del probe.opset_import[:]
    probe.opset_import.extend(quantised.opset_import)
    return probe


def _in_order(cluster: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Each node after those that make its inputs."""
    makers = {name: node for node in cluster for name in node.output}
    done: set[int] = set()
    stack = [(node, False) for node in reversed(cluster)]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        if ready:
            done.add(id(node))
            yield node
            continue
        stack.append((node, True))
        stack += [(makers[name], False) for name in node.input if name in makers]


def _sums(each: _Found, alone: str) -> Iterator[onnx.NodeProto]:
    difference = f"{alone}:difference"
    signal, noise = each.results
    yield helper.make_node("Sub", [each.output, alone], [difference])
    for of, name in ((each.output, signal), (difference, noise)):
        yield helper.make_node("ReduceSumSquare", [of], [name], keepdims=0)
