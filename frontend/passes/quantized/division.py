"""Divisions by the scale of what is quantised next, which what is divided has in its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from luthier.schedules import Node

from ...graph import made_by
from .canvas import Canvas, with_attr
from .image import Known, number
from .rules import LARGEST, LEAST, reshaped_after, times


def divide(b: Canvas, node: Node) -> int | None:
    """By the scale of what is quantised next: sums have it in their own, before an activation."""
    x, by = node.args
    if made_by(b, x, "reshape") and b.values[by].size == 1:
        return reshaped_after(b, node, divide)
    known = b.known_along(by, x) if b.values[x].shape == node.out.shape else None
    if known is None or not np.all((np.abs(known) > LEAST) & (np.abs(known) < LARGEST)):
        return None
    image, inverse = b.images.get(x), 1 / known
    if image is not None and image.dtype == "float32":
        scaled = times(image, inverse)
        return None if scaled is None else b.shown(scaled)
    inside = _inside(b, x, inverse) if known.size == 1 else None
    if inside is not None or x not in b.producer:
        return inside
    return b.emit("multiply", x, b.constant(inverse.astype(np.float32).reshape(_few(inverse))))


def _inside(b: Canvas, x: int, inverse: Known) -> int | None:
    """``inverse`` times a value, which what it is made of has in its own scales."""
    above = b.producer.get(x)
    if above is None or above.node.op not in ("relu", "clip") or inverse.item() < 0:
        return _by(b, x, inverse)
    inside = _by(b, above.node.args[0], inverse)
    return None if inside is None else b.add(_limited(above.node, inside, inverse.item()))


def _by(b: Canvas, x: int, inverse: Known) -> int | None:
    """``inverse`` times the sums of a product, or terms that are images and are scaled anyway."""
    image, above = b.images.get(x), made_by(b, x, "add")
    if image is not None and image.dtype == "float32":
        scaled = times(image, number(inverse.item(), image.scale.ndim))
        return None if scaled is None else b.shown(scaled)
    if above is None:
        return None
    terms = [_by(b, arg, inverse) for arg in above.args]
    known = [term for term in terms if term is not None]
    return b.emit("add", *known) if len(known) == len(terms) else None


def _few(known: Known) -> tuple[int, ...]:
    return () if known.size == 1 else known.shape


def _limited(node: Node, x: int, factor: float) -> Node:
    """A limit of what is ``factor`` times as large."""
    node = replace(node, args=(x,))
    for name in ("min", "max") if node.op == "clip" else ():
        end = float(node.attr(name)) * factor
        node = with_attr(node, name, end if np.isfinite(end) else str(end))
    return node
