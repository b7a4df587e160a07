"""ONNX operators that read an image where other tensors say: regions of interest, and windows
whose taps are moved."""

from __future__ import annotations

import math
from functools import partial, reduce

from luthier.schedules import ModelError

from ..composites import math as composite
from ..composites import places, region_maxima, sampling
from ..graph.emitter import MOST_ELEMENTS, Emitter
from .node import OnnxNode, Operator
from .windows import check_bias, checked_window


def _roi_align(node: OnnxNode) -> int:
    """He et al. 2017. Of samples whose number is given, elements are read; else all are weighed."""
    t, mode = node.t, node.attr("mode", "avg")
    down, across = node.attr("output_height", 1), node.attr("output_width", 1)
    samples = node.attr("sampling_ratio", 0)
    count = _check_regions(node, 4, (down, across))
    if t.shape(node.given(2)) != (count,) or mode not in ("avg", "max") or samples < 0:
        raise node.unsupported(f"the mode '{mode}' of {samples} samples")
    ends = _ends(node, count)
    x = t.cast(node.x, node.wide)
    images = places.bounded(t, t.cast(node.given(2), "int64"), node.shape[0])
    sides = ((ends[1], ends[3], down, node.shape[2]), (ends[0], ends[2], across, node.shape[3]))
    if samples == 0 and mode == "max":
        rows, columns = (
            region_maxima.reach(t, first, bins, _extent(node, first, last), size)
            for first, last, bins, size in sides
        )
        y = region_maxima.largest(t, t.emit("take", x, images, axis=0), rows, columns)
        return t.cast(y, node.dtype)
    if samples == 0:
        shares = [
            sampling.shares_of_samples(t, first, bins, _extent(node, first, last), size)
            for first, last, bins, size in sides
        ]
        y = sampling.weighted(t, t.emit("take", x, images, axis=0), *shares)
        return t.cast(y, node.dtype)
    at = [
        _sample_places(node, first, _extent(node, first, last), bins, samples)
        for first, last, bins, _ in sides
    ]
    height, width = node.shape[2:]
    down_at = sampling.edged(t, t.reshape(at[0], (count, down * samples, 1)), height)
    across_at = sampling.edged(t, t.reshape(at[1], (count, 1, across * samples)), width)
    image = t.emit("multiply", images, t.literal(height * width, images))
    image = t.reshape(image, (count, 1, 1))
    found = sampling.corners(t, sampling.pixels(t, x), image, down_at, across_at, width)
    whole = reduce(partial(t.emit, "add" if mode == "avg" else "maximum"), found)
    whole = t.reshape(whole, (count, down, samples, across, samples, node.shape[1]))
    y = t.emit("mean" if mode == "avg" else "max", whole, axes=(2, 4), keepdims=False)
    return t.cast(t.transpose(y, (0, 3, 1, 2)), node.dtype)


def _check_regions(node: OnnxNode, columns: int, bins: tuple[int, int]) -> int:
    """How many there are, in rows of so many numbers."""
    shape = node.t.shape(node.given(1))
    if node.rank != 4 or len(shape) != 2 or shape[1] != columns:
        raise node.unsupported(f"regions {list(shape)} of an image {list(node.shape)}")
    if not all(1 <= b <= MOST_ELEMENTS for b in bins):
        raise node.unsupported(f"{bins[0]} by {bins[1]} bins")
    return shape[0]


def _ends(node: OnnxNode, count: int) -> list[int]:
    """Left, top, right and bottom of each region, in elements."""
    t = node.t
    whole = node.attr("coordinate_transformation_mode", "half_pixel" if node.opset >= 16 else "")
    offset = 0.5 if whole == "half_pixel" else 0.0
    rois = t.cast(node.given(1), node.wide)
    scaled = t.emit("multiply", rois, t.number(node.attr("spatial_scale", 1.0), node.wide))
    moved = t.emit("subtract", scaled, t.number(offset, node.wide))
    return [t.reshape(t.slice(moved, (0, i), (count, 1), (1, 1)), (count,)) for i in range(4)]


def _extent(node: OnnxNode, first: int, last: int) -> int:
    """At least an element where places are counted from corners."""
    size = node.t.emit("subtract", last, first)
    mode = node.attr("coordinate_transformation_mode", "half_pixel")
    if node.opset >= 16 and mode == "half_pixel":
        return size
    return node.t.emit("maximum", size, node.t.literal(1, size))


def _sample_places(node: OnnxNode, start: int, extent: int, bins: int, samples: int) -> int:
    """[regions, bins * samples], evenly spaced in each bin."""
    t, count = node.t, node.t.shape(start)[0]
    start, extent = (t.reshape(v, (count, 1, 1)) for v in (start, extent))
    length = t.emit("divide", extent, t.literal(bins, extent))
    number = t.cast(places.numbers(t, (1, bins, 1), 1), node.wide)
    sample = t.cast(places.numbers(t, (1, 1, samples), 2), node.wide)
    middle = t.emit("add", sample, t.literal(0.5, sample))
    within = t.emit("divide", t.emit("multiply", middle, length), t.literal(samples, length))
    at = t.emit("add", t.emit("add", start, t.emit("multiply", number, length)), within)
    return t.reshape(at, (count, bins * samples))


def _max_roi_pool(node: OnnxNode) -> int:
    """Girshick 2015: the largest elements of bins of whole elements, which overlap."""
    t, bins = node.t, tuple(node.attr("pooled_shape", ()))
    if len(bins) != 2:
        raise node.unsupported(f"bins {list(bins)}")
    count = _check_regions(node, 5, (bins[0], bins[1]))
    rois = t.cast(node.given(1), node.wide)
    columns = [
        t.reshape(t.slice(rois, (0, i), (count, 1), (1, 1)), (count, 1, 1)) for i in range(5)
    ]
    scale = t.number(node.attr("spatial_scale", 1.0), node.wide)
    half = t.number(0.5, node.wide)
    left, top, right, bottom = (
        t.emit("floor", t.emit("add", t.emit("multiply", c, scale), half)) for c in columns[1:]
    )
    images = places.bounded(t, t.cast(t.reshape(columns[0], (count,)), "int64"), node.shape[0])
    masks = [
        _bins(node, first, last, number, size)
        for first, last, number, size in (
            (top, bottom, bins[0], node.shape[2]),
            (left, right, bins[1], node.shape[3]),
        )
    ]
    return sampling.largest(t, t.emit("take", node.x, images, axis=0), *masks)


def _bins(node: OnnxNode, first: int, last: int, bins: int, size: int) -> int:
    """[regions, bins, size]: which elements are in each bin."""
    t = node.t
    one = t.literal(1, first)
    extent = t.emit("maximum", t.emit("add", t.emit("subtract", last, first), one), one)
    length = t.emit("divide", extent, t.literal(bins, extent))
    number = t.cast(places.numbers(t, (1, bins, 1), 1), node.wide)
    element = t.cast(places.numbers(t, (1, 1, size), 2), node.wide)
    after = t.emit("multiply", t.emit("add", number, one), length)
    begins = t.emit("add", first, t.emit("floor", t.emit("multiply", number, length)))
    ends = t.emit("add", first, t.emit("ceil", after))
    begun = t.emit("greater_equal", element, begins)
    return t.emit("logical_and", begun, t.emit("less", element, ends))


def _deform_conv(node: OnnxNode) -> int:
    """Zhu et al. 2019: a convolution whose taps are moved, each place's its own way."""
    t, w, groups = node.t, node.given(1), node.attr("group", 1)
    window = checked_window(node, w)
    check_bias(node, t.shape(w)[0], 3)
    out = window.places(node.shape[2:])
    if node.rank != 4:
        raise node.unsupported(f"an image of {node.rank} dimensions")
    n, c, height, width = node.shape
    parts, taps = node.attr("offset_group", 1), math.prod(window.kernel)
    results = t.shape(w)[0]
    moves, mask = node.given(2), node.input(4)
    shape = (n, parts, taps, *out)
    if parts < 1 or c % parts or t.shape(moves) != (n, 2 * parts * taps, *out):
        raise ModelError(f"{node.label}: its offsets are {list(t.shape(moves))}")
    if mask is not None and t.shape(mask) != (n, parts * taps, *out):
        raise ModelError(f"{node.label}: its mask is {list(t.shape(mask))}")
    pairs = t.reshape(moves, (n, parts, taps, 2, *out))
    sides = []
    for i, size in enumerate((height, width)):
        move = t.reshape(
            t.slice(pairs, (0, 0, 0, i, 0, 0), (n, parts, taps, 1, *out), (1,) * 6), shape
        )
        there = places.seen(
            t, out[i], window.strides[i], window.kernel[i], window.dilations[i], window.pads[i]
        )
        at = t.reshape(t.transpose(there, (1, 0)), _of_taps(window.kernel, out, i))
        at = t.broadcast(at, (*window.kernel, *out))
        at = t.cast(t.reshape(at, (taps, *out)), node.dtype)
        sides.append(sampling.surrounded(t, t.emit("add", at, move), size))
    per = c // parts
    rows = sampling.pixels(t, t.reshape(node.x, (n * parts, per, height, width)))
    images = t.reshape(sampling.firsts(t, n * parts, height * width), (n, parts, 1, 1, 1))
    value = reduce(
        partial(t.emit, "add"), sampling.corners(t, rows, images, sides[0], sides[1], width)
    )
    if mask is not None:
        value = t.emit("multiply", value, t.reshape(mask, (*shape, 1)))
    if groups == 1:
        y = _product(t, value, w)
    else:  # channels of a group are to lie together
        value = t.transpose(value, (1, 5, 2, 0, 3, 4))
        value = t.reshape(value, (groups, c // groups * taps, n * math.prod(out)))
        weights = t.reshape(w, (groups, results // groups, c // groups * taps))
        y = t.reshape(composite.matmul(t, weights, value), (results, n, *out))
        y = t.transpose(y, (1, 0, 2, 3))
    bias = node.input(3)
    return y if bias is None else t.emit("add", y, t.reshape(bias, (results, 1, 1)))


def _product(t: Emitter, value: int, w: int) -> int:
    """[n, results, rows, columns] of what taps see, [n, parts, taps, rows, columns, channels of a
    part]: channels stay next to each other, and the weights are put in the order of these."""
    n, parts, taps, rows, columns, per = t.shape(value)
    seen = t.transpose(value, (0, 3, 4, 1, 2, 5))
    seen = t.reshape(seen, (n * rows * columns, parts * taps * per))
    results = t.shape(w)[0]
    weights = t.transpose(t.reshape(w, (results, parts, per, taps)), (1, 3, 2, 0))
    y = composite.matmul(t, seen, t.reshape(weights, (parts * taps * per, results)))
    return t.transpose(t.reshape(y, (n, rows, columns, results)), (0, 3, 1, 2))


def _of_taps(kernel: tuple[int, ...], out: tuple[int, ...], i: int) -> tuple[int, ...]:
    """The shape of what is of one dimension, as of [kernel..., places...]."""
    shape = [1] * 4
    shape[i], shape[2 + i] = kernel[i], out[i]
    return tuple(shape)


OPERATORS: dict[str, Operator] = {
    "DeformConv": Operator(_deform_conv, in_steps=True, of_floats=True),
    "MaxRoiPool": Operator(_max_roi_pool, of_floats=True),
    "RoiAlign": Operator(_roi_align, of_floats=True),
}
