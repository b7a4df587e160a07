"""Cases of transforms, regions, windows that move, running products, and what is told by row."""

from __future__ import annotations

import numpy as np
from onnx_models import Case, booleans, case, floats, integers, positive

LINE, IMAGE, VOLUME = floats(2, 3, 9), floats(2, 3, 7, 9), floats(1, 2, 5, 4, 6)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def dft(x: np.ndarray, length: int | None = None, axis: int = -2, **attrs) -> Case:
    """Of operator set 20, whose axis is an input."""
    known = None if length is None else np.int64(length)
    given = [x, known, np.int64(axis)]
    constants = tuple(i for i in (1, 2) if given[i] is not None)
    note = f"{length}-{axis}-{attrs}"
    return case("DFT", *given, constants=constants, opset=20, note=note, **attrs)


# Lengths of one product, of several, and of a large prime.
TRANSFORMS = [
    *(dft(floats(2, n, 1)) for n in (1, 2, 3, 64, 31)),
    *(dft(floats(2, n, 2)) for n in (1, 5, 128, 360, 263)),
    *(dft(floats(1, n, 1), onesided=1) for n in (1, 2, 9, 10, 512, 521)),
    *(dft(floats(1, n, 2), inverse=1) for n in (1, 8, 15, 384, 577)),
    *(dft(floats(3, n, 1)) for n in (2, 300)),
    dft(floats(2, 5, 6, 2), axis=1),
    dft(floats(2, 5, 6, 2), axis=-3, inverse=1),
    dft(floats(2, 10, 1), 16, onesided=1),
    dft(floats(2, 10, 2), 7),
    dft(floats(2, 10, 1, dtype="float64")),
    dft(floats(2, 320, 2, dtype="float64"), inverse=1),
    case("DFT", floats(2, 10, 1), axis=1, opset=17),
    case("DFT", floats(2, 4, 6, 2), axis=2, inverse=1, opset=17),
    case("DFT", floats(2, 10, 1), np.int64(12), onesided=1, constants=(1,), opset=17),
]
SIGNAL = floats(2, 100, 1)
FRAMES = [
    case("STFT", SIGNAL, np.int64(7), floats(16), np.int64(16), constants=(1, 3)),
    case("STFT", SIGNAL, np.int64(16), floats(16), constants=(1, 2), note="window"),
    case("STFT", SIGNAL, np.int64(5), None, np.int64(10), constants=(1, 3), onesided=0),
    case("STFT", floats(1, 40, 2), np.int64(3), floats(9), constants=(1, 2), onesided=0),
    case("STFT", floats(1, 400, 1), np.int64(1), None, np.int64(263), constants=(1, 3)),
    case(
        "MelWeightMatrix",
        *(np.int64(n) for n in (8, 64, 8000)),
        np.float32(20),
        np.float32(3900),
        constants=(0, 1, 2, 3, 4),
    ),
    case(
        "MelWeightMatrix",
        *(np.int32(n) for n in (40, 25, 8000)),
        np.float32(0),
        np.float32(2000),
        constants=(0, 1, 2, 3, 4),
        output_datatype=11,
        note="bands-that-coincide",
    ),
]

LENGTHS = [
    *(case("LpNormalization", IMAGE, p=p, axis=axis) for p in (1, 2) for axis in (0, 1, -1)),
    case("LpNormalization", IMAGE * (np.arange(9) > 4), axis=3, note="zeros"),
    case("LpNormalization", np.zeros((3, 4), np.float32), note="all-zeros"),
    case("LpNormalization", floats(3, 4, dtype="float64")),
    *(case("GlobalLpPool", x, p=p) for x in (LINE, IMAGE, VOLUME) for p in (1, 2, 3)),
    *(case("LpPool", IMAGE, kernel_shape=[3, 2], p=p) for p in (1, 2, 3)),
    *(
        case("LpPool", x, kernel_shape=[2] * (x.ndim - 2), strides=[2] * (x.ndim - 2))
        for x in (LINE, VOLUME)
    ),
    case("LpPool", IMAGE, kernel_shape=[3, 3], pads=[1, 0, 2, 1], strides=[2, 2]),
    case("LpPool", IMAGE, kernel_shape=[3, 3], auto_pad="SAME_UPPER", strides=[2, 2]),
    case("LpPool", IMAGE, kernel_shape=[3, 2], dilations=[2, 3]),
    case("LpPool", IMAGE, kernel_shape=[3, 4], strides=[2, 3], ceil_mode=1),
    case("LpPool", floats(1, 2, 5, 5, dtype="float64"), kernel_shape=[2, 2]),
]

POOLED = np.zeros((2, 3, 4, 5), np.float32)
PLACES = [
    *(case("MaxPool", IMAGE, kernel_shape=[3, 2], outputs=2, storage_order=o) for o in (0, 1)),
    *(
        case("MaxPool", VOLUME, kernel_shape=[2, 2, 3], strides=[2, 1, 2], outputs=2)
        for _ in range(1)
    ),
    case("MaxPool", LINE, kernel_shape=[3], strides=[2], pads=[1, 1], outputs=2),
    case("MaxPool", IMAGE, kernel_shape=[3, 3], pads=[2, 1, 1, 2], strides=[2, 2], outputs=2),
    case("MaxPool", IMAGE, kernel_shape=[2, 3], dilations=[3, 2], pads=[1, 1, 1, 1], outputs=2),
    case("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, outputs=2),
    case("MaxPool", np.round(IMAGE), kernel_shape=[4, 4], outputs=2, note="equals"),
    case("MaxPool", np.full((1, 1, 4, 4), -np.inf, np.float32), kernel_shape=[3, 3],
         pads=[1, 1, 1, 1], outputs=2, note="infinite"),
    case("MaxPool", integers(0, 9, 1, 2, 5, 5, dtype="uint8"), kernel_shape=[2, 2], outputs=2),
    case("MaxUnpool", floats(1, 1, 2, 2), ints(5, 7, 13, 15).reshape(1, 1, 2, 2),
         kernel_shape=[2, 2], strides=[2, 2]),
    case("MaxUnpool", floats(1, 2, 3), ints(0, 3, 5, 7, 9, 11).reshape(1, 2, 3),
         kernel_shape=[2], strides=[2]),
    case(
        "MaxUnpool",
        floats(1, 1, 2),
        ints(1, 3).reshape(1, 1, 2),
        ints(1, 1, 6),
        kernel_shape=[2],
        strides=[2],
        constants=(2,),
    ),
]  # fmt: skip


def roi_align(samples: int, mode: str = "avg", opset: int = 16, **attrs) -> Case:
    rois = np.array([[1, 1, 6, 5], [0, 0, 8, 6], [-3, 2, 4, 20], [2, 3, 2, 3]], np.float32)
    images = integers(0, 2, 4)
    return case(
        "RoiAlign", IMAGE, rois, images, output_height=3, output_width=2, mode=mode,
        sampling_ratio=samples, opset=opset, note=f"{samples}-{mode}-{attrs}", **attrs,
    )  # fmt: skip


REGIONS = [
    roi_align(2),
    roi_align(0),
    roi_align(3, spatial_scale=0.5),
    roi_align(0, spatial_scale=0.7),
    roi_align(0, "max"),
    roi_align(0, "max", spatial_scale=0.7, opset=10),
    roi_align(2, opset=10),
    roi_align(0, opset=10),
    *(roi_align(s, coordinate_transformation_mode="output_half_pixel") for s in (0, 2)),
    case(
        "MaxRoiPool",
        IMAGE,
        np.array([[0, 1, 1, 6, 5], [1, 0, 0, 8, 6], [1, 3, 2, 4, 3]], np.float32),
        pooled_shape=[3, 2],
        spatial_scale=1.0,
    ),
    case(
        "MaxRoiPool",
        IMAGE,
        np.array([[0, 2, 2, 12, 10], [1, 0, 0, 30, 30]], np.float32),
        pooled_shape=[4, 5],
        spatial_scale=0.5,
    ),
]


def deformed(offsets: int = 1, groups: int = 1, mask: bool = False, **attrs) -> Case:
    """The image has 4 channels, the kernel is 3x2."""
    x, w = floats(2, 4, 6, 7), floats(6, 4 // groups, 3, 2)
    rows, columns = 4, 6
    moves = floats(2, offsets * 12, rows, columns) * 2
    kept = positive(2, offsets * 6, rows, columns) if mask else None
    bias = floats(6) if mask else None
    note = f"{offsets}-{groups}-{mask}"
    more = {"group": groups, "offset_group": offsets, **attrs}
    return case("DeformConv", x, w, moves, bias, kept, opset=19, note=note, **more)


MOVED = [
    deformed(),
    deformed(2, 2, mask=True),
    case(
        "DeformConv", floats(1, 1, 5, 5), floats(1, 1, 2, 2), floats(1, 8, 3, 3),
        strides=[2, 2], pads=[1, 0, 0, 1], opset=19, note="strides",
    ),
    case(
        "DeformConv", floats(1, 1, 5, 6), floats(1, 1, 2, 2), floats(1, 8, 3, 2),
        dilations=[2, 4], kernel_shape=[2, 2], opset=22, note="dilations",
    ),
]  # fmt: skip

ALONG = [
    *(
        case("CumProd", x, np.int64(axis), constants=(1,), opset=26, **attrs)
        for x in (floats(3, 4, 5), integers(-3, 4, 3, 4, 5, dtype="int32"))
        for axis in (0, -1)
        for attrs in ({}, {"reverse": 1}, {"exclusive": 1, "reverse": 1})
    ),
    *(
        case("ReverseSequence", x, ints(5, 1, 3), time_axis=0, batch_axis=1)
        for x in (floats(5, 3, 2), integers(0, 9, 5, 3), booleans(5, 3))
    ),
    case("ReverseSequence", floats(4, 6), ints(0, 6, 2, 3), time_axis=1, batch_axis=0),
    *(
        case("TensorScatter", floats(3, 2, 6, 4), floats(3, 2, 2, 4), ints(0, 4, n), opset=24,
             mode=mode)
        for mode, n in (("linear", 3), ("circular", 5))
    ),
    case("TensorScatter", floats(3, 6, 4), floats(3, 2, 4), opset=24, axis=1),
    case("Scatter", floats(4, 5), ints(3, 1, 0, 2, 0, 1).reshape(2, 3), floats(2, 3), opset=9),
    case("Scatter", floats(4, 5), ints(3, 1).reshape(1, 2), floats(1, 2), axis=1, opset=10),
]  # fmt: skip


def blocks(
    image: tuple[int, ...], kernel: tuple[int, ...], channels: int = 2, note: str = "", **attrs
) -> Case:
    count = len(image)
    steps, taps = attrs.get("strides", [1] * count), attrs.get("dilations", [1] * count)
    pads = attrs.get("pads", [0] * 2 * count)
    number = 1
    for i in range(count):
        span = (kernel[i] - 1) * taps[i] + 1
        number *= (image[i] + pads[i] + pads[i + count] - span) // steps[i] + 1
    x = floats(2, channels * int(np.prod(kernel)), number)
    return case("Col2Im", x, ints(*image), ints(*kernel), constants=(1, 2), note=note, **attrs)


BLOCKS = [
    blocks((5, 6), (2, 3)),
    blocks((5, 6), (2, 3), strides=[2, 3]),
    blocks((5, 6), (1, 5)),
    blocks((6, 6), (3, 2), dilations=[2, 1], pads=[1, 0, 2, 1], strides=[1, 2]),
    blocks((4, 4, 4), (2, 1, 2)),
    blocks((9,), (3,), strides=[2]),
    blocks((12, 9), (5, 3), strides=[2, 3], pads=[2, 1, 1, 0]),
    blocks((8, 10), (2, 2), strides=[2, 2], note="each on places of its own"),
    blocks((6, 7), (2, 3), dilations=[3, 2], pads=[1, 3, 2, 0]),
    blocks((5, 4), (3, 3), pads=[3, 3, 3, 3], note="whole taps in the padding"),
    blocks((40,), (20,), note="many taps"),
    blocks((40,), (20,), strides=[7], note="few groups of taps"),
    *(case("Det", x) for x in (floats(1, 1), floats(2, 2), floats(3, 3), floats(4, 2, 5, 5))),
    case("Det", np.float32([[0, 2, 1], [1, 0, 3], [4, 5, 0]]), note="swaps"),
    case("Det", np.ones((4, 4), np.float32), note="singular"),
    case("Det", floats(2, 7, 7, dtype="float64")),
    case("Det", floats(40, 40) / np.float32(4)),
    *(
        case("BitCast", x.astype(a), to=to, opset=26, note=f"{a}-{to}")
        for x, a, to in (
            (floats(3, 4), "float32", 6), (floats(3, 4), "float16", 5),
            (integers(0, 2**31, 3, 4), "int32", 1), (integers(0, 2**15, 3, 4), "uint16", 10),
            (floats(3, 4), "float64", 13), (integers(-99, 99, 5), "int8", 2),
        )
    ),
]  # fmt: skip

POOL = {
    "ngram_counts": [0, 4], "ngram_indexes": [0, 1, 2, 3, 4, 5, 6],
    "pool_int64s": [2, 3, 5, 4, 5, 6, 7, 8, 6, 7],
}  # fmt: skip


def ngrams(x: np.ndarray, least: int, most: int, skips: int, mode: str, **more) -> Case:
    lengths = {"min_gram_length": least, "max_gram_length": most, "max_skip_count": skips}
    note = f"{least}-{most}-{skips}-{mode}-{more}"
    return case("TfIdfVectorizer", x, mode=mode, note=note, **lengths, **POOL, **more)


TEXT = np.array([1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8])
NGRAMS = [
    ngrams(TEXT, 2, 2, 0, "TF"),
    ngrams(TEXT, 1, 2, 5, "TF"),
    ngrams(TEXT.reshape(2, 6), 1, 2, 1, "TF"),
    ngrams(TEXT.reshape(2, 6).astype(np.int32), 2, 2, 5, "TF"),
    *(ngrams(TEXT, 1, 2, 0, mode, weights=[1.0, 0.5, 2.0, 3.0, 0.25, 1.0, 7.0])
      for mode in ("IDF", "TFIDF")),
    ngrams(integers(2, 9, 1), 1, 1, 0, "IDF"),
]  # fmt: skip

TRAINING = [
    case(
        "BatchNormalization", x, positive(3), floats(3), floats(3, seed=1), positive(3, seed=2),
        training_mode=1, outputs=3, opset=15, **attrs,
    )
    for x, attrs in ((IMAGE, {}), (LINE, {"momentum": 0.3, "epsilon": 0.01}), (floats(5, 3), {}))
]  # fmt: skip

COMPUTED_WEIGHTS = (
    [
        case("Conv", floats(1, 6, 7, 8), floats(*w), note="computed", **attrs)
        for w, attrs in (
            ((4, 6, 3, 2), {"strides": [2, 1], "pads": [1, 0, 2, 1]}),
            ((6, 1, 3, 3), {"group": 6, "dilations": [2, 1], "pads": [1, 1, 1, 1]}),
            ((12, 1, 3, 2), {"group": 6, "strides": [1, 3]}),
            ((4, 3, 1, 1), {"group": 2}),
        )
    ]
    + [
        case("ConvTranspose", floats(1, 4, 5, 6), floats(*w), note="computed", **attrs)
        for w, attrs in (
            ((4, 3, 3, 2), {}),
            ((4, 1, 2, 2), {"group": 4, "strides": [2, 3]}),
            ((4, 3, 3, 3), {"group": 2, "strides": [2, 2], "pads": [1, 2, 0, 1]}),
            ((4, 3, 3, 3), {"strides": [3, 2], "output_padding": [2, 1], "dilations": [2, 1]}),
            ((4, 2, 3, 3), {"pads": [2, 2, 2, 2]}),
        )
    ]
    + [case("ConvTranspose", floats(1, 2, 5), floats(2, 3, 4), strides=[2], note="computed")]
)

CASES = [
    *TRANSFORMS, *FRAMES, *LENGTHS, *PLACES, *REGIONS, *MOVED, *ALONG, *BLOCKS, *NGRAMS, *TRAINING,
    *COMPUTED_WEIGHTS,
]  # fmt: skip
