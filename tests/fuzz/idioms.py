"""Graphs as exporters write them: what the frontend's passes look for, nearly and wholly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .draft import Draft, Growth, Shape, UnfitError
from .values import NARROW

Idiom = Callable[[Growth], None]


def one(g: Growth, op: str, *inputs: str, **attrs: object) -> str:
    """The first result of a node."""
    return g.add(Draft(op, inputs, attrs))[0]


def _scalar(g: Growth, value: float, shape: Shape = ()) -> str:
    return g.known(np.full(shape, value), "float32")


def axes_of(g: Growth, op: str, x: str, axes: list[int], **attrs: object) -> str:
    """A node with axes, which some operator sets take as an input and others as an attribute."""
    if g.opset >= (13 if op == "ReduceSum" else 18):
        return one(g, op, x, g.known(axes, "int64"), **attrs)
    return one(g, op, x, axes=axes, **attrs)


def convolution_block(g: Growth) -> None:
    """Convolution, batch normalisation, residual, activation; some of it left out."""
    x = g.any(("float32",), 4, 4)
    channels = g.shape(x)[1]
    size = g.pick((1, 3, 3, 5))
    weight = g.new("float32", (channels, channels, size, size), "normal", 1.0)
    y = one(g, "Conv", x, weight, pads=[size // 2] * 4)
    if g.chance(0.7):
        given = [g.new("float32", (channels,), "normal", 1.0) for _ in range(3)]
        spread = g.known(g.numbers.uniform(0.3, 2, channels), "float32")
        y = one(g, "BatchNormalization", y, *given, spread)
    if g.chance(0.6):
        y = one(g, "Add", y, x)
    if g.chance(0.3):
        y = one(g, "Mul", y, g.new("float32", (channels, 1, 1), constant=1.0))
    one(
        g,
        g.pick(("Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSwish" if g.opset >= 14 else "Relu")),
        y,
    )


def separable(g: Growth) -> None:
    """A 1x1 convolution and a depthwise one, with something between."""
    x = g.any(("float32",), 4, 4)
    channels, wide = g.shape(x)[1], g.pick((1, 3, 8, 17, 24))
    y = one(g, "Conv", x, g.new("float32", (wide, channels, 1, 1), "normal", 1.0))
    if g.chance(0.7):
        y = one(g, g.pick(("Relu", "Sigmoid")), y)
    taps = g.new("float32", (wide, 1, 3, 3), "normal", 1.0)
    strides = [g.pick((1, 2))] * 2
    y = one(g, "Conv", y, taps, group=wide, pads=[1, 1, 1, 1], strides=strides)
    if g.chance(0.5):
        one(g, "Relu", y)


def dense_block(g: Growth) -> None:
    """Results joined with what they come from, twice."""
    x = g.any(("float32",), 2, 4)
    axis = 1
    for _ in range(2):
        pieces = [x, one(g, g.pick(("Relu", "Tanh", "Neg", "Abs")), x)]
        if len(g.shape(x)) == 4:
            weight = (g.pick((1, 3)), g.shape(x)[1], 1, 1)
            pieces.append(one(g, "Conv", x, g.new("float32", weight, "normal", 1.0)))
        g.rng.shuffle(pieces)
        x = one(g, "Concat", *pieces, axis=axis)


def attention(g: Growth) -> None:
    """Products around a softmax, with a scale and a mask or without."""
    batch, heads, rows, columns, depth = (
        g.pick(c) for c in ((1, 2), (1, 2, 3), (1, 5, 9), (1, 4, 9), (1, 4, 8))
    )
    query = g.new("float32", (batch, heads, rows, depth), constant=0)
    key = g.new("float32", (batch, heads, columns, depth), constant=0)
    value = g.new("float32", (batch, heads, columns, g.pick((1, 3, 8))), constant=0)
    scores = one(g, "MatMul", query, one(g, "Transpose", key, perm=[0, 1, 3, 2]))
    if g.chance(0.7):
        scores = one(g, g.pick(("Mul", "Div")), scores, _scalar(g, 2.0))
    mask_shape = g.pick(((batch, 1, 1, columns), (1, 1, rows, columns), (rows, columns)))
    mask = g.pick(("none", "add", "where", "where"))
    if mask == "add":
        scores = one(
            g, "Add", scores, g.known(g.numbers.choice([0.0, -1e4, -np.inf], mask_shape), "float32")
        )
    elif mask == "where":
        kept = g.new("bool", mask_shape, constant=0.5)
        hidden = _scalar(g, g.pick((-np.inf, -1e9, float(np.finfo(np.float32).min))))
        pair = (scores, hidden) if g.chance(0.5) else (hidden, scores)
        scores = one(g, "Where", kept, *pair)
    weights = one(g, "Softmax", scores, axis=3)
    mixed = one(g, "MatMul", weights, value)
    if g.chance(0.6):
        mixed = one(g, "Transpose", mixed, perm=[0, 2, 1, 3])
        one(g, "Reshape", mixed, g.known([batch, rows, -1], "int64"))


def spelled_norm(g: Growth) -> None:
    """A layer or RMS normalisation in single operators, its constants of any rank."""
    x = g.any(("float32",), 2, 4)
    rank = len(g.shape(x))
    axis = g.pick((-1, rank - 1)) if g.opset >= 11 else rank - 1
    epsilon = _scalar(g, g.pick((1e-5, 1e-3)), (1,) * g.pick((0, 0, 1, rank, min(5, rank + 1))))
    if g.chance(0.6):
        x = one(g, "Sub", x, axes_of(g, "ReduceMean", x, [axis]))
    power = one(g, "Pow", x, _scalar(g, 2.0)) if g.chance(0.5) else one(g, "Mul", x, x)
    spread = one(g, "Sqrt", one(g, "Add", axes_of(g, "ReduceMean", power, [axis]), epsilon))
    y = (
        one(g, "Div", x, spread)
        if g.chance(0.6)
        else one(g, "Mul", x, one(g, "Reciprocal", spread))
    )
    if g.chance(0.8):
        y = one(g, "Mul", y, g.new("float32", g.shape(x)[-1:], constant=0.9))
    if g.chance(0.6):
        one(g, "Add", y, g.new("float32", g.shape(x)[-1:], constant=0.9))


def spelled_softmax(g: Growth) -> None:
    """A softmax, sigmoid or GELU in single operators."""
    x = g.any(("float32",), 1, 4)
    which = g.pick(("softmax", "gelu", "swish"))
    if which == "softmax":
        lowered = one(
            g, "Sub", x, axes_of(g, "ReduceMax", x, [g.axis(len(g.shape(x))) % len(g.shape(x))])
        )
        raised = one(g, "Exp", lowered)
        one(g, "Div", raised, axes_of(g, "ReduceSum", raised, [len(g.shape(x)) - 1]))
    elif which == "gelu":
        wave = one(g, "Erf", one(g, "Div", x, _scalar(g, 2**0.5)))
        half = one(g, "Mul", x, one(g, "Add", wave, _scalar(g, 1.0)))
        one(g, "Mul", half, _scalar(g, 0.5))
    else:
        one(g, "Mul", x, one(g, "Sigmoid", x))


def identities(g: Growth) -> None:
    """What algebra calls the same, and numbers do not."""
    x = g.any(("float32", "float64", "int32"))
    dtype = g.dtype(x)
    large = g.known(
        g.pick((0, 1, 3, 1000)) if dtype == "int32" else g.pick((0.0, 1.0, 1e8, 1e30)), dtype
    )
    pairs = [("Add", "Sub"), ("Sub", "Add")]
    pairs += [("Mul", "Div"), ("Div", "Mul")] if dtype != "int32" else []
    first, second = g.pick(pairs)
    y = g.broadcasting(x, larger=False) if g.chance(0.5) else large
    z = one(g, first, x, y)
    z = one(g, second, z, y)
    if g.chance(0.3):
        z = one(g, g.pick(("Sub", "Mul")), z, g.pick((z, g.known(0, dtype))))


def shuffle(g: Growth) -> None:
    """Channels in another order, by a reshape and a transposition."""
    x = g.any(("float32",), 4, 4, where=lambda s: s[1] % 2 == 0)
    n, c, h, w = g.shape(x)
    y = one(g, "Reshape", x, g.known([n, 2, c // 2, h, w], "int64"))
    y = one(g, "Transpose", y, perm=[0, 2, 1, 3, 4])
    one(g, "Reshape", y, g.known([n, c, h, w], "int64"))


def group_norm(g: Growth) -> None:
    """PyTorch's group normalisation between its reshapes."""
    x = g.any(("float32",), 4, 4)
    n, c, h, w = g.shape(x)
    groups = g.pick([d for d in range(1, c + 1) if c % d == 0])
    y = one(g, "Reshape", x, g.known([n, groups, -1], "int64"))
    ones, zeros = (g.known(np.full(groups, v), "float32") for v in (1, 0))
    y = one(g, "InstanceNormalization", y, ones, zeros)
    y = one(g, "Reshape", y, g.known([n, c, h, w], "int64"))
    y = one(g, "Mul", y, g.new("float32", (c, 1, 1), constant=1.0))
    one(g, "Add", y, g.new("float32", (c, 1, 1), constant=1.0))


def shape_arithmetic(g: Growth) -> None:
    """A shape computed from a shape, as exporters with dynamic axes leave it."""
    x = g.any(("float32",), 2, 4)
    size = one(g, "Shape", x)
    first = one(g, "Gather", size, g.known(0, "int64"), axis=0)
    if g.opset >= 13:
        first = one(g, "Unsqueeze", first, g.known([0], "int64"))
    else:
        first = one(g, "Unsqueeze", first, axes=[0])
    wanted = one(g, "Concat", first, g.known([-1], "int64"), axis=0)
    one(g, "Reshape", x, wanted)


def ladder(g: Growth) -> None:
    """Branches that part and meet again, some times over."""
    x = g.any(("float32",))
    for _ in range(g.pick((2, 3, 5))):
        left = one(g, g.pick(("Relu", "Neg", "Tanh")), x)
        right = x if g.chance(0.4) else one(g, g.pick(("Abs", "Sigmoid", "Identity")), x)
        x = one(g, g.pick(("Add", "Sub", "Max", "Mul")), left, right)


def sequence(g: Growth) -> None:
    """Tensors put into a sequence, taken out, and joined."""
    if g.opset < 11:
        raise UnfitError
    x = g.any(("float32", "float32", "int64"), 1)
    axis = g.axis(len(g.shape(x)))
    if g.chance(0.5):
        size = g.shape(x)[axis]
        split = g.pick(("", g.known(g.rng.randint(1, size), "int64")))
        attrs = {"axis": axis} if split or g.chance(0.5) else {"axis": axis, "keepdims": 0}
        s = one(g, "SplitToSequence", *([x, split] if split else [x]), **attrs)
    else:
        s = one(g, "SequenceConstruct", *(g.like(x, g.shape(x)) for _ in range(2)), x)
    count = len(g.sequences[s].values)
    if g.chance(0.4):
        places = [g.known(g.rng.randint(-count, count - 1), "int64")] if g.chance(0.6) else []
        s = one(g, "SequenceInsert", s, x, *places)
        count += 1
    if count > 1 and g.chance(0.4):
        places = [g.known(g.rng.randint(-count, count - 1), "int64")] if g.chance(0.6) else []
        s = one(g, "SequenceErase", s, *places)
        count -= 1
    one(g, "SequenceAt", s, g.known(g.rng.randint(-count, count - 1), "int64"))
    if g.chance(0.5):
        one(g, "SequenceLength", s)
    shapes = {v.array.shape for v in g.sequences[s].values}
    new = {"new_axis": 1} if len(shapes) == 1 and g.chance(0.4) else {}
    one(g, "ConcatFromSequence", s, axis=axis if axis >= 0 and not new else -1, **new)


def narrow(g: Growth) -> None:
    """Numbers that lie in memory in few bits, are moved or computed with, and come back."""
    known = [name for name, (_, since) in NARROW.items() if g.opset >= since]
    name = g.pick(known)
    whole = "int" in name
    if whole:
        low = 0 if name == "uint4" else -8
        x = g.new(g.pick(("int8", "int32") if low else ("uint8", "int32")), g.some_shape(1, 3))
        array = g.inputs.get(x)
        if array is None:
            raise UnfitError
        array[...] = g.numbers.integers(low, low + 16, array.shape)
    else:
        x = g.any(("float32",), 1, 4)
    attrs = {"saturate": g.pick((0, 1))} if name.startswith("float8") and g.chance(0.5) else {}
    y = one(g, "Cast", x, to=NARROW[name][0], **attrs)
    for _ in range(g.pick((0, 1, 2))):
        rank = len(g.shape(y))
        kind = g.pick(("move", "move", "join", "add"))
        if kind == "move":
            y = one(g, "Transpose", y, perm=g.rng.sample(range(rank), rank))
        elif kind == "join":
            y = one(g, "Concat", y, y, axis=g.axis(rank))
        elif name == "bfloat16":
            y = one(g, g.pick(("Add", "Mul", "Sub")), y, y)
    one(g, "Cast", y, to=6 if whole else 1)


IDIOMS: tuple[Idiom, ...] = (
    convolution_block,
    separable,
    dense_block,
    attention,
    spelled_norm,
    spelled_softmax,
    identities,
    shuffle,
    group_norm,
    shape_arithmetic,
    ladder,
    sequence,
    narrow,
)

__all__ = ["IDIOMS", "Idiom", "UnfitError"]
