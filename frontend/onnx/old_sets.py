"""Models of old operator sets, converted by onnx to newer ones.

Its converter is a library in C++, which a hostile model might crash: it runs in a process of its
own, on the model without its large weights, within bounds of time and memory.
"""

from __future__ import annotations

import math
import subprocess
import sys
from contextlib import suppress

import onnx
from onnx import TensorProto, helper

from luthier.schedules import ModelError

from ..messages import one_line
from .opset import OLDEST, is_onnx, opset_of
from .set_aside import put_back, set_aside

_MOST_SECONDS, _MOST_BYTES = 60, 4 << 30
_WEIGHT = 1024  # elements of an initializer that the converter does not look into
_PROGRAM = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({_MOST_BYTES}, {_MOST_BYTES}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import onnx, onnx.version_converter
model = onnx.ModelProto.FromString(sys.stdin.buffer.read())
try:
    onnx.checker.check_model(model)
    model = onnx.version_converter.convert_version(model, int(sys.argv[1]))
except Exception as error:
    sys.exit(str(error) or type(error).__name__)
sys.stdout.buffer.write(model.SerializeToString())
"""


def converted(model: onnx.ModelProto, version: int, where: str) -> onnx.ModelProto:
    """The model by the operators of this set; raises ModelError where it cannot be."""
    light, weights = _without_weights(model)
    kept = set_aside(light)
    if opset_of(model) < OLDEST:
        _align_arguments(light)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _PROGRAM, str(version)],
            input=light.SerializeToString(),
            capture_output=True,
            timeout=_MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _refused(where, version, f"onnx takes longer than {_MOST_SECONDS} s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = said[-1] if done.returncode > 0 and said else "onnx crashes"
        raise _refused(where, version, reason)
    found = onnx.ModelProto()
    found.ParseFromString(done.stdout)
    put_back(found, kept)
    types = {output.name: output.type for output in model.graph.output}
    for output in found.graph.output:
        if output.name in types:
            output.type.CopyFrom(types[output.name])
    inputs = [i for i in found.graph.input if i.name not in weights]
    del found.graph.input[:]
    found.graph.input.extend(inputs)
    found.graph.initializer.extend(weights.values())
    found.ir_version = max(found.ir_version, 4)  # since when initializers need not be inputs
    return found


def _without_weights(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, TensorProto]]:
    """The model whose large weights are inputs, and these by name."""
    light = onnx.ModelProto()
    light.CopyFrom(model)
    light.ir_version = max(light.ir_version, 3)
    graph = light.graph
    for output in graph.output:  # on whose shapes onnx's checker insists
        output.type.tensor_type.shape.SetInParent()
    weights = {
        tensor.name: tensor
        for tensor in model.graph.initializer
        if tensor.name and math.prod(tensor.dims) > _WEIGHT
    }
    small = [tensor for tensor in model.graph.initializer if tensor.name not in weights]
    del graph.initializer[:]
    graph.initializer.extend(small)
    taken = {info.name for info in graph.input}
    for name, tensor in weights.items():
        if name not in taken:
            graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
    return light, weights


def _align_arguments(model: onnx.ModelProto) -> None:
    """Let second arguments that belong to dimensions in the middle, by an attribute that the
    converter does not follow, or as slopes of channels, have ones after these."""
    ranks = _ranks(model)
    nodes: list[onnx.NodeProto] = []
    for number, node in enumerate(model.graph.node):
        attrs = {a.name: a for a in node.attribute}
        pair = [ranks.get(name) for name in node.input]
        if {"axis", "broadcast"} <= attrs.keys() and len(pair) == 2 and None not in pair:
            first, second = pair[0] or 0, pair[1] or 0
            axis = attrs["axis"].i + (first if attrs["axis"].i < 0 else 0)
            after = first - axis - second
            if 0 < after <= first:
                name = f"{node.output[0]}/{number}/aligned"
                axes = [*range(second, second + after)]
                nodes.append(helper.make_node("Unsqueeze", node.input[1:], [name], axes=axes))
                node.input[1] = name
            node.attribute.remove(attrs["axis"])
        if node.op_type == "PRelu" and len(pair) == 2 and pair[1] == 1 and (pair[0] or 0) > 2:
            name = f"{node.output[0]}/{number}/aligned"  # a slope for each channel
            axes = [*range(1, (pair[0] or 0) - 1)]
            nodes.append(helper.make_node("Unsqueeze", node.input[1:], [name], axes=axes))
            node.input[1] = name
        nodes.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """The numbers of dimensions that onnx infers by operators of set 6, of which it knows more."""
    newer = onnx.ModelProto()
    newer.CopyFrom(model)
    for each in newer.opset_import:
        each.version = 6 if is_onnx(each.domain) else each.version
    with suppress(Exception):
        newer = onnx.shape_inference.infer_shapes(newer)
    graph = newer.graph
    typed = ((v.name, v.type.tensor_type) for v in (*graph.input, *graph.value_info))
    found = {name: len(tensor.shape.dim) for name, tensor in typed if tensor.HasField("shape")}
    return found | {tensor.name: len(tensor.dims) for tensor in graph.initializer}


def _refused(where: str, version: int, reason: str) -> ModelError:
    return ModelError(
        f"{where}: the model cannot be converted to ONNX operator set {version} "
        f"({one_line(Exception(reason))}): export it to a newer set"
    )
