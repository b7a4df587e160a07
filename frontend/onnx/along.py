"""ONNX operators that move, sum or multiply along dimensions, each row as far as it is told."""

from __future__ import annotations

import math

from luthier.schedules import ModelError

from ..composites import columns, places
from ..composites.window import Window
from ..graph.emitter import MOST_ELEMENTS
from .node import OnnxNode, Operator


def _reverse_sequence(node: OnnxNode) -> int:
    """The first elements of each row, as many as it is told, in the opposite order."""
    t, time, batch = node.t, node.attr("time_axis", 0), node.attr("batch_axis", 1)
    if node.rank < 2 or {time, batch} != {0, 1}:
        raise node.unsupported(f"time_axis={time} and batch_axis={batch} of {node.rank} dimensions")
    lengths = t.cast(node.given(1), "int64")
    if t.shape(lengths) != (node.shape[batch],):
        raise ModelError(f"{node.label}: its lengths are {list(t.shape(lengths))}, not one a row")
    node.check_lengths(lengths, node.shape[time])
    lengths = t.emit("minimum", lengths, t.literal(node.shape[time], lengths))
    lengths = places.along(t, lengths, node.rank, batch)
    step = places.numbers(t, node.shape, time)
    mirrored = t.emit("subtract", t.emit("subtract", lengths, t.literal(1, lengths)), step)
    turned = t.emit("where", t.emit("less", step, lengths), mirrored, step)
    turned = places.bounded(t, turned, node.shape[time])
    # What is at a step of a row is moved as a whole.
    first, second, rest = *node.shape[:2], math.prod(node.shape[2:])
    row = places.numbers(t, node.shape, batch)
    outer, inner = (turned, row) if time == 0 else (row, turned)
    number = t.emit("add", t.emit("multiply", outer, t.literal(second, outer)), inner)
    flat = t.reshape(node.x, (first * second, rest))
    moved = t.emit("take", flat, t.reshape(number, (first * second,)), axis=0)
    return t.reshape(moved, node.shape)


def _tensor_scatter(node: OnnxNode) -> int:
    """A cache whose elements from a place on are others; past its end they begin at its start."""
    t, update = node.t, node.given(1)
    axis, shape = node.axis(node.attr("axis", -2)), t.shape(update)
    others = [*node.shape[:axis], 0, *node.shape[axis + 1 :]]
    if [*shape[:axis], 0, *shape[axis + 1 :]] != others or shape[axis] > node.shape[axis]:
        raise ModelError(f"{node.label}: {list(shape)} does not fit into {list(node.shape)}")
    if axis == 0:
        raise ModelError(f"{node.label}: its axis is the one of the batch")
    from_start = places.numbers(t, node.shape, axis)
    begins = node.input(2)
    if begins is not None:
        if t.shape(begins) != node.shape[:1]:
            raise ModelError(
                f"{node.label}: its indices are {list(t.shape(begins))}, not one a row"
            )
        begins = places.along(t, t.cast(begins, "int64"), node.rank, 0)
        from_start = t.emit("subtract", from_start, begins)
    if node.attr("mode", "linear") == "circular":
        size = t.literal(node.shape[axis], from_start)
        from_start = t.emit("floor_mod", from_start, size)
    new = places.inside(t, from_start, shape[axis])
    index = t.broadcast(places.bounded(t, from_start, shape[axis]), node.shape)
    moved = t.emit("take_along", update, index, axis=axis)
    return t.emit("where", new, moved, node.x)


def _col2im(node: OnnxNode) -> int:
    """Blocks that slide over an image, added where they overlap."""
    sizes, kernel = (_numbers(node, index) for index in (1, 2))
    count = len(sizes)
    strides = tuple(node.attr("strides", None) or (1,) * count)
    dilations = tuple(node.attr("dilations", None) or (1,) * count)
    pads = tuple(node.attr("pads", None) or (0,) * (2 * count))
    window = Window(kernel, strides, dilations, pads)
    lists = (sizes, kernel, strides, dilations)
    if any(len(n) != count or not all(1 <= d <= MOST_ELEMENTS for d in n) for n in lists):
        raise node.unsupported(f"an image of {list(sizes)} by {window}")
    if len(pads) != 2 * count or not all(0 <= p <= MOST_ELEMENTS for p in pads):
        raise node.unsupported(f"padding by {list(pads)}")
    places_of = window.places(sizes)
    fits = node.rank == 3 and min(places_of, default=0) > 0
    if not fits or node.shape[2] != math.prod(places_of) or node.shape[1] % math.prod(kernel):
        raise ModelError(
            f"{node.label}: blocks {list(node.shape)} are not those of {list(kernel)} in an image "
            f"of {list(sizes)}"
        )
    for size, each, blocks in zip(sizes, kernel, places_of, strict=True):
        node.check_table(max(size * each, each * blocks))
    return columns.image(node.t, node.x, sizes, window, places_of)


def _numbers(node: OnnxNode, index: int) -> tuple[int, ...]:
    known = node.constant(index, "a shape")
    return () if known is None else tuple(int(d) for d in known.reshape(-1))


OPERATORS: dict[str, Operator] = {
    "Col2Im": Operator(_col2im, build_time=(1, 2), in_steps=True),
    "ReverseSequence": Operator(_reverse_sequence),
    "TensorScatter": Operator(_tensor_scatter),
}
