"""Cases of convolutions, pooling, normalisation, softmax and quantisation."""

from __future__ import annotations

import numpy as np
from onnx_models import Case, case, floats, integers, positive

LINE, IMAGE, VOLUME = floats(2, 4, 9), floats(2, 4, 7, 9), floats(1, 4, 5, 6, 4)


def conv(x: np.ndarray, *weight: int, **attrs) -> Case:
    """With constant weights, as in trained models."""
    return case("Conv", x, floats(*weight), constants=(1,), **attrs)


CONVOLUTIONS = [
    conv(IMAGE, 6, 4, 3, 3),
    conv(IMAGE, 6, 4, 1, 1),
    case("Conv", IMAGE, floats(6, 4, 3, 2), floats(6), constants=(1, 2), note="bias"),
    case("Conv", IMAGE, floats(6, 4, 3, 3), floats(6), note="runtime-weights"),
    conv(IMAGE, 6, 4, 3, 5, pads=[1, 2, 1, 2]),
    conv(IMAGE, 6, 4, 3, 3, pads=[0, 1, 2, 1]),
    conv(IMAGE, 6, 4, 3, 3, strides=[2, 3], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
    conv(IMAGE, 6, 4, 3, 3, dilations=[2, 1], pads=[2, 1, 2, 1]),
    conv(IMAGE, 6, 2, 3, 3, group=2),
    conv(IMAGE, 4, 1, 3, 3, group=4, pads=[1, 1, 1, 1]),
    conv(IMAGE, 8, 1, 3, 3, group=4, strides=[2, 2]),
    conv(IMAGE, 8, 2, 1, 1, group=2),
    *(
        conv(IMAGE, 6, 4, 3, 4, auto_pad=mode, strides=[2, 1])
        for mode in ("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")
    ),
    *(
        conv(IMAGE, 6, 4, 2, 3, auto_pad=f"SAME_{end}", dilations=[2, 2])
        for end in ("UPPER", "LOWER")
    ),
    *(conv(LINE, 6, 4, 2, auto_pad=f"SAME_{end}", strides=[2]) for end in ("UPPER", "LOWER")),
    conv(LINE, 6, 4, 3),
    conv(LINE, 6, 2, 3, group=2, pads=[2, 1], strides=[2], dilations=[2]),
    conv(VOLUME, 3, 4, 2, 3, 2),
    conv(VOLUME, 4, 2, 2, 3, 2, group=2, pads=[1, 0, 1, 0, 1, 0], strides=[2, 1, 2]),
    conv(VOLUME, 3, 4, 2, 3, 2, auto_pad="SAME_UPPER"),
    conv(VOLUME, 5, 4, 1, 3, 3, pads=[0, 1, 1, 0, 1, 1], strides=[2, 1, 1]),
    conv(VOLUME, 5, 4, 3, 1, 1, pads=[1, 0, 0, 1, 0, 0], dilations=[2, 1, 1]),
    conv(VOLUME, 5, 4, 3, 3, 1, pads=[1, 1, 0, 1, 1, 0], strides=[1, 2, 1]),
    conv(VOLUME, 5, 4, 1, 1, 1),
    conv(VOLUME, 4, 1, 3, 2, 3, group=4, pads=[1, 0, 1, 1, 0, 1]),
    conv(VOLUME, 3, 4, 2, 2, 2, pads=[7, 0, 0, 0, 0, 0], dilations=[6, 1, 1]),
    case("Conv", VOLUME, floats(3, 4, 2, 3, 2), floats(3), note="runtime-weights of a volume"),
    conv(floats(1, 4, 9, 1), 6, 4, 5, 1, pads=[2, 0, 2, 0], strides=[2, 1]),
    case("Conv", floats(1, 2, 6, 6, dtype="float64"), floats(3, 2, 3, 3, dtype="float64")),
]


def transposed(x: np.ndarray, *weight: int, **attrs) -> Case:
    return case("ConvTranspose", x, floats(*weight), constants=(1,), **attrs)


TRANSPOSED = [
    transposed(IMAGE, 4, 3, 3, 3),
    case("ConvTranspose", IMAGE, floats(4, 3, 3, 3), floats(3), constants=(1, 2), note="bias"),
    transposed(IMAGE, 4, 3, 3, 3, strides=[2, 3]),
    transposed(IMAGE, 4, 3, 3, 3, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    transposed(IMAGE, 4, 3, 3, 3, strides=[2, 2], pads=[0, 1, 1, 0]),
    transposed(IMAGE, 4, 3, 3, 2, dilations=[2, 1]),
    transposed(IMAGE, 4, 3, 3, 3, group=2),
    transposed(IMAGE, 4, 1, 4, 4, group=4, strides=[2, 2], pads=[1, 1, 1, 1]),
    transposed(IMAGE, 4, 3, 3, 3, strides=[3, 2], output_shape=[21, 19]),
    transposed(IMAGE, 4, 3, 3, 3, strides=[3, 2], output_shape=[22, 18]),
    *(
        transposed(IMAGE, 4, 3, 4, 3, strides=[2, 1], auto_pad=mode)
        for mode in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    *(  # windows that do not reach as far as the input times the strides, and some that do
        transposed(IMAGE, 4, 3, *kernel, strides=[3, 2], auto_pad=f"SAME_{end}", **more)
        for kernel in ((1, 3), (2, 1))
        for end in ("UPPER", "LOWER")
        for more in ({}, {"output_padding": [1, 1]}, {"dilations": [2, 2]})
    ),
    transposed(LINE, 4, 3, 3, strides=[2], pads=[1, 0], output_padding=[1]),
    transposed(VOLUME, 4, 3, 3, 3, 3, strides=[2, 2, 2], output_padding=[1, 0, 1]),
    transposed(VOLUME, 4, 2, 1, 4, 2, strides=[3, 1, 1], group=2, output_padding=[2, 0, 0]),
    transposed(VOLUME, 4, 3, 4, 1, 1, strides=[3, 1, 1], pads=[1, 0, 0, 2, 0, 0]),
    transposed(VOLUME, 4, 3, 2, 3, 2, dilations=[2, 1, 1], pads=[1, 1, 0, 1, 1, 0]),
    transposed(floats(1, 4, 5, 1), 4, 3, 4, 1, strides=[2, 1], output_padding=[1, 0]),
    transposed(VOLUME, 4, 3, 2, 3, 2, strides=[2, 1, 1], pads=[0, 1, 0, 1, 0, 0]),
]

_POOLS = ("MaxPool", "AveragePool")
POOLING = [
    *(case(op, IMAGE, kernel_shape=[3, 2]) for op in _POOLS),
    *(case(op, IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 1]) for op in _POOLS),
    *(case(op, IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1) for op in _POOLS),
    *(
        case(op, IMAGE, kernel_shape=[3, 3], strides=[3, 2], pads=[1, 1, 1, 1], ceil_mode=1)
        for op in _POOLS
    ),
    *(  # windows larger than the image, as EfficientNet's exporter writes a mean of all
        case(op, IMAGE, kernel_shape=[n, n], strides=[n, n - 1], ceil_mode=1, opset=19)
        for op in _POOLS
        for n in (10, 11, 1280)
    ),
    *(
        case(op, IMAGE, kernel_shape=[3, 2], strides=[2, 2], auto_pad=mode)
        for op in _POOLS
        for mode in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    *(
        case(op, IMAGE, kernel_shape=[3, 1], strides=[4, 3], auto_pad="VALID", ceil_mode=1)
        for op in (*_POOLS, "LpPool")
    ),
    *(
        case(op, IMAGE, kernel_shape=[3, 2], strides=[2, 2], auto_pad=f"SAME_{end}", ceil_mode=1)
        for op in (*_POOLS, "LpPool")
        for end in ("UPPER", "LOWER")
    ),
    *(case(op, IMAGE, kernel_shape=[2, 3], dilations=[2, 2], opset=19) for op in _POOLS),
    *(case(op, LINE, kernel_shape=[3], strides=[2], pads=[1, 1]) for op in _POOLS),
    *(case(op, VOLUME, kernel_shape=[2, 3, 2], strides=[2, 1, 1]) for op in _POOLS),
    *(case(op, VOLUME, kernel_shape=[2, 3, 2], pads=[1, 0, 1, 0, 1, 0]) for op in _POOLS),
    *(
        case(op, VOLUME, kernel_shape=[3, 2, 2], pads=[1] * 6, strides=[2] * 3, ceil_mode=1)
        for op in _POOLS
    ),
    case("AveragePool", VOLUME, kernel_shape=[3] * 3, pads=[1] * 6, count_include_pad=1),
    *(case(op, floats(1, 4, 9, 1), kernel_shape=[3, 1], strides=[2, 1]) for op in _POOLS),
    *(
        case(
            "AveragePool",
            IMAGE,
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
            count_include_pad=1,
            **more,
        )
        for more in ({}, {"strides": [3, 3], "ceil_mode": 1}, {"strides": [2, 3], "ceil_mode": 1})
    ),
    case("AveragePool", LINE, kernel_shape=[4], pads=[1, 2], count_include_pad=1),
    case(
        "AveragePool", VOLUME, kernel_shape=[2, 1, 1], pads=[1, 0, 0, 0, 0, 0], count_include_pad=1
    ),
    case("MaxPool", integers(0, 99, 1, 2, 5, 5, dtype="uint8"), kernel_shape=[2, 2]),
    *(case(f"Global{op}", x) for op in _POOLS for x in (LINE, IMAGE, VOLUME)),
]

SCALE, SHIFT = positive(4), floats(4)
NORMALISATION = [
    case(
        "BatchNormalization",
        IMAGE,
        SCALE,
        SHIFT,
        floats(4, seed=1),
        positive(4, seed=2),
        constants=(1, 2, 3, 4),
    ),
    case(
        "BatchNormalization",
        LINE,
        SCALE,
        SHIFT,
        floats(4, seed=1),
        positive(4, seed=2),
        epsilon=0.1,
    ),
    case(
        "BatchNormalization",
        floats(5, 4),
        SCALE,
        SHIFT,
        floats(4, seed=1),
        positive(4, seed=2),
        constants=(1, 2, 3, 4),
        opset=9,
        momentum=0.5,
    ),
    case("InstanceNormalization", IMAGE, SCALE, SHIFT, constants=(1, 2)),
    case("InstanceNormalization", LINE, SCALE, SHIFT, epsilon=0.1),
    case("GroupNormalization", IMAGE, SCALE, SHIFT, num_groups=2, constants=(1, 2), opset=21),
    case("GroupNormalization", LINE, SCALE, SHIFT, num_groups=4, epsilon=0.1, opset=21),
    case("LayerNormalization", floats(3, 5, 7), positive(7), floats(7), constants=(1, 2)),
    case("LayerNormalization", floats(3, 5, 7), positive(5, 7), axis=1, epsilon=0.1),
    case("LayerNormalization", floats(3, 5, 7), positive(5, 7), floats(5, 7), axis=-2, outputs=3),
    case("LayerNormalization", floats(3, 5, 7), positive(3, 5, 7), axis=0),
    case(
        "LayerNormalization", floats(5, 7, dtype="float64"), positive(7, dtype="float64"), outputs=3
    ),
    case("RMSNormalization", floats(3, 5, 7), positive(7), constants=(1,), opset=23),
    case("RMSNormalization", floats(3, 5, 7), positive(5, 7), axis=1, epsilon=0.1, opset=23),
    case("MeanVarianceNormalization", IMAGE),
    case("MeanVarianceNormalization", IMAGE * 0.1 + 300, axes=[0, 1, 2, 3], note="large-mean"),
    *(case("LRN", IMAGE, size=size) for size in (1, 3, 5)),
    case("LRN", IMAGE, size=3, alpha=0.5, beta=0.6, bias=2.0),
]

SOFTMAX = [
    case(op, floats(3, 5, 7), opset=opset, **attrs)
    for op in ("Softmax", "LogSoftmax", "Hardmax")
    for opset in (11, 13)
    for attrs in ({}, {"axis": 0}, {"axis": 1}, {"axis": -1})
]

DROPPED = [
    case("Dropout", IMAGE, ratio=0.3, opset=7),
    case("Dropout", IMAGE, outputs=2, opset=7),
    case("Dropout", IMAGE, outputs=2, opset=10),
    case("Dropout", IMAGE, np.float32(0.3), constants=(1,), outputs=2, opset=13),
    case("Dropout", IMAGE, np.float32(0), np.bool_(True), constants=(1, 2), outputs=2, opset=13),
]

ZERO_U8, ZERO_I8 = np.uint8(120), np.int8(-3)
QUANTISED = [
    case("QuantizeLinear", IMAGE, np.float32(0.05), ZERO_U8, constants=(1, 2)),
    case("QuantizeLinear", IMAGE, np.float32(0.01), ZERO_I8, constants=(1, 2), note="saturates"),
    case("QuantizeLinear", IMAGE, np.float32(0.05)),
    case(
        "QuantizeLinear",
        IMAGE,
        positive(4) / 20,
        np.arange(4, dtype=np.int8),
        axis=1,
        constants=(1, 2),
    ),
    case("QuantizeLinear", IMAGE, positive(9) / 20, np.zeros(9, np.uint8), axis=-1),
    case(
        "DequantizeLinear",
        integers(0, 256, 2, 4, 3, dtype="uint8"),
        np.float32(0.05),
        ZERO_U8,
        constants=(1, 2),
    ),
    case(
        "DequantizeLinear",
        integers(-128, 128, 2, 4, 3, dtype="int8"),
        positive(4),
        np.arange(4, dtype=np.int8),
        axis=1,
        constants=(1, 2),
    ),
    case(
        "DequantizeLinear",
        integers(-999, 999, 2, 4, dtype="int32"),
        np.float32(0.05),
        constants=(1,),
    ),
]

CASES: list[Case] = [
    *CONVOLUTIONS,
    *TRANSPOSED,
    *POOLING,
    *NORMALISATION,
    *SOFTMAX,
    *DROPPED,
    *QUANTISED,
]
