"""Cases of quantised products and convolutions.

No pair of their products overflows 16 bits: ONNX Runtime adds such pairs up where the processor has
nothing better, and saturates.
"""

from __future__ import annotations

import numpy as np
from onnx_models import Case, case, floats, integers, positive


def byte(*shape: int, seed: int = 0) -> np.ndarray:
    return integers(0, 256, *shape, seed=seed, dtype="uint8")


def signed(*shape: int, seed: int = 0) -> np.ndarray:
    return integers(-64, 64, *shape, seed=seed, dtype="int8")


def number(value: float) -> np.ndarray:
    return np.asarray(value, np.float32)


X_SCALE, W_SCALE, Y_SCALE = number(0.021), number(0.0013), number(0.037)
LINE, IMAGE, VOLUME = byte(2, 4, 9), byte(2, 4, 7, 9), byte(1, 4, 5, 6, 4)


def conv(x: np.ndarray, *weight: int, bias: bool = False, note: str = "", **attrs) -> Case:
    """With a scale for each channel, as trained models have them."""
    out = weight[0]
    given = [x, X_SCALE, np.uint8(119), signed(*weight), positive(out) * W_SCALE]
    given += [np.zeros(out, np.int8), Y_SCALE, np.uint8(97)]
    given += [integers(-999, 999, out, dtype="int32")] if bias else []
    known = (1, 2, 3, 4, 5, 6, 7, 8)[: len(given) - 1]
    return case("QLinearConv", *given, constants=known, note=note, **attrs)


CONVOLUTIONS = [
    conv(IMAGE, 6, 4, 3, 3),
    conv(IMAGE, 6, 4, 1, 1, bias=True, note="bias"),
    conv(IMAGE, 6, 4, 3, 5, pads=[1, 2, 1, 2], bias=True, note="pads"),
    conv(IMAGE, 6, 4, 3, 3, strides=[2, 3], pads=[1, 1, 1, 1]),
    conv(IMAGE, 6, 4, 3, 3, dilations=[2, 1], pads=[2, 1, 2, 1]),
    conv(IMAGE, 6, 2, 3, 3, group=2, pads=[1, 1, 1, 1]),
    conv(IMAGE, 4, 1, 3, 3, group=4, pads=[1, 1, 1, 1], note="depthwise"),
    conv(IMAGE, 6, 4, 3, 4, auto_pad="SAME_UPPER", strides=[2, 1]),
    conv(LINE, 6, 4, 3, pads=[1, 1], bias=True, note="line"),
    conv(VOLUME, 3, 4, 2, 3, 2, pads=[1, 0, 1, 0, 1, 0], note="volume"),
    case(
        "QLinearConv",
        *(IMAGE, X_SCALE, np.uint8(0), byte(6, 4, 3, 3, seed=1), W_SCALE, np.uint8(131)),
        *(Y_SCALE, np.uint8(97)),
        constants=(3,),
        note="bytes",
    ),
    case(
        "QLinearConv",
        *(signed(2, 4, 7, 9), X_SCALE, np.int8(-3), signed(6, 4, 3, 3), W_SCALE, np.int8(0)),
        *(Y_SCALE, np.int8(5)),
        constants=(1, 2, 3, 4, 5, 6, 7),
        note="signed",
    ),
    case("ConvInteger", IMAGE, byte(6, 4, 3, 3, seed=1), constants=(1,)),
    case("ConvInteger", IMAGE, byte(6, 4, 3, 3, seed=1), note="runtime-weights"),
    case(
        "ConvInteger",
        *(IMAGE, byte(6, 4, 3, 2, seed=1), np.uint8(119), np.uint8(7)),
        constants=(1, 3),
        pads=[1, 1, 1, 1],
    ),
    case("ConvInteger", LINE, byte(6, 2, 3, seed=1), np.uint8(3), constants=(1,), group=2),
]
A, B = byte(2, 5, 8), signed(8, 6)
COLUMNS = signed(6, seed=2)
_OF_A, _OF_B, _OF_Y = (X_SCALE, np.uint8(119)), (W_SCALE, np.int8(3)), (Y_SCALE, np.uint8(97))
PRODUCTS = [
    case("MatMulInteger", A, B),
    case("MatMulInteger", A, B, np.uint8(7), np.int8(-3), constants=(1, 2, 3)),
    case("MatMulInteger", A, B, None, COLUMNS, constants=(1, 3), note="columns"),
    case("MatMulInteger", A, B, np.array([7], "uint8"), COLUMNS, note="one"),
    case("MatMulInteger", signed(2, 3, 5, 8), signed(2, 3, 8, 6, seed=1), np.int8(9)),
    case("MatMulInteger", byte(5, 8), byte(8, 6, seed=1), np.uint8(9), np.uint8(200)),
    case("MatMulInteger", byte(1, 300), signed(300, 33), constants=(1,), note="a-row"),
    case("QLinearMatMul", A, *_OF_A, B, *_OF_B, *_OF_Y, constants=(3,)),
    case(
        "QLinearMatMul",
        *(A, *_OF_A, B, positive(6) * W_SCALE, np.zeros(6, np.int8), *_OF_Y),
        constants=(1, 2, 3, 4, 5, 6, 7),
        note="columns",
    ),
    case(
        "QLinearMatMul",
        *(signed(2, 3, 5, 8), X_SCALE, np.int8(9), signed(2, 3, 8, 6), *_OF_B, Y_SCALE, np.int8(4)),
    ),
]
MEASURED = [
    case("DynamicQuantizeLinear", array, outputs=3, note=note)
    for note, array in (
        ("both-signs", floats(3, 50)),
        ("positive", positive(5, 7)),
        ("negative", -positive(5, 7)),
        ("zeros", np.zeros((2, 3), np.float32)),
        ("one", np.asarray(-2.5, np.float32).reshape(1)),
        ("halves", np.array([0, 0.5, 1.5, 2.5, 3.5, 255], np.float32)),
    )
]
BLOCKS = [
    case("QuantizeLinear", x, scale, zero, opset=21, block_size=block, axis=axis)
    for x, scale, zero, block, axis in (
        (floats(3, 8), positive(3, 2), byte(3, 2), 4, 1),
        (floats(3, 7), positive(3, 3), signed(3, 3), 3, -1),
        (floats(4, 3, 2), positive(2, 3, 2), None, 2, 0),
    )
] + [
    case("DequantizeLinear", x, scale, zero, opset=21, block_size=block, axis=axis)
    for x, scale, zero, block, axis in (
        (byte(3, 8), positive(3, 2), byte(3, 2), 4, 1),
        (signed(3, 7), positive(3, 3), None, 3, -1),
        (signed(4, 3, 2), positive(2, 3, 2).astype(np.float16), signed(2, 3, 2), 2, 0),
        (integers(-(10**6), 10**6, 4, 6, dtype="int32"), positive(2, 6), None, 2, 0),
    )
]
WHOLE = [
    case("DequantizeLinear", integers(-(10**9), 10**9, 5, 7, dtype="int32"), X_SCALE),
    case("DequantizeLinear", integers(-999, 999, 5, 7, dtype="int32"), positive(7), axis=1),
]

CASES = [*CONVOLUTIONS, *PRODUCTS, *MEASURED, *BLOCKS, *WHOLE]
