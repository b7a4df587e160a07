"""From an ONNX model to the graph: each node by its converter in ``operators``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import helper, numpy_helper

from luthier.schedules import LuthierError, Tensor, UnsupportedOperator
from luthier.schedules.ir.dtype import FLOAT32
from luthier.schedules.tir.casts import cast

from ..graph import Array, Graph
from ..graph.across import Across
from ..graph.emitter import Emitter
from ..messages import one_line
from .declared import check_inferred
from .element_types import dtype_name
from .node import OnnxNode, Operator
from .operators import operator_of
from .opset import opset_of
from .result_types import result_types

_SINGLE = (int, float, bytes, Message)


def to_graph(
    model: onnx.ModelProto, weights: Mapping[str, Array], across: Across | None = None
) -> Graph:
    """The graph of a model with fixed sizes, whose nodes are named.

    Graph inputs that ``weights`` names are constants. Raises ModelError or UnsupportedOperator.
    """
    t = Emitter(model.graph.name, across)
    t.given = sum(array.nbytes for array in weights.values())
    values: dict[str, int] = {}
    for info in model.graph.input:
        given = weights.get(info.name)
        values[info.name] = _input(t, info) if given is None else t.constant(given)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    inferred = {v.name: v for v in (*model.graph.value_info, *model.graph.output)}
    opset = opset_of(model)
    read = {o.name for o in model.graph.output}.union(*(n.input for n in model.graph.node))

    def value(name: str) -> int | None:
        if name and name not in values:
            values[name] = t.constant(numpy_helper.to_array(initializers[name]))
        return values[name] if name else None

    for node in model.graph.node:
        t.source = node.name
        try:
            wanted = tuple(name in read for name in node.output)
            results = _converted(t, node, [value(name) for name in node.input], opset, wanted)
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
    t: Emitter,
    node: onnx.NodeProto,
    inputs: Sequence[int | None],
    opset: int,
    wanted: tuple[bool, ...],
) -> Sequence[int]:
    """The node's results."""
    operator, given = operator_of(node), inputs
    assert operator is not None
    inputs = [_widened(t, x, operator) for x in inputs]
    attrs = {a.name: _attribute(a) for a in node.attribute}
    seen = OnnxNode(t, inputs, attrs, len(node.output), opset, wanted)
    if operator.of_floats and not seen.element.is_float:
        raise seen.unsupported(f"an input of {seen.dtype}")
    found = operator.convert(seen)
    results = [found] if isinstance(found, int) else found
    if len(results) < len(node.output):
        raise seen.unsupported(f"its result '{node.output[len(results)]}'")
    if inputs == given:
        return results
    types = [None if x is None else t.dtype(x) for x in given]
    names = result_types(node, types, opset)
    return [_narrowed(t, x, name) for x, name in zip(results, names, strict=False)]


def _attribute(attribute: onnx.AttributeProto) -> Any:
    """Lists as tuples."""
    value = helper.get_attribute_value(attribute)
    return value if isinstance(value, _SINGLE) else tuple(value)


# What kernels do not compute with is wider within an operator, and the result is rounded once.


def _widened(t: Emitter, x: int | None, operator: Operator) -> int | None:
    """In float32 or int32: float16 where there are several steps, narrow types but where elements
    are moved as they are."""
    if x is None:
        return x
    element = t.type(x).element
    if element.is_narrow:
        wide = element if operator.any_type else element.computed
    else:
        wide = FLOAT32 if operator.in_steps and element.name == "float16" else element
    if wide == element:
        return x
    known = t.known(x)  # which stays known: it may be needed at build time
    return t.cast(x, wide.name) if known is None else t.constant(cast(known, wide.name))


def _narrowed(t: Emitter, x: int, dtype: str | None) -> int:
    return x if dtype is None else t.cast(x, dtype)
