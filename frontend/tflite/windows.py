"""TensorFlow Lite's convolutions, pooling and resizing, of images N, H, W, C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from .graph import Call, Operator, element

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
    strides, kernel, given = _pair(call, 2, 1), call.sizes(1, _SPATIAL), call.sizes(2, _SPATIAL)
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
    y = call.add(
        "ConvTranspose", _images(call, 2), weights(call, 1, (3, 0, 1, 2)), *bias(call, 3),
        strides=strides, pads=[*begins, *ends], output_padding=more,
    )  # fmt: skip
    return call.activated(call.channels_last(y), 3)


def _result_sizes(
    call: Call, is_same: bool, strides: list[int], kernel: list[int], given: list[int]
) -> list[int]:
    """Height and width: those that are asked for, or else declared, or else the least."""
    asked = call.tensor(0).constant
    shape = call.result().shape if asked is None else call.constant(0, "a shape")
    if len(shape) != 4:
        raise call.unsupported(f"a result of {len(shape)} dimensions")
    least = [
        before * stride + (0 if is_same else max(size - stride, 0))
        for stride, size, before in zip(strides, kernel, given, strict=True)
    ]
    return [low if size is None else size for low, size in zip(least, shape[1:3], strict=True)]


def _pool(operator: str, call: Call) -> str:
    """An average is of what lies in the image."""
    y = call.add(
        operator, _images(call), kernel_shape=_pair(call, 4, 3), strides=_pair(call, 2, 1),
        auto_pad=_padding(call),
    )  # fmt: skip
    return call.activated(call.channels_last(y), 5)


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
    sizes = call.ints(*call.constant(1, "a size"))
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
    "DEPTHWISE_CONV_2D": Operator(_depthwise),
    "LOCAL_RESPONSE_NORMALIZATION": Operator(_local_response),
    "MAX_POOL_2D": Operator(partial(_pool, "MaxPool")),
    "RESIZE_BILINEAR": Operator(_bilinear),
    "RESIZE_NEAREST_NEIGHBOR": Operator(_nearest),
    "TRANSPOSE_CONV": Operator(_conv_transpose),
}
