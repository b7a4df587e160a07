"""ONNX operators that read or write at places that other tensors give."""

from __future__ import annotations

from luthier.schedules import ModelError

from ..composites import grids, indexing, movement
from .node import OnnxNode, Operator

_METHODS = {"linear": "bilinear", "cubic": "bicubic"}


def _gather(node: OnnxNode) -> int:
    """Negative indices count from the end."""
    axis, indices = node.axis(node.attr("axis", 0)), node.given(1)
    size, known = node.shape[axis], node.t.known(indices)
    if known is not None and not -size <= known.min() <= known.max() < size:
        raise ModelError(f"{node.label}: an index is outside of a dimension of size {size}")
    return movement.take(node.t, node.x, indices, axis)


def _gather_elements(node: OnnxNode) -> int:
    axis = node.axis(node.attr("axis", 0))
    return indexing.gather_elements(node.t, node.x, node.given(1), axis)


def _gather_nd(node: OnnxNode) -> int:
    first, indices = int(node.attr("batch_dims", 0)), node.given(1)
    wrapped = indexing.wrapped(node.t, indices, _places(node, first))
    return indexing.gather_nd(node.t, node.x, wrapped, first)


def _scatter_nd(node: OnnxNode) -> int:
    places, updates = _places(node, 0), node.t.shape(node.given(2))
    wanted = (*node.t.shape(node.given(1))[:-1], *node.shape[len(places) :])
    if updates != wanted:
        raise ModelError(
            f"{node.label}: its updates are {list(updates)}, and {list(wanted)} go with its indices"
        )
    wrapped = indexing.wrapped(node.t, node.given(1), places)
    return indexing.scatter_nd(node.t, node.x, wrapped, node.given(2), _reduction(node))


def _places(node: OnnxNode, first: int) -> tuple[int, ...]:
    """Sizes of the dimensions, from the ``first`` on, that the indices' last dimension names."""
    *_, count = node.t.shape(node.given(1)) or (0,)
    if not 0 <= first < node.rank or not 1 <= count <= node.rank - first:
        shapes = f"{list(node.t.shape(node.given(1)))} of an input of {node.rank} dimensions"
        raise node.unsupported(f"an index of the shape {shapes}")
    return node.shape[first : first + count]


def _reduction(node: OnnxNode) -> str:
    named = str(node.attr("reduction", "none"))
    return "update" if named == "none" else named


def _scatter_elements(node: OnnxNode) -> int:
    """Indices may have fewer elements along the other dimensions."""
    t, indices, updates = node.t, node.given(1), node.given(2)
    axis, shape = node.axis(node.attr("axis", 0)), t.shape(indices)
    inside = len(shape) == node.rank and all(
        n <= of for d, (n, of) in enumerate(zip(shape, node.shape, strict=True)) if d != axis
    )
    if not inside or t.shape(updates) != shape:
        given = f"updates {list(t.shape(updates))} at indices {list(shape)}"
        raise node.unsupported(f"{given} of an input {list(node.shape)}")
    wrapped = indexing.wrapped(t, indices, node.shape[axis])
    return indexing.scatter_elements(t, node.x, wrapped, updates, axis, _reduction(node))


def _grid_sample(node: OnnxNode) -> int:
    """By the methods and paddings of the standard."""
    if not node.element.is_float:
        raise node.unsupported(f"an image of {node.dtype}")
    padding, corners = node.attr("padding_mode", "zeros"), bool(node.attr("align_corners", 0))
    if node.rank not in (4, 5):
        raise node.unsupported(f"an image of {node.rank} dimensions")
    mode = node.attr("mode", "bilinear")
    method = _METHODS.get(mode, mode)
    if node.rank == 5 and method == "bicubic":
        raise node.unsupported("cubic interpolation of three dimensions")
    grid = node.given(1)
    return grids.grid_sample(node.t, node.x, grid, method, padding, align_corners=corners)


OPERATORS: dict[str, Operator] = {
    "Gather": Operator(_gather, any_type=True),
    "GatherElements": Operator(_gather_elements, any_type=True),
    "GatherND": Operator(_gather_nd),
    "GridSample": Operator(_grid_sample, in_steps=True),
    "Scatter": Operator(_scatter_elements),
    "ScatterElements": Operator(_scatter_elements),
    "ScatterND": Operator(_scatter_nd),
}
