"""Rules of what finds as many elements as there are."""

from __future__ import annotations

from typing import Any

import numpy as np

from .draft import Draft, Growth, Rule, attributes


def _nonzero(g: Growth) -> Draft:
    attributes("NonZero", g.opset)
    return Draft("NonZero", [g.first("NonZero", 1)])


def _compress(g: Growth) -> Draft:
    attributes("Compress", g.opset)
    x = g.first("Compress", 1)
    shape = g.shape(x)
    attrs: dict[str, Any] = {}
    length = g.array(x).size
    if g.chance(0.7):
        attrs["axis"] = g.axis(len(shape)) if g.opset >= 11 else g.rng.randrange(len(shape))
        length = shape[attrs["axis"]]
    return Draft("Compress", [x, g.new("bool", (g.rng.randint(1, length),), constant=0.2)], attrs)


def _unique(g: Growth) -> Draft:
    attributes("Unique", g.opset)
    x = g.any(("float32", "int64", "int8", "float64"), 1)
    attrs: dict[str, Any] = {"axis": g.axis(len(g.shape(x)))} if g.chance(0.4) else {}
    if g.chance(0.5):
        attrs["sorted"] = g.pick((0, 1))
    return Draft("Unique", [x], attrs, outputs=g.rng.choice((1, 4)))


def _suppression(g: Growth) -> Draft:
    attributes("NonMaxSuppression", g.opset)
    images, boxes, classes = g.rng.choice((1, 2)), g.rng.choice((1, 3, 9)), g.rng.choice((1, 2))
    first = g.numbers.uniform(0, 4, (images, boxes, 2))
    corners = np.concatenate([first, first + g.numbers.uniform(0.5, 4, first.shape)], -1)
    scores = g.new("float32", (images, classes, boxes), "normal", 0.0)
    given = [g.known(corners, "float32"), scores, g.known([g.rng.randint(1, 5)], "int64")]
    given += [g.known([g.pick((0.1, 0.3, 0.7))], "float32")]
    given += [g.known([g.pick((-1.0, 0.0))], "float32")] if g.chance(0.6) else []
    attrs = {"center_point_box": 1} if g.chance(0.2) else {}
    return Draft("NonMaxSuppression", given, attrs)


RULES: dict[str, Rule] = {
    "Compress": _compress,
    "NonMaxSuppression": _suppression,
    "NonZero": _nonzero,
    "Unique": _unique,
}
