"""MediaPipe's custom operators, as its models of faces and segmentations have them.

Transformations of the plane are [1, 4, 4], of which columns and rows 0, 1 and 3 count.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from luthier.schedules import ModelError

from .call import Call, Operator
from .flexbuffer import Numbers, numbers
from .windows import bias, weights

_SAME = 1
_LARGEST = 1 << 20  # of sizes and strides


def _conv_transpose(call: Call) -> str:
    """Of NHWC, with a bias; its options are three numbers of 32 bits."""
    if len(call.operation.custom) < struct.calcsize("<3i"):
        raise ModelError(f"{call.where}: its options are {len(call.operation.custom)} bytes")
    padding, *strides = struct.unpack_from("<3i", call.operation.custom)
    strides.reverse()  # to height and width
    if not all(1 <= stride <= _LARGEST for stride in strides):
        raise call.unsupported(f"strides of {strides}")
    begins, ends = [], []
    given, kernel = call.sizes(0, (1, 2)), call.sizes(1, (1, 2))
    for size, window, stride in zip(given, kernel, strides, strict=True):
        cut = max(window - (size - 1) % stride - 1, 0) if padding == _SAME else 0
        begins.append(cut // 2)
        ends.append(cut - cut // 2)
    y = call.add(
        "ConvTranspose", call.channels_first(call.input(0)), weights(call, 1, (3, 0, 1, 2)),
        *bias(call, 2), strides=strides, pads=[*begins, *ends],
    )  # fmt: skip
    return call.channels_last(y)


def _matrix(call: Call, place: int) -> tuple[str, str]:
    """Of a transformation what is multiplied with rows of two numbers, and what is added."""
    if call.sizes(place, range(call.rank(place))) != [1, 4, 4]:
        raise call.unsupported(f"a transformation of the shape {call.tensor(place).shape}")
    rows = call.add("Slice", call.input(place), call.ints(0), call.ints(2), call.ints(1))
    columns = call.add("Transpose", call.add("Reshape", rows, call.ints(2, 4)), perm=[1, 0])
    return (
        call.add("Slice", columns, call.ints(0), call.ints(2), call.ints(0)),
        call.add("Slice", columns, call.ints(3), call.ints(4), call.ints(0)),
    )


def _landmarks(call: Call) -> str:
    """Points of two or three numbers, transformed; the third stays."""
    if call.rank() != 3 or call.tensor(0).shape[2] not in (2, 3):
        raise call.unsupported(f"points of the shape {call.tensor(0).shape}")
    by, plus = _matrix(call, 1)
    axis = call.ints(2)
    plane = call.add("Slice", call.input(0), call.ints(0), call.ints(2), axis)
    moved = call.add("Add", call.add("MatMul", plane, by), plus)
    if call.tensor(0).shape[2] == 2:
        return moved
    rest = call.add("Slice", call.input(0), call.ints(2), call.ints(3), axis)
    return call.add("Concat", moved, rest, axis=2)


def _transformed(call: Call) -> str:
    """An image of which each pixel's middle lies where the transformation has it; 0 where that is
    not between the middles of given ones."""
    if call.rank() != 4:
        raise call.unsupported(f"an input of {call.rank()} dimensions")
    options = numbers(call.operation.custom)
    height, width = (_size(call, options, f"output_{name}") for name in ("height", "width"))
    batch, *given = call.sizes(0, (0, 1, 2))
    if batch != 1 or min(given) < 2:
        raise call.unsupported(f"an image of the shape {call.tensor(0).shape}")
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    middles = _floats(call, np.stack([x, y], -1).reshape(1, -1, 2))
    by, plus = _matrix(call, 1)
    places = call.add("Add", call.add("MatMul", middles, by), plus)
    places = call.add("Sub", places, _floats(call, 0.5))
    most = _floats(call, [given[1] - 1, given[0] - 1])
    inside = call.add("Clip", places, _floats(call, 0))
    inside = call.add("Min", inside, most)
    scaled = call.add("Sub", call.add("Div", call.add("Add", inside, inside), most),
                      _floats(call, 1))  # fmt: skip
    grid = call.add("Reshape", scaled, call.ints(1, height, width, 2))
    found = call.add(
        "GridSample", call.channels_first(call.input(0)), grid, align_corners=1,
        padding_mode="border",
    )  # fmt: skip
    is_there = call.add("Cast", call.add("Equal", inside, places), to=1)
    is_there = call.add("ReduceMin", is_there, call.ints(2), keepdims=1)
    is_there = call.add("Reshape", is_there, call.ints(1, 1, height, width))
    return call.channels_last(call.add("Mul", found, is_there))


def _around(call: Call) -> str:
    """The transformation of an image to the part of another that some points are in, turned so that
    two of them lie at an angle."""
    options = numbers(call.operation.custom)
    height, width = (_size(call, options, f"output_{name}") for name in ("height", "width"))
    if call.rank() != 3 or call.sizes(0, (0, 2)) != [1, 3]:
        raise call.unsupported(f"points of the shape {call.tensor(0).shape}")
    axis = call.ints(1)
    points = call.add("Reshape", call.input(0), call.ints(-1, 3))
    plane = call.add("Slice", points, call.ints(0), call.ints(2), axis)

    def points_of(name: str) -> str:
        return call.add("Gather", plane, call.ints(*_places(call, options, name)), axis=0)

    ends = (points_of(f"{side}_rotation_idx") for side in ("right", "left"))
    turn = _turn(call, call.add("Sub", *ends), _number(call, options, "target_rotation_radians"))
    turned = call.add("MatMul", points_of("subset_idxs"), turn)
    first = call.ints(0)
    high, low = (call.add(f"Reduce{each}", turned, first, keepdims=1) for each in ("Max", "Min"))
    middle = call.add("Mul", call.add("Add", high, low), _floats(call, 0.5))
    middle = call.add("MatMul", middle, call.add("Transpose", turn, perm=[1, 0]))
    scale = [_number(call, options, f"scale_{each}") for each in "xy"]
    scales = call.add(
        "Mul", call.add("Sub", high, low), _floats(call, np.divide(scale, (width, height)))
    )
    by = call.add("Mul", turn, scales)
    corner = call.add("MatMul", by, _floats(call, [[-width / 2], [-height / 2]]))
    plus = call.add("Add", call.add("Transpose", middle, perm=[1, 0]), corner)
    rows = call.add("Concat", by, _floats(call, np.zeros((2, 1))), plus, axis=1)
    whole = call.add("Concat", rows, _floats(call, np.eye(4)[2:]), axis=0)
    return call.add("Reshape", whole, call.ints(1, 4, 4))


def _turn(call: Call, along: str, target: float) -> str:
    """What rows of two numbers are multiplied with to turn a direction to an angle."""
    length = call.add("ReduceL2", along, call.ints(1), keepdims=1)
    is_none = call.add("Equal", length, _floats(call, 0))
    unit = call.add("Where", is_none, _floats(call, [[1, 0]]), call.add("Div", along, length))
    c, s = math.cos(target), math.sin(target)
    both = call.add("MatMul", unit, _floats(call, [[c, s], [s, -c]]))  # cosine and sine
    cosine, sine = (call.add("Gather", both, call.ints(i), axis=1) for i in (0, 1))
    straight = call.add("Mul", cosine, _floats(call, np.eye(2)))
    return call.add("Add", straight, call.add("Mul", sine, _floats(call, [[0, 1], [-1, 0]])))


def _floats(call: Call, value: object) -> str:
    return call.graph.constant(value, "float32")


def _number(call: Call, options: Numbers, name: str) -> float:
    value = options.get(name)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ModelError(f"{call.where}: its {name} is {value}")
    return float(value)


def _size(call: Call, options: Numbers, name: str) -> int:
    value = _number(call, options, name)
    if not 1 <= value <= _LARGEST:
        raise ModelError(f"{call.where}: its {name} is {value}")
    return int(value)


def _places(call: Call, options: Numbers, name: str) -> list[int]:
    """One or some of the points."""
    found = options.get(name)
    places = list(found) if isinstance(found, tuple) else [found]
    (count,) = call.sizes(0, [1])
    listed = [n for n in places if isinstance(n, int) and 0 <= n < count]
    if not listed or len(listed) < len(places):
        raise ModelError(f"{call.where}: its {name} is not of {count} points")
    return listed


OPERATORS: dict[str, Operator] = {
    f"custom operator '{name}'": Operator(write)
    for name, write in {
        "Convolution2DTransposeBias": _conv_transpose,
        "Landmarks2TransformMatrix": _around,
        "TransformLandmarks": _landmarks,
        "TransformTensorBilinear": _transformed,
    }.items()
}
