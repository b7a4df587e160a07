"""Convolutions and pools in one to three dimensions."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from bench.sweep.point import Point, by, floats


def conv(
    image: Sequence[int],
    channels: tuple[int, int],
    kernel: Sequence[int],
    *,
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
    batch: int = 1,
    transposed: bool = False,
) -> Point:
    """With bias and ReLU, padded so that a stride of 1 keeps the size where the kernel is odd."""
    rank, (inside, outside) = len(image), channels
    pads = [dilation * (k - 1) // 2 for k in kernel]
    options = [
        f"kernel_shape = {list(kernel)}", f"pads = {pads + pads}",
        f"strides = {[stride] * rank}", f"dilations = {[dilation] * rank}", f"group = {groups}",
    ]  # fmt: skip
    op, weight = "Conv", (outside, inside // groups, *kernel)
    if transposed:
        op, weight = "ConvTranspose", (inside, outside // groups, *kernel)
    said = "".join(
        f" {name} {value}"
        for name, value in (
            ("/", stride),
            ("groups", groups),
            ("dilated", dilation),
            ("batch", batch),
        )
        if value != 1
    )
    depthwise = groups == inside > 1
    family = f"{'transposed ' if transposed else ''}{'depthwise ' if depthwise else ''}conv {rank}d"
    return Point(
        family,
        f"{by(*kernel)} of {inside} to {outside}, {by(*image)}{said}",
        f"c = {op} <{', '.join(options)}> (x, w, b) y = Relu (c)",
        {"x": floats(batch, inside, *image)},
        {"w": weight, "b": (outside,)},
    )


def pool(op: str, image: Sequence[int], channels: int, kernel: int, stride: int) -> Point:
    """A pool over windows of all spatial dimensions."""
    rank = len(image)
    options = f"kernel_shape = {[kernel] * rank}, strides = {[stride] * rank}"
    pads = f", pads = {[kernel // 2] * 2 * rank}" if kernel % 2 else ""
    return Point(
        f"pool {rank}d",
        f"{op} {kernel} of {channels}, {by(*image)} / {stride}",
        f"y = {op} <{options}{pads}> (x)",
        {"x": floats(1, channels, *image)},
    )


def grid() -> Iterator[Point]:
    """The points that are always there."""
    yield from _images()
    yield from _depthwise_and_groups()
    yield from _sequences_and_volumes()
    for image, inside, outside, kernel, stride in (
        ((28, 28), 64, 64, 4, 2), ((14, 14), 256, 128, 2, 2), ((56, 56), 32, 3, 4, 2),
        ((28, 28), 64, 64, 3, 1), ((100,), 128, 64, 4, 2),
    ):  # fmt: skip
        yield conv(image, (inside, outside), (kernel,) * len(image), stride=stride, transposed=True)
    yield from _pools()


def _images() -> Iterator[Point]:
    for side, inside, outside in (
        (7, 512, 512), (14, 256, 256), (28, 128, 128), (56, 64, 64), (14, 96, 576), (28, 192, 64),
        (56, 24, 144), (112, 16, 16), (37, 40, 88),
    ):  # fmt: skip
        for kernel, stride in ((1, 1), (3, 1), (3, 2)):
            yield conv((side, side), (inside, outside), (kernel, kernel), stride=stride)
    for kernels in ((5, 5), (7, 7), (1, 7), (7, 1)):
        yield conv((28, 28), (64, 64), kernels)
    for kernel, stride, outside in ((3, 2, 32), (7, 2, 64), (4, 4, 96), (3, 1, 64), (16, 16, 384)):
        yield conv((224, 224), (3, outside), (kernel, kernel), stride=stride)
    for inside, outside in ((64, 1), (64, 3), (16, 8), (8, 8), (1, 16), (20, 20)):
        yield conv((64, 64), (inside, outside), (3, 3))
    for dilation in (2, 4):
        yield conv((28, 28), (64, 64), (3, 3), dilation=dilation)
    for batch in (2, 8):
        yield conv((28, 28), (64, 64), (3, 3), batch=batch)
        yield conv((14, 14), (256, 256), (1, 1), batch=batch)
    narrow = ((1, 200), (1, 5)), ((200, 1), (5, 1)), ((1, 1), (1, 1)), ((1, 1), (3, 3))
    for image, kernels in narrow:
        yield conv(image, (64, 64), kernels)


def _depthwise_and_groups() -> Iterator[Point]:
    for groups in (2, 4, 8, 16, 32):
        yield conv((28, 28), (128, 128), (3, 3), groups=groups)
    for side, channels, kernel in (
        (112, 32, 3), (56, 144, 3), (28, 240, 5), (14, 480, 3), (7, 960, 5), (56, 96, 7),
        (56, 128, 1),
    ):  # fmt: skip
        for stride in (1, 2):
            both = (channels, channels)
            yield conv((side, side), both, (kernel, kernel), groups=channels, stride=stride)
    yield conv((28, 28), (32, 64), (3, 3), groups=32)  # a depth multiplier


def _sequences_and_volumes() -> Iterator[Point]:
    for length, inside, outside, kernel, stride in (
        (16000, 1, 64, 10, 5), (1500, 384, 384, 3, 1), (3000, 80, 384, 3, 1),
        (3200, 512, 512, 3, 2), (200, 64, 64, 5, 1), (1000, 128, 128, 15, 1), (400, 256, 256, 1, 1),
    ):  # fmt: skip
        yield conv((length,), (inside, outside), (kernel,), stride=stride)
    yield conv((1000,), (128, 128), (31,), groups=128)
    yield conv((200,), (768, 768), (129,), groups=16)
    for image, inside, outside, kernel in (
        ((8, 14, 14), 32, 32, 3), ((16, 28, 28), 16, 32, 3), ((8, 56, 56), 3, 32, 3),
        ((4, 7, 7), 128, 128, 1),
    ):  # fmt: skip
        yield conv(image, (inside, outside), (kernel,) * 3)


def _pools() -> Iterator[Point]:
    for op in ("MaxPool", "AveragePool"):
        for image, channels, kernel, stride in (
            ((112, 112), 64, 3, 2), ((56, 56), 128, 2, 2), ((14, 14), 256, 3, 1),
            ((1000,), 64, 3, 2), ((8, 28, 28), 32, 2, 2),
        ):  # fmt: skip
            yield pool(op, image, channels, kernel, stride)
    for side, channels in ((7, 1280), (14, 512), (56, 64)):
        inputs = {"x": floats(1, channels, side, side)}
        name = f"global of {channels}, {by(side, side)}"
        yield Point("pool 2d", name, "y = GlobalAveragePool (x)", inputs)


def drawn(rng: random.Random) -> Point:
    """One that nobody chose."""
    kernel, side = rng.choice((1, 1, 3, 3, 5, 7)), rng.randint(5, 80)
    inside, outside = (round(2 ** rng.uniform(0, 8)) for _ in range(2))
    kind = rng.choice(("plain", "plain", "depthwise", "1d", "transposed"))
    stride = rng.choice((1, 1, 2))
    if kind == "1d":
        return conv((rng.randint(10, 2000),), (inside, outside), (kernel,), stride=stride)
    if kind == "depthwise":
        inside = outside = max(2, outside)
        return conv((side,) * 2, (inside, outside), (kernel,) * 2, stride=stride, groups=inside)
    is_transposed = kind == "transposed"
    image = (min(side, 40),) * 2 if is_transposed else (side, side)
    return conv(image, (inside, outside), (kernel,) * 2, stride=stride, transposed=is_transposed)
