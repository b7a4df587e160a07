"""Operators of ONNX Runtime's domain where sizes are open: one program for a range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from microsoft_models import runtime, single
from onnx import helper
from onnx_models import TARGET, compute, floats, integers, positive
from sized_models import Shape, same_at_all_sizes

from luthier.frontend import import_entry
from luthier.frontend.program import at


def opened(
    op: str,
    shapes: Sequence[Shape],
    *arguments: np.ndarray | None,
    results: Mapping[int, str] = {0: "float32"},
    **attrs: Any,
) -> onnx.ModelProto:
    """A node whose inputs have these shapes of numbers and names; others are constants."""
    known = [i for i, a in enumerate(arguments) if a is not None and i >= len(shapes)]
    proto, _ = single(op, *arguments, constants=known, outputs=tuple(results), **attrs)
    given = iter(proto.graph.input)
    for shape, array in zip(shapes, arguments, strict=False):
        if array is not None:
            value = next(given)
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, shape))
    for output, dtype in zip(proto.graph.output, results.values(), strict=True):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        output.CopyFrom(helper.make_tensor_value_info(output.name, kind, None))
    return proto


X = floats(2, 5, 24)
ROWS = ("batch", "tokens", 24)
MASK = np.ones((2, 5), np.int32)


def test_attention_over_any_number_of_tokens() -> None:
    weights, bias = floats(24, 72) * np.float32(0.3), floats(72)
    proto = opened(
        "Attention",
        [ROWS, (24, 72), (72,), ("batch", "tokens")],
        X,
        weights,
        bias,
        MASK,
        num_heads=3,
        unidirectional=1,
    )
    entry = same_at_all_sizes(proto, {"batch": 2, "tokens": "2..32"}, count=3)
    assert all("attention" in str(program) for program in entry.variants)


def test_a_past_of_any_length() -> None:
    old = floats(1, 3, 4, 8)
    proto = opened(
        "MultiHeadAttention",
        [*[(1, "tokens", 24)] * 3, (), (), (), *[(1, 3, "past", 8)] * 2],
        *[X[:1]] * 3,
        None,
        None,
        None,
        old,
        old,
        results=dict.fromkeys(range(3), "float32"),
        num_heads=3,
        unidirectional=1,
    )
    same_at_all_sizes(proto, {"past": "8..32", "tokens": "2..8"}, count=2)


def test_layers_of_any_number_of_rows() -> None:
    proto = opened(
        "SkipLayerNormalization", [ROWS, ROWS], X, X, positive(24), floats(24), floats(24)
    )
    same_at_all_sizes(proto, {"batch": "1..4", "tokens": "1..32"})


def test_products_of_quantised_numbers_of_any_number_of_rows() -> None:
    a, b = integers(0, 9, 2, 5, 24, dtype="uint8"), integers(-9, 9, 24, 40, dtype="int8")
    scales = np.float32(0.1), np.float32(0.2)
    proto = opened("MatMulIntegerToFloat", [ROWS], a, b, *scales, np.uint8(3))
    same_at_all_sizes(proto, {"batch": 1, "tokens": "1..32"})


def grouped(tokens: int, past: int) -> dict[str, np.ndarray]:
    """Inputs of one batch, whose last key has the place that follows."""
    cache = [floats(1, 2, past, 8, seed=i) for i in (1, 2)]
    every = [floats(1, tokens, 32), floats(1, tokens, 16), floats(1, tokens, 16, seed=3), *cache]
    last = np.array([past + tokens - 1], np.int32)
    arrays = [*every, last, np.asarray(past + tokens, np.int32)]
    return {f"in{i}": a for i, a in enumerate(arrays)}


@pytest.mark.parametrize("tokens", [1, "tokens"])
def test_a_cache_of_any_length(tokens: int | str) -> None:
    given = grouped(2, 4)
    proto = opened(
        "GroupQueryAttention",
        [
            *((1, tokens, width) for width in (32, 16, 16)),
            *[(1, 2, "past", 8)] * 2,
            (1,),
            (),
        ],
        *given.values(),
        results=dict.fromkeys(range(3), "float32"),
        num_heads=4,
        kv_num_heads=2,
    )
    sizes = {"past": range(8, 33), "tokens": range(2, 9)}
    entry = import_entry(proto, TARGET, sizes if tokens == "tokens" else {"past": range(8, 33)})
    for many, past in ((2, 8), (8, 32), (5, 13)):
        rows = 1 if tokens == 1 else many
        inputs = grouped(rows, past)
        chosen = {"past": past, "tokens": rows} if tokens == "tokens" else {"past": past}
        program = entry.variant(chosen)
        assert program is not None
        found = compute(at(program, chosen), inputs)
        for name, array in runtime(proto, inputs).items():
            np.testing.assert_allclose(found[name], array, 1e-4, 1e-5, err_msg=name)
