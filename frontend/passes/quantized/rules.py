"""What operators do to images: each rule gives the new value of a node, or None to keep it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from luthier.schedules import Node, Tensor

from ...graph import made_by
from .canvas import Canvas, with_attr
from .image import Image, Known, along_one, number, reshaped, transposed

Rule: TypeAlias = Callable[[Canvas, Node], int | None]

# A bias that is this near to a whole number of the sums' steps is one; a larger one may be as far
# as float32 rounds it.
_NEAR, _ROUNDED, _MOST = 1e-3, 2.0**-22, 2.0**30
# Scales by which a number comes back from float32 as it was.
LEAST, LARGEST = 2.0**-100, 2.0**100
_NOTHING = 2.0**-20  # steps, and less, which are rounded to none
_VIEWS = frozenset({"reshape", "transpose"})
_MOVEMENTS = frozenset({"concat", "gather_nd", "pad", "slice", "take", "take_along"}) | _VIEWS


def dequantize(b: Canvas, node: Node) -> int | None:
    """Where images begin."""
    x, zero, scale = node.args
    image = Image(x, "float32", *_nothing(len(node.out.shape)))
    if b.values[x].shape != node.out.shape:
        return None
    points, factors = b.known_along(zero, x), b.known_along(scale, x)
    if points is not None:
        image = replace(image, zero=points)
    elif b.is_single(zero):
        image = replace(image, run_zero=zero)
    else:
        return None
    if factors is not None and np.all(factors != 0):
        image = replace(image, scale=factors)
    elif b.is_single(scale):
        image = replace(image, run_scales=(scale,))
    else:
        return None
    return b.keep(node, image)


def cast(b: Canvas, node: Node) -> int | None:
    """To a type that holds all the numbers."""
    (x,), wide = node.args, node.out.dtype
    image = b.images.get(x) or b.steps(x)
    whole = image is not None and image.dtype != "float32" and not image.is_scaled
    if image is None or not whole or wide not in ("int16", "int32", "float32"):
        return None
    if wide == "int16" and b.values[image.stored].element.bits > 8:
        return None
    return b.keep(node, replace(image, dtype=wide))


def subtract(b: Canvas, node: Node) -> int | None:
    """A zero point."""
    x, zero = node.args
    image = b.images.get(x)
    if image is None or image.is_scaled or b.values[x].shape != node.out.shape:
        return None
    if image.dtype not in ("int16", "int32", "float32") or b.sums(x):
        return None
    known = b.known_along(zero, x)
    if known is not None and np.all(known == np.rint(known)) and np.abs(known).max() < 2**15:
        centred = _less(image, known)
        return None if centred is None else b.keep(node, centred)
    single = image.run_zero is None and not image.zero.any() and b.is_single(zero)
    if single and b.values[zero].element.is_whole:
        return b.keep(node, replace(image, run_zero=zero))
    return None


def multiply(b: Canvas, node: Node) -> int | None:
    """By a scale."""
    for x, factor in (node.args, node.args[::-1]):
        image = b.images.get(x)
        if image is None or image.dtype != "float32" or b.values[x].shape != node.out.shape:
            continue
        scaled = _scaled(b, image, x, factor)
        if scaled is not None:
            return b.shown(scaled)
    return None


def _scaled(b: Canvas, image: Image, x: int, factor: int) -> Image | None:
    known = b.known_along(factor, x)
    if known is not None:
        return times(image, known)
    if image.offset is not None:
        return None
    if b.is_single(factor):
        return replace(image, run_scales=(*image.run_scales, factor))
    above = made_by(b, factor, "multiply")  # of a scale of a run and known ones
    for one, other in () if above is None else (above.args, above.args[::-1]):
        known = b.known_along(other, x)
        scaled = times(image, known) if known is not None and b.is_single(one) else None
        if scaled is not None:
            return replace(scaled, run_scales=(*image.run_scales, one))
    return None


def times(image: Image, known: Known) -> Image | None:
    """None for factors that leave nothing, or of another dimension."""
    scale = along_one(image.scale * known, known.ndim)
    if scale is None or not np.all((np.abs(scale) > LEAST) & (np.abs(scale) < LARGEST)):
        return None
    if image.offset is not None and along_one(image.offset * known, known.ndim) is None:
        return None
    return image.scaled(known.astype(np.float64))


def add(b: Canvas, node: Node) -> int | None:
    """A bias after sums: of whole numbers where it is one of their steps."""
    for x, bias in (node.args, node.args[::-1]):
        image = b.sums(x)
        if image is None or b.values[x].shape != node.out.shape:
            continue
        known = b.known_along(bias, x)
        if known is None:
            return None
        biased = _less(image, -known) if image.dtype != "float32" else _biased(image, known)
        return None if biased is None else b.shown(biased)
    return None


def _less(image: Image, zero: Known) -> Image | None:
    both = along_one(image.zero + zero.astype(np.int64), zero.ndim)
    return None if both is None else replace(image, zero=both)


def _biased(image: Image, bias: Known) -> Image | None:
    if image.run_scales:
        return None
    steps = along_one(bias / image.scale, bias.ndim)
    if steps is None:
        return None
    whole, far = np.rint(steps), np.abs(steps) * _ROUNDED
    near = np.abs(steps - whole) <= np.maximum(_NEAR, far)
    if image.offset is None and np.all(near & (np.abs(whole) < _MOST)):
        return _less(image, -whole)
    before = 0 if image.offset is None else image.offset
    offset = along_one(np.asarray(before + bias), bias.ndim)
    return None if offset is None else replace(image, offset=offset)


def quantize(b: Canvas, node: Node) -> int | None:
    """What comes back as it was stored is read there; limits that saturation has are left out."""
    x, zero = node.args
    if made_by(b, x, "reshape") and b.values[zero].size == 1:
        return reshaped_after(b, node, quantize)
    stored = _as_stored(b, node)
    if stored is not None:
        return stored
    above, point = b.producer.get(x), b.known(zero)
    if above is not None and above.node.op == "divide":
        return _of_large_steps(b, node, above.node)
    if above is None or point is None or point.size != 1:
        return None
    low, high = (end - int(point.item()) for end in node.out.element.limits)
    limits = {"relu": (0.0, np.inf)}.get(above.node.op)
    if above.node.op == "clip":
        limits = (float(above.node.attr("min")), float(above.node.attr("max")))
    if limits is None or limits[0] > low or limits[1] < high:
        return None
    return b.add(replace(node, args=(above.node.args[0], zero)))


def _of_large_steps(b: Canvas, node: Node, division: Node) -> int | None:
    """Of steps such as those of a mask of the lowest floats: what they round to nothing is nothing
    before it is divided. Quotients would be subnormal, for each of which Intel's processors take
    over a hundred cycles."""
    x, by = division.args
    known = b.known(by)
    if known is None or known.size != 1 or known.item() < LARGEST or x in b.constants:
        return None
    near = b.emit("less", b.emit("abs", x), b.scalar(known.item() * _NOTHING))
    kept = b.emit("where", near, b.scalar(0.0), x)
    return b.add(replace(node, args=(b.emit("divide", kept, by), node.args[1])))


def reshaped_after(b: Canvas, node: Node, rule: Rule) -> int | None:
    """The node before the reshape of its argument, so that it joins what comes before that."""
    above = b.producer[node.args[0]].node
    out = Tensor(b.values[above.args[0]].shape, node.out.dtype)
    singles = [b.at_most(each, above.args[0]) for each in node.args[1:]]
    inner = replace(node, args=(*above.args, *singles), out=out)
    value = rule(b, inner)
    return b.reshaped(b.add(inner) if value is None else value, node.out.shape)


def _as_stored(b: Canvas, node: Node) -> int | None:
    """Where a number is quantised as it was before."""
    x, zero = node.args
    division = made_by(b, x, "divide")  # by a scale of a run
    image = b.images.get(x if division is None else division.args[0])
    if image is None or image.offset is not None or image.dtype != "float32":
        return None
    near = 2.0 ** -(node.out.element.bits + 2)  # to 1, so that each step stays where it is
    if b.values[image.stored] != node.out or np.any(np.abs(image.scale - 1) > near):
        return None
    if division is not None:
        same = image.run == (zero, (division.args[1],)) and not image.zero.any()
        return image.stored if same else None
    points = b.known_along(zero, image.stored)
    if points is None or image.run != (None, ()):
        return None
    return image.stored if np.array_equal(points, image.zero) else None


def moved(b: Canvas, node: Node) -> int | None:
    """What moves elements moves what is stored."""
    image = b.images.get(node.args[0])
    if image is None or (b.sums(node.args[0]) and node.op not in _VIEWS):
        return None
    if node.op == "concat":
        return _joined(b, node, image)
    if node.op == "pad":
        return _padded(b, node, image)
    numbers = [_of_moved(b, node, known) for known in image.numbers]
    found = [known for known in numbers if known is not None]
    if len(found) < len(numbers):
        return None
    return b.shown(image.moved(b.over(node, image.stored), found))


def _of_moved(b: Canvas, node: Node, known: Known) -> Known | None:
    if node.op == "transpose":
        return transposed(known, node.attr("axes"))
    if node.op == "reshape":
        return reshaped(known, b.values[node.args[0]].shape, node.out.shape)
    return number(known.item(), len(node.out.shape)) if known.size == 1 else None


def _joined(b: Canvas, node: Node, first: Image) -> int | None:
    images = [b.images.get(arg) for arg in node.args]
    parts = [each for each in images if each is not None and first.is_alike(each)]
    stored = [part.stored for part in parts]
    if len(parts) < len(images) or len({b.values[s].dtype for s in stored}) > 1:
        return None
    return b.shown(replace(first, stored=b.over(node, *stored)))


def _padded(b: Canvas, node: Node, image: Image) -> int | None:
    """With zeros, which are stored as the zero point."""
    value = float(node.attr("value", 0))
    if image.run_zero is not None or not image.is_even:
        return None
    if node.attr("mode") == "constant":
        low, high = b.values[image.stored].element.limits
        zero = int(image.zero.item())
        if value != 0 or not low <= zero <= high:
            return None
        node = with_attr(node, "value", zero)
    return b.shown(replace(image, stored=b.over(node, image.stored)))


def max_pool(b: Canvas, node: Node) -> int | None:
    """The largest number that is stored stands for the largest."""
    image = b.steps(node.args[0])
    if image is None or image.stored == node.args[0]:
        return None
    if image.run_scales or not image.is_even or image.scale.item() <= 0:
        return None
    return b.shown(replace(image, stored=b.over(node, image.stored)))


def is_nan(b: Canvas, node: Node) -> int | None:
    """What is stored in few bits never is, where its scale is known."""
    image = b.images.get(node.args[0])
    if image is None or image.run_scales or b.sums(node.args[0]):
        return None
    return b.constant(np.broadcast_to(np.False_, node.out.shape))


def where(b: Canvas, node: Node) -> int | None:
    """What is never chosen is left out."""
    chosen = b.known(node.args[0])
    if chosen is None or chosen.any() or b.values[node.args[2]] != node.out:
        return None
    return node.args[2]


def _nothing(rank: int) -> tuple[Known, Known]:
    """Neither a zero point nor a scale."""
    return number(0, rank), number(1.0, rank)


RULES: Mapping[str, Rule] = {
    "add": add,
    "cast": cast,
    "dequantize": dequantize,
    "isnan": is_nan,
    "max_pool2d": max_pool,
    "multiply": multiply,
    "quantize": quantize,
    "subtract": subtract,
    "where": where,
    **dict.fromkeys(_MOVEMENTS, moved),
}
