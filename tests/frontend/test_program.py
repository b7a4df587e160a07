"""Whole programs: random graphs of operators compute what ONNX Runtime computes."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from onnx import NodeProto
from onnx.helper import make_node
from onnx_models import agree, floats, model


class Generator:
    """A random model of float tensors; every operator keeps its values moderate."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        shape = self.random.choice([(2, 4, 5, 6), (1, 8, 6, 6), (3, 7), (2, 5, 8), (1, 4, 7, 7)])
        self.inputs = {"x": floats(*shape, seed=seed)}
        self.shapes: dict[str, tuple[int, ...]] = {"x": shape}

    def node(self, op: str, shape: tuple[int, ...], *inputs: str, **attrs: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(make_node(op, list(inputs), [name], **attrs))
        self.shapes[name] = shape
        return name

    def constant(self, *shape: int) -> str:
        name = f"c{len(self.constants)}"
        scale = 1 / np.sqrt(max(1, int(np.prod(shape[1:]))))
        self.constants[name] = floats(*shape, seed=self.random.randrange(999)) * np.float32(scale)
        return name

    def whole(self, *numbers: int) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(numbers, np.int64)
        return name

    def grow(self) -> None:
        name = self.random.choice(list(self.shapes)[-6:])
        shape = self.shapes[name]
        kinds: list[Callable[[str, tuple[int, ...]], object]] = [
            self.unary,
            self.unary,
            self.binary,
            self.binary,
            self.reduce,
            self.softmax,
            self.reshape,
            self.transpose,
            self.slice,
            self.concat,
            self.product,
            self.normalise,
        ]
        if len(shape) == 4 and min(shape[2:]) >= 3:
            kinds += [self.conv, self.conv, self.conv, self.pool, self.head]
        self.random.choice(kinds)(name, shape)

    def unary(self, x: str, shape: tuple[int, ...]) -> None:
        op = self.random.choice("Relu Sigmoid Tanh Neg Abs Erf LeakyRelu HardSwish Elu".split())
        self.node(op, shape, x)

    def binary(self, x: str, shape: tuple[int, ...]) -> None:
        op = self.random.choice(["Add", "Sub", "Mul", "Max", "Min"])
        same = [n for n, s in self.shapes.items() if s == shape]
        broadcast = tuple(d if self.random.random() < 0.5 else 1 for d in shape)
        other = self.random.choice([self.random.choice(same), self.constant(*broadcast)])
        self.node(op, shape, *self.random.sample([x, other], 2))

    def reduce(self, x: str, shape: tuple[int, ...]) -> None:
        axes = self.random.sample(range(len(shape)), self.random.randint(1, len(shape)))
        keep = self.random.random() < 0.6 or len(axes) == len(shape)
        out = tuple(1 if i in axes else d for i, d in enumerate(shape) if keep or i not in axes)
        op = self.random.choice(["ReduceMean", "ReduceMax", "ReduceMin"])
        self.node(op, out, x, self.whole(*axes), keepdims=int(keep))

    def softmax(self, x: str, shape: tuple[int, ...]) -> None:
        self.node("Softmax", shape, x, axis=self.random.randrange(-len(shape), len(shape)))

    def reshape(self, x: str, shape: tuple[int, ...]) -> None:
        dims = list(shape)
        at = self.random.randrange(len(dims))
        if self.random.random() < 0.5 and len(dims) > 1:
            at = self.random.randrange(len(dims) - 1)
            dims[at : at + 2] = [dims[at] * dims[at + 1]]
        elif dims[at] % 2 == 0 and len(dims) < 5:
            dims[at : at + 1] = [2, dims[at] // 2]
        self.node("Reshape", tuple(dims), x, self.whole(*dims))

    def transpose(self, x: str, shape: tuple[int, ...]) -> None:
        perm = self.random.sample(range(len(shape)), len(shape))
        self.node("Transpose", tuple(shape[p] for p in perm), x, perm=perm)

    def slice(self, x: str, shape: tuple[int, ...]) -> None:
        axis = self.random.randrange(len(shape))
        begin = self.random.randrange(shape[axis])
        size = -(-(shape[axis] - begin) // 2)
        out = (*shape[:axis], size, *shape[axis + 1 :])
        bounds = (begin, shape[axis], axis, 2)
        self.node("Slice", out, x, *(self.whole(b) for b in bounds))

    def concat(self, x: str, shape: tuple[int, ...]) -> None:
        axis = self.random.randrange(len(shape))
        if shape[axis] > 32:
            return
        parts = [x, self.random.choice([n for n, s in self.shapes.items() if s == shape])]
        out = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
        self.node("Concat", out, *parts, axis=axis - len(shape))

    def product(self, x: str, shape: tuple[int, ...]) -> None:
        if len(shape) > 1:
            columns = self.random.choice([1, 5, 8])
            weights = self.constant(shape[-1], columns)
            self.node("MatMul", (*shape[:-1], columns), x, weights)

    def normalise(self, x: str, shape: tuple[int, ...]) -> None:
        scale, shift = self.constant(shape[-1]), self.constant(shape[-1])
        self.node("LayerNormalization", shape, x, scale, shift, epsilon=0.1)

    def conv(self, x: str, shape: tuple[int, ...]) -> None:
        n, c, h, w = shape
        size = self.random.choice([1, 3])
        groups = c if self.random.random() < 0.3 else 1
        channels = c if groups > 1 else self.random.choice([4, 6])
        weights = self.constant(channels, c // groups, size, size)
        pads = [size // 2] * 4
        self.node("Conv", (n, channels, h, w), x, weights, group=groups, pads=pads)

    def pool(self, x: str, shape: tuple[int, ...]) -> None:
        n, c, h, w = shape
        op = self.random.choice(["MaxPool", "AveragePool"])
        self.node(op, (n, c, h // 2, w // 2), x, kernel_shape=[2, 2], strides=[2, 2])

    def head(self, x: str, shape: tuple[int, ...]) -> None:
        n, c, _, _ = shape
        pooled = self.node("GlobalAveragePool", (n, c, 1, 1), x)
        self.node("Flatten", (n, c), pooled)


def grown(seed: int, size: int) -> Generator:
    made = Generator(seed)
    while len(made.nodes) < size:
        made.grow()
    return made


@pytest.mark.parametrize("seed", range(80))
def test_a_random_graph_computes_what_onnx_says(seed: int) -> None:
    made = grown(seed, 6 + seed % 20)
    outputs = [f"v{len(made.nodes) - 1}", f"v{made.random.randrange(len(made.nodes))}"]
    outputs = list(dict.fromkeys(outputs))
    proto = model(made.nodes, made.inputs, outputs, made.constants)
    agree(proto, made.inputs, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 112))
def test_the_kernels_of_a_random_graph_compute_the_same(seed: int) -> None:
    made = grown(seed, 16)
    proto = model(made.nodes, made.inputs, [f"v{len(made.nodes) - 1}", "v7"], made.constants)
    agree(proto, made.inputs, kernels=True, rtol=1e-3, atol=1e-4)
