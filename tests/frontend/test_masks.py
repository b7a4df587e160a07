"""``x[mask] = source`` as exporters spell it, which needs no size that a run finds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx_models import TARGET, compute, expected, floats
from sized_models import computed

from luthier.frontend import Shapes, import_entry, import_model
from luthier.frontend.onnx.masks import without_masks
from luthier.frontend.program import Program

HEAD = '<ir_version: 8, opset_import: ["": 18]>\n'
NUMBERS = """
  zero = Constant <value = int64[1] {0}> ()
  one = Constant <value = int64[1] {1}> ()
  minus = Constant <value = int64[1] {-1}> ()
"""
# As torch's older exporter writes it: the source's first elements, as many as there are places.
CUT = """
  size = Shape (x)
  mask = Expand (m, size)
  found = NonZero (mask)
  places = Transpose <perm = [1, 0]> (found)
  flat = Reshape (s, minus)
  dims = Shape (places)
  number = Constant <value = int64 {0}> ()
  counted = Gather (dims, number)
  count = Unsqueeze (counted, zero)
  updates = Slice (flat, zero, count, zero)
"""
# As its newer one does: a row for each truth, or one row for all.
SPREAD = """
  size = Shape <start = 0> (x)
  longer = Unsqueeze (m, minus)
  mask = Expand (longer, size)
  found = NonZero (mask)
  places = Transpose <perm = [1, 0]> (found)
  truths = Cast <to = 7> (m)
  count = ReduceSum <keepdims = 1> (truths)
  two = Constant <value = int64[1] {2}> ()
  tail = Slice (size, one, two, zero)
  dims = Concat <axis = 0> (count, tail)
  many = Expand (s, dims)
  updates = Reshape (many, minus)
"""
SCATTER = "  y = ScatterND (x, places, updates)\n"
MASK = np.array([1, 0, 1, 1, 0], bool)


def written(
    body: str, m: str = "bool[5,1]", s: str = "float[40]", scatter: str = SCATTER, x: str = "5,4"
) -> onnx.ModelProto:
    text = f"small (float[{x}] x, {m} m, {s} s) => (float[{x}] y) {{{NUMBERS}{body}{scatter}}}"
    return onnx.parser.parse_model(HEAD + text)


def same(proto: onnx.ModelProto, *runs: Mapping[str, np.ndarray]) -> Program:
    """The program, which gives what ONNX Runtime does."""
    program = import_model(proto, TARGET)
    for inputs in runs:
        ours, wanted = compute(program, inputs), expected(proto, inputs)
        np.testing.assert_array_equal(ours["y"], wanted["y"])
    return program


def of(mask: np.ndarray, *source: int) -> dict[str, np.ndarray]:
    return {"x": floats(5, 4), "m": mask, "s": floats(*source, seed=1)}


COLUMN = MASK[:, None]


def test_the_first_elements_of_a_source() -> None:
    every, none = np.ones_like(COLUMN), np.zeros_like(COLUMN)
    program = same(written(CUT), *(of(mask, 40) for mask in (COLUMN, every, none)))
    assert not program.found


def test_a_mask_of_numbers_that_are_not_zero() -> None:
    numbers = np.array([[0.0, -2, np.nan, 1]], np.float32)
    assert not same(written(CUT, "float[1,4]"), of(numbers, 40)).found


@pytest.mark.parametrize(
    "mask",
    [
        "size = Constant <value = int64[2] {5, 4}> ()\n mask = Expand (m, size)",
        "size = Constant <value = int64[2] {1, 4}> ()\n mask = Expand (m, size)",
        "turned = Not (m)\n mask = Concat <axis = 1> (m, turned, m, m)",
    ],
    ids=["of constant sizes", "of a constant row", "made of several"],
)
def test_a_mask_whose_sizes_are_known_to_be_the_data_s(mask: str) -> None:
    """The source may have fewer elements than the mask could be true for."""
    body = CUT.replace("size = Shape (x)\n  mask = Expand (m, size)", mask)
    assert body != CUT
    proto = written(body, s="float[13]")
    assert not same(proto, of(COLUMN, 13), of(np.zeros_like(COLUMN), 13)).found


@pytest.mark.parametrize("join", ["add", "mul", "max", "min"])
def test_what_is_there_is_joined_to_the_source(join: str) -> None:
    scatter = f'  y = ScatterND <reduction = "{join}"> (x, places, updates)\n'
    assert not same(written(CUT, scatter=scatter), of(COLUMN, 40)).found


@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (4,), (3, 1), ()])
def test_a_row_for_each_truth_or_one_for_all(shape: tuple[int, ...]) -> None:
    source = f"float[{','.join(map(str, shape))}]" if shape else "float"
    assert not same(written(SPREAD, "bool[5]", source), of(MASK, *shape)).found


def test_a_source_of_nothing_for_a_mask_of_no_truths() -> None:
    proto = written(SPREAD, "bool[5]", "float[0,4]")
    same(proto, of(np.zeros(5, bool), 0, 4))


def test_open_sizes_are_one_program() -> None:
    proto = written(SPREAD, "bool[rows]", "float[k,4]", x="rows,4")
    shapes: Shapes = {"rows": range(2, 10), "k": range(2, 7)}
    (program,) = import_entry(proto, TARGET, shapes).variants
    assert not program.found
    ours = computed(program, {"rows": 5, "k": 3}, of(MASK, 3, 4))
    np.testing.assert_array_equal(ours["y"], expected(proto, of(MASK, 3, 4))["y"])


def test_in_a_loop_and_in_a_branch() -> None:
    text = f"""small (float[5,4] x, bool[5,1] m, float[40] s, bool c) => (float[5,4] y) {{{NUMBERS}
      times = Constant <value = int64 {{3}}> ()
      true = Constant <value = bool {{1}}> ()
      inner = Loop (times, true, x) <body = b (int64 i, bool on, float[5,4] given)
        => (bool go, float[5,4] next) {{
          go = Identity (on)
          {CUT.replace("Shape (x)", "Shape (given)")}
          new = ScatterND (given, places, updates)
          next = Exp (new)
      }}>
      y = If (c) <
        then_branch = t () => (float[5,4] a) {{
          {CUT.replace("Shape (x)", "Shape (inner)")}
          a = ScatterND (inner, places, updates)
        }},
        else_branch = e () => (float[5,4] d) {{ d = Neg (inner) }}>
    }}"""
    proto = onnx.parser.parse_model(HEAD + text)
    for c in (True, False):
        inputs = {**of(COLUMN, 40), "c": np.array(c)}
        ours = compute(import_model(proto, TARGET), inputs)
        np.testing.assert_allclose(ours["y"], expected(proto, inputs)["y"], 1e-5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(flat, zero,", "(flat, one,"),
        ("Shape (places)", "Shape (found)"),
        ("Expand (m, size)", "Identity (m)"),
        ("Shape (x)", "Constant <value = int64[2] {5, 1}> ()"),
        ("<perm = [1, 0]>", "<perm = [0, 1]>"),
        ("ScatterND", 'ScatterND <reduction = "median">'),
    ],
)
def test_anything_else_stays_as_it_is_written(old: str, new: str) -> None:
    proto = onnx.parser.parse_model(
        HEAD + f"small (float[5,4] x, bool[5,1] m, float[40] s) => (float[5,4] y)"
        f" {{{NUMBERS}{(CUT + SCATTER).replace(old, new)}}}"
    )
    before = proto.SerializeToString(deterministic=True)
    without_masks(proto)
    assert proto.SerializeToString(deterministic=True) == before
