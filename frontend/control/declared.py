"""The shapes that a model declares of its outputs, and of what these have the shape of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TypeAlias

import onnx

from ..graph import Array
from ..onnx.opset import attributes_of, is_onnx
from .stages import is_finder

Dims: TypeAlias = Sequence[int | None]
Known: TypeAlias = Callable[[str], Array | None]
"""Of a value by its name: its numbers, where they are few and known."""

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
_BEYOND = 2**31 - 1  # no dimension is as large
# Their result has as many dimensions as their first input.
_OF_SAME_RANK = frozenset({"Pad", "Slice", "Tile"})
# Of these the operand that has the axes which it is along; others are the same before and after.
_AXES = {"Slice": 3, "Squeeze": 1, "Unsqueeze": 1}


def declared_shapes(
    graph: onnx.GraphProto,
    nodes: Sequence[onnx.NodeProto],
    known: Known,
    sizes: Mapping[str, int],
) -> dict[str, Dims]:
    """By value; None for dimensions that are left open and have no name among ``sizes``.

    ``nodes``, in order, are what is left of the graph's. What movements make is not followed where
    runs find sizes: an exporter may have declared what one of its own runs found.
    """
    finds = any(map(is_finder, nodes))
    found: dict[str, Dims] = {
        output.name: tuple(_size(dim, sizes) for dim in output.type.tensor_type.shape.dim)
        for output in graph.output
        if output.type.tensor_type.HasField("shape")
    }
    single = {i.name for i in graph.input if _is_single(i)}
    cut = {o for node in nodes if node.op_type in _OF_SAME_RANK for o in node.output}

    def is_number(name: str) -> bool:
        array = known(name)
        return array is not None and not array.shape

    for node in reversed(nodes):
        if len(node.output) == 1 and node.output[0] in found and is_onnx(node.domain):
            dims = found[node.output[0]]
            for name in _of_same_shape(node, is_number):
                found.setdefault(name, dims)
            for name, moved in () if finds else _moved(node, dims, known):
                found.setdefault(name, moved)
            # What is added to one number in some dimensions, and is as large then, is one, too.
            if dims and set(dims) == {1} and not single.isdisjoint(node.input):
                others = [name for name in _of_same_shape(node, single.__contains__) if name in cut]
                found.update({name: dims for name in others if name not in found})
    return found


def with_joined(
    nodes: Sequence[onnx.NodeProto],
    declared: Mapping[str, Dims],
    shape_of: Callable[[str], Sequence[int] | None],
    known: Known,
) -> dict[str, Dims]:
    """The same, and those of what the nodes, in order, join with values of which ``shape_of`` tells
    the shape: but for that along which they are joined, their sizes are one."""
    joined, found = dict[str, Dims](), dict(declared)
    for node in reversed([node for node in nodes if is_onnx(node.domain)]):
        dims = joined.get(node.output[0], ()) if len(node.output) == 1 else ()
        if node.op_type == "Concat":
            shapes = (shape_of(name) for name in node.input)
            dims = next((shape for shape in shapes if shape), dims)
        some = [(name, dims) for name in node.input[:1] if node.op_type in _SAME and dims]
        for name, own in (*some, *(_moved(node, dims, known) if dims else ())):
            joined[name] = _merged(joined.get(name, ()), own)
    for name, dims in joined.items():
        found[name] = _merged(found.get(name, ()), dims)
    return found


def _merged(one: Dims, other: Dims) -> Dims:
    """What is told first of each dimension."""
    if len(one) != len(other):
        return one or other
    return tuple(b if a is None else a for a, b in zip(one, other, strict=True))


def _is_single(info: onnx.ValueInfoProto) -> bool:
    """Whether it is declared to have one element."""
    tensor = info.type.tensor_type
    return tensor.HasField("shape") and all(d.dim_value == 1 for d in tensor.shape.dim)


def _size(dim: onnx.TensorShapeProto.Dimension, sizes: Mapping[str, int]) -> int | None:
    if dim.HasField("dim_value"):
        return dim.dim_value if dim.dim_value >= 0 else None
    return sizes.get(dim.dim_param)


def _of_same_shape(node: onnx.NodeProto, is_number: Callable[[str], bool]) -> Iterator[str]:
    if node.op_type in _SAME:
        yield from node.input[:1]
    elif node.op_type in _OF_TWO and len(node.input) == 2:
        first, second = node.input
        yield from [first] if is_number(second) else [second] if is_number(first) else []


def _moved(node: onnx.NodeProto, dims: Dims, known: Known) -> Iterator[tuple[str, Dims]]:
    """The shapes of what a node moves, by its result's."""
    attrs = attributes_of(node)
    rank = len(dims)
    if node.op_type == "Transpose" and rank:
        order = attrs.get("perm", [*reversed(range(rank))])
        if sorted(order) == [*range(rank)]:
            yield node.input[0], tuple(dims[order.index(i)] for i in range(rank))
    elif node.op_type == "Concat" and -rank <= attrs.get("axis", rank) < rank:
        axis = attrs["axis"] % rank
        for name in node.input:
            yield name, tuple(None if i == axis else d for i, d in enumerate(dims))
    elif node.op_type in _AXES and len(node.input) > _AXES[node.op_type]:
        given = known(node.input[_AXES[node.op_type]])
        axes = [] if given is None else given.reshape(-1).tolist()
        whole = whole_axes(node, known) if node.op_type == "Slice" else ()
        left = [axis for axis, all_of in zip_longest(axes, whole) if not all_of]
        before = None if given is None else _before(node.op_type, left, dims)
        if before is not None:
            yield node.input[0], before


def whole_axes(node: onnx.NodeProto, known: Known) -> list[bool]:
    """Of the axes of a ``Slice`` whether it takes all that there is."""
    names = (*node.input, "", "", "")
    starts, ends, steps = (known(names[i]) if names[i] else None for i in (1, 2, 4))
    if starts is None or ends is None or (steps is None and names[4]):
        return []
    each = zip_longest(starts.flat, ends.flat, () if steps is None else steps.flat, fillvalue=1)
    return [start == 0 and end >= _BEYOND and step == 1 for start, end, step in each]


def _before(op: str, axes: Sequence[int], dims: Dims) -> Dims | None:
    """The shape of what becomes ``dims`` by an operator that is along axes; None where that cannot
    be."""
    rank = len(dims) + (len(axes) if op == "Squeeze" else 0)
    if len({axis % rank for axis in axes if -rank <= axis < rank}) < len(axes):
        return None
    along, rest = {axis % rank for axis in axes}, iter(dims)
    if op == "Squeeze":
        return tuple(1 if i in along else next(rest) for i in range(rank))
    if op == "Unsqueeze":
        return tuple(d for i, d in enumerate(dims) if i not in along)
    return tuple(None if i in along else d for i, d in enumerate(dims))
