"""Models of operators that the interpreter does not have, and what these are said to compute."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from file import File
from flatbuffers import flexbuffers

FLOAT = "float32"


def listed(builder: flexbuffers.Builder, **options: Any) -> bytes:
    with builder.Map():
        for name, value in options.items():
            builder.Key(name)
            if isinstance(value, list):
                builder.TypedVectorFromElements(value)
            else:
                (builder.Float if isinstance(value, float) else builder.Int)(value)
    return bytes(builder.Finish())


AROUND = {
    "left_rotation_idx": 3, "right_rotation_idx": 1, "output_height": 6, "output_width": 8,
    "scale_x": 1.5, "scale_y": 1.25, "subset_idxs": [0, 1, 3, 4, 5, 2],
    "target_rotation_radians": 0.25,
}  # fmt: skip


def mediapipe() -> File:
    """MediaPipe's operators, which the interpreter does not have: ``mediapipe_results`` are what
    its documents say that they do."""
    file, rng = File(), np.random.default_rng(7)
    image, points = file.input("image", (1, 5, 6, 3)), file.input("points", (1, 6, 3))
    plane = file.input("plane", (1, 4, 2))
    for name, padding, size in (("same", 1, (10, 18)), ("valid", 2, (11, 18))):
        weights, bias = (
            file.constant(rng.standard_normal(shape) / 2) for shape in ((2, 3, 3, 3), 2)
        )
        options = np.array([padding, 3, 2], np.int32).tobytes()  # strides of width, height
        (found,) = file.add("Convolution2DTransposeBias", [image, weights, bias],
                            [((1, *size, 2), FLOAT)], custom=options)  # fmt: skip
        file.output(name, found)
    around = listed(flexbuffers.Builder(), **AROUND)
    (matrix,) = file.add("Landmarks2TransformMatrix", [points], [((1, 4, 4), FLOAT)], custom=around)
    file.output("matrix", matrix)
    size = listed(flexbuffers.Builder(), output_height=6, output_width=8)
    (part,) = file.add("TransformTensorBilinear", [image, matrix], [((1, 6, 8, 3), FLOAT)],
                       custom=size)  # fmt: skip
    file.output("part", part)
    for name, given, shape in (("moved", points, (1, 6, 3)), ("moved_plane", plane, (1, 4, 2))):
        (found,) = file.add("TransformLandmarks", [given, matrix], [(shape, FLOAT)])
        file.output(name, found)
    return file


def mediapipe_results(data: bytes, count: int) -> dict[str, np.ndarray]:
    """As the interpreter's results are kept, of random inputs."""
    rng, found = np.random.default_rng(5), dict[str, np.ndarray]()
    weights = [draw_like(data, i) for i in range(2)]
    for number in range(count):
        after = f"@{number}" if number else ""
        image, plane = rng.standard_normal((1, 5, 6, 3)), rng.standard_normal((1, 4, 2))
        points = rng.random((1, 6, 3)) * [5, 4, 1] + [0.3, 0.2, 0]
        matrix = transformation(points[0])
        results = {
            "same": spread(image[0], *weights[0], same=True),
            "valid": spread(image[0], *weights[1], same=False),
            "matrix": matrix,
            "part": sampled(image[0], matrix),
            "moved": np.concatenate([moved(points[0, :, :2], matrix), points[0, :, 2:]], 1),
            "moved_plane": moved(plane[0], matrix),
        }
        found |= {f"{n}{after}": a.astype(np.float32)
                  for n, a in (("image", image), ("points", points), ("plane", plane))}  # fmt: skip
        found |= {f"out_{n}{after}": a.astype(np.float32)[None] for n, a in results.items()}
    return found


def draw_like(data: bytes, which: int) -> tuple[np.ndarray, np.ndarray]:
    """The weights and the bias of the first or second convolution in the file."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    arrays = []
    for number, shape in zip(graph.operators[which].inputs[1:], ((2, 3, 3, 3), (2,)), strict=True):
        raw = model.buffers[graph.tensors[number].buffer].data
        arrays.append(np.frombuffer(raw.tobytes(), np.float32).reshape(shape).astype(float))
    return arrays[0], arrays[1]


def spread(image: np.ndarray, weights: np.ndarray, bias: np.ndarray, *, same: bool) -> np.ndarray:
    """Each element of the image times the filter is added where it lies."""
    sizes, strides = image.shape[:2], (2, 3)
    cut = [max(3 - (n - 1) % s - 1, 0) if same else 0 for n, s in zip(sizes, strides, strict=True)]
    high, wide = (s * (n - 1) + 3 for n, s in zip(sizes, strides, strict=True))
    whole = np.zeros((high, wide, 2))
    for i, j in np.ndindex(sizes):
        whole[2 * i : 2 * i + 3, 3 * j : 3 * j + 3] += np.einsum(
            "c,ohwc->hwo", image[i, j], weights
        )
    top, left = cut[0] // 2, cut[1] // 2
    return whole[top : high - cut[0] + top, left : wide - cut[1] + left] + bias


def transformation(points: np.ndarray) -> np.ndarray:
    """From an image of 8 x 6 to the box of the turned points."""
    right, left = points[AROUND["right_rotation_idx"]], points[AROUND["left_rotation_idx"]]
    angle = AROUND["target_rotation_radians"] - np.arctan2(*(right - left)[1::-1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = points[AROUND["subset_idxs"], :2] @ turn.T
    low, high = turned.min(0), turned.max(0)
    size = (high - low) * [AROUND["scale_x"], AROUND["scale_y"]] / [8, 6]
    by, matrix = turn.T * size, np.eye(4)
    matrix[:2, :2], matrix[:2, 3] = by, turn.T @ ((low + high) / 2) - by @ [4, 3]
    return matrix


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:2, :2].T + matrix[:2, 3]


def sampled(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Between the four nearest pixels, none beyond the outermost ones' middles."""
    found = np.zeros((6, 8, 3))
    for i, j in np.ndindex(6, 8):
        x, y = moved(np.array([j + 0.5, i + 0.5]), matrix) - 0.5
        if 0 <= x <= 5 and 0 <= y <= 4:
            for row, column in np.ndindex(5, 6):
                share = max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row))
                found[i, j] += share * image[row, column]
    return found
