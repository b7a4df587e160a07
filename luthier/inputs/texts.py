"""Random texts for a model's inputs: those that it knows, and others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from luthier.frontend.onnx.scopes import every_node
from luthier.schedules.ops.texts import rows

Array = NDArray[Any]
_MOST_KNOWN = 4096
_MOVES = frozenset("Concat Gather Identity Reshape Slice Split Squeeze Transpose Unsqueeze".split())
_LETTERS = "abcxyzABCXYZ0189 .,-_@äßÄéЖж語"


def random_texts(model: onnx.ModelProto, shape: Sequence[int], rng: np.random.Generator) -> Array:
    """Rows of ``shape``, whose last number is the bytes that a text may have.

    Half of them are among the texts that the model compares with, where it has some that are short
    enough; others are empty, as long as they may be, and between. Where it takes texts for numbers
    all are that, since engines end at others.
    """
    width, count = shape[-1], int(np.prod(shape[:-1]))
    if _reads_numbers(model):
        return rows([_number(width, rng) for _ in range(count)], shape)
    known = [each for each in islice(_known(model), _MOST_KNOWN) if len(each) <= width]
    return rows([_one(known, width, rng) for _ in range(count)], shape)


def _one(known: Sequence[bytes], width: int, rng: np.random.Generator) -> bytes:
    if known and rng.random() < 0.5:
        return known[int(rng.integers(len(known)))]
    length = width if rng.random() < 0.1 else int(rng.integers(0, min(width, 24) + 1))
    drawn = "".join(_LETTERS[i] for i in rng.integers(0, len(_LETTERS), length))
    return drawn.encode()[:length].decode("utf-8", "ignore").encode()


def _reads_numbers(model: onnx.ModelProto) -> bool:
    """Whether a cast makes numbers of an input, or of what is moved of one."""
    texts = {
        info.name
        for info in model.graph.input
        if info.type.tensor_type.elem_type == TensorProto.STRING
    }
    for node in model.graph.node:
        numbers = any(a.name == "to" and a.i != TensorProto.STRING for a in node.attribute)
        if node.op_type == "Cast" and node.input[0] in texts and numbers:
            return True
        if node.op_type in _MOVES and texts.intersection(node.input):
            texts.update(node.output)
    return False


def _number(width: int, rng: np.random.Generator) -> bytes:
    """Of a few digits, so that whole types hold it too."""
    drawn = f"{rng.integers(-99, 100)}"
    return drawn.encode() if len(drawn) <= width else b"7"


def _known(model: onnx.ModelProto) -> Iterator[bytes]:
    """The texts in attributes and constants, no name of a mode among them."""
    tensors = list(model.graph.initializer)
    for node in every_node(model.graph.node):
        for attribute in node.attribute:
            if attribute.name.endswith("strings") or attribute.name == "stopwords":
                yield from attribute.strings
            tensors.append(attribute.t)
    for tensor in tensors:
        yield from tensor.string_data
