"""How many elements there can be, where a run computes that, told by what it is computed from."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import TARGET, expected
from sized_models import computed, integers, opened

from luthier.frontend import import_entry
from luthier.frontend.control.assembly import Assembly
from luthier.frontend.control.bounds import Bounds
from luthier.schedules import ModelError, UnsupportedOperator

N = helper.make_node
CONSTANTS = {
    "two": integers(2),
    "seven": integers(7),
    "minus": integers(-3),
    "list": integers(4, -1, 9),
    "half": np.array([0.5], np.float32),
    "nan": np.array([np.nan], np.float32),
}
SMALL = N("Clip", ["x", "minus", "seven"], ["s"])  # -3 to 7
COUNT = N("Shape", ["x"], ["n"])


@pytest.mark.parametrize(
    ("nodes", "most"),
    [
        ([N("Min", ["x", "seven", "y"], ["z"])], 7),
        ([N("Max", ["x", "seven"], ["z"])], None),
        ([SMALL, N("Max", ["s", "two"], ["z"])], 7),
        ([SMALL, N("Add", ["s", "list"], ["z"])], 16),
        ([SMALL, N("Sub", ["list", "s"], ["z"])], 12),
        ([SMALL, N("Mul", ["s", "minus"], ["z"])], 9),
        ([SMALL, N("Neg", ["s"], ["z"])], 3),
        ([SMALL, N("Abs", ["s"], ["z"])], 7),
        ([SMALL, N("Div", ["s", "two"], ["z"])], 7),
        ([SMALL, N("Div", ["two", "s"], ["z"])], None),
        ([COUNT, N("Sub", ["seven", "n"], ["z"])], 7),
        ([COUNT, N("Add", ["seven", "n"], ["z"])], None),
        ([COUNT, N("Mul", ["n", "minus"], ["z"])], 0),
        ([COUNT, N("Cast", ["n"], ["i"], to=TensorProto.INT32), N("Neg", ["i"], ["z"])], 0),
        ([COUNT, N("Cast", ["n"], ["i"], to=TensorProto.INT8), N("Neg", ["i"], ["z"])], None),
        ([N("Greater", ["x", "two"], ["b"]), N("Cast", ["b"], ["z"], to=TensorProto.INT64)], 1),
        ([SMALL, N("Where", ["b", "s", "list"], ["z"])], 9),
        ([SMALL, N("Concat", ["s", "list"], ["c"], axis=0), N("Gather", ["c", "i"], ["z"])], 9),
        ([N("Constant", [], ["z"], value_ints=[3, 5])], 5),
        ([N("Clip", ["x", "", "half"], ["c"]), N("Ceil", ["c"], ["z"])], 1),
        ([N("Min", ["x", "nan"], ["z"])], None),
        ([N("Relu", ["minus"], ["z"])], 0),
        ([N("TopK", ["seven", "two"], ["z", "places"])], None),
        ([N("Add", ["z", "two"], ["z"])], None),
    ],
    ids=lambda each: "" if not isinstance(each, list) else " ".join(n.op_type for n in each),
)
def test_what_numbers_can_be(nodes: list[onnx.NodeProto], most: int | None) -> None:
    made = {name: node for node in nodes for name in node.output}
    assert Bounds(made, CONSTANTS.get).most("z") == most


def padded(rest: str) -> onnx.ModelProto:
    """The first so many rows that are found, and ones for as many as there are fewer than 9, as
    TensorFlow's detectors pad their boxes."""
    nodes = [
        N("Compress", ["x", "mask"], ["some"], axis=0),
        N("Shape", ["some"], ["shape"]),
        N("Slice", ["shape", "zero", "one", "zero"], ["count"]),
        N("Min", ["count", "nine"], ["kept"]),
        N("Slice", ["some", "zero", "kept", "zero"], ["first"]),
        N(rest, ["nine", "kept"], ["lacking"]),
        N("Concat", ["lacking", "two"], ["lengths"], axis=0),
        N("Expand", ["ones", "lengths"], ["others"]),
        N("Concat", ["first", "others"], ["y"], axis=0),
    ]
    numbers = {"zero": 0, "one": 1, "two": 2, "nine": 9}
    constants = {name: integers(number) for name, number in numbers.items()}
    constants["ones"] = np.ones((1, 2), np.float32)
    inputs = {"x": ((12, 2), "float32"), "mask": ((12,), "bool")}
    return opened(nodes, inputs, {"y": "float32"}, constants)


def test_what_is_lacking_of_a_number_needs_no_bound() -> None:
    (program,) = import_entry(padded("Sub"), TARGET).variants
    (symbol,) = (s for s in program.symbols if "others" in s.name)
    assert (symbol.least, symbol.most) == (0, 9)
    for count in (0, 1, 8, 9, 12):
        x = np.arange(24, dtype=np.float32).reshape(12, 2)
        inputs = {"x": x, "mask": np.arange(12) < count}
        wanted = expected(padded("Sub"), inputs)["y"]
        np.testing.assert_array_equal(computed(program, {}, inputs)["y"], wanted)


def test_a_number_that_nothing_bounds_needs_one() -> None:
    proto = padded("Sub")
    proto.graph.node[5].CopyFrom(N("ReduceSum", ["x_ints"], ["lacking"], keepdims=1))
    proto.graph.node.insert(0, N("Cast", ["v"], ["x_ints"], to=TensorProto.INT64))
    proto.graph.input.append(helper.make_tensor_value_info("v", TensorProto.FLOAT, [3]))
    with pytest.raises(UnsupportedOperator, match="give a bound, such as --bound found_"):
        import_entry(proto, TARGET)


def test_what_bounds_make_huge_is_refused_before_it_is_written_out() -> None:
    zeros = np.broadcast_to(np.float32(0), (1 << 20, 1 << 20))
    with pytest.raises(ModelError, match="too much memory"):
        Assembly(1 << 20).table("y", zeros)
