"""How many rows of a cache there may be: numbers that operators with caches are given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx

from luthier.frontend.onnx.microsoft.caches import is_in_place
from luthier.frontend.onnx.scopes import every_node

from .constants import Constants
from .ranges import Range

_PAST, _LAST, _TOTAL = 3, 5, 6  # of GroupQueryAttention
_WRITTEN, _COUNTS = 2, 6  # of TensorScatter and of Attention
_Found = Iterable[tuple[str, Range]]


def lengths(graph: onnx.GraphProto, constants: Constants) -> dict[str, Range]:
    """Of values of a graph, as it was read, what its operators take for numbers of rows.

    ``constants`` are of the same graph once its shapes are known.
    """
    return {
        name: found
        for node in every_node(graph.node)
        for name, found in _lengths(node, constants)
        if name
    }


def _lengths(node: onnx.NodeProto, constants: Constants) -> _Found:
    if node.op_type == "GroupQueryAttention":
        return _of_groups(node, constants)
    if node.op_type == "TensorScatter":
        return _written(node, constants)
    return _counted(node, constants) if node.op_type == "Attention" and not node.domain else ()


def _of_groups(node: onnx.NodeProto, constants: Constants) -> Iterator[tuple[str, Range]]:
    """All keys are there, but of a cache in place: that has room for some more."""
    query = constants.shape(node.input[0])
    if not query or len(query) != 3 or len(node.input) <= _TOTAL:
        return
    past, rows = constants.shape(node.input[_PAST]) if node.input[_PAST] else None, query[1]
    room = past[2] if past and len(past) == 4 else 0
    kept = is_in_place(node) and room >= rows
    keys = room if kept else room + rows
    said = constants.limits(node.input[_TOTAL])
    if said is not None and rows <= said[1] <= keys:
        yield node.input[_LAST], Range(said[1] - 1, said[1] - 1, True)
        return
    yield node.input[_TOTAL], Range(keys, keys, True)
    yield node.input[_LAST], Range((rows if kept else keys) - 1, keys - 1, True)


def _written(node: onnx.NodeProto, constants: Constants) -> Iterator[tuple[str, Range]]:
    """New rows have room where they are written."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), -2)
    shapes = [constants.shape(name) for name in node.input[:2]]
    if len(node.input) > _WRITTEN and all(shape and axis < len(shape) for shape in shapes):
        whole, new = (shape[axis] for shape in shapes if shape)
        if 0 < new <= whole:
            yield node.input[_WRITTEN], Range(0, whole - new, True)


def _counted(node: onnx.NodeProto, constants: Constants) -> Iterator[tuple[str, Range]]:
    """Keys that are no padding: one at least."""
    keys = constants.shape(node.input[1])
    if len(node.input) > _COUNTS and keys and keys[-2] > 0:
        yield node.input[_COUNTS], Range(1, keys[-2], True)
