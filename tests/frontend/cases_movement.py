"""Cases of operators that move elements: shapes, slices, pads, indices and resizing."""

from __future__ import annotations

import numpy as np
from onnx import helper, numpy_helper
from onnx_models import Case, booleans, case, floats, integers

X = floats(3, 5, 7)
IMAGE = floats(2, 3, 5, 6)


def ints(*values: int) -> np.ndarray:
    return np.array(values if len(values) != 1 or np.ndim(values[0]) == 0 else values[0], np.int64)


SHAPES = [
    case("Reshape", X, ints(5, 21), constants=(1,)),
    case("Reshape", X, ints(-1, 0, 1), constants=(1,)),
    case("Reshape", X, ints(0, -1), constants=(1,), opset=7),
    case("Flatten", X),
    case("Flatten", X, axis=0),
    case("Flatten", X, axis=-1),
    case("Flatten", IMAGE, axis=4),
    case("Squeeze", floats(1, 3, 1, 5), axes=[0], opset=11),
    case("Squeeze", floats(1, 3, 1, 5), opset=11),
    case("Squeeze", floats(1, 3, 1, 5), ints(-2), constants=(1,), opset=13),
    case("Squeeze", floats(1, 3, 1, 5), opset=13),
    case("Unsqueeze", X, axes=[0, 2], opset=11),
    case("Unsqueeze", X, ints(-1, 1), constants=(1,), opset=13),
    case("Transpose", X),
    case("Transpose", IMAGE, perm=[0, 2, 3, 1]),
    case("Transpose", integers(0, 9, 3, 4, dtype="uint8"), perm=[1, 0]),
    case("Expand", floats(5, 1), ints(3, 1, 4), constants=(1,)),
    case("Expand", floats(5, 1), ints(4), constants=(1,)),
    case("Tile", X, ints(2, 1, 3), constants=(1,)),
    case("Tile", integers(0, 9, 4), ints(3), constants=(1,)),
    case("Shape", X),
    case("Shape", IMAGE, start=1, end=-1),
    case("Size", X),
    case("DepthToSpace", floats(2, 12, 3, 2), blocksize=2),
    case("DepthToSpace", floats(2, 12, 3, 2), blocksize=2, mode="CRD"),
    case("SpaceToDepth", floats(2, 3, 4, 6), blocksize=2),
    case("Concat", X, floats(3, 2, 7), axis=1),
    case("Concat", X, floats(3, 5, 1), floats(3, 5, 4, seed=3), axis=-1, constants=(1,)),
    case("Concat", X, axis=0),
    case("Split", floats(6, 5), outputs=3, opset=11),
    case("Split", floats(7, 5), split=[2, 4, 1], outputs=3, opset=11),
    case("Split", floats(3, 7), ints(3, 4), axis=-1, outputs=2, opset=13, constants=(1,)),
    case("Split", floats(3, 7), axis=1, num_outputs=3, outputs=3),
    case("Split", floats(3, 7), ints(7), axis=1, outputs=1, constants=(1,)),
]

SLICES = [
    case("Slice", X, starts=[1, -4], ends=[3, 9], axes=[0, 2], opset=9),
    case("Slice", X, starts=[0, 1], ends=[2, -1], opset=9),
    case("Slice", X, ints(1, 2), ints(3, 100), constants=(1, 2)),
    case("Slice", X, ints(-1), ints(-100), ints(1), ints(-1), constants=(1, 2, 3, 4)),
    case("Slice", X, ints(4, 6), ints(0, 1), ints(1, -1), ints(-1, -2), constants=(1, 2, 3, 4)),
    case("Slice", X, ints(100), ints(-4), ints(2), ints(-2), constants=(1, 2, 3, 4)),
    case("Slice", X, ints(-100), ints(4), ints(-1), ints(3), constants=(1, 2, 3, 4)),
    case("Slice", X, ints(0), ints(2**63 - 1), ints(1), ints(2), constants=(1, 2, 3, 4)),
    case("Slice", X, ints(-1), ints(-(2**63)), ints(2), ints(-1), constants=(1, 2, 3, 4)),
]

MATRIX = floats(4, 5)
PADS = [
    case("Pad", X, pads=[0, 1, 2, 1, 0, 3], opset=10),
    case("Pad", X, pads=[0, 1, 2, 1, 0, 3], value=1.5, mode="constant", opset=10),
    case("Pad", X, pads=[0, 1, 2, 1, 0, 3], mode="reflect", opset=10),
    case("Pad", X, ints(0, 1, 2, 1, 0, 3), constants=(1,)),
    case("Pad", X, ints(0, 1, 2, 1, 0, 3), np.float32(0.5), constants=(1, 2)),
    case("Pad", X, ints(0, -1, 2, 1, -2, 3), np.float32(0.5), constants=(1, 2)),
    *(
        case("Pad", X, ints(0, 1, 2, 1, 0, 3), np.float32(value), constants=(1, 2))
        for value in (np.nan, -np.inf, 3e38)
    ),
    *(  # numbers that no float64 holds
        case(
            "Pad",
            integers(0, 9, 3, 5, dtype=str(value.dtype)),
            ints(0, 1, 2, 1),
            value,
            constants=(1, 2),
        )
        for value in (np.uint64(2**64 - 1), np.int64(2**63 - 1), np.int64(2 - 2**63))
    ),
    case("Pad", X, ints(0, 1, 2, 1, 0, 3), mode="edge", constants=(1,)),
    case("Pad", X, ints(0, 1, 2, 1, 0, 3), mode="reflect", constants=(1,)),
    case("Pad", X, ints(0, -1, 2, 1, -2, 3), mode="reflect", constants=(1,)),
    case("Pad", X, ints(1, 2), None, ints(-1), mode="edge", constants=(1, 3)),
    case("Pad", X, ints(0, 1, 9, 1, 0, 3), mode="wrap", constants=(1,), opset=19),
    case("Pad", integers(0, 9, 4, 5), ints(1, 0, 0, 2), np.int64(7), constants=(1, 2)),
]

TRUTHS = booleans(3, 5)
BOTH_SIGNS = integers(-4, 4, 3, 2)
INDICES = [
    case("Gather", MATRIX, BOTH_SIGNS),
    case("Gather", MATRIX, BOTH_SIGNS, axis=-1),
    case("Gather", MATRIX, BOTH_SIGNS, axis=1, constants=(1,)),
    case("Gather", MATRIX, np.int64(-2), axis=1, constants=(1,)),
    case("Gather", MATRIX, np.int64(2), note="scalar"),
    case("Gather", floats(9, 4), integers(0, 9, 2, 5), constants=(0,), note="embedding"),
    case("Gather", MATRIX, BOTH_SIGNS.astype("int32")),
    case("GatherElements", MATRIX, integers(-4, 4, 3, 5), axis=0),
    case("GatherElements", MATRIX, integers(-5, 5, 4, 2), axis=-1),
    case("GatherElements", MATRIX, integers(-5, 5, 4, 2), axis=1, constants=(1,)),
    case("GatherND", floats(4, 5, 6), integers(-4, 4, 3, 2)),
    case("GatherND", floats(4, 5, 6), integers(-4, 4, 3, 2), constants=(1,)),
    case("GatherND", floats(4, 5, 6), integers(-4, 4, 4, 3, 1), batch_dims=1),
    *(
        case("TopK", MATRIX, ints(k), constants=(1,), outputs=2, axis=axis, largest=largest)
        for k, axis, largest in ((1, 0, 1), (3, -1, 0), (4, -2, 1), (5, 1, 1))
    ),
    case("TopK", MATRIX, ints(2), constants=(1,), outputs=2),
    case("TopK", MATRIX, ints(1), constants=(1,), outputs=2, sorted=0, opset=24),
    case("TopK", MATRIX, ints(2), constants=(1,), outputs=2, axis=0, opset=10),
    case("TopK", MATRIX, outputs=2, k=3, axis=1, opset=9),
    *(
        case("TopK", integers(0, 4, 3, 9, dtype=d), ints(7), constants=(1,), outputs=2, largest=n)
        for d in ("int64", "int32", "int16", "int8", "uint64", "uint8")
        for n in (0, 1)
    ),
    case("TopK", floats(3, 9).astype(np.float16), ints(7), constants=(1,), outputs=2),
    case("TopK", floats(3, 9).astype(np.float64), ints(7), constants=(1,), outputs=2),
    case("ScatterElements", MATRIX, ints([3, 0, -3, 1, 2]).reshape(1, 5), floats(1, 5)),
    case("ScatterElements", MATRIX, ints([[1, -1], [0, 2]]), floats(2, 2), axis=1),
    case("ScatterElements", MATRIX, ints([[1, -1], [0, 2]]), floats(2, 2), axis=1, constants=(1,)),
    *(
        case("ScatterElements", MATRIX, ints([[1, 1, 0]]), floats(1, 3), axis=1, reduction=r)
        for r in ("add", "mul", "min", "max")
    ),
    case("ScatterND", MATRIX, ints([[2], [-4]]), floats(2, 5)),
    case("ScatterND", MATRIX, ints([[2, 1], [-4, -1]]), floats(2)),
    case("ScatterND", MATRIX, ints([[2, 1], [-4, -1]]), floats(2), constants=(1,)),
    *(
        case("ScatterND", MATRIX, ints([[2], [2], [0]]), floats(3, 5), reduction=r)
        for r in ("add", "mul", "min", "max")
    ),
    *(
        case(op, TRUTHS, np.array(index), truth, reduction=r, note=f"bool-{r}")
        for op, index, truth in (
            ("ScatterElements", [[1, 1, 0]], np.array([[True, False, False]])),
            ("ScatterND", [[2, 1], [0, 0]], np.array([True, False])),
        )
        for r in ("add", "mul", "min", "max")
    ),
    case("OneHot", integers(-6, 9, 3, 4), ints(6), np.float32([0.5, 2]), constants=(1, 2)),
    case("OneHot", integers(0, 6, 3, 4), np.int64(6), np.float32([0, 1]), axis=1, constants=(1,)),
    case(
        "OneHot", integers(0, 6, 3).astype("float32"), ints(6), ints(7, 9), axis=0, constants=(1, 2)
    ),
    case("Trilu", floats(2, 4, 5)),
    case("Trilu", floats(2, 4, 5), np.int64(-1), upper=0, constants=(1,)),
    case("Trilu", floats(4, 4), np.int64(2), upper=1, constants=(1,)),
    case("Trilu", integers(0, 9, 4, 4), np.int64(1), note="runtime-diagonal"),
    case("EyeLike", floats(3, 5)),
    case("EyeLike", floats(3, 5), k=-1, dtype=7),
]

CONSTANTS = [
    case("Constant", value=numpy_helper.from_array(floats(2, 3)), note="tensor"),
    case("Constant", value_float=2.5, note="float"),
    case("Constant", value_ints=[3, 4], note="ints"),
    case("ConstantOfShape", ints(2, 3), constants=(0,)),
    case("ConstantOfShape", ints(2, 3), value=helper.make_tensor("v", 7, [1], [9]), constants=(0,)),
    case("Range", np.float32(1), np.float32(4), np.float32(0.5), constants=(0, 1, 2)),
    case("Range", np.int64(9), np.int64(-4), np.int64(-3), constants=(0, 1, 2)),
]


def resize(
    scales: tuple[float, ...], *, image: np.ndarray = IMAGE, opset: int = 18, **attrs
) -> Case:
    roi, factors = np.zeros(0, np.float32), np.array(scales, np.float32)
    return case("Resize", image, roi, factors, constants=(1, 2), opset=opset, **attrs)


def sized(*sizes: int, image: np.ndarray = IMAGE, **attrs) -> Case:
    return case("Resize", image, None, None, ints(*sizes), constants=(3,), **attrs)


MODES = ("nearest", "linear", "cubic")
COORDINATES = "half_pixel pytorch_half_pixel align_corners asymmetric".split()
ROI = np.array([0, 0, 0.4, -0.2, 1, 1, 0.8, 1.1], np.float32)
RESIZES = [
    *(
        resize((1, 1, 2.5, 0.7), mode=mode, coordinate_transformation_mode=c)
        for mode in MODES
        for c in COORDINATES
    ),
    *(
        sized(2, 3, 9, 4, mode="nearest", nearest_mode=n, coordinate_transformation_mode=c)
        for n in "round_prefer_floor round_prefer_ceil floor ceil".split()
        for c in ("half_pixel", "asymmetric")
    ),
    *(sized(2, 3, 1, 11, mode=mode) for mode in MODES),
    *(resize((1, 1, 0.6, 1.7), mode=mode, opset=11) for mode in MODES),
    *(resize((1, 1, 0.5, 2), mode=mode, opset=13) for mode in MODES),
    resize(
        (1, 1, 2, 2),
        mode="nearest",
        opset=11,
        coordinate_transformation_mode="tf_half_pixel_for_nn",
    ),
    resize(
        (1, 1, 1.3, 0.6),
        mode="linear",
        coordinate_transformation_mode="half_pixel_symmetric",
        opset=19,
    ),
    resize((1, 1, 0.6, 0.5), mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1),
    resize((1, 1, 0.6, 0.5), mode="linear", antialias=1),
    resize((1, 1, 0.6, 0.5), mode="cubic", antialias=1),
    sized(8, 9, mode="nearest", axes=[2, 3]),
    sized(9, 8, mode="linear", axes=[3, 2]),
    sized(8, 9, mode="nearest", axes=[2, 3], keep_aspect_ratio_policy="not_larger"),
    sized(8, 9, mode="nearest", axes=[2, 3], keep_aspect_ratio_policy="not_smaller"),
    resize((2, 1.5), image=floats(3, 5), mode="linear"),
    resize((1, 1, 2, 1.5, 0.5), image=floats(1, 2, 3, 4, 5), mode="linear"),
    resize((1, 1, 2, 2), image=integers(0, 200, 1, 2, 3, 4, dtype="uint8"), mode="nearest"),
    case("Resize", IMAGE, np.float32([1, 1, 2, 2]), constants=(1,), opset=10),
    case("Resize", IMAGE, np.float32([1, 1, 2, 1.4]), constants=(1,), mode="linear", opset=10),
    case(
        "Resize",
        IMAGE,
        ROI,
        None,
        ints(2, 3, 4, 8),
        constants=(1, 3),
        mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize",
        extrapolation_value=9.5,
    ),
    case("Upsample", IMAGE, scales=[1.0, 1.0, 2.0, 3.0], opset=7),
    case("Upsample", IMAGE, scales=[1.0, 1.0, 2.0, 1.5], mode="linear", opset=7),
    case("Upsample", IMAGE, np.float32([1, 1, 2, 3]), mode="nearest", constants=(1,), opset=9),
    case("Upsample", IMAGE, np.float32([1, 1, 1.7, 2]), mode="linear", constants=(1,), opset=9),
]

GRIDS = [
    case(
        "AffineGrid", floats(batch, count, count + 1),
        np.array([batch, 3, *(4, 5, 6)[:count]]), align_corners=corners, constants=(1,), opset=20,
    )
    for batch in (1, 3)
    for count in (2, 3)
    for corners in (0, 1)
]  # fmt: skip

_GRID = floats(2, 4, 3, 2) * 0.8
SAMPLES = [
    case(
        "GridSample", IMAGE, _GRID, mode=mode, padding_mode=padding, align_corners=corners, opset=16
    )
    for mode in ("bilinear", "nearest", "bicubic")
    for padding in ("zeros", "border", "reflection")
    for corners in (0, 1)
] + [
    case(
        "GridSample",
        floats(2, 3, *sizes),
        _GRID * 3,
        mode=mode,
        padding_mode="reflection",
        align_corners=1,
        opset=16,
    )
    for mode in ("bilinear", "nearest", "bicubic")
    for sizes in ((1, 5), (5, 1), (1, 1))
]

CASES: list[Case] = [
    *SHAPES,
    *SLICES,
    *PADS,
    *INDICES,
    *CONSTANTS,
    *RESIZES,
    *GRIDS,
    *SAMPLES,
]
