"""ONNX's random numbers: the same in every run, by a node's seed or else its name."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from luthier.schedules import ModelError

from ..composites import random
from ..graph.emitter import MOST_ELEMENTS
from .element_types import dtype_name
from .node import OnnxNode, Operator
from .reduce import place

_SEEDED, _UNSEEDED = 0, 1


def source(node: OnnxNode) -> tuple[int, int]:
    """The generator's key and stream: by the bits of the seed, or else by what the node is called.

    Nodes of one seed draw alike, as in NumPy.
    """
    seed = node.attrs.get("seed")
    if seed is None:
        return zlib.crc32(node.label.encode()), _UNSEEDED
    return int(np.asarray(seed, np.float32).view(np.uint32)), _SEEDED


def _result(node: OnnxNode, otherwise: str) -> str:
    """The element type of the result."""
    elem_type = node.attr("dtype", 0)
    return dtype_name(elem_type, f"{node.label}: its result") if elem_type else otherwise


def _float(node: OnnxNode, otherwise: str) -> str:
    dtype = _result(node, otherwise)
    if not dtype.startswith("float"):
        raise node.unsupported(f"a random number of {dtype}")
    return dtype


def _normal(node: OnnxNode, shape: Sequence[int], dtype: str) -> int:
    t, wide = node.t, "float64" if dtype == "float64" else "float32"
    drawn = random.normal(t, shape, wide, *source(node))
    scaled = t.emit("multiply", drawn, t.number(node.attr("scale", 1.0), wide))
    return t.cast(t.emit("add", scaled, t.number(node.attr("mean", 0.0), wide)), dtype)


def _uniform(node: OnnxNode, shape: Sequence[int], dtype: str) -> int:
    t, wide = node.t, "float64" if dtype == "float64" else "float32"
    low, high = np.float64(node.attr("low", 0.0)), np.float64(node.attr("high", 1.0))
    drawn = random.uniform(t, shape, wide, *source(node))
    scaled = t.emit("multiply", drawn, t.number(high - low, wide))
    return t.cast(t.emit("add", scaled, t.number(low, wide)), dtype)


def _shape(node: OnnxNode) -> tuple[int, ...]:
    shape = tuple(int(d) for d in node.attr("shape", ()))
    if not all(1 <= d <= MOST_ELEMENTS for d in shape):
        raise ModelError(f"{node.label}: its shape is {list(shape)}")
    return shape


def _bernoulli(node: OnnxNode) -> int:
    """Truths with the probabilities that the input is."""
    drawn = random.uniform(node.t, node.shape, node.wide, *source(node))
    hit = node.t.emit("less", drawn, node.t.cast(node.x, node.wide))
    return node.t.cast(hit, _result(node, node.dtype))


def _multinomial(node: OnnxNode) -> int:
    """Classes by logarithms of weights: where these are largest with noise added (Gumbel 1954)."""
    t, count = node.t, int(node.attr("sample_size", 1))
    if node.rank != 2 or not 1 <= count <= MOST_ELEMENTS:
        raise node.unsupported(f"{count} samples of the shape {list(node.shape)}")
    rows, classes = node.shape
    noise = random.gumbel(t, (rows, count, classes), node.wide, *source(node))
    logits = t.reshape(t.cast(node.x, node.wide), (rows, 1, classes))
    best = place(t, t.emit("add", noise, logits), 2, "max", last=False)
    return t.cast(t.reshape(best, (rows, count)), _result(node, "int32"))


OPERATORS: dict[str, Operator] = {
    "Bernoulli": Operator(_bernoulli, of_floats=True),
    "Multinomial": Operator(_multinomial, of_floats=True),
    "RandomNormal": Operator(lambda node: _normal(node, _shape(node), _float(node, "float32"))),
    "RandomNormalLike": Operator(lambda node: _normal(node, node.shape, _float(node, node.dtype))),
    "RandomUniform": Operator(lambda node: _uniform(node, _shape(node), _float(node, "float32"))),
    "RandomUniformLike": Operator(
        lambda node: _uniform(node, node.shape, _float(node, node.dtype))
    ),
}
RANDOM = frozenset(OPERATORS)
