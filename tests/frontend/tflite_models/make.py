"""Writes the models of this folder, and what TensorFlow Lite's interpreter makes of random inputs.

python tests/frontend/tflite_models/make.py [NAME..]      needs tensorflow
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from interpreter import ran

HERE = Path(__file__).parent
K = tf.keras
L = K.layers


def image(size: int = 16, channels: int = 3) -> Any:
    return L.Input((size, size, channels), name="image")


def classifier() -> Any:
    """What phones run: convolutions, depthwise ones, a residual, a pool, a softmax."""
    x = given = image()
    x = L.Conv2D(8, 3, 2, padding="same", use_bias=False)(x)
    x = L.ReLU(6.0)(L.BatchNormalization()(x))
    y = L.DepthwiseConv2D(3, padding="same")(x)
    y = L.Conv2D(8, 1)(L.ReLU(6.0)(y))
    x = L.Add()([x, y])
    x = L.DepthwiseConv2D(3, 2, padding="valid", depth_multiplier=2)(x)
    x = L.Conv2D(12, 1, activation="hard_swish")(x)
    x = L.GlobalAveragePooling2D()(x)
    return K.Model(given, L.Dense(5, activation="softmax", name="scores")(x))


def segmenter() -> Any:
    """Down and up: pools, transposed convolutions, resizing, concatenation."""
    x = given = image(12)
    a = L.Conv2D(6, 3, padding="same", activation="relu")(x)
    b = L.Conv2D(8, 3, padding="same", activation="relu")(L.MaxPooling2D()(a))
    c = L.Conv2D(8, 3, padding="same", dilation_rate=2, activation="relu")(
        L.AveragePooling2D(3, 3, "same")(b)
    )
    c = L.Resizing(6, 6, interpolation="bilinear")(c)
    d = L.Conv2DTranspose(6, 3, 2, padding="same")(L.Concatenate()([b, c]))
    e = L.Conv2DTranspose(4, 2, 1, padding="valid")(d)
    e = L.UpSampling2D(2, interpolation="nearest")(e)
    f = L.Conv2D(4, 4, 2, groups=2, padding="valid")(e)
    return K.Model(given, [L.Conv2D(2, 1, activation="sigmoid")(L.Concatenate()([a, d])), f])


class Attention(tf.Module):
    """An encoder's layer: products of batches, normalisations, a gelu, a lookup."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(1)
        self.table = tf.constant(rng.standard_normal((11, 16)), tf.float32)
        self.weights = [
            tf.constant(rng.standard_normal((16, 16)) / 4, tf.float32) for _ in range(5)
        ]

    @tf.function(input_signature=[tf.TensorSpec((2, 6), tf.int32, "words")])
    def __call__(self, words: Any) -> Any:
        x = tf.gather(self.table, words)
        q, k, v = (
            tf.transpose(tf.reshape(x @ w, (2, 6, 2, 8)), (0, 2, 1, 3)) for w in self.weights[:3]
        )
        shares = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) * 8**-0.5)
        x += tf.reshape(tf.transpose(shares @ v, (0, 2, 1, 3)), (2, 6, 16)) @ self.weights[3]
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        x = (x - mean) * tf.math.rsqrt(variance + 1e-5)
        x = tf.nn.gelu(x @ self.weights[4], approximate=True)
        return {"states": x, "last": x[:, -1], "best": tf.argmax(x, -1, tf.int32)}


class Movements(tf.Module):
    """Slices, joins, lookups, paddings, reversals, blocks."""

    @tf.function(input_signature=[tf.TensorSpec((2, 6, 4, 8), tf.float32, "x")])
    def __call__(self, x: Any) -> Any:
        a, b = tf.split(x, 2, axis=3)
        c, d, e = tf.split(x, [1, 3, 2], axis=1)
        parts = tf.unstack(x, axis=2)
        return {
            "pads": tf.pad(a, ((0, 0), (1, 2), (0, 1), (0, 0)), constant_values=0.5),
            "mirrors": tf.pad(b, ((0, 0), (2, 1), (1, 1), (0, 0)), "REFLECT"),
            "slices": x[:, 1:5:2, ::-1, tf.newaxis, -1] + x[:, :2, :, tf.newaxis, 0],
            "joined": tf.concat([e, d, c], axis=1),
            "stacked": tf.stack(parts[1:3], axis=-1),
            "gathered": tf.gather(x, [[2, 0], [1, 1]], axis=1, batch_dims=0),
            "found": tf.gather_nd(x, [[1, 2], [0, 5]]),
            "blocks": tf.nn.space_to_depth(x, 2),
            "spread": tf.nn.depth_to_space(x, 2),
            "batches": tf.space_to_batch_nd(x, [2, 2], [[1, 1], [0, 0]]),
            "images": tf.batch_to_space(tf.concat([x, x], 0), [2, 2], [[1, 0], [0, 1]]),
            "tiled": tf.tile(a, (1, 2, 1, 1)),
            "reversed": tf.reverse(b, [2, 3]),
            "chosen": tf.where(x[..., :1] > 0, a, b),
            "sums": tf.cumsum(x, axis=1, exclusive=True),
            "spots": tf.one_hot(tf.argmax(x, -1, tf.int32), 8, 2.0, -1.0),
            "wide": tf.broadcast_to(a[:, :1], (2, 6, 4, 4)),
        }


class Elements(tf.Module):
    """Functions of elements, reductions and searches."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((3, 7), tf.float32, "x"),
            tf.TensorSpec((3, 7), tf.int32, "n"),
        ]
    )
    def __call__(self, x: Any, n: Any) -> Any:
        y = tf.abs(x) + 0.25
        values, places = tf.math.top_k(x, 3)
        return {
            "curves": tf.exp(-y)
            + tf.math.log(y)
            + tf.sqrt(y)
            + tf.sin(x) * tf.cos(x)
            + tf.pow(y, 1.5),
            "bends": tf.nn.elu(x) + tf.nn.leaky_relu(x, 0.1) + tf.tanh(x) + tf.nn.relu6(x * 4),
            "steps": tf.floor(x) + tf.math.ceil(x) + tf.round(x * 2) + tf.sign(x),
            "divided": tf.math.floordiv(x, y) + tf.math.floormod(x, y),
            "whole": tf.math.floordiv(n, 3) * 10 + tf.math.floormod(n, -3),
            "ends": tf.maximum(x, y) - tf.minimum(x, 0.1) + tf.math.squared_difference(x, y),
            "logs": tf.nn.log_softmax(x),
            "norm": tf.math.l2_normalize(x, -1),
            "truths": tf.logical_or(x > y, tf.logical_not(tf.logical_and(n >= 1, x != 0.5))),
            "means": tf.reduce_mean(x, 1, keepdims=True) + tf.reduce_max(x, 1, keepdims=True),
            "totals": tf.reduce_sum(x, 0) * tf.reduce_prod(y, 0) - tf.reduce_min(x, 0),
            "any": tf.reduce_any(x > 1, 1),
            "values": values,
            "places": places,
            "cast": tf.cast(n, tf.float32) + tf.cast(tf.cast(x, tf.int32), tf.float32),
        }


class Images(tf.Module):
    """What else there is of images, comparisons and lists."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = tf.constant(np.linspace(-0.5, 0.5, 4).reshape(1, 1, 4), tf.float32)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, 6, 5, 4), tf.float32, "x"),
            tf.TensorSpec((None,), tf.int32, "n"),
        ]
    )
    def __call__(self, x: Any, n: Any) -> Any:
        v1 = tf.compat.v1
        y, ends, count = tf.abs(x) + 0.5, tf.abs(n) % 6, tf.shape(x)[0]
        sizes = {"half_pixel_centers": True}, {"align_corners": True}, {}
        found = {
            "near": [v1.image.resize_nearest_neighbor(x, (9, 13), **each) for each in sizes],
            "line": [v1.image.resize_bilinear(x, (9, 13), **each) for each in sizes],
        }
        return {
            **{f"{n}_{i}": each for n, some in found.items() for i, each in enumerate(some)},
            "local": tf.nn.local_response_normalization(x, 1, 1.5, 0.3, 0.75),
            "bent": tf.nn.relu(x) + -self.slope * tf.nn.relu(-x),
            "padded": tf.pad(x, ((0, 0), (1, 0), (0, 2), (0, 1))),
            "sum": tf.math.add_n([x, y, x * y, x]),
            "divided": x / y,
            "least": tf.argmin(x, 1, tf.int32),
            "clipped": tf.minimum(tf.maximum(tf.transpose(x), -1), 1),
            "six": tf.nn.relu6(tf.transpose(x, (3, 0, 1, 2))),
            "one": tf.nn.relu6(tf.reverse(x, [1])) + tf.square(tf.reverse(x, [2])),
            "filled": tf.fill([count, 3], 2.5),
            "zeros": tf.zeros_like(x) + 1,
            "count": tf.range(count, count + 4),
            "all": tf.reduce_all(x < y, 3),
            "same": tf.logical_or(tf.equal(n, 2), n <= 0),
            "backwards": tf.reverse_sequence(x, ends, 1, 0),
            "spread": tf.scatter_nd([[1], [3], [1]], x[0, :3, 0], (5, 4)),
            "cut": tf.slice(x, (0, 1, 2, 0), (-1, -1, 2, 4)),
            "flat": tf.squeeze(x[:, :1], [1]),
            "chosen": v1.where(n > 0, x, y),
        }


class Rows(tf.Module):
    """Rows of any number and any length."""

    @tf.function(input_signature=[tf.TensorSpec((None, 1, None), tf.float32, "x")])
    def __call__(self, x: Any) -> Any:
        flat = tf.squeeze(x, [1])
        return {"y": tf.reshape(tf.nn.relu(flat) * 2 + 1, (tf.shape(x)[0], 1, -1))}


class Keeping(tf.Module):
    """Variables: one of zeros, one that begins with others, one that is never changed."""

    def __init__(self) -> None:
        super().__init__()
        self.total = tf.Variable(np.zeros((2, 3), np.float32))
        self.mean = tf.Variable(np.arange(6, dtype=np.float32).reshape(2, 3) + 1)
        self.count = tf.Variable(np.int32(0))

    @tf.function(input_signature=[tf.TensorSpec((2, 3), tf.float32, "x")])
    def __call__(self, x: Any) -> Any:
        before = self.total.read_value()
        self.total.assign_add(x)
        self.mean.assign(0.75 * self.mean + 0.25 * x)
        tf.cond(self.count < 2, lambda: self.count.assign_add(1), lambda: self.count.assign(7))
        return {
            "before": before,
            "total": self.total.read_value(),
            "mean": self.mean.read_value(),
            "count": self.count.read_value(),
        }


class Deciding(tf.Module):
    """Branches and loops, in one another."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.constant(np.random.default_rng(2).standard_normal((3, 3)), tf.float32)

    @tf.function(
        input_signature=[
            tf.TensorSpec((2, 3), tf.float32, "x"),
            tf.TensorSpec((5, 2, 3), tf.float32, "rows"),
            tf.TensorSpec((), tf.int32, "n"),
        ]
    )
    def __call__(self, x: Any, rows: Any, n: Any) -> Any:
        def step(i: Any, y: Any, kept: Any) -> Any:
            y = tf.tanh(y @ self.weights + rows[i])
            y = tf.cond(
                tf.reduce_sum(y) > 0,
                lambda: y * 2,
                lambda: tf.cond(n > 0, lambda: -y, lambda: y + 1),
            )
            return i + 1, y, tf.tensor_scatter_nd_update(kept, [[i]], [y])

        chosen, total = tf.cond(n > 2, lambda: (x * 2, n), lambda: (x - 1, n * n))
        last = tf.while_loop(lambda i, y, kept: i < 5, step, (0, x, tf.zeros((5, 2, 3))))
        half = tf.while_loop(lambda i: i * i < tf.abs(n) * 5, lambda i: (i + 1,), (0,))
        return {"chosen": chosen, "total": total, "last": last[1], "kept": last[2], "root": half[0]}


class Rest(tf.Module):
    """What else models have."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((3, 7), tf.float32, "x"),
            tf.TensorSpec((6,), tf.int32, "n"),
            tf.TensorSpec((1, 4, 5, 6, 2), tf.float32, "volume"),
        ]
    )
    def __call__(self, x: Any, n: Any, volume: Any) -> Any:
        rng = np.random.default_rng(4)
        filters = tf.constant(rng.standard_normal((2, 3, 2, 2, 4)), tf.float32)
        backward = tf.constant(rng.standard_normal((2, 3, 2, 4, 2)), tf.float32)
        rows, at = tf.concat([x, x + 1], 0), tf.abs(n[0]) % 3
        values, places = tf.unique(n)
        spectrum = tf.signal.rfft(x, [8])
        square = tf.signal.rfft2d(x, [4, 8])
        return {
            "angles": tf.atan2(x, tf.reverse(x, [1])),
            "bits": tf.bitwise.bitwise_xor(n, 5),
            "buckets": tf.raw_ops.Bucketize(input=x, boundaries=[-0.5, 0.1, 0.7]),
            "volumes": tf.nn.conv3d(volume, filters, (1, 1, 2, 1, 1), "SAME"),
            "enlarged": tf.nn.conv3d_transpose(
                volume, backward, (1, 8, 10, 6, 4), (1, 2, 2, 1, 1), "SAME"
            ),
            "diagonal": tf.linalg.diag(x),
            "replaced": tf.linalg.set_diag(x, x[:, 6] * 2),
            "rank": tf.rank(x) + 0 * n[0],
            "where": tf.where(x > 0.5),
            "values": values,
            "places": places,
            "sums": tf.math.segment_sum(rows, [0, 0, 1, 2, 2, 3]),
            "unsorted": tf.math.unsorted_segment_sum(rows, [2, 0, 1, -1, 3, 0], 5),
            "largest": tf.math.unsorted_segment_max(rows, [2, 0, 1, -1, 3, 0], 5),
            "smallest": tf.math.unsorted_segment_min(rows, [2, 0, 1, -1, 3, 0], 4),
            "products": tf.math.unsorted_segment_prod(rows, [2, 0, 1, 3, 3, 0], 4),
            "absolute": tf.abs(spectrum),
            "parts": tf.math.real(spectrum) + 2 * tf.math.imag(spectrum),
            "squares": tf.math.real(square) - tf.math.imag(square),
            "cut": tf.slice(x, tf.stack([0, at]), (2, 3)),
            "tail": x[:, at:],
            "row": x[at, ::2],
        }


def layers() -> Any:
    """Layers that have loops in TensorFlow, or one operator with a state."""
    given = L.Input((6, 4), batch_size=1, name="x")
    x = L.GRU(5, return_sequences=True)(given)
    y = L.Bidirectional(L.LSTM(3, return_sequences=True))(given)
    z = L.SimpleRNN(4)(given)
    return K.Model(given, [x, y, z])


def converted(model: Any, **settings: Any) -> bytes:
    """Of a Keras model, or of a module with one function."""
    if isinstance(model, K.Model):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
    else:
        function = model.__call__.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    for name, value in settings.items():
        setattr(converter, name, value)
    return bytes(converter.convert())


def samples(model: Any) -> Callable[[], Any]:
    rng = np.random.default_rng(3)
    shape = (1, *model.inputs[0].shape[1:])
    return lambda: ([rng.standard_normal(shape).astype(np.float32)] for _ in range(20))


def quantised(build: Callable[[], Any], kind: Any = tf.int8) -> bytes:
    model = build()
    return converted(
        model,
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=samples(model),
        target_spec=tf.lite.TargetSpec([tf.lite.OpsSet.TFLITE_BUILTINS_INT8]),
        inference_input_type=kind,
        inference_output_type=kind,
    )


SEVERAL = {"deciding", "keeping", "layers"}  # are run more than once
MODELS: dict[str, Callable[[], bytes]] = {
    "attention": lambda: converted(Attention()),
    "classifier": lambda: converted(classifier()),
    "classifier_float16": lambda: converted(
        classifier(),
        optimizations=[tf.lite.Optimize.DEFAULT],
        target_spec=tf.lite.TargetSpec(supported_types=[tf.float16]),
    ),
    "classifier_int8": lambda: quantised(classifier),
    "classifier_uint8": lambda: quantised(classifier, tf.uint8),
    "deciding": lambda: converted(Deciding()),
    "elements": lambda: converted(Elements()),
    "images": lambda: converted(Images()),
    "keeping": lambda: converted(Keeping(), experimental_enable_resource_variables=True),
    "layers": lambda: converted(layers()),
    "others": lambda: converted(Rest()),
    "rows": lambda: converted(Rows()),
    "movements": lambda: converted(Movements()),
    "segmenter": lambda: converted(segmenter()),
    "segmenter_int8": lambda: quantised(segmenter),
}


def run(data: bytes, count: int) -> dict[str, np.ndarray]:
    """What the interpreter makes of random inputs, in so many runs."""
    return ran(tf.lite.Interpreter(model_content=data), count)


def main(names: Sequence[str]) -> None:
    for name in names or MODELS:
        K.utils.set_random_seed(7)
        data = MODELS[name]()
        (HERE / f"{name}.tflite").write_bytes(data)
        np.savez_compressed(HERE / f"{name}.npz", **run(data, 3 if name in SEVERAL else 1))
        print(name, len(data))


if __name__ == "__main__":
    main(sys.argv[1:])
