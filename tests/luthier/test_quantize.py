"""Models of fewer bits: as accurate as was asked for, and whole or not there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

import luthier
from luthier.frontend.onnx import old_sets
from luthier.quantization.drop import drop_from, relative_error
from luthier.quantization.layers import measured
from luthier.quantization.samples import runs_of
from luthier.schedules.errors import AccuracyError, InputError, ModelError, UsageError

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
sys.path.insert(0, str(DIGITS))

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 1, 16)).astype(np.float32)


def two_layers(spread: float = 1.0) -> onnx.ModelProto:
    """Two products; the second one's input has elements ``spread`` times as large as others."""
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        two (float[1,16] x) => (float[1,4] y, float[1,16] wide) {
          hidden = MatMul (x, first)
          wide = Mul (hidden, spread)
          narrow = Div (wide, spread)
          y = MatMul (narrow, second)
        }""")
    rng = np.random.default_rng(1)
    factors = np.ones(16, np.float32)
    factors[0] = spread
    for name, array in (
        ("first", rng.standard_normal((16, 16))),
        ("second", rng.standard_normal((16, 4))),
        ("spread", factors),
    ):
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    return model


def said(path: Path) -> dict[str, object]:
    """What the metadata of a written model say."""
    properties = {p.key: p.value for p in onnx.load(path).metadata_props}
    found = json.loads(properties["luthier.quantize"])
    assert isinstance(found, dict)
    return found


# ---- what is written ----


@pytest.mark.parametrize(
    ("settings", "operators"),
    [
        ({"data": {"x": X}}, {"QuantizeLinear", "DequantizeLinear"}),
        ({"data": {"x": X}, "activations": "int8", "ranges": "percentile"}, {"QuantizeLinear"}),
        ({"data": {"x": X}, "ranges": "entropy", "max_drop": 1.0}, {"QuantizeLinear"}),
        ({"method": "dynamic"}, {"DynamicQuantizeLinear", "MatMulInteger"}),
        ({"method": "weights8", "block": 16}, {"MatMulNBits"}),
        ({"method": "bfloat16", "data": {"x": X}, "max_drop": 0.01}, {"Cast"}),
        ({"method": "weights4", "block": 16}, {"MatMulNBits"}),
    ],
)
def test_each_method_writes_a_model_that_is_close_and_builds(tmp_path, settings, operators):
    report = luthier.quantize(two_layers(), tmp_path / "q.onnx", **settings)
    written = onnx.load(report.path)
    assert operators <= {node.op_type for node in written.graph.node}
    assert [i.name for i in written.graph.input] == ["x"]
    assert said(report.path)["method"] == report.method
    assert report.bytes_after == report.path.stat().st_size
    if settings.get("activations") or settings.get("method") in ("dynamic", "weights4", "bfloat16"):
        assert luthier.check(report.path, runs=1, log=None).ok


def test_trained_digits_keep_their_accuracy_and_the_report_tells_it(tmp_path):
    from evaluate import digits

    _, held_out, _, labels = digits()

    def accuracy(outputs):
        return float(
            np.mean([o["scores"].argmax() == y for o, y in zip(outputs, labels, strict=True)])
        )

    report = luthier.quantize(
        DIGITS / "digits.onnx",
        tmp_path / "small.onnx",
        data=({"image": image[None]} for image in held_out),
        metric=accuracy,
        max_drop=0.002,
    )
    assert report.drop <= 0.002
    assert report.samples == len(held_out)
    assert report.metric == "accuracy"
    luthier.build(report.path, tmp_path / "small", log=None)
    with luthier.load(tmp_path / "small") as library:
        found = [library.run({"image": image[None]}) for image in held_out]
    with luthier.load(_built(tmp_path)) as original:
        before = [original.run({"image": image[None]}) for image in held_out]
    assert accuracy(found) >= accuracy(before) - 0.002


def _built(folder: Path) -> Path:
    luthier.build(DIGITS / "digits.onnx", folder / "digits", log=None)
    return folder / "digits"


# ---- the guard ----


def test_the_noisiest_layer_stays_in_float_and_no_other(tmp_path):
    easy = luthier.quantize(two_layers(), tmp_path / "easy.onnx", data={"x": X})
    assert not easy.kept
    hard = luthier.quantize(two_layers(3000.0), tmp_path / "hard.onnx", data={"x": X})
    assert 0 < hard.kept < len(hard.layers)
    assert hard.drop <= 0.1
    kept = [layer for layer in hard.layers if layer.kept]
    assert max(layer.decibels for layer in kept) <= min(
        layer.decibels for layer in hard.layers if not layer.kept
    )
    assert said(hard.path)["in_float"] == [layer.name for layer in kept]


def test_where_nothing_suffices_nothing_is_written(tmp_path):
    answers = iter([1.0])

    def good_once(outputs):
        return next(answers, 0.0)

    with pytest.raises(AccuracyError, match=r"no quantised model is within a drop of 0\.5"):
        luthier.quantize(
            two_layers(), tmp_path / "q.onnx", data={"x": X}, metric=good_once, max_drop=0.5
        )
    assert list(tmp_path.iterdir()) == []


def test_noise_is_that_of_a_layer_alone():
    """A layer's decibels are those of its own steps, though the one before is far off."""
    step = np.float32(0.5)
    original = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        two (float[1,16] x) => (float[1,16] z) { y = Neg (x) z = Mul (y, y) }""")
    quantised = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        two (float[1,16] x) => (float[1,16] z) <float step = {0.5}, int8 zero = {0}> {
          y = Identity (x)
          q = QuantizeLinear (y, step, zero)
          d = DequantizeLinear (q, step, zero)
          z = Mul (d, d)
        }""")
    layers = {
        layer.kind: layer for layer in measured(original, quantised, runs_of(original, {"x": X}))
    }
    y = -X.astype(np.float64)
    steps = np.clip(np.round(y / step), -128, 127) * step
    expected = 10 * np.log10(np.sum(y**4) / np.sum((y**2 - steps**2) ** 2))
    assert layers["Mul"].decibels == pytest.approx(expected, abs=1e-3)
    assert layers["Neg"].decibels == pytest.approx(10 * np.log10(1 / 4), abs=1e-3)


# ---- data ----


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"z": X}, "lacks the input x"),
        ({"x": X, "z": X}, "no input z"),
        ({"x": X[:0]}, "no sample"),
        ([], "no sample"),
        ([3], "must map names to arrays"),
        ({"x": X[:, :, :3]}, r"give \[samples, 1, 16\]"),
        ({"x": np.zeros(16, np.float32)}, r"give \[samples, 1, 16\]"),
        ({"x": X.astype(np.complex64)}, "is float32, and the data complex64"),
    ],
)
def test_data_that_do_not_fit_are_refused_by_name(tmp_path, data, message):
    with pytest.raises(InputError, match=message):
        luthier.quantize(two_layers(), tmp_path / "q.onnx", data=data)
    assert list(tmp_path.iterdir()) == []


def test_samples_are_rows_or_batches():
    model = two_layers()
    assert [r["x"].shape for r in runs_of(model, {"x": X})] == [(1, 16)] * 12
    assert [r["x"].shape for r in runs_of(model, {"x": X[:, 0]})] == [(1, 16)] * 12
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    assert [r["x"].shape for r in runs_of(model, {"x": X[:, 0]})] == [(4, 16)] * 3


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, UsageError, "needs inputs"),
        ({"method": "binary"}, UsageError, "one of static, dynamic"),
        ({"metric": "bleu", "data": {"x": X}}, UsageError, "one of error, agreement"),
        ({"activations": "int4"}, UsageError, "uint8 or int8"),
        ({"block": 33}, UsageError, "16, 32, 64"),
        ({"data": "absent.npz"}, InputError, "No such file"),
        ({"data": {"x": X}, "metric": lambda outputs: "good"}, UsageError, "must give a number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        luthier.quantize(two_layers(), tmp_path / "q.onnx", **settings)
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_layers_is_refused(tmp_path):
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]> none (float[1,16] x) => (float[1,16] y) {
          y = Cos (x) }""")
    with pytest.raises(InputError, match="nothing in the model can be quantised"):
        luthier.quantize(model, tmp_path / "q.onnx", data={"x": X})
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"\x08\x07not a model")
    with pytest.raises(ModelError):
        luthier.quantize(damaged, tmp_path / "q.onnx", method="dynamic")
    assert not (tmp_path / "q.onnx").exists()


def test_a_model_that_ends_onnx_s_converter_is_refused(tmp_path, monkeypatch):
    model = two_layers()
    model.opset_import[0].version = 11
    monkeypatch.setattr(old_sets, "_PROGRAM", "import os\nos.abort()")
    with pytest.raises(ModelError, match=r"the model: .*set 13 \(onnx crashes\)"):
        luthier.quantize(model, tmp_path / "q.onnx", method="dynamic")
    assert not (tmp_path / "q.onnx").exists()


# ---- how much worse ----


def test_relative_errors_of_what_is_not_finite():
    one, two = np.array([3.0, 4.0]), np.array([3.0, 4.5])
    assert relative_error([one], [two]) == pytest.approx(0.1)
    odd = np.array([np.nan, np.inf, -np.inf, 2.0])
    assert relative_error([odd], [odd]) == 0
    assert relative_error([odd], [np.array([np.nan, np.inf, np.inf, 2.0])]) == np.inf
    assert relative_error([np.zeros(2)], [one]) == np.inf


def test_agreement_counts_rows():
    rows = np.eye(4, dtype=np.float32)
    moved = rows.copy()
    moved[0] = moved[0, ::-1]
    assert drop_from("agreement", [{"y": rows}])([{"y": moved}]) == 0.25
