"""Rules of operators that the standard spells by others, and that no converter has."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .draft import MOST_ELEMENTS, Draft, Growth, Rule, UnfitError, attributes


def _attention(g: Growth) -> Draft:
    """Of heads apart or side by side, some of which share keys; with a mask, a past, a bound."""
    attributes("Attention", g.opset)
    batch, shared, each = g.rng.choice((1, 2)), g.rng.choice((1, 2)), g.rng.choice((1, 2))
    heads, rows, columns = shared * each, g.rng.choice((1, 3, 9)), g.rng.choice((1, 4, 17))
    depth, width = g.rng.choice((2, 4, 8)), g.rng.choice((2, 3, 8))
    attrs: dict[str, Any] = {}
    if g.chance(0.5):
        shapes = [(batch, rows, heads * depth), (batch, columns, shared * depth)]
        shapes.append((batch, columns, shared * width))
        attrs = {"q_num_heads": heads, "kv_num_heads": shared}
    else:
        shapes = [(batch, heads, rows, depth), (batch, shared, columns, depth)]
        shapes.append((batch, shared, columns, width))
    inputs = [g.new("float32", shape, "normal", 0.0) for shape in shapes]
    past = g.rng.choice((1, 5)) if g.chance(0.25) else 0
    mask, pasts = "", []
    if g.chance(0.5):
        shape = g.pick(((rows, past + columns), (batch, 1, rows, past + columns)))
        if g.chance(0.5):
            kept = g.numbers.random(shape) < 0.7
            kept[..., 0] = True  # a row of which nothing is left is not a number, or 0
            mask = g.known(kept) if g.chance(0.5) else _given(g, kept)
        else:
            mask = g.new("float32", shape, "normal")
    elif g.chance(0.4):
        attrs["is_causal"] = 1
    if past:
        pasts = [g.new("float32", (batch, shared, past, n), "normal", 0.0) for n in (depth, width)]
    if g.chance(0.3):
        attrs["scale"] = g.pick((0.5, 1.0))
    if g.chance(0.2):
        attrs["softcap"] = g.pick((2.0, 10.0))
    given = [*inputs, mask, *pasts] if mask or pasts else inputs
    return Draft("Attention", given, attrs, 3 if past else 1)


def _given(g: Growth, array: np.ndarray) -> str:
    """An input of these numbers."""
    name = g.new(str(array.dtype), array.shape, constant=0.0)
    g.inputs[name][...] = array
    return name


def _rotary(g: Growth) -> Draft:
    """Of all elements of a head or the first ones, by tables that rows or their places choose."""
    attributes("RotaryEmbedding", g.opset)
    batch, heads, rows = g.rng.choice((1, 2)), g.rng.choice((1, 3)), g.rng.choice((1, 4, 9))
    half, more = g.rng.choice((1, 2, 4)), g.rng.choice((0, 0, 2))
    attrs: dict[str, Any] = {"interleaved": g.pick((0, 1))} if g.chance(0.6) else {}
    size = 2 * half + more
    if more:
        attrs["rotary_embedding_dim"] = 2 * half
    if more or g.chance(0.5):
        attrs["num_heads"] = heads
    shape: tuple[int, ...] = (batch, heads, rows, size)
    if "num_heads" in attrs and g.chance(0.5):
        shape = (batch, rows, heads * size)
    x = g.new("float32", shape, "normal", 0.0)
    if g.chance(0.5):
        tables = [g.known(g.numbers.uniform(-1, 1, (12, half)), "float32") for _ in range(2)]
        places = np.asarray(g.numbers.integers(0, 12, (batch, rows)), np.int64)
        given = [x, *tables, g.known(places) if g.chance(0.5) else _given(g, places)]
    else:
        given = [x, *(g.new("float32", (batch, rows, half), "unit") for _ in range(2))]
    return Draft("RotaryEmbedding", given, attrs)


def _linear_attention(g: Growth) -> Draft:
    attributes("LinearAttention", g.opset)
    batch, rows, shared, each = (g.rng.choice((1, 2)) for _ in range(4))
    rows, depth, width = rows * g.rng.choice((1, 3)), g.rng.choice((2, 4)), g.rng.choice((2, 3))
    rule = g.pick(("linear", "gated", "delta", "gated_delta"))
    attrs = {"q_num_heads": shared * each, "kv_num_heads": shared, "update_rule": rule}
    sides = (shared * each * depth, shared * depth, shared * width)
    inputs = [g.new("float32", (batch, rows, side), "normal", 0.0) for side in sides]
    past, decay, rate = "", "", ""
    if g.chance(0.5):
        past = g.new("float32", (batch, shared, depth, width), "normal", 0.0)
    if rule.startswith("gated"):
        decay = g.known(-g.numbers.uniform(0, 1, (batch, rows, shared)), "float32")
    if rule.endswith("delta"):
        rate = g.known(g.numbers.uniform(0, 1, (batch, rows, shared)), "float32")
    given = [*inputs, past, decay, rate]
    while not given[-1]:
        given.pop()
    return Draft("LinearAttention", given, attrs, 2)


def _causal_conv(g: Growth) -> Draft:
    attributes("CausalConvWithState", g.opset)
    batch, channels = g.rng.choice((1, 2)), g.rng.choice((1, 3, 8))
    steps, taps = g.rng.choice((1, 4, 9)), g.rng.choice((2, 3, 4))
    inputs = [
        g.new("float32", (batch, channels, steps), "normal", 0.0),
        g.new("float32", (channels, 1, taps), "normal", 0.8),
        g.new("float32", (channels,), "normal", 0.8) if g.chance(0.5) else "",
        g.new("float32", (batch, channels, taps - 1), "normal", 0.0) if g.chance(0.5) else "",
    ]
    while not inputs[-1]:
        inputs.pop()
    attrs = {"activation": g.pick(("none", "silu"))} if g.chance(0.6) else {}
    return Draft("CausalConvWithState", inputs, attrs, 2)


def _swiglu(g: Growth) -> Draft:
    attributes("SwiGLU", g.opset)
    x = g.any(("float32",))
    attrs = {"alpha": g.pick((0.5, 1.7))} if g.chance(0.5) else {}
    return Draft("SwiGLU", [x, g.like(x, g.shape(x))], attrs)


def _affine_grid(g: Growth) -> Draft:
    attributes("AffineGrid", g.opset)
    n, rank = g.rng.choice((1, 2)), g.rng.choice((2, 3))
    size = [n, g.rng.choice((1, 3)), *(g.rng.choice((2, 3, 5)) for _ in range(rank))]
    theta = g.new("float32", (n, rank, rank + 1), "normal")
    attrs = {"align_corners": g.pick((0, 1))} if g.chance(0.7) else {}
    return Draft("AffineGrid", [theta, g.known(size, "int64")], attrs)


def _window(op: str) -> Rule:
    def rule(g: Growth) -> Draft:
        attributes(op, g.opset)
        attrs = {"periodic": g.pick((0, 1))} if g.chance(0.6) else {}
        return Draft(op, [g.known(g.rng.randint(2, 40), g.pick(("int64", "int32")))], attrs)

    return rule


def _center_crop_pad(g: Growth) -> Draft:
    attributes("CenterCropPad", g.opset)
    x = g.first("CenterCropPad", 1)
    rank = len(g.shape(x))
    axes = g.rng.sample(range(rank), g.rng.randint(1, rank))
    size = [g.rng.choice((1, 2, 3, 5, g.shape(x)[axis])) for axis in axes]
    if math.prod(size) * g.array(x).size > 4 * MOST_ELEMENTS:
        raise UnfitError
    if axes == list(range(rank)) and g.chance(0.5):
        return Draft("CenterCropPad", [x, g.known(size, "int64")])
    return Draft("CenterCropPad", [x, g.known(size, "int64")], {"axes": axes})


def _loss(op: str) -> Rule:
    """Of classes; some weigh more, and one does not count."""

    def rule(g: Growth) -> Draft:
        attributes(op, g.opset)
        classes = g.rng.choice((1, 2, 5))
        shape = g.some_shape(1, 3)
        if classes * math.prod(shape) > MOST_ELEMENTS:
            raise UnfitError
        x = g.new("float32", (shape[0], classes, *shape[1:]), "normal", 0.0)
        labels = np.asarray(g.numbers.integers(0, classes, shape), g.pick(("int64", "int32")))
        attrs: dict[str, Any] = {"reduction": g.pick(("none", "mean", "sum"))}
        if g.chance(0.3):
            ignored = g.pick((-1, 0))
            if ignored < 0:
                labels[g.numbers.random(shape) < 0.2] = ignored
            labels.reshape(-1)[0] = classes - 1
            attrs["ignore_index"] = ignored
        if attrs.get("ignore_index") == 0 and classes == 1:
            raise UnfitError  # nothing counts
        given = [x, g.known(labels) if g.chance(0.5) else _given(g, labels)]
        if g.chance(0.4):
            given.append(g.known(g.numbers.uniform(0.3, 2, classes), "float32"))
        outputs = 2 if op == "SoftmaxCrossEntropyLoss" and g.chance(0.5) else 1
        return Draft(op, given, attrs, outputs)

    return rule


RULES: dict[str, Rule] = {
    "AffineGrid": _affine_grid,
    "Attention": _attention,
    "CausalConvWithState": _causal_conv,
    "CenterCropPad": _center_crop_pad,
    "LinearAttention": _linear_attention,
    "RotaryEmbedding": _rotary,
    "SwiGLU": _swiglu,
    **{op: _window(op) for op in ("BlackmanWindow", "HammingWindow", "HannWindow")},
    **{op: _loss(op) for op in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")},
}
