"""Entry points that find sizes and keep states, in one library."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

import luthier
from luthier import EntryPoint

TRACKER = """
<ir_version: 8, opset_import: ["": 18]>
tracker (float[rows,4] x, float[4] h_in) => (float[kept,4] y, float[4] h_out) {
  zero = Constant <value = float {0}> ()
  first = Constant <value = int64 {0}> ()
  line = Constant <value = int64[1] {-1}> ()
  axes = Constant <value = int64[1] {0}> ()
  column = Gather <axis = 1> (x, first)
  mask = Greater (column, zero)
  places = NonZero (mask)
  numbers = Reshape (places, line)
  some = Gather (x, numbers)
  y = Add (some, h_in)
  sum = ReduceSum <keepdims = 0> (some, axes)
  h_out = Add (h_in, sum)
}
"""
SUMS = """
<ir_version: 8, opset_import: ["": 18]>
sums (float[1,4] x, float[past,4] past_0) => (float[1,4] y, float[all,4] present_0) {
  axes = Constant <value = int64[1] {0}> ()
  present_0 = Concat <axis = 0> (past_0, x)
  y = ReduceSum (present_0, axes)
}
"""
BOTH = """
<ir_version: 8, opset_import: ["": 18]>
both (float[1,4] x, float[past,4] past_0) => (int64[2,kept] places, float[all,4] present_0) {
  present_0 = Concat <axis = 0> (past_0, x)
  zero = Constant <value = float {0}> ()
  mask = Greater (x, zero)
  places = NonZero (mask)
}
"""
STATE = {"h_in": "h_out"}


def model(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("found") / "tracker"
    entries = {
        "track": EntryPoint(model(TRACKER), shapes={"rows": range(1, 101)}, state=STATE),
        "sums": EntryPoint(model(SUMS), shapes={"past": range(9)}, state="auto"),
    }
    assert luthier.build(entries, folder, log=None, threads=2).problems == ()
    return folder


def test_a_run_finds_sizes_and_leaves_a_state(folder: Path) -> None:
    proto = model(TRACKER).SerializeToString()
    session = onnxruntime.InferenceSession(proto, providers=["CPUExecutionProvider"])
    rng, h = np.random.default_rng(3), np.zeros(4, np.float32)
    with luthier.load(folder) as track:
        assert [str(size) for size in track.sizes] == ["rows=1..100"]
        for rows, above in ((7, 0), (100, 9), (100, -9), (1, 9), (7, 0), (7, 0)):
            x = (rng.standard_normal((rows, 4)) + above).astype(np.float32)
            y, h = session.run(None, {"x": x, "h_in": h})
            (found,) = track(x)
            assert found.shape == y.shape
            np.testing.assert_allclose(found, y, 1e-4, 1e-4)
            np.testing.assert_allclose(track.state.read()["h_in"], h, 1e-4, 1e-4)


def test_beside_a_state_that_grows(folder: Path) -> None:
    ones = np.ones((1, 4), np.float32)
    with luthier.load(folder) as track, track.entry("sums") as sums:
        for count in range(1, 9):
            (y,) = track(count * np.array([[1, 0, 0, 0], [-1, 0, 0, 0]], np.float32))
            assert y.shape == (1, 4)
            (total,) = sums(ones)
            assert (total == count).all()
            assert sums.state.lengths == {"past_0": count}
        sums.state.reset()
        assert not track.state.read()["h_in"].any()


CPP = """
#include <luthier.hpp>
#include <tracker.h>
int main()
{
    luthier::Model model(luthier_tracker());
    luthier::Instance instance(model);
    std::vector<float> x(12, 1.0f), small(4), y(12), h(4);
    if (instance.try_run({x}, {small}).status() != LUTHIER_TOO_SMALL)
        return 1;
    instance.read_state(0, h.data(), 16);
    if (h[0] != 0)
        return 2;
    if (instance.output_shape(0) != luthier::Shape{3, 4})
        return 3;
    instance.run({x}, {y});
    instance.read_state(0, h.data(), 16);
    return h[0] == 3 && y[0] == 1 ? 0 : 4;
}
"""


def test_a_run_without_room_for_what_it_found_changes_no_state(tmp_path: Path) -> None:
    folder = tmp_path / "tracker"
    luthier.build(model(TRACKER), folder, log=None, shapes={"x": (3, 4)}, state=STATE)
    (tmp_path / "main.cpp").write_text(CPP)
    command = ["c++", "-std=c++17", f"-I{folder}", "main.cpp", f"-L{folder}", "-ltracker"]
    subprocess.run([*command, f"-Wl,-rpath,{folder}", "-o", "program"], cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "program"], check=True)


def test_a_state_that_grows_where_a_run_finds_sizes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(luthier.UnsupportedOperator, match=r"'past_0' grows .* by NonZero"):
        luthier.build(
            model(BOTH), tmp_path / "both", log=None, shapes={"past": range(9)}, state="auto"
        )
