"""Runs of models whose arrays are all small give what other runs give."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import open_models
import pytest
from open_models import W
from small_models import COLUMNS, ROWS, expected

from luthier.deploy import Artifact, binding, load
from luthier.deploy.small import MOST_BYTES, Small, all_small
from luthier.schedules import ALIGNMENT, InputError, Tensor

rng = np.random.default_rng(0)
INPUTS = {name: rng.standard_normal((ROWS, COLUMNS)).astype(np.float32) for name in ("x", "y")}
TYPES = ("float32", "float64", "float16", "bfloat16", "bool", "int8", "uint8", "int16", "int64")


@pytest.fixture
def artifact(artifact_folder: Path) -> Iterator[Artifact]:
    with load(artifact_folder) as loaded:
        yield loaded


def small(*takes: Tensor, gives: tuple[Tensor, ...] = (Tensor((1,)),)) -> tuple[Small, Any, Any]:
    """With what the C API would find: its inputs and outputs."""
    made = Small(
        1,
        [(f"x{i}", tensor) for i, tensor in enumerate(takes)],
        [(f"y{i}", tensor) for i, tensor in enumerate(gives)],
        2,
    )
    instance, inputs, count, outputs, more, seconds, error = made.arguments
    assert (instance, count, more, seconds, error) == (1, len(takes), len(gives), None, 2)
    tables = (binding.CBuffer * count, inputs), (binding.CBuffer * more, outputs)
    given, taken = (kind.from_address(address) for kind, address in tables)
    return made, given, taken


def held(buffer: Any) -> bytes:
    return ctypes.string_at(buffer.data, buffer.bytes)


@pytest.mark.parametrize("dtype", TYPES)
def test_inputs_are_where_the_library_reads_them(dtype: str) -> None:
    kind = Tensor((3, 5), dtype).element.numpy
    made, inputs, _ = small(Tensor((3, 5), dtype), Tensor((7,), dtype))
    bits = rng.integers(0, 2 if dtype == "bool" else 256, (2, 200), dtype=np.uint8)
    for part in bits:  # any bits, so NaN with any payload too
        x, y = (part[: n * kind.itemsize].view(kind) for n in (15, 7))
        assert made.take({"x0": x.reshape(3, 5), "x1": y})
        assert (held(inputs[0]), held(inputs[1])) == (x.tobytes(), y.tobytes())
        assert all(each.data % ALIGNMENT == 0 for each in inputs)


def test_inputs_in_any_order_of_memory() -> None:
    made, inputs, _ = small(Tensor((3, 5)))
    x = rng.standard_normal((6, 10)).astype(np.float32)[::2, ::-2]
    x.flags.writeable = False
    for each in (x, np.asfortranarray(x)):
        assert made.take({"x0": each})
        assert held(inputs[0]) == x.tobytes()


X = np.zeros((3, 5), np.float32)
OTHERS: dict[str, Any] = {
    "no input": {},
    "another name": {"x": X},
    "more": {"x0": X, "x1": X},
    "another shape": {"x0": X.T},
    "another rank": {"x0": X[0]},
    "another type": {"x0": X.astype(np.float64)},
    "another order of bytes": {"x0": X.astype(">f4")},
    "a list": {"x0": X.tolist()},
    "masked": {"x0": np.ma.masked_array(X)},
    "nothing": {"x0": None},
}


@pytest.mark.parametrize("inputs", OTHERS.values(), ids=OTHERS)
def test_other_inputs_are_left_to_others(inputs: dict[str, Any]) -> None:
    assert not small(Tensor((3, 5)))[0].take(inputs)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 1, 16), (16,)])
def test_no_output_is_given_twice(dtype: str, shape: tuple[int, ...]) -> None:
    tensor = Tensor(shape, dtype)
    made, _, outputs = small(Tensor((1,)), gives=(tensor, Tensor((2, 2))))
    arrays = []
    for number in range(50):
        given = made.give()
        assert list(given) == ["y0", "y1"]
        array = given["y0"]
        assert (array.shape, array.dtype) == (shape, tensor.element.numpy)
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert outputs[0].data % ALIGNMENT == 0
        ctypes.memset(outputs[0].data, number, tensor.nbytes)
        arrays.append(array)
    for number, array in enumerate(arrays):
        assert array.tobytes() == bytes([number]) * tensor.nbytes


def test_what_is_small() -> None:
    columns = MOST_BYTES // 4
    for shape, is_small in (
        ((columns,), True), ((columns + 1,), False), ((3, 0), False), ((), False), ((1, 1), True),
    ):  # fmt: skip
        assert all_small([("x", Tensor((1,))), ("y", Tensor(shape))]) == is_small


def test_outputs_stay_as_they_are(artifact: Artifact) -> None:
    given = []
    for number in range(40):
        inputs = {"x": INPUTS["x"] + np.float32(number), "y": INPUTS["y"]}
        given.append((artifact.run(inputs), expected(inputs["x"], inputs["y"], 2.0)))
    for outputs, wanted in given:
        assert list(outputs) == list(wanted)
        for name, array in wanted.items():
            np.testing.assert_array_equal(outputs[name], array)


def test_small_and_other_runs_in_turns(tmp_path: Path) -> None:
    open_models.build(tmp_path / "out")
    with load(tmp_path / "out") as artifact:
        for tokens in (1, 2, 2, 1, open_models.MOST_TOKENS, 1, 1):
            for number in range(3):
                x = np.full((1, tokens, open_models.COLUMNS), number, np.float32)
                inputs = {"x": x, "mask": np.arange(tokens + 1, dtype=np.float32)}
                outputs = artifact.run(inputs)
                np.testing.assert_array_equal(outputs["y"], -(x * W))
                np.testing.assert_array_equal(outputs["mask"], inputs["mask"])
            with pytest.raises(InputError):
                artifact.run({**inputs, "mask": inputs["mask"][:-1]})


def test_types_of_ml_dtypes_are_known() -> None:
    made, inputs, _ = small(Tensor((2,), "bfloat16"))
    x = np.array([1, -2], ml_dtypes.bfloat16)
    assert made.take({"x0": x})
    assert held(inputs[0]) == x.tobytes()


def test_where_all_that_comes_out_are_states_nothing_is_given() -> None:
    made = Small(1, [("x", Tensor((2,)))], [], 2)
    assert made.arguments[4] == 0
    for _ in range(2):
        assert made.take({"x": np.ones(2, np.float32)})
        assert made.give() == {}
