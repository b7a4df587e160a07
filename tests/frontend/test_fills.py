"""What is joined with a number all over, up to a fixed size, is padded; sizes stay sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from onnx_models import expected

import luthier


def test_pads_that_are_joined_with_zeros_are_known(tmp_path: Path) -> None:
    """As PyTorch's older exporter writes ``F.pad``: its amounts are computed from sizes, here from
    those that an image is resized to."""
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        pads (float[1,3,11,10] x) => (float[1,3,padded,columns] y) {
          shape = Shape <start = 2, end = 4> (x)
          small = Cast <to = 1> (shape)
          more = Constant <value = float {1.5}> ()
          scaled = Mul (small, more)
          whole = Floor (scaled)
          large = Cast <to = 7> (whole)
          batch = Shape <start = 0, end = 2> (x)
          sizes = Concat <axis = 0> (batch, large)
          image = Resize <mode = "nearest"> (x, , , sizes)
          now = Shape (image)
          two = Constant <value = int64 {2}> ()
          height = Gather <axis = 0> (now, two)
          most = Constant <value = int64 {32}> ()
          below = Sub (most, height)
          none = Constant <value = int64[1] {0}> ()
          rows = Unsqueeze (below, none)
          right = Constant <value = int64[1] {2}> ()
          given = Concat <axis = 0> (none, right, none, rows)
          four = Constant <value = int64[1] {4}> ()
          zeros = ConstantOfShape <value = int64[1] {0}> (four)
          amounts = Concat <axis = 0> (given, zeros)
          pairs_shape = Constant <value = int64[2] {-1, 2}> ()
          pairs = Reshape (amounts, pairs_shape)
          last = Constant <value = int64[1] {-1}> ()
          lowest = Constant <value = int64[1] {-9223372036854775807}> ()
          turned = Slice (pairs, last, lowest, none, last)
          columns = Transpose <perm = [1, 0]> (turned)
          pads = Reshape (columns, last)
          y = Pad (image, pads)
        }
    """)
    luthier.build(model, tmp_path / "padded", log=None)
    x = np.random.default_rng(1).random((1, 3, 11, 10), np.float32)
    with luthier.load(tmp_path / "padded") as padded:
        np.testing.assert_array_equal(padded(x)[0], expected(model, {"x": x})["y"])


@pytest.mark.parametrize("least", [0.9, 0.5, -1.0])
def test_found_rows_are_filled_up(tmp_path: Path, least: float) -> None:
    """Few, some, and more than there is room for."""
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 18]>
        filled (float[20,4] x, float[20] scores, float[1] least) => (float[12,4] y) {
          taken = Greater (scores, least)
          found = NonZero (taken)
          row = Constant <value = int64[1] {-1}> ()
          places = Reshape (found, row)
          none = Constant <value = int64[1] {0}> ()
          twelve = Constant <value = int64[1] {12}> ()
          first = Slice (places, none, twelve)
          rows = Gather <axis = 0> (x, first)
          shape = Shape <start = 0, end = 1> (rows)
          left = Sub (twelve, shape)
          four = Constant <value = int64[1] {4}> ()
          room = Concat <axis = 0> (left, four)
          zeros = ConstantOfShape (room)
          y = Concat <axis = 0> (rows, zeros)
        }
    """)
    luthier.build(model, tmp_path / "filled", log=None)
    rng = np.random.default_rng(3)
    feeds = {
        "x": rng.random((20, 4), np.float32),
        "scores": rng.random(20, np.float32),
        "least": np.float32([least]),
    }
    with luthier.load(tmp_path / "filled") as filled:
        np.testing.assert_array_equal(filled.run(feeds)["y"], expected(model, feeds)["y"])
