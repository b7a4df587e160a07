"""ONNX Runtime's operators of no sequences, no rows and no keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from microsoft_models import agree_alone, cases
from onnx_models import floats, integers

ROWS = (floats(8, 24), floats(24))
TABLES = (floats(10, 4), floats(10, 4))
WEIGHTS = {"num_heads": 2, "constants": (1, 2)}
MATRIX = integers(0, 255, 8, 4, dtype="uint8")
EXPERTS = (floats(3, 16, 8), None, floats(3, 8, 16))


def none(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


def heads(batch: int, rows: int, keys: int) -> tuple[np.ndarray, ...]:
    return none(batch, rows, 8), none(batch, keys, 8), none(batch, keys, 8)


NOTHING: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "attention": ("Attention", (none(0, 3, 8), *ROWS), WEIGHTS),
    "attention of halves": (
        "Attention",
        (none(0, 3, 8, dtype="float16"), *(each.astype("float16") for each in ROWS)), WEIGHTS,
    ),
    "a mask": ("Attention", (none(0, 3, 8), *ROWS, none(0, 3, dtype="int32")), WEIGHTS),
    "a past": (
        "Attention", (none(0, 3, 8), *ROWS, None, none(2, 0, 2, 4, 4)),
        {**WEIGHTS, "outputs": (0, 1)},
    ),
    "rows": ("Attention", (none(2, 0, 8), *ROWS), {**WEIGHTS, "unidirectional": 1}),
    "heads": ("MultiHeadAttention", (*heads(0, 3, 5), floats(24)), {"num_heads": 2}),
    "queries": ("MultiHeadAttention", heads(2, 0, 5), {"num_heads": 2}),
    "keys": ("MultiHeadAttention", heads(2, 3, 0), {"num_heads": 2}),
    "places": ("RotaryEmbedding", (none(0, 3, 8), none(0, 3, dtype="int64"), *TABLES), {}),
    "rows that turn": ("RotaryEmbedding", (none(2, 0, 8), none(2, 0, dtype="int64"), *TABLES), {}),
    "experts": ("MoE", (none(0, 8), none(0, 3), *EXPERTS), {"k": 1}),
    "rows of experts": ("MoE", (none(2, 0, 8), none(0, 3), *EXPERTS), {"k": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("op", "arguments", "attrs"), cases({"nothing": NOTHING}))
def test_of_nothing(
    op: str, arguments: tuple[np.ndarray | None, ...], attrs: dict[str, Any]
) -> None:
    agree_alone(op, arguments, attrs)
