"""Rules of transforms, regions, running products, and what is told by row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .draft import MOST_ELEMENTS, Draft, Growth, Rule, UnfitError, attributes, types
from .operators_layers import window


def _dft(g: Growth) -> Draft:
    attributes("DFT", g.opset)
    rank, planes = g.rng.choice((3, 3, 4)), g.rng.choice((1, 2))
    shape = (*g.some_shape(rank - 1, rank - 1), planes)
    if math.prod(shape) > MOST_ELEMENTS:
        raise UnfitError
    x = g.new("float32", shape)
    axis = g.rng.randrange(rank - 1)
    attrs: dict[str, Any] = {}
    if planes == 2 and g.chance(0.4):
        attrs["inverse"] = 1
    elif planes == 1 and g.chance(0.4):
        attrs["onesided"] = 1
    length = g.known(g.rng.randint(1, 40), "int64") if g.chance(0.3) else ""
    if g.opset < 20:
        return Draft("DFT", [x, length] if length else [x], {"axis": axis, **attrs})
    return Draft("DFT", [x, length, g.known(axis, "int64")], attrs)


def _stft(g: Growth) -> Draft:
    attributes("STFT", g.opset)
    size = g.rng.randint(8, 80)
    x, length = g.new("float32", (g.rng.choice((1, 2, 3)), size, 1)), g.rng.randint(2, size)
    inputs = [x, g.known(g.rng.randint(1, 9), "int64")]
    inputs.append(g.new("float32", (length,)) if g.chance(0.6) else "")
    inputs.append(g.known(length, "int64"))
    return Draft("STFT", inputs, {"onesided": g.rng.choice((0, 1))})


def _mel(g: Growth) -> Draft:
    attributes("MelWeightMatrix", g.opset)
    numbers = [g.known(n, "int64") for n in (g.rng.randint(1, 12), g.rng.randint(16, 90), 8000)]
    edges = [g.known(e, "float32") for e in (g.pick((0, 40)), g.pick((2000, 3600)))]
    return Draft("MelWeightMatrix", [*numbers, *edges])


def _lp_normalization(g: Growth) -> Draft:
    x = g.any(types("LpNormalization", g.opset, 0), 1)
    attrs = {"axis": g.axis(len(g.shape(x))), "p": g.pick((1, 2))}
    return Draft("LpNormalization", [x], attrs)


def _global_lp_pool(g: Growth) -> Draft:
    return Draft("GlobalLpPool", [g.any(("float32",), 3, 5)], {"p": g.pick((1, 2, 3))})


def _lp_pool(g: Growth) -> Draft:
    x = g.any(("float32",), 3, 4)
    return Draft("LpPool", [x], {"p": g.pick((1, 2, 3)), **window(g, g.shape(x)[2:], "LpPool", 3)})


def _max_unpool(g: Growth) -> Draft:
    attributes("MaxUnpool", g.opset)
    shape = (1, g.rng.choice((1, 3)), g.rng.randint(1, 5), g.rng.randint(1, 5))
    count = 4 * math.prod(shape)
    places = g.numbers.permutation(count)[: count // 4].reshape(shape)
    attrs = {"kernel_shape": [2, 2], "strides": [2, 2]}
    return Draft("MaxUnpool", [g.new("float32", shape), g.known(places, "int64")], attrs)


def _roi_align(g: Growth) -> Draft:
    attributes("RoiAlign", g.opset)
    x = g.any(("float32",), 4, 4)
    count, (n, _, h, w) = g.rng.choice((1, 2, 5)), g.shape(x)
    first = g.numbers.uniform(-1, (w, h), (count, 2))
    rois = np.concatenate([first, first + g.numbers.uniform(0.2, (w, h), (count, 2))], axis=1)
    attrs: dict[str, Any] = {"output_height": g.rng.randint(1, 4), "output_width": 2}
    attrs |= {"sampling_ratio": g.pick((0, 1, 2, 3)), "spatial_scale": g.pick((1.0, 0.5))}
    attrs["mode"] = g.pick(("avg", "max"))
    images = g.known(g.numbers.integers(0, n, count), "int64")
    return Draft("RoiAlign", [x, g.known(rois, "float32"), images], attrs)


def _max_roi_pool(g: Growth) -> Draft:
    x = g.any(("float32",), 4, 4)
    n, _, h, w = g.shape(x)
    count = g.rng.choice((1, 3))
    first = g.numbers.integers(0, (w, h), (count, 2))
    last = first + g.numbers.integers(0, (w, h), (count, 2))
    rois = np.concatenate([g.numbers.integers(0, n, (count, 1)), first, last], axis=1)
    attrs = {"pooled_shape": [g.rng.randint(1, 4), 2], "spatial_scale": g.pick((1.0, 0.5))}
    return Draft("MaxRoiPool", [x, g.known(rois, "float32")], attrs)


def _deform_conv(g: Growth) -> Draft:
    attributes("DeformConv", g.opset)
    groups, parts = g.rng.choice((1, 2)), g.rng.choice((1, 2))
    n, h, w = g.rng.choice((1, 2)), g.rng.randint(3, 8), g.rng.randint(3, 8)
    kernel = (g.rng.randint(1, 3), g.rng.randint(1, 3))
    out = (h - kernel[0] + 1, w - kernel[1] + 1)
    x, weights = g.new("float32", (n, 4, h, w)), g.new("float32", (2, 4 // groups, *kernel))
    taps = parts * math.prod(kernel)
    moves = g.known(g.numbers.uniform(-2, 2, (n, 2 * taps, *out)), "float32")
    inputs = [x, weights, moves]
    if g.chance(0.5):
        inputs += [g.new("float32", (2,)), g.new("float32", (n, taps, *out))]
    return Draft("DeformConv", inputs, {"group": groups, "offset_group": parts})


def _cumprod(g: Growth) -> Draft:
    x = g.first("CumProd", 1)
    attrs = {k: 1 for k in ("exclusive", "reverse") if g.chance(0.3)}
    return Draft("CumProd", [x, g.known(g.rng.randrange(len(g.shape(x))), "int64")], attrs)


def _reverse_sequence(g: Growth) -> Draft:
    x = g.first("ReverseSequence", 2)
    time = g.rng.randrange(2)
    size, count = g.shape(x)[time], g.shape(x)[1 - time]
    lengths = g.known(g.numbers.integers(0, size + 1, count), "int64")
    return Draft("ReverseSequence", [x, lengths], {"time_axis": time, "batch_axis": 1 - time})


def _tensor_scatter(g: Growth) -> Draft:
    cache = g.first("TensorScatter", 2)
    shape = list(g.shape(cache))
    axis = g.rng.randrange(1, len(shape))
    size = shape[axis]
    shape[axis] = g.rng.randint(1, size)
    attrs: dict[str, Any] = {"axis": axis}
    room = size - shape[axis]
    if g.chance(0.4):
        attrs["mode"], room = "circular", size - 1
    begins = g.known(g.numbers.integers(0, room + 1, shape[0]), "int64")
    update = g.like(cache, tuple(shape))
    return Draft("TensorScatter", [cache, update, *([begins] if g.chance(0.8) else [])], attrs)


def _scatter(g: Growth) -> Draft:
    x = g.first("Scatter", 1)
    axis = g.rng.randrange(len(g.shape(x)))
    size, shape = g.shape(x)[axis], list(g.shape(x))
    shape[axis] = g.rng.randint(1, size)
    rows = [
        g.numbers.permutation(size)[: shape[axis]] for _ in range(math.prod(shape) // shape[axis])
    ]
    moved = [*shape[:axis], *shape[axis + 1 :], shape[axis]]
    places = np.moveaxis(np.reshape(rows, moved), -1, axis)
    return Draft("Scatter", [x, g.known(places, "int64"), g.like(x, tuple(shape))], {"axis": axis})


def _col2im(g: Growth) -> Draft:
    attributes("Col2Im", g.opset)
    kernel = [g.rng.randint(1, 3), g.rng.randint(1, 3)]
    counts, steps = [g.rng.randint(1, 4) for _ in kernel], [g.rng.randint(1, 3) for _ in kernel]
    image = [(n - 1) * s + k for n, s, k in zip(counts, steps, kernel, strict=True)]
    shape = (g.rng.choice((1, 2)), 2 * math.prod(kernel), math.prod(counts))
    given = [g.known(image, "int64"), g.known(kernel, "int64")]
    return Draft("Col2Im", [g.new("float32", shape), *given], {"strides": steps})


def _det(g: Growth) -> Draft:
    attributes("Det", g.opset)
    size = g.rng.choice((1, 2, 3, 6, 37))
    return Draft("Det", [g.new("float32", (*g.some_shape(0, 2), size, size))])


_SAME_WIDTH = {
    "float32": (6, 12),
    "int32": (1, 12),
    "float64": (7, 13),
    "uint8": (3,),
    "int8": (2,),
}
_SAME_WIDTH |= {"int64": (11, 13), "uint32": (6,), "uint16": (5,), "int16": (4,)}


def _bit_cast(g: Growth) -> Draft:
    attributes("BitCast", g.opset)
    x = g.any(("float32", "float64", "uint8", "int8", "uint16", "int16", "uint32"))
    return Draft("BitCast", [x], {"to": g.pick(_SAME_WIDTH[g.dtype(x)])})


def _tf_idf(g: Growth) -> Draft:
    attributes("TfIdfVectorizer", g.opset)
    shape = (g.rng.randint(2, 20),) if g.chance(0.5) else (2, g.rng.randint(2, 12))
    x = g.known(g.numbers.integers(0, 5, shape), "int64")
    pairs = g.numbers.permutation(25)[:4]
    pool = [*g.numbers.permutation(5)[:3].tolist(), *np.stack([pairs // 5, pairs % 5], 1).flat]
    attrs: dict[str, Any] = {"pool_int64s": [int(p) for p in pool], "ngram_counts": [0, 3]}
    attrs |= {"ngram_indexes": g.numbers.permutation(7).tolist(), "mode": g.pick(("TF", "IDF"))}
    attrs |= {"max_skip_count": g.rng.randint(0, 2)}
    attrs |= {"min_gram_length": g.rng.choice((1, 2)), "max_gram_length": 2}
    return Draft("TfIdfVectorizer", [x], attrs)


RULES: dict[str, Rule] = {
    "BitCast": _bit_cast,
    "Col2Im": _col2im,
    "CumProd": _cumprod,
    "DFT": _dft,
    "DeformConv": _deform_conv,
    "Det": _det,
    "GlobalLpPool": _global_lp_pool,
    "LpNormalization": _lp_normalization,
    "LpPool": _lp_pool,
    "MaxRoiPool": _max_roi_pool,
    "MaxUnpool": _max_unpool,
    "MelWeightMatrix": _mel,
    "ReverseSequence": _reverse_sequence,
    "RoiAlign": _roi_align,
    "STFT": _stft,
    "Scatter": _scatter,
    "TensorScatter": _tensor_scatter,
    "TfIdfVectorizer": _tf_idf,
}
