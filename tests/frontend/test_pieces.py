"""Rows in pieces of sizes that a run decides, joined again, as experts have them."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx_models import TARGET, compute, expected, floats

from luthier.frontend import import_model
from luthier.frontend.onnx.pieces import without_pieces

TEXT = """<ir_version: 8, opset_import: ["": 18]>
experts (float[7,4] x, int64[3] sizes, float[4,5] w, float[5] c) => (float[7,5] y) {
  a, b, d = Split <axis = 0> (x, sizes)
  e = Gemm (a, w, c)
  t = Relu (b)
  f = MatMul (t, w)
  g = Gemm (d, w)
  y = Concat <axis = 0> (e, f, g)
}
"""


@pytest.mark.parametrize("sizes", [(2, 4, 1), (0, 7, 0), (7, 0, 0), (0, 0, 7), (3, 0, 4)])
def test_each_row_goes_the_way_of_its_piece(sizes: tuple[int, ...]) -> None:
    proto = onnx.parser.parse_model(TEXT)
    inputs = {"x": floats(7, 4), "sizes": np.array(sizes), "w": floats(4, 5), "c": floats(5)}
    program = import_model(proto, TARGET)
    assert not program.found
    wanted = expected(proto, inputs)["y"]
    np.testing.assert_allclose(compute(program, inputs)["y"], wanted, 1e-5, 1e-6)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Concat <axis = 0> (e, f, g)", "Concat <axis = 0> (f, e, g)"),
        ("Concat <axis = 0> (e, f, g)", "Concat <axis = 0> (e, f, g, g)"),
        ("Concat <axis = 0> (e, f, g)", "Concat <axis = 1> (e, f, g)"),
        ("Relu (b)", "Softmax <axis = 0> (b)"),
        ("Gemm (d, w)", "Gemm <transA = 1> (d, w)"),
        ("Gemm (a, w, c)", "Gemm (a, w, x)"),
        ("MatMul (t, w)", "MatMul (t, b)"),
        ("<axis = 0> (x, sizes)", "<axis = 1> (x, sizes)"),
        ("float[7,4] x", "float[7,4,1] x"),
    ],
)
def test_anything_else_stays_as_it_is_written(old: str, new: str) -> None:
    assert old in TEXT
    proto = onnx.parser.parse_model(TEXT.replace(old, new))
    before = proto.SerializeToString(deterministic=True)
    without_pieces(proto)
    assert proto.SerializeToString(deterministic=True) == before


def test_sizes_that_follow_from_shapes_are_known_when_it_is_built() -> None:
    proto = onnx.parser.parse_model(
        TEXT.replace("  a, b, d", "  own = Shape (s)\n  a, b, d")
        .replace("(x, sizes)", "(x, own)")
        .replace("int64[3] sizes", "float[2,4,1] s")
    )
    before = proto.SerializeToString(deterministic=True)
    without_pieces(proto)
    assert proto.SerializeToString(deterministic=True) == before
