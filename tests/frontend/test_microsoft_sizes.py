"""Operators of ONNX Runtime's domain where sizes are open: one program for a range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from microsoft_models import runtime, single
from onnx import TensorProto, helper
from onnx_models import TARGET, compute, floats, integers, positive
from sized_models import Shape, computed, same_at_all_sizes

from luthier.frontend import import_entry, import_model, read_model
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
    sizes = {"past": range(8, 33), "tokens": range(2, 17)}  # more may be new than are kept
    entry = import_entry(proto, TARGET, sizes if tokens == "tokens" else {"past": range(8, 33)})
    assert len(entry.variants) <= 2  # up to 8 rows, and more
    for many, past in ((2, 8), (16, 8), (8, 32), (5, 13)):
        rows = 1 if tokens == 1 else many
        inputs = grouped(rows, past)
        chosen = {"past": past, "tokens": rows} if tokens == "tokens" else {"past": past}
        program = entry.variant(chosen)
        assert program is not None
        found = compute(at(program, chosen), inputs)
        for name, array in runtime(proto, inputs).items():
            np.testing.assert_allclose(found[name], array, 1e-4, 1e-5, err_msg=name)


def test_any_number_of_rows_after_no_past_is_one_program() -> None:
    """What is known of fewer rows, the keys that each may read, is a part of what is of more."""
    proto = opened(
        "GroupQueryAttention",
        [*((1, "tokens", width) for width in (32, 16, 16)), *[(1, 2, 0, 8)] * 2, (1,), ()],
        *grouped(2, 0).values(),
        results=dict.fromkeys(range(3), "float32"),
        num_heads=4,
        kv_num_heads=2,
    )
    entry = import_entry(proto, TARGET, {"tokens": range(2, 65)})
    (program,) = entry.variants
    for tokens in (2, 7, 64):
        inputs = grouped(tokens, 0)
        found = compute(at(program, {"tokens": tokens}), inputs)
        for name, array in runtime(proto, inputs).items():
            np.testing.assert_allclose(found[name], array, 1e-4, 1e-5, err_msg=name)


def test_a_cache_in_place_may_be_a_state() -> None:
    """It keeps its size, though that has a name."""
    proto = opened(
        "GroupQueryAttention",
        [*((1, 1, width) for width in (32, 16, 16)), *[(1, 2, "room", 8)] * 2, (1,), ()],
        *grouped(1, 16).values(),
        results=dict.fromkeys(range(3), "float32"),
        num_heads=4,
        kv_num_heads=2,
    )
    for output in proto.graph.output[1:]:
        shape = [1, 2, "room", 8]
        output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, shape))
    states = {"in3": "out1", "in4": "out2"}
    entry = import_entry(read_model(proto, {"room": 16}, state=states), TARGET)
    (program,) = entry.variants
    assert [(s.name, s.axis) for s in program.states] == [("in3", None), ("in4", None)]


@pytest.mark.parametrize("named", [True, False])
def test_a_cache_that_keeps_its_size_is_written_in_place(named: bool) -> None:
    """By what the model says of past and present: one name, or two."""
    room, tokens = 16, 3
    given = grouped(tokens, room)
    for name in ("in3", "in4"):
        given[name][:, :, 5:] = 0
    given |= {"in5": np.array([4 + tokens], np.int32), "in6": np.asarray(5 + tokens, np.int32)}
    shapes = [*((1, tokens, width) for width in (32, 16, 16)), *[(1, 2, "room", 8)] * 2, (1,), ()]
    results = dict.fromkeys(range(3), "float32")
    proto = opened(
        "GroupQueryAttention",
        shapes,
        *given.values(),
        results=results,
        num_heads=4,
        kv_num_heads=2,
    )
    for output in proto.graph.output[1:]:
        dims = (1, 2, "room" if named else "all", 8)
        output.CopyFrom(helper.make_tensor_value_info(output.name, 1, dims))
    found = compute(import_model(proto, TARGET, {"room": room}), given)
    wanted = runtime(proto, given)
    assert found["out1"].shape[2] == (room if named else room + tokens)
    for name, array in wanted.items():
        ours = found[name][:, :, :room] if name != "out0" else found[name]
        np.testing.assert_allclose(ours, array, 1e-4, 1e-5, err_msg=name)


def test_linear_attention_over_any_number_of_rows() -> None:
    arrays = (
        floats(2, 5, 8),
        floats(2, 5, 8, seed=1) / np.float32(2),
        floats(2, 5, 12, seed=2),
        floats(2, 2, 4, 6, seed=3),
        -positive(2, 5, 2),
        positive(2, 5, 2) / np.float32(4),
    )
    rows = [(2, "tokens", width) for width in (8, 8, 12)]
    proto = opened(
        "LinearAttention",
        [*rows, (2, 2, 4, 6), *[(2, "tokens", 2)] * 2],
        *arrays,
        results=dict.fromkeys(range(2), "float32"),
        q_num_heads=2,
        kv_num_heads=2,
    )
    same_at_all_sizes(proto, {"tokens": "1..16"}, count=2)


def test_tokens_up_to_the_first_that_is_not_the_sources() -> None:
    rng = np.random.default_rng(0)
    for size, count, letters in ((9, 5, 3), (6, 7, 2), (7, 1, 4), (3, 0, 2)):
        source, current = rng.integers(0, letters, size), rng.integers(0, letters, 4)
        predicted = rng.integers(0, letters, count) if count else None
        given = (source, current, np.array(size + 1 - count), predicted)
        attrs = {"min_ngram_size": 1, "max_ngram_size": 4}
        outputs = {0: "int64", 1: "int64"}
        shapes = [a.shape for a in given if a is not None]
        proto = opened("BifurcationDetector", shapes, *given, results=outputs, **attrs)
        (program,) = import_entry(proto, TARGET).variants
        for _ in range(12):
            source = rng.integers(0, letters, size)
            inputs = {"in0": source, "in1": rng.integers(0, letters, 4), "in2": given[2]}
            if count:
                own = rng.integers(0, letters, count)
                same = rng.integers(0, count)
                own[:same] = source[size + 1 - count :][:same]
                inputs["in3"] = own
            found = computed(program, {}, inputs)
            for name, array in runtime(proto, inputs).items():
                np.testing.assert_array_equal(found[name], array)


def test_the_way_through_a_matrix_is_as_long_as_a_run_finds() -> None:
    for x in (floats(1, 9, 7), floats(4, 12)):
        proto = opened("DynamicTimeWarping", [x.shape], x, results={0: "int32"})
        (program,) = import_entry(proto, TARGET).variants
        assert [s.name for s in program.symbols] == ["found_out0"]
        for seed in range(6):
            given = floats(*x.shape, seed=seed)
            found = computed(program, {}, {"in0": given})["out0"]
            np.testing.assert_array_equal(found, runtime(proto, {"in0": given})["out0"])


def test_what_is_different_has_a_size_that_a_run_finds() -> None:
    x = np.array([2, 1, 1, 3, 4, 3], np.float32)
    proto = opened("Unique", [("n",)], x, results={0: "float32", 1: "int64", 2: "int64"})
    entry = import_entry(proto, TARGET, {"n": range(1, 9)})
    program = entry.variant({"n": 6})
    assert program is not None
    found = computed(program, {"n": 6}, {"in0": x})
    for name, array in runtime(proto, {"in0": x}).items():
        np.testing.assert_array_equal(found[name], array)
