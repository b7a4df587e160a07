"""Files of ONNX Runtime's own format hold what the ONNX files hold of which they were made."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import TARGET, compute, floats

from luthier.frontend import import_model
from luthier.frontend.onnx.read import read_model
from luthier.frontend.ort.order import in_order
from luthier.frontend.ort.reader import read_ort
from luthier.schedules import LuthierError, ModelError

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"
N = helper.make_node


def saved(model: onnx.ModelProto, folder: Path, level: str = "ORT_ENABLE_BASIC") -> Path:
    """The file that ONNX Runtime writes."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return folder / "model.ort"


def ran(path: Path, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(None, inputs)
    return found


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_ALL"])
def test_a_classifier(level: str, tmp_path: Path) -> None:
    path = saved(onnx.load(DIGITS), tmp_path, level)
    read = read_model(path)
    (info,) = read.proto.graph.input
    x = floats(*(d.dim_value for d in info.type.tensor_type.shape.dim))
    got = compute(import_model(read, TARGET), {info.name: x})
    names = [output.name for output in read.proto.graph.output]
    for name, want in zip(names, ran(path, {info.name: x}), strict=True):
        np.testing.assert_allclose(got[name], want, 1e-4, 1e-5)


CONTROL = """
<ir_version: 10, opset_import: ["": 18]>
flow (float[n, 3] x, bool flag, int64 trips) => (float[n, 3] y) {
  a = If (flag) <
    then_branch = one () => (float[n, 3] b) { b = Add (x, x) },
    else_branch = other () => (float[n, 3] c) {
      d = Mul (x, x)
      c = Neg (d)
    }>
  true = Constant <value = bool {1}> ()
  y = Loop (trips, true, a) <
    body = more (int64 i, bool goes, float[n, 3] e) => (bool goes_on, float[n, 3] f) {
      goes_on = Identity (goes)
      f = Add (e, a)
    }>
}
"""


def test_graphs_inside_of_nodes(tmp_path: Path) -> None:
    path = saved(onnx.parser.parse_model(CONTROL), tmp_path)
    x = floats(4, 3)
    program = import_model(path, TARGET, {"n": 4})
    for flag in (True, False):
        inputs = {"x": x, "flag": np.array(flag), "trips": np.array(3)}
        np.testing.assert_allclose(compute(program, inputs)["y"], ran(path, inputs)[0], 1e-6)


def attributes() -> onnx.ModelProto:
    """Attributes and tensors of all kinds, inputs that are left out, texts, other domains."""
    nodes = [
        N("Clip", ["x", "", "top"], ["a"]),
        N("LabelEncoder", ["a_"], ["b"], domain="ai.onnx.ml", keys_int64s=[1, -2],
          values_strings=["ä", ""], default_string="none"),
        N("LabelEncoder", ["b"], ["c"], domain="ai.onnx.ml", keys_strings=["ä", "none"],
          values_floats=[0.5, float("nan")], default_float=-1.5),
        N("Cast", ["a"], ["a_"], to=TensorProto.INT64),
        N("Add", ["a", "half"], ["d"]),
        N("FastGelu", ["d"], ["e"], domain="com.microsoft"),
        N("Add", ["e", "c"], ["y"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "attributes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 5])],
        [numpy_helper.from_array(np.float32(2), "top"),
         numpy_helper.from_array(np.full(5, 0.5, np.float32), "half")],
    )  # fmt: skip
    imports = [helper.make_opsetid(d, v) for d, v in (("", 18), ("ai.onnx.ml", 2),
                                                      ("com.microsoft", 1))]  # fmt: skip
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def in_turn(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    return [nodes[i] for i in (0, 3, 1, 2, 4, 5, 6)]


def test_attributes_of_all_kinds(tmp_path: Path) -> None:
    model = attributes()
    nodes = in_turn(list(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    path = saved(model, tmp_path, "ORT_DISABLE_ALL")
    x = np.array([[1.5, -2.2, 9, 0, -7]] * 2, np.float32)
    got = compute(import_model(path, TARGET, {"rows": 2}), {"x": x})["y"]
    np.testing.assert_allclose(got, ran(path, {"x": x})[0], 1e-5, 1e-6)


def test_nodes_are_put_in_order() -> None:
    nodes = list(attributes().graph.node)
    assert in_order(nodes[::-1], "it") == [nodes[i] for i in (0, 4, 5, 3, 1, 2, 6)]
    with pytest.raises(ModelError, match="in a circle"):
        in_order([N("Neg", ["a"], ["b"]), N("Neg", ["b"], ["a"])], "it")


@pytest.mark.filterwarnings("ignore::luthier.schedules.ModelWarning")
def test_damaged_files_are_refused_or_read(tmp_path: Path) -> None:
    data, rng = saved(onnx.parser.parse_model(CONTROL), tmp_path).read_bytes(), random.Random(1)
    for number in range(300):
        damaged = bytearray(data)
        if number % 3:
            for _ in range(rng.randrange(1, 4)):
                damaged[rng.randrange(len(data))] = rng.choice([0, 1, 127, 128, 255])
        else:
            del damaged[rng.randrange(8, len(data)) :]
        (tmp_path / "damaged.ort").write_bytes(damaged)
        with suppress(LuthierError):
            read_model(tmp_path / "damaged.ort", {"n": 2})
    with pytest.raises(ModelError, match="it: the file is cut short or damaged"):
        read_ort(data[:64], "it")
