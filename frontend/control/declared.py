"""The shapes that a model declares of its outputs, and of what these have the shape of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx

from ..onnx.opset import is_onnx

# Their result has the shape of their first input.
_SAME = frozenset(
    """
        Abs Acos Acosh Asin Asinh Atan Atanh Cast CastLike Ceil Celu Clip Cos Cosh Elu Erf Exp Floor
        Gelu HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log LogSoftmax Mish Neg Not
        Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh
    """.split()
)
# So it is of these where the other input is one number.
_OF_TWO = frozenset("Add And Div Mul Or Pow Sub Xor".split())
# Their result has as many dimensions as their first input.
_OF_SAME_RANK = frozenset({"Pad", "Slice", "Tile"})


def declared_shapes(
    graph: onnx.GraphProto, sizes: Mapping[str, int]
) -> dict[str, tuple[int | None, ...]]:
    """By value; None for dimensions that are left open and have no name among ``sizes``."""
    found = {
        output.name: tuple(_size(dim, sizes) for dim in output.type.tensor_type.shape.dim)
        for output in graph.output
        if output.type.tensor_type.HasField("shape")
    }
    numbers = {t.name for t in graph.initializer if not t.dims}
    for node in graph.node:
        if node.op_type == "Constant" and any(
            a.HasField("t") and not a.t.dims for a in node.attribute
        ):
            numbers.update(node.output)
    single = {i.name: i for i in graph.input if _is_single(i)}
    cut = {o for node in graph.node if node.op_type in _OF_SAME_RANK for o in node.output}
    for node in reversed(graph.node):
        if len(node.output) == 1 and node.output[0] in found:
            dims = found[node.output[0]]
            for name in _of_same_shape(node, numbers):
                found.setdefault(name, dims)
            # What is added to one number in some dimensions, and is as large then, is one, too.
            if dims and set(dims) == {1} and not single.keys().isdisjoint(node.input):
                others = [name for name in _of_same_shape(node, {*single}) if name in cut]
                found.update({name: dims for name in others if name not in found})
    return found


def _is_single(info: onnx.ValueInfoProto) -> bool:
    """Whether it is declared to have one element."""
    tensor = info.type.tensor_type
    return tensor.HasField("shape") and all(d.dim_value == 1 for d in tensor.shape.dim)


def _size(dim: onnx.TensorShapeProto.Dimension, sizes: Mapping[str, int]) -> int | None:
    if dim.HasField("dim_value"):
        return dim.dim_value if dim.dim_value >= 0 else None
    return sizes.get(dim.dim_param)


def _of_same_shape(node: onnx.NodeProto, numbers: set[str]) -> Iterator[str]:
    if not is_onnx(node.domain):
        return
    if node.op_type in _SAME:
        yield from node.input[:1]
    elif node.op_type in _OF_TWO and len(node.input) == 2:
        first, second = node.input
        yield from [first] if second in numbers else [second] if first in numbers else []
