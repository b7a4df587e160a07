"""What does nothing at some sizes of a range: an image that is padded to a multiple of a number,
and cut to its size in the end."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_models import TARGET, compute, expected, floats
from sized_models import Shape, integers, opened

from luthier.frontend import Entry, import_entry, import_model
from luthier.frontend.passes import OPEN_PASSES
from luthier.frontend.program import at

N = helper.make_node


def padded(multiple: int, shape: Shape, mode: str = "constant") -> onnx.ModelProto:
    """A convolution between a Pad and a Slice."""
    nodes = [
        N("Shape", ["x"], ["sides"], start=2),
        N("Neg", ["sides"], ["less"]),
        N("Mod", ["less", "multiple"], ["lacking"]),
        N("Concat", ["none", "lacking"], ["widths"], axis=0),
        N("Pad", ["x", "widths"], ["p"], mode=mode),
        N("Conv", ["p", "w"], ["c"], pads=[1, 1, 1, 1]),
        N("Slice", ["c", "begin", "sides", "axes"], ["y"]),
    ]
    constants = {
        "multiple": integers(multiple),
        "none": integers(0, 0, 0, 0, 0, 0),
        "w": floats(4, 3, 3, 3),
        "begin": integers(0, 0),
        "axes": integers(2, 3),
    }
    return opened(nodes, {"x": (shape, "float32")}, {"y": "float32"}, constants)


def cut_of(multiple: int) -> onnx.ModelProto:
    """The most rows of which there are a multiple, by a Pad of less than nothing."""
    nodes = [
        N("Shape", ["x"], ["rows"], end=1),
        N("Mod", ["rows", "multiple"], ["over"]),
        N("Neg", ["over"], ["less"]),
        N("Concat", ["none", "less", "zero"], ["widths"], axis=0),
        N("Pad", ["x", "widths"], ["p"]),
        N("Reshape", ["p", "blocks"], ["r"]),
        N("ReduceMax", ["r", "one"], ["y"], keepdims=0),
    ]
    constants = {
        "multiple": integers(multiple),
        "none": integers(0, 0),
        "zero": integers(0),
        "one": integers(1),
        "blocks": integers(-1, multiple, 5),
    }
    return opened(nodes, {"x": (("rows", 5), "float32")}, {"y": "float32"}, constants)


def check(proto: onnx.ModelProto, entry: Entry, *choices: dict[str, int]) -> None:
    """What its one program computes is what ONNX Runtime does."""
    (program,) = entry.variants
    for sizes in choices:
        fixed = at(program, sizes)
        ((name, value),) = fixed.inputs
        x = floats(*fixed.values[value].shape)
        found, wanted = compute(fixed, {name: x}), expected(proto, {name: x})
        assert found["y"].shape == wanted["y"].shape
        np.testing.assert_allclose(found["y"], wanted["y"], 1e-4, 1e-5, err_msg=str(sizes))


@pytest.mark.parametrize("most", [31, 32])
def test_one_program_pads_at_multiples_too(most: int) -> None:
    proto = padded(8, ("n", 3, "h", "w"))
    entry = import_entry(proto, TARGET, {"n": "1..3", "h": f"8..{most}", "w": f"9..{most}"})
    sides = [(8, 16), (16, 9), (24, 24), (17, 31), (most, most), (9, 24)]
    check(proto, entry, *({"n": 1 + h % 3, "h": h, "w": w} for h, w in sides))


@pytest.mark.parametrize("mode", ["edge", "reflect"])
def test_whatever_it_is_padded_by(mode: str) -> None:
    proto = padded(8, (1, 3, "h", 16), mode)
    entry = import_entry(proto, TARGET, {"h": "8..32"})
    check(proto, entry, *({"h": h} for h in (8, 9, 16, 23, 31, 32)))


def test_one_program_cuts_at_multiples_too() -> None:
    proto = cut_of(6)
    entry = import_entry(proto, TARGET, {"rows": "6..60"})
    check(proto, entry, *({"rows": rows} for rows in (6, 7, 12, 35, 36, 60)))


def test_exact_sizes_pad_and_cut_where_they_must_alone() -> None:
    proto, shapes = padded(8, ("n", 3, "h", 16)), {"n": "2..3", "h": (12, 16, 32)}
    entry = import_entry(proto, TARGET, shapes)
    ops = {
        symbol.most: {node.op for call in program.calls for node in call.workload.nodes}
        for program in entry.variants
        for symbol in program.symbols
        if symbol.name == "h"
    }
    assert {h for h, some in ops.items() if "pad" in some or "slice" in some} == {12}
    exact = import_model(proto, TARGET, {"n": 2, "h": 32}, OPEN_PASSES)
    assert {node.op for call in exact.calls for node in call.workload.nodes} == ops[32]


def test_what_is_cut_of_all_but_the_largest_is_no_other_program_there() -> None:
    """Of rows that are computed, the first so many as there are tokens."""
    nodes = [
        N("Shape", ["x"], ["count"], end=1),
        N("Exp", ["table"], ["rows"]),
        N("Slice", ["rows", "zero", "count", "zero"], ["some"]),
        N("Add", ["x", "some"], ["y"]),
    ]
    inputs: dict[str, tuple[Shape, str]] = {
        "x": (("tokens", 4), "float32"),
        "table": ((24, 4), "float32"),
    }
    proto = opened(nodes, inputs, {"y": "float32"}, {"zero": integers(0)})
    (program,) = import_entry(proto, TARGET, {"tokens": "2..24"}).variants
    for tokens in (2, 11, 24):
        arrays = {"x": floats(tokens, 4), "table": floats(24, 4)}
        found = compute(at(program, {"tokens": tokens}), arrays)
        np.testing.assert_allclose(found["y"], expected(proto, arrays)["y"], 1e-5, 1e-6)
