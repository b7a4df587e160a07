"""ONNX's Fourier transforms, and the matrix that sums their frequencies into bands."""

from __future__ import annotations

import math

import numpy as np

from luthier.schedules import ModelError, Tensor

from ..composites import fourier, movement
from ..graph import Array
from .element_types import dtype_name
from .node import OnnxNode, Operator

FIRST_WITH_AXIS_INPUT = 20


def _dft(node: OnnxNode) -> int:
    """Cut off or continued with zeros to the length that is asked for."""
    t, axis, planes = node.t, _dft_axis(node), node.shape[-1]
    inverse, onesided = bool(node.attr("inverse", 0)), bool(node.attr("onesided", 0))
    if planes not in (1, 2):
        raise node.unsupported(f"a signal whose last dimension is {planes}, not 1 or 2,")
    whole = inverse and onesided  # of which half the frequencies are given
    size = node.shape[axis]
    n = _number(node, 1, "a length")
    if n is None:
        n = 2 * (size - 1) if whole else size
    if n < 1:
        raise ModelError(f"{node.label}: its length is {n}")
    node.check_table(n)
    others = [i for i in range(node.rank - 1) if i != axis]
    order = [*others, node.rank - 1, axis]
    rows = math.prod(node.shape[i] for i in others)
    z = t.reshape(t.transpose(node.x, order), (rows, planes, size))
    z = fourier.fitted(t, z, n // 2 + 1 if whole else n)
    if whole:
        z = fourier.whole_spectrum(t, z, n)
    wanted = n // 2 + 1 if onesided and not inverse else n
    y = fourier.transform(t, z, wanted, inverse=inverse)
    if whole:
        y = movement.strided_slice(t, y, [1], [(0, 1, 1)])
    if inverse:
        y = t.emit("multiply", y, node.number(1 / n))
    y = t.reshape(y, (*(node.shape[i] for i in others), 1 if whole else 2, wanted))
    return t.transpose(y, [order.index(i) for i in range(node.rank)])


def _dft_axis(node: OnnxNode) -> int:
    """Not the last one, of the planes."""
    given = node.attr("axis", 1)
    if node.opset >= FIRST_WITH_AXIS_INPUT:
        number = _number(node, 2, "an axis")
        given = -2 if number is None else number
    axis = node.axis(given)
    if axis == node.rank - 1:
        raise ModelError(f"{node.label}: its axis {given} is the one of real and imaginary parts")
    return axis


def _stft(node: OnnxNode) -> int:
    """Frames are gathered, so that how many there are may be open."""
    t, shape = node.t, node.shape
    if node.rank == 2:  # real ones may be so in ONNX Runtime
        shape = (*shape, 1)
    if len(shape) != 3 or shape[2] not in (1, 2):
        raise node.unsupported(f"a signal of the shape {list(node.shape)}")
    batch, size, planes = shape
    step, length, window = _number(node, 1, "a step"), _number(node, 3, "a length"), node.input(2)
    if length is None:
        length = size if window is None else t.type(window).size
    if window is not None and t.shape(window) != (length,):
        raise ModelError(
            f"{node.label}: its window of the shape {list(t.shape(window))} is not for frames of "
            f"{length}"
        )
    if step is None or step < 1 or not 1 <= length <= size:
        raise ModelError(f"{node.label}: no frames of {length}, {step} apart, in {size} elements")
    node.check_table(length)
    count = (size - length) // step + 1
    begins = t.emit("iota", out=Tensor((count,), "int32"), start=0, step=step)
    within = t.constant(np.arange(length, dtype=np.int32))
    places = t.emit("add", t.reshape(begins, (count, 1)), within)
    z = t.transpose(t.emit("take", t.reshape(node.x, shape), places, axis=1), (0, 1, 3, 2))
    if window is not None:
        z = t.emit("multiply", z, t.cast(window, node.dtype))
    wanted = length // 2 + 1 if node.attr("onesided", 1) else length
    z = t.reshape(z, (batch * count, planes, length))
    y = fourier.transform(t, z, wanted, inverse=False)
    return t.transpose(t.reshape(y, (batch, count, 2, wanted)), (0, 1, 3, 2))


def _number(node: OnnxNode, index: int, what: str) -> int | None:
    known = node.constant(index, what)
    if known is None:
        return None
    if known.size != 1:
        raise node.unsupported(f"{what} that is not a single number")
    return int(known.item())


def _mel_weights(node: OnnxNode) -> int:
    """Triangles that overlap, evenly spaced on the mel scale (Stevens et al. 1937)."""
    bands, length, rate, low, high = (_single(node, index) for index in range(5))
    elem_type = node.attr("output_datatype", 1)
    dtype = dtype_name(elem_type, f"{node.label}: its result")
    bins, bands = int(length) // 2 + 1, int(bands)
    if bands < 1 or length < 1 or rate < 1:
        raise ModelError(f"{node.label}: {bands} bands of {length} samples at a rate of {rate}")
    node.check_table(bins * bands)
    mels = _mel(np.array([low, high]))
    steps = mels[0] + np.arange(bands + 2) * ((mels[1] - mels[0]) / (bands + 2))
    hertz = 700.0 * np.expm1(steps * (math.log(10) / 2595))
    with np.errstate(invalid="ignore"):
        edges = np.floor((length + 1) * hertz / rate)
    if not np.all((edges >= 0) & (edges < bins)):
        raise ModelError(f"{node.label}: bands from {low} to {high} Hz are beyond its frequencies")
    return node.t.constant(_triangles(edges[:, None], np.arange(bins)).astype(dtype))


def _triangles(edges: Array, places: Array) -> Array:
    """[places, bands]: each band rises from an edge to the next and falls to the one after."""
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    with np.errstate(all="ignore"):
        rises = np.where(center > left, (places - left) / (center - left), places == center)
        falls = (right - places) / (right - center)
    rising = (places >= left) & (places <= center)
    falling = (places >= center) & (places < right)
    return np.where(falling, falls, np.where(rising, rises, 0.0)).T


def _mel(hertz: Array) -> Array:
    return np.asarray(2595 * np.log1p(hertz / 700) / math.log(10))


def _single(node: OnnxNode, index: int) -> float:
    known = node.constant(index, "a setting")
    if known is None or known.size != 1:
        raise node.unsupported("a setting that is not a single number")
    return float(known.item())


OPERATORS: dict[str, Operator] = {
    "DFT": Operator(_dft, build_time=(1, 2), in_steps=True, of_floats=True),
    "MelWeightMatrix": Operator(_mel_weights, build_time=(0, 1, 2, 3, 4)),
    "STFT": Operator(_stft, build_time=(1, 3), in_steps=True, of_floats=True),
}
