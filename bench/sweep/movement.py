"""What moves elements: transposes, joins, cuts, borders, other sizes of images, gathers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

from bench.sweep.point import Point, by, floats


def transpose(shape: Sequence[int], perm: Sequence[int], kind: str = "float") -> Point:
    """Of any element type."""
    said = "" if kind == "float" else f" {kind}"
    return Point(
        "transpose",
        f"{by(*shape)} by {''.join(map(str, perm))}{said}",
        f"y = Transpose <perm = {list(perm)}> (x)",
        {"x": f"{kind}[{','.join(map(str, shape))}]"},
        output=kind,
    )


def _moved(name: str, nodes: str, *shapes: Sequence[int]) -> Point:
    inputs = {f"x{i}" if i else "x": floats(*shape) for i, shape in enumerate(shapes)}
    return Point("movement", f"{name} {', '.join(by(*shape) for shape in shapes)}", nodes, inputs)


def concat(axis: int, *shapes: Sequence[int]) -> Point:
    """Of two tensors."""
    return _moved(f"Concat {axis}", f"y = Concat <axis = {axis}> (x, x1)", *shapes)


def cut(shape: Sequence[int], axis: int, step: int = 1) -> Point:
    """The middle of an axis."""
    begin, end = shape[axis] // 4, shape[axis] - shape[axis] // 4
    nodes = "".join(
        f"{name} = Constant <value_ints = [{value}]> () "
        for name, value in (("b", begin), ("e", end), ("a", axis), ("s", step))
    )
    said = f" / {step}" if step != 1 else ""
    return _moved(f"Slice {axis}{said}", f"{nodes} y = Slice (x, b, e, a, s)", shape)


def pad(shape: Sequence[int], mode: str, width: int = 1) -> Point:
    """A border around the last two axes."""
    pads = [0] * (len(shape) - 2) + [width] * 2
    nodes = f'p = Constant <value_ints = {pads + pads}> () y = Pad <mode = "{mode}"> (x, p)'
    return _moved(f"Pad {mode} {width}", nodes, shape)


def resize(shape: Sequence[int], scale: float, mode: str, transform: str) -> Point:
    """Of an image in NCHW."""
    nodes = f"""s = Constant <value_floats = [1.0, 1.0, {scale}, {scale}]> ()
        y = Resize <mode = "{mode}", coordinate_transformation_mode = "{transform}"> (x, , s)"""
    return _moved(f"Resize {mode} {transform} {scale}", nodes, shape)


def gather(rows: int, width: int, taken: int) -> Point:
    """Rows of a table, as an embedding takes them."""
    return Point(
        "movement",
        f"Gather {taken} of {by(rows, width)}",
        f"n = Constant <value_int = {rows}> () j = Mod (i, n) y = Gather (w, j)",
        {"i": f"int64[{taken}]"},
        {"w": (rows, width)},
    )


def grid() -> Iterator[Point]:
    """The points that are always there."""
    yield from _transposes()
    yield from _images()
    for axis, shapes in (
        (1, ((1, 64, 56, 56), (1, 32, 56, 56))), (1, ((1, 37, 20, 20), (1, 5, 20, 20))),
        (-1, ((128, 768), (128, 64))), (0, ((100, 300), (1, 300))),
        (3, ((1, 8, 32, 31), (1, 8, 32, 1))),
    ):  # fmt: skip
        yield concat(axis, *shapes)
    for shape, axis, step in (
        ((1, 64, 56, 56), 1, 1), ((1, 64, 56, 56), 3, 1), ((1, 64, 56, 56), 2, 2),
        ((1, 64, 56, 56), 3, 2), ((128, 3 * 768), 1, 1),
    ):  # fmt: skip
        yield cut(shape, axis, step)
    for rows, width, taken in ((30522, 768, 128), (1000, 64, 1), (50000, 16, 1000)):
        yield gather(rows, width, taken)
    expanded = "t = Constant <value_ints = [1, 64, 56, 56]> () y = Expand (x, t)"
    yield _moved("Expand", expanded, (1, 64, 1, 1))
    yield _moved("Tile", "t = Constant <value_ints = [1, 4, 2]> () y = Tile (x, t)", (8, 32, 48))
    chosen = "z = Constant <value_float = 0.0> () c = Greater (x, z) y = Where (c, x, x1)"
    yield _moved("Where", chosen, (64, 4096), (64, 4096))


def _transposes() -> Iterator[Point]:
    for shape in ((64, 96, 48), (32, 32, 32), (1, 128, 128)):
        for perm in itertools.permutations(range(3)):
            if perm != (0, 1, 2):
                yield transpose(shape, perm)
    for channels, side in ((64, 32), (64, 56), (64, 64), (32, 128), (256, 14), (3, 224), (7, 61)):
        yield transpose((1, channels, side, side), (0, 2, 3, 1))
        yield transpose((1, side, side, channels), (0, 3, 1, 2))
    yield transpose((1, 128, 12, 64), (0, 2, 1, 3))
    yield transpose((1, 12, 128, 64), (0, 1, 3, 2))
    yield transpose((8, 4, 7, 7, 32), (0, 3, 1, 2, 4))
    for kind in ("uint8", "float16", "int64"):
        yield transpose((1, 224, 224, 3), (0, 3, 1, 2), kind)
        yield transpose((512, 512), (1, 0), kind)


def _images() -> Iterator[Point]:
    for mode in ("constant", "reflect", "edge"):
        yield pad((1, 64, 56, 56), mode)
        yield pad((1, 3, 224, 224), mode, 3)
    for shape in ((1, 64, 28, 28), (1, 3, 112, 112)):
        for mode, transform in (
            ("nearest", "asymmetric"), ("linear", "half_pixel"), ("linear", "align_corners"),
            ("cubic", "half_pixel"),
        ):  # fmt: skip
            yield resize(shape, 2.0, mode, transform)
        yield resize(shape, 0.5, "linear", "half_pixel")
    yield _moved("Split", "y, z = Split <axis = 1, num_outputs = 2> (x)", (1, 64, 56, 56))
    yield _moved("SpaceToDepth", "y = SpaceToDepth <blocksize = 2> (x)", (1, 16, 64, 64))
    for mode in ("DCR", "CRD"):
        nodes = f'y = DepthToSpace <blocksize = 2, mode = "{mode}"> (x)'
        yield _moved(f"DepthToSpace {mode}", nodes, (1, 64, 56, 56))
    yield _moved("GridSample", "y = GridSample (x, x1)", (1, 32, 56, 56), (1, 56, 56, 2))


def drawn(rng: random.Random) -> Point:
    """One that nobody chose."""
    shape = [rng.randint(1, 70) for _ in range(rng.randint(2, 4))]
    if rng.random() < 0.7:
        return transpose(shape, rng.sample(range(len(shape)), len(shape)))
    other = list(shape)
    axis = rng.randrange(len(shape))
    other[axis] = rng.randint(1, 70)
    return concat(axis, shape, other)
