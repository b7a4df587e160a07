"""The meaning of accuracy, and the references for it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import luthier
from luthier.building.check import CheckReport
from luthier.correctness.compare import OutputError
from luthier.correctness.compare import error as error_of
from luthier.deploy import Tolerance
from luthier.inputs.samples import random_inputs

INF, NAN = np.inf, np.nan


FLOAT32 = Tolerance(1e-3, 1e-4, "float32")


def error(ours: list, theirs: list) -> OutputError:
    return error_of("y", np.array(ours, np.float32), np.array(theirs, np.float32), FLOAT32)


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
        found = error_of("y", one, other, Tolerance(1e9, 1e9, "anything"))
        assert (found.within, found.absolute) == (False, INF)


@pytest.mark.parametrize(
    ("ours", "theirs", "dtype", "absolute"),
    [
        ([2**53 + 1], [2**53], np.int64, 1),
        ([2**64 - 1], [0], np.uint64, 2**64),
        ([-128], [127], np.int8, 255),
        ([True], [False], np.bool_, 1),
        ([7], [7], np.int32, 0),
    ],
)
def test_integers_and_booleans_are_compared_exactly(ours, theirs, dtype, absolute):
    exact = Tolerance(0, 0, "exact")
    found = error_of("y", np.array(ours, dtype), np.array(theirs, dtype), exact)
    assert (found.absolute, found.within) == (absolute, absolute == 0)


def test_a_share_of_the_elements_may_be_farther():
    right = np.zeros(100, np.int64)
    ours = right.copy()
    ours[:3] = 50
    for share, within in ((0.03, True), (0.02, False)):
        found = error_of("y", ours, right, Tolerance(0, 0, "exact", share))
        assert (found.within, found.absolute) == (within, 50)


def test_a_report_is_ok_where_all_outputs_are():
    good = OutputError("a", 0.1, 0.1, True, FLOAT32)
    bad = OutputError("b", 2.5, 0.1, False, FLOAT32)
    CheckReport("x", 1, (good,)).raise_if_wrong()
    report = CheckReport("onnxruntime 1", 1, (good, bad))
    assert not report.ok
    with pytest.raises(
        luthier.AccuracyError, match=r"1 of 2 outputs .* 'b' by 2.5 \(float32: rtol"
    ):
        report.raise_if_wrong()


# ---- checking ----


def test_a_model_is_run_on_several_inputs(proto):
    report = luthier.check(proto, runs=4, threads=1)
    assert (report.runs, report.ok, [o.name for o in report.outputs]) == (4, True, ["y", "total"])
    assert report.reference.startswith("onnxruntime ")


def test_a_wrong_library_is_found(proto, monkeypatch):
    from luthier.deploy import Artifact

    run = Artifact.run

    def wrong(self, inputs, **asked):
        outputs = run(self, inputs, **asked)
        outputs["total"] += np.float32(0.01)
        return outputs

    monkeypatch.setattr(Artifact, "run", wrong)
    report = luthier.check(proto)
    assert [(o.name, o.within) for o in report.outputs] == [("y", True), ("total", False)]
    assert 0.009 < report.outputs[1].absolute < 0.011


def test_a_folder_replays_its_sample_and_needs_no_other_engine(artifact_folder, monkeypatch):
    monkeypatch.setattr("luthier.building.comparison.reference", None)
    monkeypatch.setattr("luthier.building.check.build", None)
    report = luthier.check(artifact_folder)
    assert report.ok
    assert report.reference.startswith("the saved sample of onnxruntime ")
    with np.load(artifact_folder / "sample.npz") as sample:
        assert sample.files == ["in:x", "in:shift", "out:y", "out:total"]
        assert not np.array_equal(sample["out:y"], np.zeros((2, 5)))


@pytest.mark.parametrize("settings", [{"runs": 0}, {"rtol": -1}, {"atol": float("nan")}])
def test_senseless_settings(proto, settings):
    with pytest.raises(luthier.UsageError, match="must be at least"):
        luthier.check(proto, **settings)


@pytest.mark.parametrize(
    "given",
    [
        {"x": np.ones((2, 8), np.float32), "shift": np.ones(5, np.float32)},
        {"in:x": np.ones((2, 8), np.float32), "in:shift": np.ones(5, np.float32), "out:y": None},
    ],
    ids=["by name", "a sample"],
)
def test_inputs_may_be_given(proto, given):
    report = luthier.check(proto, inputs=given, runs=7)
    assert (report.runs, report.ok) == (1, True)


def test_inputs_that_do_not_fit_are_an_input_error(proto, artifact_folder):
    with pytest.raises(luthier.InputError, match="input 'shift' is missing"):
        luthier.check(proto, inputs={"x": np.ones((2, 8), np.float32)})
    with pytest.raises(luthier.UsageError, match="is built already"):
        luthier.check(artifact_folder, inputs={})


def test_tolerances_that_are_asked_for_count_for_every_output(proto):
    report = luthier.check(proto, rtol=0, atol=1e-9, runs=1)
    assert {str(o.tolerance) for o in report.outputs} == {"as asked for: atol 1e-09"}
    report = luthier.check(proto, atol=7, runs=1)
    assert {(o.tolerance.rtol, o.tolerance.atol) for o in report.outputs} == {(1e-3, 7)}


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
    assert list(inputs) == ["ids", "mask", "noise", "flags"], "initializers are not inputs"
    assert inputs["ids"].dtype == helper.tensor_dtype_to_np_dtype(index_type)
    assert set(inputs["ids"].flat) == set(range(7)), "ids stay inside their table, and use it"
    assert set(inputs["mask"].flat) == {0, 1}
    assert set(inputs["flags"].flat) == {False, True}
    assert abs(inputs["noise"].mean()) < 0.2
    assert 0.9 < inputs["noise"].std() < 1.1


I64, I32, U8, FLOAT = (getattr(TensorProto, t) for t in ("INT64", "INT32", "UINT8", "FLOAT"))


def drawn(
    nodes: list, kind: int, constants: dict | None = None, functions: list = ()
) -> np.ndarray:
    """What a model's input ``x`` of 12 x 40 elements is drawn as."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, [12, 40])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    made = helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=8)
    return random_inputs(made, 0)["x"]


def cast(source: str, result: str, to: int = FLOAT) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [result], to=to)


def equals(source: str, other: str = "c") -> list[onnx.NodeProto]:
    return [helper.make_node("Equal", [source, other], ["e"]), cast("e", "y")]


TABLE = {"t": np.zeros((9, 3), np.float32)}
LOOKUP = helper.make_node("Gather", ["t", "i"], ["y"])


@pytest.mark.parametrize(
    ("nodes", "kind", "constants", "low", "high"),
    [
        (
            [helper.make_node("Unsqueeze", ["x", "a"], ["u"]), *equals("u")],
            I64, {"a": np.array([-1]), "c": np.arange(7)}, 0, 6,
        ),
        (
            [helper.make_node("Unsqueeze", ["x", "a"], ["u"]),
             helper.make_node("Range", ["zero", "n", "one"], ["r"]), *equals("u", "r")],
            I64, {"a": np.array([-1]), "zero": 0, "one": 1, "n": 5}, 0, 4,
        ),
        (
            [cast("x", "f"), helper.make_node("Unsqueeze", ["f", "a"], ["u"]), *equals("u")],
            I32, {"a": np.array([-1]), "c": np.arange(3, 9, dtype=np.float32)}, 3, 8,
        ),
        (
            [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
            U8, {"w": np.ones((40, 3), np.int8)}, 0, 255,
        ),
        (equals("x"), I64, {"c": 0}, 0, 1),
        (equals("x"), I64, {"c": 1}, 0, 1),
        (equals("x"), I64, {"c": -100}, -100, -99),
        (equals("x"), FLOAT, {"c": np.float32(0)}, None, None),
        ([helper.make_node("Identity", ["x"], ["i"]), LOOKUP], I64, TABLE, 0, 8),
        ([cast("x", "i", I64), LOOKUP], FLOAT, TABLE, 0, 8),
        ([helper.make_node("Add", ["x", "o"], ["i"]), LOOKUP], I64, {**TABLE, "o": 4}, -4, 4),
        (
            [helper.make_node("Gather", ["t", "x"], ["g"]), *equals("x", "pad"),
             helper.make_node("Where", ["e", "z", "g"], ["w"])][:3],
            I64, {**TABLE, "pad": 8, "z": np.float32(0)}, 0, 8,
        ),
        (
            [helper.make_node("OneHot", ["x", "d", "v"], ["y"])],
            I64, {"d": 6, "v": np.array([0, 1], np.float32)}, 0, 5,
        ),
        (
            [helper.make_node("Unsqueeze", ["x", "a"], ["u"]),
             helper.make_node("GatherND", ["t", "u"], ["y"])],
            I64, {**TABLE, "a": np.array([-1])}, 0, 8,
        ),
        ([cast("x", "y")], U8, {}, 0, 255),
        ([cast("x", "y")], TensorProto.INT8, {}, -128, 127),
        ([cast("x", "b", TensorProto.BOOL), cast("b", "y")], U8, {}, 0, 1),
        ([cast("x", "y")], I64, {}, 0, 1),
        (
            [helper.make_node("DequantizeLinear", ["x", "s"], ["y"])],
            U8, {"s": np.float32(0.1)}, 0, 255,
        ),
    ],
)  # fmt: skip
def test_the_range_of_integers_follows_from_their_use(nodes, kind, constants, low, high):
    array = drawn(nodes, kind, constants)
    if low is None:
        assert not np.array_equal(array, np.rint(array)), "a float stays one"
    else:
        assert (array.min(), array.max()) == (low, high)
        assert len(np.unique(array)) > 0.8 * (high - low + 1)


def test_functions_are_looked_into():
    body = [helper.make_node("Gather", ["table", "ids"], ["rows"])]
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "Look", ["table", "ids"], ["rows"], body, opsets)
    call = helper.make_node("Look", ["t", "x"], ["y"], domain="own")
    assert drawn([call], I64, TABLE, [function]).max() == 8


def test_random_inputs_are_seeded(proto):
    one, same, other = (random_inputs(proto, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["x"], same["x"])
    assert not np.array_equal(one["x"], other["x"])
