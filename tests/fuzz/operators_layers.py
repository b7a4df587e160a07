"""Rules of layers: convolutions, pooling, normalisations, resizing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .draft import Draft, Growth, Rule, Shape, UnfitError, attributes

_SAMPLE = {"bilinear": "linear", "bicubic": "cubic"}


def window(g: Growth, sizes: Shape, op: str, most: int = 4) -> dict[str, Any]:
    """A kernel that fits once pads are added, strides, dilations and pads."""
    rank = len(sizes)
    known = attributes(op, g.opset)
    kernel = [g.rng.randint(1, most) for _ in sizes]
    attrs: dict[str, Any] = {"kernel_shape": kernel}
    if g.chance(0.5):
        attrs["strides"] = [g.rng.choice((1, 2, 3)) for _ in sizes]
    if "dilations" in known and g.chance(0.3):
        attrs["dilations"] = [g.rng.choice((1, 2)) for _ in sizes]
    if g.chance(0.15):
        attrs["auto_pad"] = g.pick(("SAME_UPPER", "SAME_LOWER", "VALID"))
        attrs.pop("dilations", None)
    elif g.chance(0.7):
        attrs["pads"] = [g.rng.randint(0, max(0, kernel[i % rank] - 1)) for i in range(2 * rank)]
    pads = attrs.get("pads", [0] * 2 * rank)
    for i, size in enumerate(sizes):
        span = (kernel[i] - 1) * attrs.get("dilations", [1] * rank)[i] + 1
        if attrs.get("auto_pad", "VALID") == "VALID" and size + pads[i] + pads[i + rank] < span:
            raise UnfitError
    return attrs


def _image(g: Growth, op: str, least: int = 3, most: int = 5) -> str:
    return g.any(("float32",) if g.chance(0.9) else ("float64", "float16"), least, most)


def _conv(g: Growth) -> Draft:
    x = _image(g, "Conv")
    _, channels, *sizes = g.shape(x)
    attrs = window(g, tuple(sizes), "Conv")
    divisors = [d for d in range(1, channels + 1) if channels % d == 0]
    groups = g.pick((*divisors[:3], 1, 1, channels))
    out = groups * g.rng.choice((1, 1, 2, 3, 4, 8) if groups < 8 else (1, 2))
    weight = g.like(x, (out, channels // groups, *attrs["kernel_shape"]), constant=0.8)
    if groups > 1:
        attrs["group"] = groups
    if g.chance(0.5):
        del attrs["kernel_shape"]
    bias = [g.new(g.dtype(x), (out,), constant=0.9)] if g.chance(0.5) else []
    return Draft("Conv", [x, weight, *bias], attrs)


def _conv_transpose(g: Growth) -> Draft:
    x = _image(g, "ConvTranspose", 3, 4)
    _, channels, *sizes = g.shape(x)
    rank = len(sizes)
    kernel = [g.rng.randint(1, 4) for _ in sizes]
    attrs: dict[str, Any] = {"kernel_shape": kernel}
    if g.chance(0.6):
        attrs["strides"] = [g.rng.choice((1, 2, 3)) for _ in sizes]
        if g.chance(0.4):
            attrs["output_padding"] = [g.rng.randrange(s) for s in attrs["strides"]]
    if g.chance(0.2):
        attrs["dilations"] = [g.rng.choice((1, 2)) for _ in sizes]
    if g.chance(0.5):
        attrs["pads"] = [g.rng.randint(0, (kernel[i % rank] - 1) // 2) for i in range(2 * rank)]
    groups = g.pick((1, 1, channels))
    weight = g.new(g.dtype(x), (channels, g.rng.choice((1, 2, 3, 8)), *kernel), constant=1.0)
    if groups > 1:
        attrs["group"] = groups
    bias = g.shape(weight)[1] * groups
    # Onnx's evaluator, alone in other types, adds the first group's bias to all.
    biased = (groups == 1 or g.dtype(x) == "float32") and g.chance(0.4)
    more = [g.new(g.dtype(x), (bias,), constant=0.9)] if biased else []
    return Draft("ConvTranspose", [x, weight, *more], attrs)


def _pool(op: str) -> Rule:
    def rule(g: Growth) -> Draft:
        x = _image(g, op)
        attrs = window(g, g.shape(x)[2:], op, 3)
        # Of VALID windows the standard's text and its shape inference say different sizes.
        valid = attrs.get("auto_pad") == "VALID"
        if "ceil_mode" in attributes(op, g.opset) and not valid and g.chance(0.3):
            attrs["ceil_mode"] = 1
        if op == "AveragePool" and g.chance(0.4):
            attrs["count_include_pad"] = 1
        return Draft(op, [x], attrs)

    return rule


def _global(op: str) -> Rule:
    return lambda g: Draft(op, [_image(g, op)])


def _positive(g: Growth, dtype: str, count: int) -> str:
    return g.known(g.numbers.uniform(0.3, 2.0, count), dtype)


def _batch_norm(g: Growth) -> Draft:
    x = _image(g, "BatchNormalization", 2)
    count = g.shape(x)[1]
    given = [g.new(g.dtype(x), (count,), "normal", 0.9) for _ in range(3)]
    attrs = {"epsilon": g.pick((1e-5, 1e-3))} if g.chance(0.5) else {}
    return Draft("BatchNormalization", [x, *given, _positive(g, g.dtype(x), count)], attrs)


def _instance_norm(g: Growth) -> Draft:
    x = _image(g, "InstanceNormalization")
    given = [g.new(g.dtype(x), (g.shape(x)[1],), constant=0.9) for _ in range(2)]
    return Draft("InstanceNormalization", [x, *given])


def _group_norm(g: Growth) -> Draft:
    if g.opset < 18:
        raise UnfitError
    x = _image(g, "GroupNormalization")
    channels = g.shape(x)[1]
    groups = g.pick([d for d in range(1, channels + 1) if channels % d == 0])
    count = channels if g.opset >= 21 else groups
    given = [g.new(g.dtype(x), (count,), constant=0.9) for _ in range(2)]
    return Draft("GroupNormalization", [x, *given], {"num_groups": groups})


def _layer_norm(op: str) -> Rule:
    def rule(g: Growth) -> Draft:
        attributes(op, g.opset)
        x = g.any(("float32",) if g.chance(0.9) else ("float16", "float64"), 1)
        rank = len(g.shape(x))
        axis = g.axis(rank)
        shape = g.shape(x)[axis % rank :]
        given = [g.new(g.dtype(x), shape, constant=0.7)]
        if op == "LayerNormalization" and g.chance(0.7):
            given.append(g.new(g.dtype(x), shape, constant=0.7))
        attrs: dict[str, Any] = {} if axis in (-1, rank - 1) and g.chance(0.5) else {"axis": axis}
        if g.chance(0.4):
            attrs["epsilon"] = g.pick((1e-5, 1e-3, 0.1))
        return Draft(op, [x, *given], attrs)

    return rule


def _mean_variance(g: Growth) -> Draft:
    x = g.first("MeanVarianceNormalization", 4, 4)
    axes = sorted(g.rng.sample(range(4), g.rng.randint(1, 4)))
    return Draft("MeanVarianceNormalization", [x], {"axes": axes} if g.chance(0.6) else {})


def _lrn(g: Growth) -> Draft:
    x = g.any(("float32",), 4, 4)
    attrs: dict[str, Any] = {"size": g.pick((1, 3, 5)), "alpha": g.pick((1e-4, 0.1, 1.0))}
    attrs["beta"] = g.pick((0.75, 0.5))
    if g.chance(0.5):
        attrs["bias"] = g.pick((1.0, 2.0))
    return Draft("LRN", [x], attrs)


_SCALES = (0.35, 0.5, 0.6, 0.7, 0.9, 1.0, 1.4, 1.5, 1.9, 2.0, 2.5, 3.0)
_COORDINATES = "half_pixel pytorch_half_pixel align_corners asymmetric half_pixel_symmetric".split()
_NEAREST = "round_prefer_floor round_prefer_ceil floor ceil".split()


def _resize(g: Growth) -> Draft:
    if g.opset < 10:
        raise UnfitError
    mode = g.pick(("nearest", "nearest", "linear", "cubic"))
    dtypes = ("float32", "uint8", "int32") if mode == "nearest" else ("float32",)
    x = g.any(dtypes, 2 if mode == "cubic" else 1, 4)
    rank = len(g.shape(x))
    moving = range(max(0, rank - 2), rank)
    scales = [g.pick(_SCALES) if i in moving and g.chance(0.8) else 1.0 for i in range(rank)]
    if any(int(n * s) < 1 for n, s in zip(g.shape(x), scales, strict=True)):
        raise UnfitError
    attrs: dict[str, Any] = {"mode": mode}
    if g.opset == 10:
        if mode == "cubic":
            raise UnfitError
        return Draft("Resize", [x, g.known(scales, "float32")], attrs)
    attrs |= _resize_attributes(g, mode)
    nothing = "" if g.opset >= 13 else g.known([], "float32")
    # Onnx's evaluator, alone in some modes, divides by lengths before they are whole.
    corners = attrs.get("coordinate_transformation_mode") == "align_corners"
    if corners or g.chance(0.5):
        sizes = [max(1, round(n * s)) for n, s in zip(g.shape(x), scales, strict=True)]
        return Draft("Resize", [x, nothing, nothing, g.known(sizes, "int64")], attrs)
    return Draft("Resize", [x, nothing, g.known(scales, "float32")], attrs)


def _resize_attributes(g: Growth, mode: str) -> dict[str, Any]:
    attrs: dict[str, Any] = {}
    if g.chance(0.7):
        choices = _COORDINATES if g.opset >= 19 else _COORDINATES[:4]
        attrs["coordinate_transformation_mode"] = g.pick(choices)
    if mode == "nearest" and g.chance(0.6):
        attrs["nearest_mode"] = g.pick(_NEAREST)
    if mode == "cubic" and g.chance(0.4):
        attrs["cubic_coeff_a"] = g.pick((-0.5, -0.75))
    if mode == "cubic" and g.chance(0.2):
        attrs["exclude_outside"] = 1
    if "antialias" in attributes("Resize", g.opset) and mode != "nearest" and g.chance(0.15):
        attrs["antialias"] = 1
    return attrs


def _upsample(g: Growth) -> Draft:
    attributes("Upsample", g.opset)
    mode = g.pick(("nearest", "linear"))
    x = g.any(("float32",), 4, 4)
    scales = [1.0, 1.0, g.pick((1.0, 1.4, 1.5, 1.9, 2.0)), g.pick((1.0, 1.5, 2.0, 3.0))]
    if g.opset < 9:
        return Draft("Upsample", [x], {"mode": mode, "scales": scales})
    return Draft("Upsample", [x, g.known(scales, "float32")], {"mode": mode})


def _grid_sample(g: Growth) -> Draft:
    attributes("GridSample", g.opset)
    x = g.any(("float32",), 4, 4)
    grid = (g.shape(x)[0], g.rng.choice((1, 3, 4)), g.rng.choice((1, 2, 5)), 2)
    mode = g.pick(("bilinear", "nearest", "bicubic"))
    attrs: dict[str, Any] = {
        "mode": mode if g.opset < 20 else _SAMPLE.get(mode, mode),
        "padding_mode": g.pick(("zeros", "border", "reflection")),
        "align_corners": g.pick((0, 1)),
    }
    points = np.asarray(g.numbers.uniform(-1.3, 1.3, grid), np.float32)
    return Draft("GridSample", [x, g.known(points)], attrs)


def _affine_grid(g: Growth) -> Draft:
    """Sizes of 1 have no place between two corners."""
    attributes("AffineGrid", g.opset)
    count, batch = g.rng.choice((2, 3)), g.rng.choice((1, 2, 3))
    theta = g.new("float32", (batch, count, count + 1), constant=0.2)
    sizes = [batch, g.rng.choice((1, 3)), *(g.rng.choice((2, 3, 5)) for _ in range(count))]
    return Draft("AffineGrid", [theta, g.known(sizes, "int64")], {"align_corners": g.pick((0, 1))})


RULES: dict[str, Rule] = {
    "AffineGrid": _affine_grid,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    **{op: _pool(op) for op in ("AveragePool", "MaxPool")},
    **{op: _global(op) for op in ("GlobalAveragePool", "GlobalMaxPool")},
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    **{op: _layer_norm(op) for op in ("LayerNormalization", "RMSNormalization")},
    "MeanVarianceNormalization": _mean_variance,
    "LRN": _lrn,
    "Resize": _resize,
    "Upsample": _upsample,
    "GridSample": _grid_sample,
}
