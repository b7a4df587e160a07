"""Sizes that may be 0: what has no elements is known, and what reads it computes with nothing."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnx.parser
import pytest
import sized_models
from onnx_models import TARGET, agree, compute, expected, floats
from sized_models import same_at_all_sizes

from luthier.frontend import Entry, import_entry, import_model, read_model
from luthier.frontend.program.library import Library, verify_library
from luthier.schedules import ModelError


def ranges(entry: Entry) -> list[str]:
    return [" ".join(map(str, program.symbols)) for program in entry.variants]


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]>\n{text}')


def test_none_is_a_variant_of_its_own() -> None:
    entry = same_at_all_sizes(sized_models.mlp(), {"batch": range(9)})
    assert ranges(entry) == ["batch=1..8", "batch=0..0"]
    assert not entry.variants[1].calls


def test_an_empty_past() -> None:
    entry = same_at_all_sizes(
        sized_models.cache(), {"batch": 1, "past": "0..64", "tokens": "0..16"}
    )
    assert ranges(entry) == [
        f"past={past} tokens={tokens}" for past in ("1..64", "0..0") for tokens in ("1..16", "0..0")
    ]


def test_attention_over_no_tokens_and_of_no_batch() -> None:
    same_at_all_sizes(sized_models.attention(), {"batch": "0..2", "tokens": "0..8"})


def test_a_branch_that_a_size_decides() -> None:
    entry = same_at_all_sizes(sized_models.decided(), {"tokens": "0..40"})
    assert ranges(entry) == ["tokens=9..40", "tokens=1..8", "tokens=0..0"]


def test_none_among_exact_sizes() -> None:
    entry = same_at_all_sizes(sized_models.mlp(), {"batch": (0, 1, 4)})
    assert ranges(entry) == ["batch=0..0", "batch=1..1", "batch=4..4"]


@pytest.mark.parametrize("shapes", [None, {"x": (0, 3)}])
def test_a_model_says_that_an_input_has_none(shapes: dict[str, tuple[int, ...]] | None) -> None:
    """As the standard reads it; exporters that do not know a size write a name or nothing."""
    made = parsed("fixed (float[0,3] x) => (float[n,3] y) { y = Relu (x) }")
    program = import_model(read_model(made, shapes), TARGET)
    assert [str(program.values[v]) for _, v in program.inputs] == ["float32[0,3]"]
    assert compute(program, {"x": floats(0, 3)})["y"].shape == (0, 3)


def test_sizes_that_are_given_count() -> None:
    made = parsed("fixed (float[0,3] x) => (float[n,3] y) { y = Relu (x) }")
    program = import_model(read_model(made, {"x": (2, 3)}), TARGET)
    assert compute(program, {"x": floats(2, 3)})["y"].shape == (2, 3)


@pytest.mark.parametrize("of", ["ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL2"])
@pytest.mark.parametrize("columns", [4, 70000])
def test_reductions_of_nothing(of: str, columns: int) -> None:
    """Of few and of many columns: large results are one number."""
    made = parsed(f"""
        reduced (float[0,{columns}] x) => (float[n] y) {{
          axes = Constant <value = int64[1] {{0}}> ()
          y = {of} <keepdims = 0> (x, axes)
        }}""")
    inputs = {"x": floats(0, columns)}
    program = import_model(made, TARGET)
    assert all(a.size < 1000 or 0 in a.strides for a in program.constants.values())
    np.testing.assert_array_equal(compute(program, inputs)["y"], expected(made, inputs)["y"])


def test_a_mean_of_nothing_is_no_number() -> None:
    made = parsed("""
        mean (float[0,4] x) => (float[n] y) {
          axes = Constant <value = int64[1] {0}> ()
          y = ReduceMean <keepdims = 0> (x, axes)
        }""")
    assert np.isnan(compute(import_model(made, TARGET), {"x": floats(0, 4)})["y"]).all()


def test_products_without_inner_elements_are_zero() -> None:
    made = parsed("product (float[3,0] a, float[0,5] b) => (float[n,m] y) { y = MatMul (a, b) }")
    program = import_model(made, TARGET)
    assert np.array_equal(
        compute(program, {"a": floats(3, 0), "b": floats(0, 5)})["y"], [[0] * 5] * 3
    )


IMAGES = """
images (float[n,3,8,8] x)
    => (float[n,4,8,8] y, float[n,3,4,4] p, float[n,3,1,1] g, float[a,3,16,16] r) {
  w = Constant <value = float[4,3,1,1] {1,2,3,4,5,6,7,8,9,10,11,12}> ()
  scales = Constant <value = float[4] {1, 1, 2, 2}> ()
  y = Conv (x, w)
  p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
  g = GlobalAveragePool (x)
  r = Resize <mode = "nearest"> (x, , scales)
}"""


@pytest.mark.parametrize("starts", [[2, 0], [-1, 3], [1, -1]], ids=str)
def test_a_slice_that_ends_before_it_begins(starts: list[int]) -> None:
    """With attributes, of which onnx's inference leaves the shape open."""
    body = f"y = Slice<starts = {starts}, ends = [-99, 99], axes = [0, 1]> (x)"
    made = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 9]> cut (float[5,3] x) => (float[n,m] y) {{ {body} }}'
    )
    inputs = {"x": floats(5, 3)}
    (ours,) = compute(import_model(made, TARGET), inputs).values()
    assert ours.shape == expected(made, inputs)["y"].shape == (0, *ours.shape[1:])


def test_no_images() -> None:
    entry = same_at_all_sizes(parsed(IMAGES), {"n": range(4)})
    assert ranges(entry)[-1] == "n=0..0"


LOOPS = """
loops (float[steps,rows,4] x, float[rows,4] h, int64 n)
    => (float[m,4] y, float[m,4] z, float[s,m,4] all) {
  y = Loop (n, , h) <body = body (int64 i, bool c, float[m,4] a) => (bool go, float[m,4] next) {
    go = Identity (c)
    next = Mul (a, h)
  }>
  z, all = Scan <num_scan_inputs = 1, body = body2 (float[b,4] before, float[b,4] now)
      => (float[b,4] after, float[b,4] kept) {
    after = Add (before, now)
    kept = Neg (after)
  }> (h, x)
}"""


KEPT = """
kept (float[steps,rows,4] x, float[3,4] h) => (float[s,3,4] all, float[s,3] sums) {
  shape = Shape (x)
  zero = Constant <value = int64 {0}> ()
  steps = Gather (shape, zero)
  all, sums = Loop <body = body (int64 i, bool c) => (bool go, float[3,4] kept, float[3] sum) {
    go = Identity (c)
    row = Gather (x, i)
    kept = Mul (row, h)
    axis = Constant <value = int64[1] {1}> ()
    sum = ReduceSum <keepdims = 0> (row, axis)
  }> (steps, "")
}"""


@pytest.mark.parametrize("pool", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize(
    "window",
    [
        "kernel_shape = [4, 2]",
        "kernel_shape = [5, 2], strides = [2, 2]",
        "kernel_shape = [6, 2], strides = [2, 1], pads = [0, 1, 1, 0]",
        "kernel_shape = [5, 6], strides = [2, 2], ceil_mode = 1",
        "kernel_shape = [6, 6], strides = [2, 4], ceil_mode = 1",
    ],
)
def test_a_window_that_is_little_larger_has_no_place(pool: str, window: str) -> None:
    made = parsed(
        f"""pooled (float[2,2,3,4] x) => (float[2,2,a,b] y, float[2,c,d] z)
        <int64[1] one = {{1}}> {{
          y = {pool} <{window}> (x)
          z = ReduceSum <keepdims = 0> (y, one)
        }}"""
    )
    agree(made, {"x": floats(2, 2, 3, 4)})


@pytest.mark.parametrize("number", [0.0, 3.0])
def test_places_of_a_number_that_is_known(number: float) -> None:
    made = parsed(
        f"""places (float[2] x) => (int64[a,b] y, float[2] z) <float c = {{{number}}}> {{
          y = NonZero (c)
          z = Neg (x)
        }}"""
    )
    agree(made, {"x": floats(2)})


def test_what_loops_carry_may_have_none() -> None:
    entry = same_at_all_sizes(parsed(LOOPS), {"rows": range(9), "steps": range(1, 5)})
    assert ranges(entry) == ["rows=1..8 steps=1..4", "rows=0..0 steps=1..4"]


def test_what_is_kept_of_no_iteration_are_no_rows() -> None:
    entry = same_at_all_sizes(parsed(KEPT), {"rows": 3, "steps": range(5)})
    assert ranges(entry) == ["steps=1..4", "steps=0..0"]


def test_where_there_is_nothing_no_size_is_found() -> None:
    """The other variants find it, so that this one says that it is none."""
    made = parsed("""
        above (float[rows,4] x) => (int64[2,found] places) {
          zero = Constant <value = float {0}> ()
          mask = Greater (x, zero)
          places = NonZero (mask)
        }""")
    entry = import_entry(made, TARGET, {"rows": range(9)})
    verify_library(Library("found", {"run": entry}))
    assert ranges(entry) == [
        "rows=1..8 found_places=0..32",
        "rows=0..0 found_places=0..32",
    ]


@pytest.mark.parametrize(
    ("output", "node", "message"),
    [
        ("float[n] y", "y = Gather (x, one)", "Gather 'y'"),
        ("int64[n,4] y", "y = ArgMax <axis = 0> (x)", "ArgMax 'y'"),
    ],
)
def test_what_cannot_be_done_with_nothing_is_named(output: str, node: str, message: str) -> None:
    made = parsed(f"""
        looked (float[rows,4] x) => ({output}) {{
          one = Constant <value = int64 {{0}}> ()
          {node}
        }}""")
    with pytest.raises(ModelError) as refused:
        import_entry(made, TARGET, {"rows": range(9)})
    assert re.match(rf"for rows=0(, found_y=\d+)?: {message}: ", str(refused.value))
    assert str(refused.value).endswith("; if it need not run without, begin at 1: rows")
    assert import_entry(made, TARGET, {"rows": range(1, 9)}).variants


@pytest.mark.parametrize("equation", ["nk,mk->nm", "nk,nk->k", "nk,nk->n"])
def test_a_sum_of_products_of_nothing(equation: str) -> None:
    other = "n" if "m" not in equation else "m"
    made = parsed(
        f"product (float[n,4] a, float[{other},4] b) => (float y) "
        f'{{ y = Einsum <equation = "{equation}"> (a, b) }}'
    )
    made.graph.output[0].type.tensor_type.ClearField("shape")
    sizes = {"n": (0, 1, 3), "m": (0, 2)}
    same_at_all_sizes(made, {name: sizes[name] for name in {"n", other}})
