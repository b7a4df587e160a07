"""From an ONNX model to the graph: each node by its converter in ``operators``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import helper, numpy_helper

from luthier.schedules import LuthierError, Tensor, UnsupportedOperator

from ..graph import Array, Graph
from ..graph.emitter import Emitter
from ..messages import one_line
from .declared import check_inferred
from .element_types import dtype_name
from .node import OnnxNode
from .operators import operator_of
from .opset import opset_of

_SINGLE = (int, float, bytes, Message)


def to_graph(model: onnx.ModelProto, weights: Mapping[str, Array]) -> Graph:
    """The graph of a model with fixed sizes, whose nodes are named.

    Graph inputs that ``weights`` names are constants. Raises ModelError or UnsupportedOperator.
    """
    t = Emitter(model.graph.name)
    t.given = sum(array.nbytes for array in weights.values())
    values: dict[str, int] = {}
    for info in model.graph.input:
        given = weights.get(info.name)
        values[info.name] = _input(t, info) if given is None else t.constant(given)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    inferred = {v.name: v for v in (*model.graph.value_info, *model.graph.output)}
    opset = opset_of(model)

    def value(name: str) -> int | None:
        if name and name not in values:
            values[name] = t.constant(numpy_helper.to_array(initializers[name]))
        return values[name] if name else None

    for node in model.graph.node:
        t.source = node.name
        try:
            results = _converted(t, node, [value(name) for name in node.input], opset)
        except LuthierError:
            raise
        except Exception as error:
            raise UnsupportedOperator(
                f"{node.name}: it cannot be converted ({one_line(error)})"
            ) from error
        for name, result in zip(node.output, results, strict=False):
            values[name] = result
            if name in inferred:
                check_inferred(node.name, inferred[name], t.type(result))
    t.source = "the outputs"
    outputs = []
    for output in model.graph.output:
        found = value(output.name)
        assert found is not None
        outputs.append((output.name, found))
    return t.finish(outputs)


def _input(t: Emitter, info: onnx.ValueInfoProto) -> int:
    """What is read of an input: of one without elements all is known."""
    tensor = _type(info)
    found = t.input(info.name, tensor)
    return found if tensor.size else t.constant(np.zeros(tensor.shape, tensor.dtype))


def _type(info: onnx.ValueInfoProto) -> Tensor:
    tensor = info.type.tensor_type
    shape = tuple(d.dim_value for d in tensor.shape.dim)
    return Tensor(shape, dtype_name(tensor.elem_type, f"input '{info.name}'"))


def _converted(
    t: Emitter, node: onnx.NodeProto, inputs: Sequence[int | None], opset: int
) -> Sequence[int]:
    """The node's results."""
    operator = operator_of(node)
    assert operator is not None
    halves = operator.in_steps and any(x is not None and t.dtype(x) == "float16" for x in inputs)
    if halves:
        inputs = [_widened(t, x) for x in inputs]
    attrs = {a.name: _attribute(a) for a in node.attribute}
    seen = OnnxNode(t, inputs, attrs, len(node.output), opset)
    if operator.of_floats and not seen.element.is_float:
        raise seen.unsupported(f"an input of {seen.dtype}")
    found = operator.convert(seen)
    results = [found] if isinstance(found, int) else found
    if len(results) < len(node.output):
        raise seen.unsupported(f"its result '{node.output[len(results)]}'")
    return [_narrowed(t, x) for x in results] if halves else results


def _attribute(attribute: onnx.AttributeProto) -> Any:
    """Lists as tuples."""
    value = helper.get_attribute_value(attribute)
    return value if isinstance(value, _SINGLE) else tuple(value)


# float16 operators of several steps are in float32, and the result is rounded once.


def _widened(t: Emitter, x: int | None) -> int | None:
    if x is None or t.dtype(x) != "float16":
        return x
    known = t.known(x)  # which stays known: it may be needed at build time
    return t.cast(x, "float32") if known is None else t.constant(known.astype("float32"))


def _narrowed(t: Emitter, x: int) -> int:
    return t.cast(x, "float16") if t.dtype(x) == "float32" else x
