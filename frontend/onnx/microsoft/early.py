"""Operators that the standard tried before its tenth set, and ONNX Runtime kept."""

from __future__ import annotations

import numpy as np

from .spelling import Operators, Results, Spelled, Spelling, attributes


def _affine(call: Spelling) -> Results:
    return _scaled(call, call.attr("alpha", 1.0), call.attr("beta", 0.0))


def _scaled(call: Spelling, by: float, plus: float) -> str:
    y = call.emit("Mul", call.x, call.number(by, call.x))
    return call.emit("Add", y, call.number(plus, y))


def _image_scaled(call: Spelling) -> Results:
    """One number is added to each channel."""
    bias = np.asarray(call.attr("bias", ()), np.float32)
    if bias.shape != (call.shape(call.x)[1],):
        raise call.unsupported(f"{bias.size} numbers for {call.shape(call.x)[1]} channels")
    y = call.emit("Mul", call.x, call.number(call.attr("scale", 1.0), call.x))
    return call.emit("Add", y, call.constant(bias.reshape(-1, 1, 1), "float32"))


def _crop(call: Spelling) -> Results:
    """Left, top, right and bottom rows are taken off, or so many rows are left."""
    border, scale = call.attr("border", ()), call.attr("scale", ())
    shape = call.shape(call.x)
    if len(shape) != 4 or len(border) != 4 or len(scale) not in (0, 2):
        raise call.unsupported(f"border={list(border)} of an image {list(shape)}")
    left, top, right, bottom = (int(n) for n in border)
    ends = [shape[2] - bottom, shape[3] - right]
    if scale:
        ends = [top + int(scale[0]), left + int(scale[1])]
    inside = 0 <= top < ends[0] <= shape[2] and 0 <= left < ends[1] <= shape[3]
    if not inside:
        raise call.unsupported(f"border={list(border)} of an image {list(shape)}")
    return call.slice(call.slice(call.x, 2, top, ends[0]), 3, left, ends[1])


def _parametric_softplus(call: Spelling) -> Results:
    inner = call.emit("Mul", call.x, call.number(call.attr("beta", 1.0), call.x))
    y = call.emit("Softplus", inner)
    return call.emit("Mul", y, call.number(call.attr("alpha", 1.0), y))


def _scaled_tanh(call: Spelling) -> Results:
    inner = call.emit("Mul", call.x, call.number(call.attr("beta", 1.0), call.x))
    y = call.emit("Tanh", inner)
    return call.emit("Mul", y, call.number(call.attr("alpha", 1.0), y))


def _normalised(call: Spelling) -> Results:
    """Each channel by itself, or all together; divided by the root of the variance, or not."""
    if call.rank(call.x) != 4:
        raise call.unsupported(f"images of {call.rank(call.x)} dimensions")
    axes = [0, 1, 2, 3] if call.attr("across_channels", 0) else [0, 2, 3]
    centred = call.emit("Sub", call.x, call.reduce("ReduceMean", call.x, axes))
    if not call.attr("normalize_variance", 1):
        return centred
    variance = call.reduce("ReduceMean", call.emit("Mul", centred, centred), axes)
    return call.emit("Div", centred, call.emit("Sqrt", variance))


_BOTH = attributes("alpha beta")


def _slice(call: Spelling) -> Results:
    """What to keep must be known."""
    given = [call.array(call.input(i)) if call.input(i) else None for i in (1, 2, 3)]
    starts, ends, axes = given
    if starts is None or ends is None or (call.input(3) and axes is None):
        raise call.unsupported("places that are computed at run time")
    if axes is None:
        axes = np.arange(starts.size)
    numbers = {"starts": starts, "ends": ends, "axes": axes}
    return call.emit("Slice", call.x, **{k: v.ravel().tolist() for k, v in numbers.items()})


OPERATORS: Operators = {
    "Affine": Spelled(_affine, 1, _BOTH),
    "Crop": Spelled(_crop, 1, attributes("border scale")),
    "DynamicSlice": Spelled(_slice, 4),
    "ImageScaler": Spelled(_image_scaled, 1, attributes("bias scale")),
    "MeanVarianceNormalization": Spelled(
        _normalised, 1, attributes("across_channels normalize_variance"), in_steps=True
    ),
    "ParametricSoftplus": Spelled(_parametric_softplus, 1, _BOTH),
    "Scale": Spelled(
        lambda call: call.emit("Mul", call.x, call.number(call.attr("scale", 1.0), call.x)),
        1,
        attributes("scale"),
    ),
    "ScaledTanh": Spelled(_scaled_tanh, 1, _BOTH),
}
