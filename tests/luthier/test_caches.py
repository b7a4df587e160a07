"""Samples of numbers of rows in caches, and of masks that these are made of, are valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

import luthier
from luthier.correctness.reference import reference
from luthier.frontend.onnx.read import read_model
from luthier.inputs.samples import inputs_at, random_inputs
from luthier.schedules import Tensor
from luthier.schedules.errors import InputError

# As onnxruntime-genai writes it: a mask of all keys says how many there are.
DECODER = """
<ir_version: 10, opset_import: ["": 21, "com.microsoft": 1]>
decoder (float[batch,tokens,16] q, float[batch,tokens,16] k, float[batch,tokens,16] v,
         int64[batch,all] mask, float[batch,2,past,8] past_key, float[batch,2,past,8] past_value)
    => (float[batch,tokens,16] y, float[batch,2,%s,8] key, float[batch,2,%s,8] value)
<int64[1] rows = {1}, int64[1] one = {1}, int64 second = {1}> {
    count = ReduceSum <keepdims = 0> (mask, rows)
    less = Sub (count, one)
    last = Cast <to = 6> (less)
    shape = Shape (mask)
    every = Gather (shape, second)
    total = Cast <to = 6> (every)
    y, key, value = com.microsoft.GroupQueryAttention <num_heads = 2, kv_num_heads = 2>
        (q, k, v, past_key, past_value, last, total)
}
"""


@pytest.mark.parametrize(("tokens", "past"), [(1, 7), (5, 0)])
def test_a_mask_of_a_growing_cache_is_of_all_keys(tokens: int, past: int) -> None:
    model = onnx.parser.parse_model(DECODER % ("all", "all"))
    shapes = {"batch": 2, "tokens": tokens, "past": past, "all": past + tokens}
    inputs = random_inputs(read_model(model, shapes).proto, 0)
    assert inputs["mask"].tolist() == [[1] * (past + tokens)] * 2


def test_so_it_is_where_sizes_are_open() -> None:
    model = onnx.parser.parse_model(DECODER % ("all", "all"))
    shapes = {"batch": 1, "tokens": 1, "past": range(9), "mask": (1, "past+tokens")}
    read = read_model(model, shapes)
    assert inputs_at(read, {"past": 3}, 0)["mask"].tolist() == [[1] * 4]


def test_rows_after_the_last_stay_in_a_cache_that_keeps_its_size() -> None:
    model = onnx.parser.parse_model(DECODER % ("past", "past"))
    read = read_model(model, {"batch": 1, "tokens": 1, "past": 9, "all": 4})
    inputs = inputs_at(read, {}, 0)
    assert inputs["mask"].tolist() == [[1] * 4]
    cache = Tensor((1, 2, 9, 8), "float32")
    types = {"y": Tensor((1, 1, 16), "float32"), "key": cache, "value": cache}
    (found,) = reference(read, [inputs], types).outputs
    rows = np.arange(9) != 3
    assert (found["key"][:, :, rows] == inputs["past_key"][:, :, rows]).all()
    assert (found["key"][0, :, 3] == inputs["k"].reshape(2, 8)).all()


@pytest.mark.parametrize(
    ("text", "name", "low", "high"),
    [
        (
            "(float[64,2,9,4] c, float[64,2,3,4] u, int64[64] n) => (float[64,2,9,4] y)"
            "{ y = TensorScatter (c, u, n) }",
            "n", 0, 6,
        ),
        (
            "(float[64,2,3,4] q, float[64,2,7,4] k, float[64,2,7,4] v, int64[64] n)"
            " => (float[64,2,3,4] y) { y = Attention (q, k, v, , , , n) }",
            "n", 1, 7,
        ),
    ],
    ids=["where rows are written", "keys that count"],
)  # fmt: skip
def test_rows_are_inside_of_a_cache(text: str, name: str, low: int, high: int) -> None:
    model = onnx.parser.parse_model(f'<ir_version: 11, opset_import: ["": 24]> g {text}')
    read = read_model(model).proto
    assert set(random_inputs(read, 0)[name].tolist()) == set(range(low, high + 1))


@pytest.mark.slow
def test_a_cache_that_grows_is_a_state(tmp_path: Path) -> None:
    """A run that is told of other keys than the state holds ends, and changes nothing."""
    model = onnx.parser.parse_model(DECODER % ("all", "all"))
    setting: Any = {
        "shapes": {"batch": 1, "tokens": range(1, 5), "past": range(9), "mask": (1, "past+tokens")},
        "state": {"past_key": "key", "past_value": "value"},
        "log": None,
        "threads": 1,
    }
    assert luthier.check(model, runs=1, **setting).ok
    luthier.build(model, tmp_path / "grows", **setting)
    rows = np.ones((1, 3, 16), np.float32)
    with luthier.load(tmp_path / "grows") as grows:
        grows.run({**dict.fromkeys("qkv", rows), "mask": np.ones((1, 3), np.int64)})
        mask = np.ones((1, 6), np.int64)
        mask[0, 5] = 0
        with pytest.raises(InputError, match=r"GroupQueryAttention .*rows by .1., not .0."):
            grows.run({**dict.fromkeys("qkv", rows), "mask": mask})
        assert grows.state.lengths == {"past_key": 3, "past_value": 3}
        mask[:] = 1
        grows.run({**dict.fromkeys("qkv", rows), "mask": mask})
        assert grows.state.lengths == {"past_key": 6, "past_value": 6}
