"""Loops whose places, conditions and carried values are written loosely, as Paddle's are."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx_models import TARGET, UnexpectedError, compute

from luthier.frontend import import_model
from luthier.schedules import UnsupportedOperator

# Column i of what is kept becomes v: places from i to i + 1, or less where there are less. What is
# kept is given under two names, of which one is not read, and begins as a number alone.
WRITING = """
    <ir_version: 8, opset_import: ["": 17]>
    writing (float[2,1] x, bool flag) => (float[2,70] whole) {
        zero = Constant <value = int64[1] {0}> ()
        one = Constant <value = int64[1] {1}> ()
        by_one = Constant <value = int64 {1}> ()
        true = Constant <value = bool {1}> ()
        trips = Constant <value = int64 {TRIPS}> ()
        number = Constant <value = float {0}> ()
        sizes = Constant <value = int64[2] {2, 70}> ()
        row_sizes = Constant <value = int64[2] {1, -1}> ()
        empty = Expand (number, sizes)
        count, last, unused, whole = Loop (trips, true, zero, x, empty, number) <body = one_of_them
            (int64 n, bool c, int64[1] i, float[2,1] h, float[2,70] kept, float not_read)
            => (bool go, int64[1] next, float[2,1] v, float[2,70] copy, float[2,70] written) {
                v = Tanh (h)
                float_i = Cast <to = 1> (i)
                float_one = Constant <value = float {1}> ()
                float_next = Add (float_i, float_one)
                next = Cast <to = 7> (float_next)
                begin = Reshape (i, one)
                shape = Shape (kept)
                size = Gather (shape, one)
                end = Min (size, next)
                part = Slice (kept, begin, end, one, one)
                taken = Shape (part)
                spread = Expand (v, taken)
                first = Squeeze (begin)
                limit = Squeeze (end)
                places = Range (first, limit, by_one)
                row = Reshape (places, row_sizes)
                rows = Expand (row, taken)
                written = ScatterElements <axis = 1> (kept, rows, spread)
                copy = Identity (written)
                go = Identity (c)
            }>
    }"""
# Whether it is done is a number alone at first and in one branch, and else a list of one.
DONE = """
    <ir_version: 8, opset_import: ["": 17]>
    done (float[2,1] x, bool flag) => (float[2,1] y RESULT) {
        zero = Constant <value = int64[1] {0}> ()
        yes = Constant <value = bool {1}> ()
        no = Constant <value = bool {0}> ()
        trips = Constant <value = int64 {5}> ()
        alike = Cast <to = 9> (trips)
        last, y = Loop (trips, yes, no, x) <body = one_of_them
            (int64 n, bool c, bool done, float[2,1] h) => (bool go, bool now, float[2,1] v) {
                v = Tanh (h)
                is_now = If (flag) <
                    then_branch = known () => (bool a) { a = Constant <value = bool {1}> () },
                    else_branch = carried () => (bool[1] b) {
                        as_int = Cast <to = 7> (done)
                        more = Add (as_int, zero)
                        b = Cast <to = 9> (more)
                    }>
                as_int = Cast <to = 7> (is_now)
                listed = Add (as_int, zero)
                NOW
                still = Not (now)
                go = Squeeze (still)
            }>
    }"""
LISTED, AS_IT_IS = "now = Cast <to = 9> (listed)", "now = Identity (is_now)"


def inputs(*, flag: bool) -> dict[str, np.ndarray]:
    return {"x": np.array([[0.5], [-2]], np.float32), "flag": np.array(flag)}


def agree(text: str) -> None:
    proto = onnx.parser.parse_model(text)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    program = import_model(proto, TARGET)
    for given in (inputs(flag=True), inputs(flag=False)):
        (wanted,) = session.run(None, {i.name: given[i.name] for i in session.get_inputs()})
        (found,) = compute(program, given).values()
        np.testing.assert_allclose(found, wanted, 1e-5, 1e-6)


def test_a_loop_writes_one_column_after_the_other() -> None:
    agree(WRITING.replace("TRIPS", "70"))


def test_a_run_ends_that_writes_beyond_the_last_column() -> None:
    program = import_model(onnx.parser.parse_model(WRITING.replace("TRIPS", "71")), TARGET)
    with pytest.raises(UnexpectedError, match="so many elements"):
        compute(program, inputs(flag=True))


def test_one_number_may_have_a_dimension_or_none_where_that_does_not_matter() -> None:
    agree(DONE.replace("NOW", LISTED).replace("RESULT", ""))


@pytest.mark.parametrize(
    ("now", "result", "says"),
    [
        (AS_IT_IS, "", r"its result 'is_now' is bool\[\] in one branch and bool\[1\] in the other"),
        (LISTED, ", bool last", r"'done' is bool\[\] at first and bool\[1\] after an iteration"),
    ],
    ids=["given on", "used after a loop that may not run"],
)
def test_where_it_may_matter_it_is_refused(now: str, result: str, says: str) -> None:
    text = DONE.replace("NOW", now).replace("RESULT", result)
    text = text.replace("Loop (trips, yes", "Loop (trips, flag") if result else text
    with pytest.raises(UnsupportedOperator, match=says):
        import_model(onnx.parser.parse_model(text), TARGET)
