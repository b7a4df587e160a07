"""Preprocessing by NumPy and Pillow, in float64 as far as these go, as the documentation has it."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from luthier.frontend import Preprocess

PILLOW = {
    "bilinear-antialias": Image.Resampling.BILINEAR,
    "bicubic-antialias": Image.Resampling.BICUBIC,
}


def preprocessed(image: np.ndarray, given: Preprocess, to: tuple[int, int]) -> np.ndarray:
    """float64[N, C, H, W] (or the model's layout) of an image in its layout."""
    x = image if given.layout == "nhwc" else image.transpose(0, 2, 3, 1)
    x = resized(cropped(x.astype(np.float64), given), given, to)
    x = coloured(x, given)
    x = (x * given.scale - np.array(given.mean)) / np.array(given.std)
    return x if given.model_layout == "nhwc" else x.transpose(0, 3, 1, 2)


def middle(rest: int) -> int:
    return round(rest / 2)  # halves to even


def cut(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    top, left = (middle(n - s) for n, s in zip(x.shape[1:3], size, strict=True))
    return x[:, top : top + size[0], left : left + size[1]]


def cropped(x: np.ndarray, given: Preprocess) -> np.ndarray:
    if given.crop is None:
        return x
    if isinstance(given.crop, tuple):
        return cut(x, given.crop)
    height, width = (max(1, math.floor(n * given.crop)) for n in x.shape[1:3])
    return cut(x, (height, width))


def resized(x: np.ndarray, given: Preprocess, to: tuple[int, int]) -> np.ndarray:
    if given.resize is None:
        return x
    height, width = x.shape[1:3]
    if given.shorter is not None:
        short = min(height, width)
        out = (given.shorter * height // short, given.shorter * width // short)
        return cut(sampled(x, out, given.resize), to)
    if not given.letterbox:
        return sampled(x, to, given.resize)
    if to[0] * width <= to[1] * height:
        out = (to[0], max(1, math.floor(width * to[0] / height + 0.5)))
    else:
        out = (max(1, math.floor(height * to[1] / width + 0.5)), to[1])
    inner = sampled(x, out, given.resize)
    whole = np.full((len(x), *to, x.shape[3]), given.pad, np.float64)
    top, left = ((t - o) // 2 for t, o in zip(to, out, strict=True))
    whole[:, top : top + out[0], left : left + out[1]] = inner
    return whole


def sampled(x: np.ndarray, out: tuple[int, int], how: str) -> np.ndarray:
    if how in PILLOW:
        planes = [
            Image.fromarray(x[n, :, :, c].astype(np.float32), "F").resize(out[::-1], PILLOW[how])
            for n in range(len(x))
            for c in range(x.shape[3])
        ]
        flat = np.stack([np.asarray(plane, np.float64) for plane in planes])
        return flat.reshape(len(x), x.shape[3], *out).transpose(0, 2, 3, 1)
    rows, columns = (matrix(n, o, how) for n, o in zip(x.shape[1:3], out, strict=True))
    return np.einsum("ah,bw,nhwc->nabc", rows, columns, x)


def matrix(size: int, out: int, how: str) -> np.ndarray:
    found = np.zeros((out, size))
    for place in range(out):
        if how == "nearest":
            found[place, (2 * place + 1) * size // (2 * out)] = 1
            continue
        source = min(max((place + 0.5) * size / out - 0.5, 0), size - 1)
        low = math.floor(source)
        found[place, low] += 1 - (source - low)
        found[place, min(low + 1, size - 1)] += source - low
    return found


def coloured(x: np.ndarray, given: Preprocess) -> np.ndarray:
    if given.colours is None:
        return x
    letters = "y" if given.colours == "gray" else given.colours
    planes = dict(zip(letters, np.moveaxis(x, 3, 0), strict=True))
    if given.colours == "gray":
        planes |= dict.fromkeys("rgb", planes["y"])
    elif given.model_colours == "gray":
        planes["y"] = 0.299 * planes["r"] + 0.587 * planes["g"] + 0.114 * planes["b"]
    wanted = "y" if given.model_colours == "gray" else given.model_colours
    return np.stack([planes[each] for each in wanted], axis=3)
