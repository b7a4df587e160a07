"""Parts of images, enlarged or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .spelling import Operators, Results, Spelled, Spelling, attributes

_INT64 = 7
_LARGEST = 1 << 16  # of a side


@dataclass(frozen=True)
class _Places:
    """Along one side of each crop, [crops, places]: where they are, and whether in the image."""

    at: str
    inside: str
    size: int


def _crop_and_resize(call: Spelling) -> Results:
    """Corners of a crop are corners of the result; what is outside of the image is a number."""
    mode = call.attr("mode", "bilinear")
    sizes = call.array(call.given(3))
    if mode not in ("bilinear", "nearest") or sizes is None or sizes.size != 2 or sizes.min() < 1:
        raise call.unsupported(
            f"the mode '{mode}', or sizes of crops that are computed at run time,"
        )
    if call.rank(call.x) != 4 or call.rank(call.given(1)) != 2:
        raise call.unsupported(f"an image of {call.rank(call.x)} dimensions")
    if sizes.max() > _LARGEST:
        raise call.unsupported(f"crops of {sizes.ravel().tolist()} (more than {_LARGEST})")
    _, channels, height, width = call.shape(call.x)
    down, across = (int(n) for n in sizes.ravel())
    rows = _along(call, (0, 2), down, height)
    columns = _along(call, (1, 3), across, width)
    image = call.cast(call.reshape(call.given(2), -1, 1, 1), _INT64)
    first = call.emit("Mul", image, call.constant(height * width, "int64"))
    pixels = call.reshape(call.transpose(call.x, 0, 2, 3, 1), -1, channels)

    def read(row: str, column: str) -> str:
        """[crops, down, across, channels] of places in the image, as floats."""
        y, x = (_whole(call, at, s) for at, s in ((row, height), (column, width)))
        line = call.emit("Mul", call.unsqueeze(y, 2), call.constant(width, "int64"))
        place = call.emit("Add", call.emit("Add", first, line), call.unsqueeze(x, 1))
        return call.emit("Gather", pixels, place, axis=0)

    if mode == "nearest":
        half = call.constant(0.5, "float32")
        near = (call.emit("Floor", call.emit("Add", s.at, half)) for s in (rows, columns))
        y = read(*near)
    else:
        y = _between(call, rows, columns, read)
    inside = call.emit("And", call.unsqueeze(rows.inside, 2), call.unsqueeze(columns.inside, 1))
    outside = call.constant(call.attr("extrapolation_value", 0.0), "float32")
    y = call.emit("Where", call.unsqueeze(inside, 3), y, outside)
    return call.transpose(y, 0, 3, 1, 2)


def _along(call: Spelling, ends: tuple[int, int], count: int, size: int) -> _Places:
    """Evenly from the first to the last; a single one is in the middle."""
    first, last = (
        call.emit("Mul", call.slice(call.given(1), 1, i, i + 1), call.constant(size - 1, "float32"))
        for i in ends
    )
    if count == 1:
        at = call.emit("Mul", call.emit("Add", first, last), call.constant(0.5, "float32"))
    else:
        step = call.emit("Div", call.emit("Sub", last, first), call.constant(count - 1, "float32"))
        numbers = call.constant(np.arange(count).reshape(1, count), "float32")
        at = call.emit("Add", first, call.emit("Mul", numbers, step))
    low, high = call.constant(0, "float32"), call.constant(size - 1, "float32")
    outside = call.emit("Or", call.emit("Less", at, low), call.emit("Greater", at, high))
    return _Places(at, call.emit("Not", outside), size)


def _whole(call: Spelling, at: str, size: int) -> str:
    """As numbers of elements, in the image in any case."""
    number = call.cast(at, _INT64)
    low, high = call.constant(0, "int64"), call.constant(size - 1, "int64")
    number = call.emit("Where", call.emit("Less", number, low), low, number)
    return call.emit("Where", call.emit("Greater", number, high), high, number)


def _between(
    call: Spelling, rows: _Places, columns: _Places, read: Callable[[str, str], str]
) -> str:
    """Of four neighbours."""
    top, left = (call.emit("Floor", s.at) for s in (rows, columns))
    bottom, right = (call.emit("Ceil", s.at) for s in (rows, columns))
    down = call.unsqueeze(call.emit("Sub", rows.at, top), 2, 3)
    across = call.unsqueeze(call.emit("Sub", columns.at, left), 1, 3)

    def mixed(a: str, b: str, share: str) -> str:
        return call.emit("Add", a, call.emit("Mul", call.emit("Sub", b, a), share))

    upper, lower = (mixed(read(y, left), read(y, right), across) for y in (top, bottom))
    return mixed(upper, lower, down)


OPERATORS: Operators = {
    "CropAndResize": Spelled(
        _crop_and_resize, 4, attributes("extrapolation_value mode"), in_steps=True, since=9
    ),
}
