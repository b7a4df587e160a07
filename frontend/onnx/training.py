"""What layers compute while a model is trained, as far as a result of it is asked for."""

from __future__ import annotations

from luthier.schedules import ModelError

from ..composites import math as composite
from ..composites import norms, random
from .node import OnnxNode, Values
from .random import source


def normalized_by_batch(node: OnnxNode) -> Values:
    """By the batch's own mean and variance, and the running ones that follow from these."""
    t = node.t
    x, scale, shift, mean, variance = (t.cast(node.given(i), node.wide) for i in range(5))
    axes = [0, *range(2, node.rank)]
    statistics = (
        composite.reduce(t, "mean", x, axes, keepdims=False),
        composite.variance(t, x, axes, keepdims=False),
    )
    y = norms.batch_norm(t, x, [scale, shift, *statistics], 1, node.attr("epsilon", 1e-5))
    momentum = node.attr("momentum", 0.9)
    old, new = t.number(momentum, node.wide), t.number(1 - momentum, node.wide)
    running = [
        t.emit("add", t.emit("multiply", before, old), t.emit("multiply", now, new))
        for before, now in zip((mean, variance), statistics, strict=True)
    ]
    kept = [t.cast(v, t.dtype(node.given(i))) for v, i in zip(running, (3, 4), strict=True)]
    return t.cast(y, node.dtype), *kept


def dropped(node: OnnxNode, ratio: float) -> tuple[int, int]:
    """Each element 0 with the probability ``ratio``, or else larger; and which are kept."""
    if not 0 <= ratio < 1:
        raise ModelError(f"{node.label}: its ratio is {ratio:g}, not from 0 up to 1")
    t = node.t
    return _dropped(node, t.number(ratio, node.wide), t.number(1 / (1 - ratio), node.wide))


def dropped_by(node: OnnxNode, ratio: int) -> tuple[int, int]:
    """The same by a number of run time, which is from 0 up to 1."""
    t = node.t
    share = t.reshape(t.cast(ratio, node.wide), ())
    one = t.number(1, node.wide)
    return _dropped(node, share, t.emit("divide", one, t.emit("subtract", one, share)))


def _dropped(node: OnnxNode, ratio: int, larger: int) -> tuple[int, int]:
    t = node.t
    drawn = random.uniform(t, node.shape, node.wide, *source(node))
    kept = t.emit("greater_equal", drawn, ratio)
    scaled = t.emit("multiply", t.cast(node.x, node.wide), larger)
    return t.cast(t.emit("where", kept, scaled, t.number(0, node.wide)), node.dtype), kept
