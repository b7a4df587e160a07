"""What a branch finds is found before it, whichever branch a run takes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
from decided_models import refused, same
from onnx_models import TARGET, floats
from sized_models import computed

from luthier.frontend import import_entry, read_model
from luthier.frontend.program import Branch, Find

HEAD = '<ir_version: 8, opset_import: ["": 18]>\n'


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(HEAD + text)


def rows(*counts: int) -> list[dict[str, np.ndarray]]:
    """Either condition, with some that are above 0 and with none."""
    return [
        {"c": np.array(c), "d": np.array(d), "x": floats(n, 3) - np.float32(by)}
        for c in (True, False)
        for d in (True, False)
        for n in counts
        for by in (0, 9)
    ]


def test_a_branch_reads_what_was_found_before_it() -> None:
    text = """small (bool c, float[rows,3] x) => (float[2] y) {
      y = If (c) <
        then_branch = t () => (float[2] a) {
          zero = Constant <value = float {0}> ()
          axis = Constant <value = int64[1] {1}> ()
          mask = Greater (x, zero)
          places = NonZero (mask)
          sums = ReduceSum <keepdims = 0> (places, axis)
          a = Cast <to = 1> (sums)
        },
        else_branch = e () => (float[2] b) { b = Constant <value = float[2] {0.5, 2}> () }>
    }"""
    runs = [{name: run[name] for name in "cx"} for run in rows(1, 2, 5)]
    (program,) = same(parsed(text), runs, shapes={"rows": "1..9"}).variants
    kinds = [type(step) for step in program.steps if isinstance(step, Find | Branch)]
    assert kinds == [Find, Branch]


INNER = """
  axis = Constant <value = int64[1] {1}> ()
  zero = Constant <value = float {0}> ()
  most = ReduceMax <keepdims = 0> (x, axis)
  mask = Greater (most, zero)
  some = Compress <axis = 0> (x, mask)
"""


def test_branches_in_branches_give_as_many_as_they_find() -> None:
    """Their values have the same names, and other sizes."""
    text = f"""small (bool c, bool d, float[rows,3] x) => (float[n,3] y) {{
      y = If (c) <
        then_branch = t () => (float[n,3] a) {{
          a = If (d) <
            then_branch = tt () => (float[n,3] aa) {{ {INNER} aa = Exp (some) }},
            else_branch = te () => (float[n,3] ab) {{ ab = Neg (x) }}>
        }},
        else_branch = e () => (float[n,3] b) {{ {INNER.replace("Max", "Min")} b = Abs (some) }}>
    }}"""
    (program,) = same(parsed(text), rows(1, 2, 5), shapes={"rows": "1..9"}).variants
    assert program.found == {"found_some", "found_some_0", "found_a", "found_y"}


def test_of_fixed_sizes() -> None:
    text = f"""small (bool c, float[4,3] x) => (float[n,3] y) {{
      y = If (c) <
        then_branch = t () => (float[n,3] a) {{ {INNER} a = Exp (some) }},
        else_branch = e () => (float[n,3] b) {{ b = Neg (x) }}>
    }}"""
    same(parsed(text), [{name: run[name] for name in "cx"} for run in rows(4)])


def test_what_differs_is_found() -> None:
    text = """small (bool c, float[4,3] x) => (float[n,3] y) {
      y = If (c) <
        then_branch = t () => (float[n,3] a) {
          some, first, which, times = Unique <axis = 0> (x)
          a = Exp (some)
        },
        else_branch = e () => (float[n,3] b) { b = Neg (x) }>
    }"""
    x = np.array([[1, 2, 0], [0, 0, 0], [1, 2, 0], [0.5, 1, -1]], np.float32)
    same(parsed(text), [{"c": np.array(c), "x": x} for c in (True, False)])


def test_what_may_end_a_run_stays_in_its_branch() -> None:
    """A step of 0 ends a run, which another branch would not."""
    text = """small (bool c, float[4] x, int64[1] step) => (int64[1,n] y) {
      y = If (c) <
        then_branch = t () => (int64[1,n] a) {
          begin = Constant <value = int64[1] {0}> ()
          end = Constant <value = int64[1] {4}> ()
          part = Slice (x, begin, end, begin, step)
          a = NonZero (part)
        },
        else_branch = e () => (int64[1,n] b) { b = NonZero (x) }>
    }"""
    said = refused(parsed(text))
    assert said.endswith("may end the run, where another branch would not"), said


def test_iterations_that_are_written_out_each_find_their_own() -> None:
    text = """small (float[4] x) => (seq(int64[1,n]) y) {
      two = Constant <value = int64 {2}> ()
      true = Constant <value = bool {1}> ()
      none = SequenceEmpty <dtype = 7> ()
      y = Loop (two, true, none) <body = body (int64 i, bool c, seq(int64[1,n]) s)
          => (bool go, seq(int64[1,n]) t) {
        go = Identity (c)
        least = Cast <to = 1> (i)
        mask = Greater (x, least)
        places = NonZero (mask)
        t = SequenceInsert (s, places)
      }>
    }"""
    (program,) = import_entry(read_model(parsed(text)), TARGET).variants
    x = np.array([0.5, 1.5, 0.3, -1], np.float32)
    results = computed(program, {}, {"x": x})
    assert [results[name].tolist() for name in ("y_0", "y_1")] == [[[0, 1, 2]], [[1]]]


def test_a_number_that_may_be_too_large_stays_in_its_branch() -> None:
    text = """small (bool c, float[4,3] x, int64[1] k) => (float[4,n] y) {
      y = If (c) <
        then_branch = t () => (float[4,n] a) { a, which = TopK (x, k) },
        else_branch = e () => (float[4,n] b) { b = Neg (x) }>
    }"""
    said = refused(parsed(text))
    assert said.endswith("may end the run, where another branch would not"), said
