"""What counts as accurate, and against whom."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import luthier
from luthier._check import CheckReport
from luthier._compare import OutputError, _error
from luthier._reference import reference
from luthier._samples import random_inputs

INF, NAN = np.inf, np.nan


def error(ours: list, theirs: list, rtol: float = 1e-3, atol: float = 1e-4) -> OutputError:
    return _error("y", np.array(ours, np.float32), np.array(theirs, np.float32), rtol, atol)


# ---- tolerance ----


@pytest.mark.parametrize(
    ("ours", "theirs", "within"),
    [
        ([1.0], [1.0], True),
        ([1.001], [1.0], True),
        ([1.002], [1.0], False),
        ([0.00009], [0.0], True),
        ([0.0002], [0.0], False),
        ([1000.5], [1000.0], True),
        ([1.0, 5.0], [1.0, 1.0], False),
        ([NAN], [NAN], True),
        ([NAN], [1.0], False),
        ([1.0], [NAN], False),
        ([INF, -INF], [INF, -INF], True),
        ([INF], [-INF], False),
        ([1e30], [INF], False),
        ([INF], [1e30], False),
        ([], [], True),
    ],
)
def test_each_element_is_within_atol_plus_rtol_times_the_reference(ours, theirs, within):
    assert error(ours, theirs).within is within


def test_errors_are_the_worst_absolute_and_relative_ones():
    found = error([1.5, 100.0, 1e-6], [1.0, 101.0, 0.0])
    assert found.absolute == 1.0
    assert found.relative == 0.5
    assert error([1e-5], [0.0]).relative == 0, "below atol there is no relative error"
    assert error([NAN], [1.0]).absolute == INF


def test_another_shape_or_type_is_never_within():
    one = np.ones((2, 1), np.float32)
    for other in (np.ones((1, 2), np.float32), np.ones((2, 1), np.float64)):
        found = _error("y", one, other, 1e9, 1e9)
        assert (found.within, found.absolute) == (False, INF)


def test_a_report_is_ok_where_all_outputs_are():
    good, bad = OutputError("a", 0.1, 0.1, True), OutputError("b", 2.5, 0.1, False)
    CheckReport("x", 1, 1e-3, 1e-4, (good,)).raise_if_wrong()
    report = CheckReport("onnxruntime 1", 1, 1e-3, 1e-4, (good, bad))
    assert not report.ok
    with pytest.raises(luthier.AccuracyError, match=r"1 of 2 outputs .* 'b' by 2.5"):
        report.raise_if_wrong()


# ---- checking ----


def test_a_model_is_run_on_several_inputs(proto):
    report = luthier.check(proto, runs=4, threads=1)
    assert (report.runs, report.ok, [o.name for o in report.outputs]) == (4, True, ["y", "total"])
    assert report.reference.startswith("onnxruntime ")


def test_a_wrong_library_is_found(proto, monkeypatch):
    from luthier.deploy import Artifact

    run = Artifact.run

    def wrong(self, inputs):
        outputs = run(self, inputs)
        outputs["total"] += np.float32(0.01)
        return outputs

    monkeypatch.setattr(Artifact, "run", wrong)
    report = luthier.check(proto)
    assert [(o.name, o.within) for o in report.outputs] == [("y", True), ("total", False)]
    assert 0.009 < report.outputs[1].absolute < 0.011


def test_a_folder_replays_its_sample_and_needs_no_other_engine(artifact_folder, monkeypatch):
    monkeypatch.setattr("luthier._check.reference", None)
    monkeypatch.setattr("luthier._check.build", None)
    report = luthier.check(artifact_folder)
    assert (report.reference, report.ok) == ("the saved sample", True)
    with np.load(artifact_folder / "sample.npz") as sample:
        assert sample.files == ["in:x", "in:shift", "out:y", "out:total"]
        assert not np.array_equal(sample["out:y"], np.zeros((2, 5)))


@pytest.mark.parametrize("settings", [{"runs": 0}, {"rtol": -1}, {"atol": float("nan")}])
def test_senseless_settings(proto, settings):
    with pytest.raises(luthier.UsageError, match="runs must be at least 1"):
        luthier.check(proto, **settings)


# ---- reference engines ----


@pytest.fixture
def without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    find = "luthier._reference.importlib.util.find_spec"
    monkeypatch.setattr(find, lambda name: None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


@pytest.mark.usefixtures("without_onnxruntime")
def test_without_onnxruntime_the_reference_is_onnx_s_evaluator(proto, arrays):
    slow = reference(proto)
    assert slow.engine == f"onnx {onnx.__version__}"
    assert luthier.check(proto).ok
    assert set(slow.run(arrays)) == {"y", "total"}


def test_both_engines_agree(proto, arrays, monkeypatch):
    fast = reference(proto).run(arrays)
    monkeypatch.setattr("luthier._reference.importlib.util.find_spec", lambda name: None)
    slow = reference(proto).run(arrays)
    for name, array in fast.items():
        np.testing.assert_allclose(array, slow[name], rtol=1e-5, atol=1e-6)


def test_a_model_that_no_engine_takes():
    graph = helper.make_graph(
        [helper.make_node("Nonsense", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(luthier.ModelError, match="onnx's reference evaluator"):
        reference(model).run({"x": np.zeros(1, np.float32)})


def test_inputs_that_an_engine_refuses_are_a_model_error(proto):
    with pytest.raises(luthier.ModelError, match="onnxruntime cannot run the model") as failure:
        reference(proto).run({})
    assert "\n" not in str(failure.value)


# ---- random inputs ----


def embedding(index_type: int) -> onnx.ModelProto:
    """Token ids through Reshape and Cast into a table of seven rows; a mask; a number; a flag."""
    inputs = [
        helper.make_tensor_value_info("ids", index_type, [4, 50]),
        helper.make_tensor_value_info("mask", TensorProto.INT32, [100]),
        helper.make_tensor_value_info("noise", TensorProto.FLOAT, [1000]),
        helper.make_tensor_value_info("flags", TensorProto.BOOL, [100]),
        helper.make_tensor_value_info("table", TensorProto.FLOAT, [7, 3]),
    ]
    nodes = [
        helper.make_node("Reshape", ["ids", "flat"], ["row"]),
        helper.make_node("Cast", ["row"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["y"]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    weights = [
        numpy_helper.from_array(np.zeros((7, 3), np.float32), "table"),
        numpy_helper.from_array(np.array([200]), "flat"),
    ]
    return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, weights))


@pytest.mark.parametrize("index_type", [TensorProto.INT64, TensorProto.INT32])
def test_random_inputs_suit_the_model(index_type):
    inputs = random_inputs(embedding(index_type), 0)
    assert list(inputs) == ["ids", "mask", "noise", "flags"], "initializers are no inputs"
    assert inputs["ids"].dtype == helper.tensor_dtype_to_np_dtype(index_type)
    assert set(inputs["ids"].flat) == set(range(7)), "ids stay inside their table, and use it"
    assert set(inputs["mask"].flat) == {0, 1}
    assert set(inputs["flags"].flat) == {False, True}
    assert abs(inputs["noise"].mean()) < 0.2
    assert 0.9 < inputs["noise"].std() < 1.1


def test_random_inputs_are_seeded(proto):
    one, same, other = (random_inputs(proto, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["x"], same["x"])
    assert not np.array_equal(one["x"], other["x"])
