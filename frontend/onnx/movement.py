"""ONNX operators that move elements to other places."""

from __future__ import annotations

from functools import partial

import numpy as np

from luthier.schedules import ModelError

from ..composites import movement
from ..graph.emitter import MOST_ELEMENTS
from .node import OnnxNode, Operator

_PADDING = ("constant", "reflect", "edge", "wrap")


def _pad(node: OnnxNode) -> int:
    t, widths = node.t, _pad_widths(node)
    mode = node.attr("mode", "constant")
    value = node.setting("value", 2)
    number = value.item() if value is not None else 0
    if mode not in _PADDING:
        raise node.unsupported(f"the padding mode '{mode}'")
    pad = partial(
        movement.pad,
        t,
        cuts=node.moves("cut", here=any(w < 0 for pair in widths for w in pair)),
        pads=node.moves("pad", here=any(w > 0 for pair in widths for w in pair)),
    )
    if number == number and float(number) != number:  # whole numbers wrap around
        fill = node.number(number)
        less = t.emit("subtract", node.x, fill)
        return t.emit("add", pad(less, widths, mode, 0.0), fill)
    return pad(node.x, widths, mode, float(number))


def _pad_widths(node: OnnxNode) -> list[tuple[int, int]]:
    """Elements before and after each dimension; negative ones are cut off."""
    given = node.setting("paddings" if "paddings" in node.attrs else "pads", 1)
    if given is None:
        raise node.unsupported("padding of unknown width")
    axes = node.constant(3, "'axes'")
    named = range(node.rank) if axes is None else node.axes(axes)
    widths = [(0, 0)] * node.rank
    count = len(given) // 2
    for axis, before, after in zip(named, given[:count], given[count:], strict=True):
        widths[axis] = int(before), int(after)
    return widths


def _concat(node: OnnxNode) -> int:
    return movement.concat(node.t, node.every, node.axis(node.attr("axis", 0)))


def _split(node: OnnxNode) -> tuple[int, ...]:
    """Sizes are an attribute until operator set 11, an input since; else they are equal."""
    axis = node.axis(node.attr("axis", 0))
    size, given = node.shape[axis], node.setting("split", 1)
    if given is None or not given.size:
        step = -(-size // node.outputs)
        sizes = [min(step, size - i * step) for i in range(node.outputs)]
    else:
        sizes = [int(s) for s in given.reshape(-1)]
    if sum(sizes) != size or min(sizes) < 1 or len(sizes) < node.outputs:
        raise ModelError(f"{node.label}: {size} elements do not split into {sizes}")
    return movement.split(node.t, node.x, sizes, axis)


def _tile(node: OnnxNode) -> int:
    repeats = node.constant(1, "a number of repetitions")
    if repeats is None or repeats.size != node.rank:
        raise node.unsupported("this number of repetitions")
    return movement.tile(node.t, node.x, [int(r) for r in repeats.reshape(-1)])


def _expand(node: OnnxNode) -> int:
    """To what NumPy broadcasts the shape and the given one to."""
    given = node.constant(1, "a shape")
    wanted = [] if given is None else [int(d) for d in given.reshape(-1)]
    try:
        shape = np.broadcast_shapes(node.shape, tuple(wanted))
    except ValueError as error:
        raise ModelError(f"{node.label}: {list(node.shape)} does not expand to {wanted}") from error
    return node.t.broadcast(node.x, shape)


def _slice(node: OnnxNode) -> int:
    """Bounds are attributes until operator set 10, inputs since."""
    starts, ends = node.setting("starts", 1), node.setting("ends", 2)
    axes, steps = node.setting("axes", 3), node.setting("steps", 4)
    if starts is None or ends is None:
        raise node.unsupported("a slice without bounds")
    count = len(starts)
    named = range(count) if axes is None else node.axes(axes)
    strides = [1] * count if steps is None else [int(s) for s in steps]
    if 0 in strides or len(set(named)) < count:
        raise node.unsupported("a slice with step 0, or of one axis twice,")
    strides = [min(max(s, -MOST_ELEMENTS), MOST_ELEMENTS) for s in strides]  # which is as far
    bounds = [
        slice(int(a), int(b), step).indices(node.shape[axis])
        for a, b, step, axis in zip(starts, ends, strides, named, strict=True)
    ]
    whole = [(0, node.shape[axis], 1) for axis in named]
    kept = node.moves("cut", here=bounds != whole)
    return movement.strided_slice(node.t, node.x, list(named), bounds, kept=kept)


def _transpose(node: OnnxNode) -> int:
    order = node.attr("perm", range(node.rank)[::-1])
    axes = node.axes(order)
    if len(axes) != node.rank:
        raise ModelError(f"{node.label}: its order {list(order)} is not of {node.rank} dimensions")
    return node.t.transpose(node.x, axes)


def _space_to_depth(node: OnnxNode) -> int:
    t = node.t
    n, c, h, w = node.shape
    block = node.attr("blocksize", 1)
    split = t.reshape(node.x, (n, c, h // block, block, w // block, block))
    order = (0, 1, 3, 5, 2, 4) if node.attr("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)
    return t.reshape(t.transpose(split, order), (n, c * block * block, h // block, w // block))


def _depth_to_space(node: OnnxNode) -> int:
    t = node.t
    n, c, h, w = node.shape
    block = node.attr("blocksize", 1)
    channels = c // block**2
    if node.attr("mode", "DCR") == "CRD":
        split, order = (n, channels, block, block, h, w), (0, 1, 4, 2, 5, 3)
    else:
        split, order = (n, block, block, channels, h, w), (0, 3, 4, 1, 5, 2)
    moved = t.transpose(t.reshape(node.x, split), order)
    return t.reshape(moved, (n, channels, h * block, w * block))


OPERATORS: dict[str, Operator] = {
    "Concat": Operator(_concat, any_type=True),
    "DepthToSpace": Operator(_depth_to_space, any_type=True),
    "Expand": Operator(_expand, build_time=(1,), any_type=True),
    "Pad": Operator(_pad, build_time=(1, 2, 3)),
    "Slice": Operator(_slice, build_time=(1, 2, 3, 4), any_type=True),
    "SpaceToDepth": Operator(_space_to_depth, any_type=True),
    "Split": Operator(_split, build_time=(1,), any_type=True),
    "Tile": Operator(_tile, build_time=(1,), any_type=True),
    "Transpose": Operator(_transpose, any_type=True),
}
