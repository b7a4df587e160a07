"""Images resized, cut and bent, other norms and pools of them, and spectra of signals."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from bench.sweep.element_types import of_one
from bench.sweep.point import Point, by, floats
from bench.sweep.rare import FAMILY, IMAGE, ROWS, ints, other, typed


def resized(shape: Sequence[int], to: Sequence[int], mode: str, antialias: int = 0) -> Point:
    """An image to any size."""
    nodes = ints("t", *to) + f'y = Resize <mode = "{mode}", antialias = {antialias}> (x, , , t)'
    said = " antialias" if antialias else ""
    name = f"Resize {mode}{said} {by(*shape)} to {by(*to)}"
    return other(name, nodes, {"x": typed("float", shape)})


def roi_align(channels: int, side: int, boxes: int, size: int) -> Point:
    """Pieces of a feature map."""
    nodes = "k = Constant <value_float = 40.0> () t = Mul (b, k) z = Constant <value_int = 0> () "
    nodes += ints("s", boxes) + "i = Expand (z, s) "
    how = f"output_height = {size}, output_width = {size}, sampling_ratio = 2"
    nodes += f"y = RoiAlign <{how}> (x, t, i)"
    inputs = {"x": typed("float", (1, channels, side, side)), "b": typed("float", (boxes, 4))}
    name = f"RoiAlign {boxes} of {by(channels, side, side)} to {size}"
    return other(name, nodes, inputs, positive=True)


def normed(op: str, shape: Sequence[int], groups: int = 0) -> Point:
    """Norms of any rank."""
    attributes = f" <num_groups = {groups}>" if groups else ""
    said = f" by {groups}" if groups else ""
    channels = shape[1]
    nodes = f"y = {op}{attributes} (x, g, b)"
    return Point(
        FAMILY, f"{op}{said} {by(*shape)}", nodes, {"x": typed("float", shape)},
        {"g": (channels,), "b": (channels,)},
    )  # fmt: skip


def spectrum(batch: int, length: int, frame: int, step: int) -> Point:
    """Of frames of a signal."""
    nodes = f"s = Constant <value_int = {step}> () n = Constant <value_int = {frame}> () "
    nodes += "w = HannWindow (n) y = STFT (x, s, w)"
    name = f"STFT {frame} / {step} of {by(batch, length)}"
    return _spectrum(name, nodes, (batch, length, 1), frame)


def fourier(shape: Sequence[int], axis: int) -> Point:
    """A discrete Fourier transform."""
    nodes = f"a = Constant <value_int = {axis}> () y = DFT (x, , a)"
    return _spectrum(f"DFT {axis} of {by(*shape)}", nodes, shape, shape[axis])


def _spectrum(name: str, nodes: str, shape: Sequence[int], length: int) -> Point:
    """ONNX Runtime's results are wrong by 3e-4 of the largest where ``length`` is not a power of
    two."""
    inputs = {"x": typed("float", shape)}
    return Point(FAMILY, name, nodes, inputs, rounded=bool(length & (length - 1)))


def grid() -> Iterator[Point]:
    """The points that are always there."""
    for call in (
        "LRN <size = 5>", "GlobalLpPool", "GlobalMaxPool", "LpPool <kernel_shape = [3, 3]>",
        "MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1>",
        "LpNormalization <axis = 1>", "Hardmax <axis = 1>", "ThresholdedRelu", "HardSigmoid",
        "Shrink",
    ):  # fmt: skip
        yield of_one(call, IMAGE)
    inputs = {"x": floats(*IMAGE)}
    yield Point(FAMILY, "PRelu channels", "y = PRelu (x, s)", inputs, {"s": (64, 1, 1)})
    yield from _sizes()
    yield from _bent()
    for shape in ((1, 32, 1000), (1, 16, 16, 16, 16), (4, 37, 20, 20)):
        yield normed("InstanceNormalization", shape)
    for length, frame, step in ((16000, 400, 160), (16000, 512, 128), (44100, 2048, 512)):
        yield spectrum(1, length, frame, step)
    yield fourier((8, 1024, 1), 1)
    yield fourier((8, 1000, 2), 1)
    yield fourier((4, 64, 64, 2), 1)
    yield fourier((4, 997, 2), 1)
    yield of_one("Trilu", (8, 200, 200))
    yield of_one("Det", (100, 8, 8))
    inputs = {"x": floats(40, 16, 100)}
    lengths = ints("l", *([30] * 16))
    call = "y = ReverseSequence <batch_axis = 1, time_axis = 0> (x, l)"
    yield other("ReverseSequence 40x16x100", lengths + call, inputs)


def _sizes() -> Iterator[Point]:
    for to in ((1, 64, 100, 90), (1, 64, 28, 28), (1, 64, 57, 55)):
        for mode in ("linear", "nearest", "cubic"):
            yield resized(IMAGE, to, mode)
    for mode in ("linear", "cubic"):
        yield resized((1, 3, 480, 640), (1, 3, 224, 224), mode, 1)
    yield resized((1, 16, 20, 30, 40), (1, 16, 40, 60, 80), "linear")
    yield resized((1, 32, 1000), (1, 32, 2000), "linear")


def _bent() -> Iterator[Point]:
    yield roi_align(256, 50, 100, 7)
    sizes = ints("i", 30, 30) + ints("b", 3, 3)
    inputs = {"x": floats(1, 9 * 16, 28 * 28)}
    yield other("Col2Im 3x3 to 16x30x30", f"{sizes} y = Col2Im (x, i, b)", inputs)
    how = "<kernel_shape = [2, 2], strides = [2, 2]>"
    nodes = f"p, i = MaxPool {how} (x) y = MaxUnpool {how} (p, i)"
    yield other(f"MaxUnpool {by(*IMAGE)}", nodes, {"x": floats(*IMAGE)})
    nodes = "y = DeformConv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w, o)"
    inputs = {"x": floats(1, 64, 28, 28), "o": floats(1, 18, 28, 28)}
    yield Point(FAMILY, "DeformConv 3x3 64x28x28", nodes, inputs, {"w": (64, 64, 3, 3)})
    inputs = {"x": floats(1, 16, 40, 40), "z": floats(1, 50, 60, 2)}
    for attributes in ('mode = "cubic"', 'mode = "nearest", padding_mode = "border"'):
        yield other(f"GridSample {attributes}", f"y = GridSample <{attributes}> (x, z)", inputs)
    inputs = {"c": typed("bool", (128, 1)), "x": floats(*ROWS), "z": floats(1)}
    yield other("Where of rows", "y = Where (c, x, z)", inputs)


def drawn(rng: random.Random) -> Point:
    """One that nobody chose."""
    channels, height, width = (rng.randint(1, 60) for _ in range(3))
    to = (1, channels, rng.randint(1, 90), rng.randint(1, 90))
    return resized((1, channels, height, width), to, rng.choice(("linear", "nearest", "cubic")))
