"""Seeded random inputs that a model can take: what it does with an integer tells its range."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx.shape_inference
from numpy.typing import NDArray
from onnx import TensorProto, helper

from luthier.frontend import ReadModel
from luthier.frontend.onnx.scopes import every_node
from luthier.frontend.onnx.strip_weights import strip_weights
from luthier.schedules.errors import LuthierError
from luthier.schedules.ir.dtype import DTYPES

from .caches import lengths
from .constants import Constants
from .ranges import Range
from .texts import random_texts

Array = NDArray[Any]

# Operators whose first argument, or any of several, keeps its elements' values.
_CARRIERS = frozenset(
    {"Cast", "CastLike", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Tile"}
    | {"Transpose", "Unsqueeze", "Split", "Floor", "Round", "Ceil", "Pad", "Clip", "Abs"}
)
_ALL_CARRIERS = frozenset({"Concat", "Where", "Max", "Min"})
# Operator -> the argument that holds indices; argument 0 is what they point into.
_LOOKUPS = {"Gather": 1, "GatherElements": 1, "ScatterElements": 1, "Scatter": 1}
_ND_LOOKUPS = {"GatherND": 1, "ScatterND": 1}
RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
# Of numbers that are multiplied as they are.
_FACTORS = {
    **dict.fromkeys(("ConvInteger", "MatMulInteger"), (0, 1)),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul"), (0, 3)),
}
_COMPARISONS = frozenset({"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"})
_NUMERIC = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
_MOST = 1 << 31  # indices beyond it need tables beyond any memory


_TRIPS = Range(0, 8)  # how often a loop runs
_FLAG = Range(0, 1)  # of what nothing is known: a mask, say


def inputs_at(read: ReadModel, sizes: Mapping[str, int], seed: int) -> dict[str, Array]:
    """``random_inputs`` of a model that was read, with these sizes where it leaves some open."""
    if read.open is None:
        found = random_inputs(read.proto, seed)
    else:
        model = read.sized.at(read.open.at(sizes))
        found = random_inputs(model, seed, constants=read.sized.weights.keys())
    if read.spoken is not None:
        rng = np.random.default_rng((seed, len(read.widths)))
        texts = found.keys() & read.widths.keys()
        found |= {n: random_texts(read.spoken, found[n].shape, rng) for n in sorted(texts)}
    return found


def random_inputs(
    model: onnx.ModelProto, seed: int, *, constants: Collection[str] = ()
) -> dict[str, Array]:
    """One array per model input that is none of the ``constants``; the shapes must be static.

    Floats are standard normal, booleans fair coins. Integers, and floats that become integers, are
    drawn evenly from a range that their use tells: inside the axis that they index, below the depth
    of a one-hot, steps that sequences may have, from the smallest to the largest constant that they
    are compared with. Bytes that become numbers, as pixels and quantised values do, have all values
    of their type; other integers are 0 or 1, but for those of fewer than 8 bits, which have all
    values of their type, too.
    """
    rng = np.random.default_rng(seed)
    weights = {*constants, *(w.name for w in model.graph.initializer)}
    ranges = _ranges(_analysed(model), model.graph)
    return {
        value.name: _random(value, ranges.get(value.name), rng)
        for value in model.graph.input
        if value.name not in weights
    }


def _random(value: onnx.ValueInfoProto, known: Range | None, rng: np.random.Generator) -> Array:
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value for d in tensor.shape.dim)
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    element = DTYPES[dtype.name]
    if dtype == np.bool_:
        return np.asarray(rng.integers(0, 2, shape) == 1)
    if element.is_whole:
        low, high = element.limits
        whole = Range(low, high) if element.is_narrow else _FLAG
        found = Range(low, min(_MOST, high)) & (known or whole)
        return np.asarray(rng.integers(found.low, found.high + 1, shape)).astype(dtype)
    if known is not None and known.whole:
        return np.asarray(rng.integers(known.low, known.high + 1, shape)).astype(dtype)
    drawn = np.asarray(rng.standard_normal(shape))
    return (np.exp2(np.rint(drawn)) if dtype.name == "float8_e8m0fnu" else drawn).astype(dtype)


def _analysed(model: onnx.ModelProto) -> onnx.GraphProto:
    """The model's graph with its functions expanded and its shapes computed, where integers matter.

    What the importer refuses is looked at as it is.
    """
    floats = all(i.type.tensor_type.elem_type in _NUMERIC for i in model.graph.input)
    if not floats or any(node.op_type in ("Cast", "CastLike") for node in model.graph.node):
        with suppress(LuthierError, onnx.shape_inference.InferenceError):
            return onnx.shape_inference.infer_shapes(strip_weights(model)[0]).graph
    return model.graph


def _ranges(graph: onnx.GraphProto, own: onnx.GraphProto) -> dict[str, Range]:
    """What is known of each value's elements, from the operators that take it; ``own`` is the graph
    as it was read.

    A comparison with a single number, of a token with the one that pads, say, counts where nothing
    else is known.
    """
    constants = Constants(graph)
    told = _told(graph, constants, lengths(own, constants))
    return {
        **_walk(graph, constants, told, single=True),
        **_walk(graph, constants, told, single=False),
    }


def _told(
    graph: onnx.GraphProto, constants: Constants, lengths: Mapping[str, Range]
) -> dict[str, Range]:
    """Numbers of rows, and what they are made of: of a mask whose sum is one, each element."""
    told = dict(lengths)
    for node in reversed(list(every_node(graph.node))):
        if not node.output or node.output[0] not in told:
            continue
        found = told[node.output[0]]
        for name in _carried(node):
            told.setdefault(name, found)
        if node.op_type in ("Add", "Sub"):
            name, shifted = _shifted(node, found, constants)
            if name and shifted is not None:
                told.setdefault(name, shifted)
        elif node.op_type == "ReduceSum":
            shapes = [constants.shape(name) for name in (node.input[0], node.output[0])]
            whole, left = (math.prod(shape or [0]) for shape in shapes)
            if whole and left:
                told.setdefault(node.input[0], found.of_each(whole // left))
    return told


def _walk(
    graph: onnx.GraphProto, constants: Constants, told: Mapping[str, Range], *, single: bool
) -> dict[str, Range]:
    """From the uses back to the model's inputs; what is ``told`` counts alone."""
    ranges = dict(told)

    def limit(name: str, found: Range | None) -> None:
        if found is not None and name and name not in told:
            ranges[name] = found & ranges.get(name)

    for node in reversed(list(every_node(graph.node))):
        for name, found in _uses(node, constants, single=single):
            limit(name, found)
        carried = [_through(node, ranges[name]) for name in node.output if name in ranges]
        for name in _carried(node):
            for found in carried:
                limit(name, found)
        if node.op_type in ("Add", "Sub") and carried:
            limit(*_shifted(node, carried[0], constants))
    return ranges


def _uses(
    node: onnx.NodeProto, constants: Constants, *, single: bool
) -> Iterable[tuple[str, Range | None]]:
    """Values that a node takes for indices, or compares with constants, and their ranges."""
    if node.op_type in _LOOKUPS:
        yield (
            node.input[_LOOKUPS[node.op_type]],
            _inside(constants.shape(node.input[0]), _axis(node)),
        )
    elif node.op_type in _ND_LOOKUPS:
        indices = node.input[_ND_LOOKUPS[node.op_type]]
        yield indices, _inside_any(constants, node.input[0], indices)
    elif node.op_type in RECURRENT and len(node.input) > 4:
        yield node.input[4], _steps(node, constants)
    elif node.op_type == "Loop":
        yield node.input[0], _TRIPS
    elif node.op_type == "OneHot":
        depth = constants.limits(node.input[1])
        yield node.input[0], Range(0, depth[1] - 1, True) if depth and depth[1] > 0 else None
    elif node.op_type in _COMPARISONS:
        for name, other in (node.input, reversed(node.input)):
            limits = constants.limits(other)
            if limits is not None and (single or limits[0] < limits[1]):
                yield name, Range(*limits) if limits[0] < limits[1] else _around(limits[0])
    else:
        for name in _become_numbers(node):
            yield name, _all_bytes(name, constants)


def _become_numbers(node: onnx.NodeProto) -> list[str]:
    """What a node computes with, whatever its type."""
    if node.op_type in ("Cast", "DequantizeLinear") and _to(node) in _NUMERIC:
        return list(node.input[:1])
    places = _FACTORS.get(node.op_type, ())
    return [node.input[place] for place in places if place < len(node.input)]


def _through(node: onnx.NodeProto, found: Range) -> Range:
    """What a node's result tells of its argument: what becomes an integer should be one."""
    integer = node.op_type == "Cast" and _to(node) not in (*_NUMERIC, TensorProto.BOOL)
    return replace(found, whole=True) if integer else found


def _carried(node: onnx.NodeProto) -> list[str]:
    if node.op_type in _CARRIERS:
        return list(node.input[:1])
    if node.op_type in _LOOKUPS or node.op_type in _ND_LOOKUPS:
        return list(node.input[:1])
    if node.op_type in _ALL_CARRIERS:
        return list(node.input[1:] if node.op_type == "Where" else node.input)
    return []


def _shifted(node: onnx.NodeProto, found: Range, constants: Constants) -> tuple[str, Range | None]:
    """The argument of a sum with a constant, as offsets into one large table are added."""
    first, second = (constants.limits(name) for name in node.input[:2])
    name, limits = (node.input[1], first) if first is not None else (node.input[0], second)
    if limits is None or (first is not None and node.op_type == "Sub"):
        return "", None
    low, high = limits if node.op_type == "Add" else (-limits[1], -limits[0])
    shifted = Range(found.low - low, found.high - high, found.whole)
    return name, shifted if shifted.low <= shifted.high else None


def _inside(shape: list[int] | None, axis: int) -> Range | None:
    if not shape or not -len(shape) <= axis < len(shape) or shape[axis] < 1:
        return None
    return Range(0, shape[axis] - 1, True)


def _steps(node: onnx.NodeProto, constants: Constants) -> Range | None:
    """How long a sequence of a recurrent layer may be."""
    batch_first = any(a.name == "layout" and a.i for a in node.attribute)
    shape = constants.shape(node.input[0])
    steps = shape[int(batch_first)] if shape and len(shape) == 3 else 0
    return Range(1, steps, True) if steps > 0 else None


def _inside_any(constants: Constants, data: str, indices: str) -> Range | None:
    """Of the axes that the last dimension of ``indices`` points into, the smallest."""
    shape, places = constants.shape(data), constants.shape(indices)
    sizes = (shape or [])[: places[-1] if places else None]
    return Range(0, min(sizes) - 1, True) if sizes and min(sizes) > 0 else None


def _around(number: int) -> Range:
    """What is compared with a single number is that or its neighbour, not below 0 if it is not."""
    return Range(number - 1, number) if number > 0 else Range(number, number + 1)


def _all_bytes(name: str, constants: Constants) -> Range | None:
    """All values of a byte that becomes a number."""
    limits: dict[int, tuple[int, int]] = {
        TensorProto.UINT8: (0, 255),
        TensorProto.INT8: (-128, 127),
    }
    found = limits.get(constants.element_type(name))
    return Range(*found) if found else None


def _to(node: onnx.NodeProto) -> int:
    """The element type of a Cast's result; a DequantizeLinear's is a float's."""
    return next((a.i for a in node.attribute if a.name == "to"), TensorProto.FLOAT)


def _axis(node: onnx.NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "axis"), 0)
