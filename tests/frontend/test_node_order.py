"""Nodes in any order, which ONNX Runtime takes."""

from __future__ import annotations

import random

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from onnx_models import Arrays, floats

from luthier.frontend import read_model
from luthier.schedules import ModelError

GIVEN = {"c": np.array(True), "x": floats(3, 4)}
MODEL = """<ir_version: 8, opset_import: ["": 18, "own": 1]>
small (bool c, float[3,4] x) => (float[3,4] y) {
  a = Exp (x)
  b = own.Twice (a)
  d = If (c) <
    then_branch = t () => (float[3,4] e) {
      f = Add (b, x)
      g = Neg (f)
      e = Mul (g, a)
    },
    else_branch = s () => (float[3,4] h) { h = Identity (a) }>
  i = Sub (d, b)
  y = Add (i, a)
}
<domain: "own", opset_import: ["": 18]>
Twice (p) => (q) {
  r = Add (p, p)
  q = Neg (r)
}"""


def bodies(model: onnx.ModelProto) -> list[onnx.GraphProto | onnx.FunctionProto]:
    """The graph, those of its branches, and of functions."""
    inner = [a.g for node in model.graph.node for a in node.attribute if a.HasField("g")]
    return [model.graph, *inner, *model.functions]


def shuffled(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """Its nodes in another order, in inner graphs and functions, too."""
    rng, moved = random.Random(seed), onnx.ModelProto()
    moved.CopyFrom(model)
    for body in reversed(bodies(moved)):
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in body.node]
        rng.shuffle(nodes)
        del body.node[:]
        body.node.extend(nodes)
    return moved


def by_onnxruntime(model: onnx.ModelProto, given: Arrays) -> np.ndarray:
    text, providers = model.SerializeToString(), ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(text, providers=providers).run(None, dict(given))[0]


@pytest.mark.parametrize("seed", range(12))
def test_nodes_are_sorted(seed: int) -> None:
    model = onnx.parser.parse_model(MODEL)
    read = read_model(shuffled(model, seed)).proto
    onnx.checker.check_model(read)
    for choice in (True, False):
        given = {**GIVEN, "c": np.array(choice)}
        wanted = by_onnxruntime(model, given)
        np.testing.assert_array_equal(by_onnxruntime(read, given), wanted)


def test_those_in_order_stay_as_they_are() -> None:
    model = onnx.parser.parse_model(MODEL)
    read = read_model(model).proto
    assert [list(b.node) for b in bodies(read)] == [list(b.node) for b in bodies(model)]


def test_a_name_from_around_is_not_waited_for() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 18]>
    small (bool c, float[2] x) => (float[2] y) {
      a = Exp (x)
      y = If (c) <
        then_branch = t () => (float[2] e) {
          e = Neg (a)
          a = Neg (e)
        },
        else_branch = s () => (float[2] h) { h = Identity (a) }>
    }""")
    (branch, _) = (a.g for a in read_model(model).proto.graph.node[1].attribute)
    assert [node.output[0] for node in branch.node] == ["e", "a"]


def test_nodes_that_wait_for_one_another_are_refused() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 18]>
    small (float[2] x) => (float[2] y) {
      a = Add (x, b)
      b = Neg (a)
      y = Exp (b)
    }""")
    with pytest.raises(ModelError, match=r"Add 'a': .*nothing before it gives its input 'b'"):
        read_model(model)
