"""Loops whose carried values are longer after each iteration."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import TARGET, expected, floats
from sized_models import computed, opened

from luthier.deploy import build, load
from luthier.frontend import Library, import_entry, read_model
from luthier.schedules import Target, UnsupportedOperator

N = helper.make_node
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def info(name: str, kind: int, rank: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [None] * rank)


def loop(
    first: int | str,
    *,
    axis: int = 0,
    more: int = 1,
    trips: int = 9,
    ends: bool = False,
    doubles: bool = False,
    outputs: tuple[str, ...] = ("all", "sums"),
) -> onnx.ModelProto:
    """The mean of all rows so far goes after them, ``more`` times, and their sum into a sum, until
    this is large if it ``ends``; ``doubles``: all rows go after them."""
    mean = N("ReduceMean", ["rows", "axes"], ["mean"], keepdims=1)
    new = [mean] if more == 1 else [mean, N("Concat", ["mean"] * more, ["means"], axis=axis)]
    added = "rows" if doubles else "mean" if more == 1 else "means"
    goes = N("Less", ["size", "bound"], ["next"]) if ends else N("Identity", ["goes"], ["next"])
    body = helper.make_graph(
        [
            *new,
            N("Concat", ["rows", added], ["longer"], axis=axis),
            N("Mul", ["longer", "longer"], ["squares"]),
            N("ReduceSum", ["squares", "both"], ["size"], keepdims=0),
            N("Add", ["sum", "size"], ["larger"]),
            goes,
        ],
        "body",
        [info("i", INT64, 0), info("goes", BOOL, 0), info("rows", FLOAT, 2), info("sum", FLOAT, 0)],
        [info("next", BOOL, 0), info("longer", FLOAT, 2), info("larger", FLOAT, 0)],
    )
    shape = (first, 5) if axis == 0 else (5, first)
    constants = {
        "trips": np.array(trips),
        "begin": np.array(True),
        "axes": np.array([axis]),
        "both": np.array([0, 1]),
        "bound": np.float32(40),
        "zero": np.float32(0),
    }
    made = opened(
        [N("Loop", ["trips", "begin", "x", "zero"], ["all", "sums"], "again", body=body)],
        {"x": (shape, "float32")},
        dict.fromkeys(outputs, "float32"),
        constants,
    )
    return made


def agree(proto: onnx.ModelProto, x: np.ndarray) -> None:
    entry = import_entry(proto, TARGET)
    ours, theirs = computed(entry.variants[0], {}, {"x": x}), expected(proto, {"x": x})
    for name, array in theirs.items():
        assert ours[name].shape == array.shape
        np.testing.assert_allclose(ours[name], array, 1e-5, 1e-5)


@pytest.mark.parametrize(("first", "more", "axis"), [(3, 1, 0), (1, 2, 0), (2, 1, 1), (1, 1, 1)])
def test_rows_go_after_rows(first: int, more: int, axis: int) -> None:
    shape = (first, 5) if axis == 0 else (5, first)
    agree(loop(first, more=more, axis=axis), floats(*shape))


def test_a_loop_that_ends_as_values_decide() -> None:
    agree(loop(3, ends=True, outputs=("sums",)), floats(3, 5))


def test_a_loop_of_one_iteration() -> None:
    agree(loop(3, trips=1), floats(3, 5))


def test_a_last_value_whose_length_values_decide() -> None:
    """Before the room is full, at once, and not at all."""
    proto = loop(3, ends=True)
    for scale in (0.2, 1, 20):
        agree(proto, floats(3, 5) * np.float32(scale))
    agree(loop(3, ends=True, more=2, axis=1), floats(5, 3))


@pytest.mark.parametrize("ends", [False, True])
def test_how_often_a_run_says(ends: bool) -> None:
    proto = loop(2, ends=ends)
    del proto.graph.initializer[[t.name for t in proto.graph.initializer].index("trips")]
    proto.graph.input.append(helper.make_tensor_value_info("trips", INT64, []))
    assert "give a bound, such as --bound found_all=1024" in refused(proto)
    entry = import_entry(read_model(proto, bounds={"found_all": 12}), TARGET)
    (program,) = entry.variants
    for trips in (0, -3, 1, 4, 10):
        inputs = {"x": floats(2, 5) / 4, "trips": np.array(trips)}
        ours, theirs = computed(program, {}, inputs), expected(proto, inputs)
        for name, array in theirs.items():
            assert ours[name].shape == array.shape
            np.testing.assert_allclose(ours[name], array, 1e-5, 1e-5)


def refused(proto: onnx.ModelProto) -> str:
    with pytest.raises(UnsupportedOperator) as error:
        import_entry(proto, TARGET)
    return str(error.value)


def test_what_is_refused() -> None:
    assert re.search(r"is float32\[\d+,5\] at first and", refused(loop(3, doubles=True)))


def test_a_library_finds_how_long_it_is(tmp_path: Path) -> None:
    host, proto = Target("x86-64-v2", "x86-64-v2", 2), loop(3, ends=True, more=2, axis=1)
    build(Library("ending", {"run": import_entry(proto, host)}), tmp_path / "built", host, {})
    with load(tmp_path / "built", threads=2) as artifact:
        for scale in (0.2, 1, 20, 0.5):
            x = floats(5, 3) * np.float32(scale)
            ours, theirs = artifact.run({"x": x}), expected(proto, {"x": x})
            for name, array in theirs.items():
                assert ours[name].shape == array.shape
                np.testing.assert_allclose(ours[name], array, 1e-5, 1e-5)


def test_a_library_does_it_from_any_length(tmp_path: Path) -> None:
    host, proto = Target("x86-64-v2", "x86-64-v2", 2), loop("rows", more=2)
    entry = import_entry(proto, host, {"rows": range(1, 20)})
    build(Library("growing", {"run": entry}), tmp_path / "built", host, {})
    with load(tmp_path / "built", threads=2) as artifact:
        for rows in (7, 1, 19, 2):
            x = floats(rows, 5)
            ours, theirs = artifact.run({"x": x}), expected(proto, {"x": x})
            for name, array in theirs.items():
                assert ours[name].shape == array.shape
                np.testing.assert_allclose(ours[name], array, 1e-5, 1e-5)
