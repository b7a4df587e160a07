"""A small encoder as PyTorch's exporter writes it, for optimisers and quantisers to change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

BATCH, ROWS, HEADS, DEPTH, WORDS = 2, 8, 2, 8, 50
HIDDEN = HEADS * DEPTH


class Sketch:
    """Nodes and constants, which get names of their own."""

    def __init__(self, opset: int, seed: int = 0) -> None:
        self.opset = opset
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def emit(self, op: str, *inputs: str, **attrs: Any) -> str:
        """The result of a new node."""
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"node_{name}", **attrs))
        return name

    def constant(self, value: Any, dtype: str = "float32") -> str:
        """A constant."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weights(self, *shape: int) -> str:
        """Random numbers."""
        return self.constant(self.random.standard_normal(shape) / math.sqrt(shape[0]))

    def unsqueeze(self, x: str, axis: int) -> str:
        """A dimension of one element."""
        if self.opset < 13:
            return self.emit("Unsqueeze", x, axes=[axis])
        return self.emit("Unsqueeze", x, self.constant([axis], "int64"))

    def linear(self, x: str, inside: int, outside: int) -> str:
        """A product and a bias."""
        return self.emit("Add", self.emit("MatMul", x, self.weights(inside, outside)),
                         self.weights(outside))  # fmt: skip

    def layer_norm(self, x: str) -> str:
        """Spelled by means and a root."""
        apart = self.emit("Sub", x, self.emit("ReduceMean", x, axes=[-1]))
        squares = self.emit("Pow", apart, self.constant(2.0))
        variance = self.emit("ReduceMean", squares, axes=[-1])
        spread = self.emit("Sqrt", self.emit("Add", variance, self.constant(1e-5)))
        even = self.emit("Div", apart, spread)
        scaled = self.emit("Mul", even, self.constant(self.random.uniform(0.5, 1.5, HIDDEN)))
        return self.emit("Add", scaled, self.weights(HIDDEN))

    def gelu(self, x: str) -> str:
        """By the error function."""
        wave = self.emit("Erf", self.emit("Div", x, self.constant(math.sqrt(2))))
        one = self.emit("Add", wave, self.constant(1.0))
        return self.emit("Mul", self.emit("Mul", x, one), self.constant(0.5))

    def attention(self, x: str, mask: str) -> str:
        """Of all heads, and the product after it."""

        def heads(perm: list[int]) -> str:
            split = self.constant([0, 0, HEADS, DEPTH], "int64")
            return self.emit(
                "Transpose",
                self.emit("Reshape", self.linear(x, HIDDEN, HIDDEN), split),
                perm=perm,
            )

        q, k, v = heads([0, 2, 1, 3]), heads([0, 2, 3, 1]), heads([0, 2, 1, 3])
        scores = self.emit("Div", self.emit("MatMul", q, k), self.constant(math.sqrt(DEPTH)))
        shares = self.emit("Softmax", self.emit("Add", scores, mask), axis=3)
        y = self.emit("Transpose", self.emit("MatMul", shares, v), perm=[0, 2, 1, 3])
        joined = self.emit("Reshape", y, self.constant([0, 0, HIDDEN], "int64"))
        return self.linear(joined, HIDDEN, HIDDEN)


def encoder(layers: int = 2, opset: int = 12) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The model and some inputs."""
    s = Sketch(opset)
    words = s.emit("Gather", s.weights(WORDS, HIDDEN), "input_ids")
    places = s.emit("Gather", s.weights(ROWS, HIDDEN), s.constant(np.arange(ROWS)[None], "int64"))
    kinds = s.emit("Gather", s.weights(2, HIDDEN), "token_type_ids")
    x = s.layer_norm(s.emit("Add", s.emit("Add", words, places), kinds))
    wide = s.unsqueeze(s.unsqueeze("attention_mask", 1), 2)
    left = s.emit("Sub", s.constant(1.0), s.emit("Cast", wide, to=1))
    mask = s.emit("Mul", left, s.constant(-10000.0))
    for _ in range(layers):
        x = s.layer_norm(s.emit("Add", s.attention(x, mask), x))
        inner = s.linear(s.gelu(s.linear(x, HIDDEN, 4 * HIDDEN)), 4 * HIDDEN, HIDDEN)
        x = s.layer_norm(s.emit("Add", inner, x))
    names = ("input_ids", "attention_mask", "token_type_ids")
    graph = helper.make_graph(
        s.nodes,
        "encoder",
        [helper.make_tensor_value_info(n, 7, [BATCH, ROWS]) for n in names],
        [helper.make_tensor_value_info(x, 1, [BATCH, ROWS, HIDDEN])],
        s.constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    mask_of_keys = np.ones((BATCH, ROWS), np.int64)
    mask_of_keys[1, 5:] = 0
    given = {
        "input_ids": s.random.integers(0, WORDS, (BATCH, ROWS)),
        "attention_mask": mask_of_keys,
        "token_type_ids": s.random.integers(0, 2, (BATCH, ROWS)),
    }
    return proto, given
