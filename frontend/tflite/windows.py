"""TensorFlow Lite's convolutions, pooling and resizing, of images N, H, W, C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from .call import Call, Operator
from .graph import element

_SAME = 0
_SPATIAL = (1, 2)


def _padding(call: Call) -> str:
    """SAME has the odd element after the others, as SAME_UPPER."""
    return "SAME_UPPER" if call.option(0, "<b") == _SAME else "VALID"


def _pair(call: Call, height: int, width: int, default: int = 0) -> list[int]:
    """Two options: of height and width."""
    found = [call.option(height, default=default), call.option(width, default=default)]
    if min(found) < 1:
        raise call.unsupported(f"a stride, size or dilation of {min(found)}")
    return found


def weights(call: Call, place: int, order: Sequence[int]) -> str:
    """The floats of weights with their dimensions in another order; constants stay as stored."""
    graph, tensor = call.graph, call.tensor(place)
    if len(tensor.shape) != len(order):
        raise call.unsupported(f"weights of {len(tensor.shape)} dimensions")
    if tensor.constant is None:
        return call.add("Transpose", call.input(place), perm=list(order))
    name = graph.constant(np.ascontiguousarray(tensor.constant.transpose(order)), tensor.dtype)
    if tensor.quantised is not None:
        how = tensor.quantised
        return graph.dequantised(name, tensor.dtype, replace(how, axis=order.index(how.axis)))
    return call.add("Cast", name, to=element("float32")) if tensor.dtype == "float16" else name


def _images(call: Call, place: int = 0) -> str:
    if call.rank(place) != 4:
        raise call.unsupported(f"an input of {call.rank(place)} dimensions")
    return call.channels_first(call.input(place))


def bias(call: Call, place: int) -> list[str]:
    """The floats of the bias, if there is one."""
    return [call.input(place)] if call.has(place) else []


def _conv(call: Call) -> str:
    kernel = call.tensor(1).shape
    (channels,) = call.sizes(0, [3])
    own = kernel[3] if len(kernel) == 4 else None
    if not own or channels % own:
        raise call.unsupported(f"a filter of {own} channels for {channels}")
    y = call.add(
        "Conv", _images(call), weights(call, 1, (0, 3, 1, 2)), *bias(call, 2),
        auto_pad=_padding(call), strides=_pair(call, 2, 1), dilations=_pair(call, 5, 4, 1),
        group=channels // own,
    )  # fmt: skip
    return call.activated(call.channels_last(y), 3)


def _depthwise(call: Call) -> str:
    (channels,) = call.sizes(0, [3])
    y = call.add(
        "Conv", _images(call), weights(call, 1, (3, 0, 1, 2)), *bias(call, 2),
        auto_pad=_padding(call), strides=_pair(call, 2, 1), dilations=_pair(call, 6, 5, 1),
        group=channels,
    )  # fmt: skip
    return call.activated(call.channels_last(y), 4)


def _conv_transpose(call: Call) -> str:
    """What the convolution of an image of the result's size does, the other way round."""
    y = _transposed(call, _pair(call, 2, 1), _images(call, 2), (3, 0, 1, 2), 1)
    return call.activated(call.channels_last(y), 3)


def _conv_3d_transpose(call: Call) -> str:
    """Its filter is [depth, height, width, results, channels]."""
    steps = [call.option(field, default=1) for field in (1, 3, 2)]
    spread = [call.option(field, default=1) for field in (5, 7, 6)]
    if min(steps) < 1 or max(spread) > 1 or call.rank(2) != 5:
        raise call.unsupported(f"strides {steps} and dilations {spread}")
    y = _transposed(call, steps, _volume(call, call.input(2)), (4, 3, 0, 1, 2), 0)
    return call.activated(call.add("Transpose", y, perm=[0, 2, 3, 4, 1]), 4)


def _transposed(call: Call, strides: list[int], x: str, order: Sequence[int], first: int) -> str:
    """``x`` has its channels first, and so has the result; ``first`` is the filter's first
    dimension of space, of which ``order`` makes [channels, results, ...]."""
    count = len(strides)
    kernel, given = call.sizes(1, range(first, first + count)), call.sizes(2, range(1, 1 + count))
    is_same = call.option(0, "<b") == _SAME
    wanted = _result_sizes(call, is_same, strides, kernel, given)
    begins, ends, more = [], [], []
    for stride, size, before, after in zip(strides, kernel, given, wanted, strict=True):
        whole = (before - 1) * stride + size
        cut = max(whole - after, 0)
        begin = cut // 2 if is_same else 0
        begins.append(begin)
        ends.append(cut - begin)
        more.append(max(after - whole, 0))
    return call.add(
        "ConvTranspose", x, weights(call, 1, order), *bias(call, 3),
        strides=strides, pads=[*begins, *ends], output_padding=more,
    )  # fmt: skip


def _result_sizes(
    call: Call, is_same: bool, strides: list[int], kernel: list[int], given: list[int]
) -> list[int]:
    """Those that are asked for, or else declared, or else the least."""
    asked = call.tensor(0).constant
    shape = call.result().shape if asked is None else call.constant(0, "a shape")
    if len(shape) != 2 + len(strides):
        raise call.unsupported(f"a result of {len(shape)} dimensions")
    least = [
        before * stride + (0 if is_same else max(size - stride, 0))
        for stride, size, before in zip(strides, kernel, given, strict=True)
    ]
    return [low if size is None else size for low, size in zip(least, shape[1:-1], strict=True)]


def _pool(operator: str, call: Call) -> str:
    """An average is of what lies in the image."""
    y = call.add(
        operator, _images(call), kernel_shape=_pair(call, 4, 3), strides=_pair(call, 2, 1),
        auto_pad=_padding(call),
    )  # fmt: skip
    return call.activated(call.channels_last(y), 5)


def _root_mean_square(call: Call) -> str:
    """Of the elements in a window."""
    x = _images(call)
    y = call.add(
        "AveragePool", call.add("Mul", x, x), kernel_shape=_pair(call, 4, 3),
        strides=_pair(call, 2, 1), auto_pad=_padding(call),
    )  # fmt: skip
    return call.activated(call.channels_last(call.add("Sqrt", y)), 5)


def _volume(call: Call, x: str) -> str:
    """N, C, D, H, W of N, D, H, W, C."""
    return call.add("Transpose", x, perm=[0, 4, 1, 2, 3])


def _conv_3d(call: Call) -> str:
    """Its filter is [depth, height, width, channels, results]."""
    steps, spread = (
        [call.option(f, default=1) for f in fields] for fields in ((1, 3, 2), (5, 7, 6))
    )
    if min(*steps, *spread) < 1 or call.rank() != 5:
        raise call.unsupported(f"strides {steps} and dilations {spread}")
    y = call.add(
        "Conv", _volume(call, call.input()), weights(call, 1, (4, 3, 0, 1, 2)), *bias(call, 2),
        auto_pad=_padding(call), strides=steps, dilations=spread,
    )  # fmt: skip
    return call.activated(call.add("Transpose", y, perm=[0, 2, 3, 4, 1]), 4)


def _local_response(call: Call) -> str:
    """TensorFlow's alpha is for each element of the window, ONNX's for all."""
    size = 2 * call.option(0) + 1
    if size < 1:
        raise call.unsupported("a radius below 0")
    y = call.add(
        "LRN", _images(call), size=size, bias=call.option(1, "<f"),
        alpha=call.option(2, "<f") * size, beta=call.option(3, "<f"),
    )  # fmt: skip
    return call.channels_last(y)


def _resize(call: Call, mode: str, first: int, **rounding: str) -> str:
    """``first`` is the option that aligns corners, before the one for the pixels' middles."""
    align, half = call.flag(first), call.flag(first + 1)
    how = "align_corners" if align else "half_pixel" if half else "asymmetric"
    sizes = call.whole(1)
    y = call.add(
        "Resize", _images(call), "", "", sizes, axes=[2, 3], mode=mode,
        coordinate_transformation_mode=how, **rounding,
    )  # fmt: skip
    return call.channels_last(y)


def _bilinear(call: Call) -> str:
    return _resize(call, "linear", 2)


def _nearest(call: Call) -> str:
    """Middles are rounded up, corners rounded down."""
    is_middle = call.flag(0) or call.flag(1)
    return _resize(
        call, "nearest", 0, nearest_mode="round_prefer_ceil" if is_middle else "floor"
    )  # fmt: skip


OPERATORS: dict[str, Operator] = {
    "AVERAGE_POOL_2D": Operator(partial(_pool, "AveragePool")),
    "CONV_2D": Operator(_conv),
    "CONV_3D": Operator(_conv_3d),
    "CONV_3D_TRANSPOSE": Operator(_conv_3d_transpose),
    "DEPTHWISE_CONV_2D": Operator(_depthwise),
    "L2_POOL_2D": Operator(_root_mean_square),
    "LOCAL_RESPONSE_NORMALIZATION": Operator(_local_response),
    "MAX_POOL_2D": Operator(partial(_pool, "MaxPool")),
    "RESIZE_BILINEAR": Operator(_bilinear),
    "RESIZE_NEAREST_NEIGHBOR": Operator(_nearest),
    "TRANSPOSE_CONV": Operator(_conv_transpose),
}
