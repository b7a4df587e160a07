"""Loops and branches over sizes that are ranges: one program, the fixed one at each size."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from control_models import OPEN_MODELS
from onnx_models import TARGET
from sized_models import same_at_all_sizes

from luthier.frontend import Entry, import_entry
from luthier.frontend.program import Loop
from luthier.frontend.program.steps import walk
from luthier.frontend.sizes import imported
from luthier.schedules import UnsupportedOperator

ROWS, STEPS = range(1, 9), range(1, 7)


def ranges(entry: Entry) -> list[str]:
    return [" ".join(map(str, program.symbols)) for program in entry.variants]


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]>\n{text}')


@pytest.mark.parametrize("name", OPEN_MODELS)
def test_a_program_does_what_its_model_does(name: str) -> None:
    shapes = {"rows": ROWS} | ({"steps": STEPS} if "scan" in name else {})
    entry = same_at_all_sizes(OPEN_MODELS[name], shapes)
    assert len(entry.variants) <= 2 ** len(shapes)  # one element may be another model


def test_a_scan_runs_as_often_as_there_are_steps() -> None:
    entry = same_at_all_sizes(OPEN_MODELS["a scan"], {"rows": ROWS, "steps": STEPS})
    (program,) = entry.variants
    (loop,) = (step for step in program.steps if isinstance(step, Loop))
    kept = [str(program.type(value)) for value in loop.results[1:]]
    assert kept == ["float32[steps,rows,3]", "float32[steps,rows,3]"]
    assert loop.trips is not None
    trips = next(c for c in program.calls if c.result == program.base(loop.trips))
    assert trips.open is not None
    assert trips.open.names == {"steps"}


def test_what_a_body_computes_from_sizes() -> None:
    """A number of trips of three sizes, one of them of the body, and a slice by its number."""
    entry = same_at_all_sizes(
        parsed("""
        rows (float[rows,4] x) => (float[4] y, float[kept,columns] all) {
          zero = Constant <value = int64 {0}> ()
          one = Constant <value = int64 {1}> ()
          start = Constant <value = float[4] {0, 0, 0, 0}> ()
          shape = Shape (x)
          rows = Gather (shape, zero)
          trips = Sub (rows, one)
          y, all = Loop (trips, , start) <body = body (int64 i, bool c, float[4] h)
              => (bool go, float[4] next, float[n] flat) {
            go = Identity (c)
            row = Gather (x, i)
            next = Add (h, row)
            count = Shape (x)
            line = ReduceProd <keepdims = 1> (count)
            all_of_it = Add (x, h)
            flat = Reshape (all_of_it, line)
          }>
        }"""),
        {"rows": "2..9"},
    )
    (program,) = entry.variants
    assert str(program.type(dict(program.outputs)["all"])) == "float32[rows-1,4*rows]"


def test_a_loop_that_never_runs_for_some_sizes_is_another_model() -> None:
    proto = parsed("""
        trips (float[rows,4] x) => (float[m,4] y) {
          zero = Constant <value = int64 {0}> ()
          two = Constant <value = int64 {2}> ()
          shape = Shape (x)
          rows = Gather (shape, zero)
          trips = Sub (rows, two)
          y = Loop (trips, , x) <body = body (int64 i, bool c, float[m,4] h)
              => (bool go, float[m,4] next) {
            go = Identity (c)
            next = Mul (h, x)
          }>
        }""")
    assert ranges(same_at_all_sizes(proto, {"rows": "1..12"})) == ["rows=3..12", "rows=1..2"]


def test_numbers_that_are_equal_by_chance_are_told_apart() -> None:
    """A constant of 3 beside trips that are 3 for three rows."""
    proto = parsed("""
        chance (float[rows,4] x) => (float[m,4] y, int64 z) {
          zero = Constant <value = int64 {0}> ()
          three = Constant <value = int64 {3}> ()
          shape = Shape (x)
          rows = Gather (shape, zero)
          y = Loop (rows, , x) <body = body (int64 i, bool c, float[m,4] h)
              => (bool go, float[m,4] next) {
            go = Identity (c)
            next = Mul (h, x)
          }>
          last, z = Loop (three, , x, zero) <body = body2 (int64 i, bool c, float[m,4] h, int64 k)
              => (bool go, float[m,4] next, int64 more) {
            go = Identity (c)
            next = Mul (h, x)
            more = Add (k, i)
          }>
        }""")
    assert ranges(same_at_all_sizes(proto, {"rows": "1..12"})) == ["rows=1..12"]


def test_a_size_that_a_run_finds_beside_a_loop() -> None:
    """Before a loop, whose body has it; in a loop it is refused."""
    text = """
        found (float[rows,4] x, int64 n) => (float[k] y) {{
          zero = Constant <value = float {{0}}> ()
          axes = Constant <value = int64[1] {{1}}> ()
          sums = ReduceSum <keepdims = 0> (x, axes)
          mask = Greater (sums, zero)
          {outside}
          y = Loop (n, , {first}) <body = body (int64 i, bool c, float[k] h)
              => (bool go, float[k] next) {{
            go = Identity (c)
            {inside}
          }}>
        }}"""
    before = text.format(
        outside="some = Compress <axis = 0> (sums, mask)", first="some", inside="next = Mul (h, h)"
    )
    entry = import_entry(parsed(before), TARGET, {"rows": "1..40"})
    (program,) = entry.variants
    (loop,) = (step for step in walk(program.region) if isinstance(step, Loop))
    assert [str(program.type(v)) for v in loop.results] == ["float32[found_some]"]
    within = text.format(
        outside="",
        first="sums",
        inside="some = Compress <axis = 0> (h, mask)\n next = Add (h, some)",
    )
    with pytest.raises(UnsupportedOperator, match="found in a loop or branch is not supported: "):
        import_entry(parsed(within), TARGET, {"rows": 40})


def test_a_sequence_as_long_as_a_range_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imported, "_MOST_IMPORTS", 12)
    proto = parsed("""
        rows (float[rows,4] x) => (float[m,4] y) {
          parts = SplitToSequence <axis = 0> (x)
          y = ConcatFromSequence <axis = 0> (parts)
        }""")
    with pytest.raises(UnsupportedOperator, match="no few programs run the model"):
        import_entry(proto, TARGET, {"rows": "1..60"})
    entry = import_entry(proto, TARGET, {"rows": (2, 3)})
    assert ranges(entry) == ["rows=2..2", "rows=3..3"]
    assert np.all([not program.open for program in entry.variants])
