"""Trained models in fewer bits keep their accuracy: what the digits' examples hold out."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

import luthier
from luthier.correctness.reference import reference
from luthier.schedules import Tensor

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "digits"
MODELS = {
    "network": EXAMPLE / "digits.onnx",
    "transformer": HERE / "digits_transformer" / "model.onnx",
}
CALIBRATED, COMPARED = 64, 6
POINTS = 0.2


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images to calibrate with, images and labels that are held out."""
    known, images, _, labels = _loaded(EXAMPLE / "evaluate.py").digits()
    return known[:CALIBRATED], images, labels


class Images(CalibrationDataReader):
    def __init__(self, images: np.ndarray) -> None:
        self.rest = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self.rest, None)
        return None if image is None else {"image": image[None]}


def quantized(model: Path, images: np.ndarray, how: str, out: Path) -> None:
    """By ONNX Runtime's quantisers."""
    if how == "dynamic":
        quantize_dynamic(model, out, weight_type=QuantType.QInt8)
        return
    form, activations = how.split("-")
    quantize_static(
        model,
        out,
        Images(images),
        quant_format=QuantFormat[form],
        per_channel=True,
        activation_type=QuantType[activations],
        weight_type=QuantType.QInt8,
    )


def scores(model: Path, images: np.ndarray) -> np.ndarray:
    """ONNX Runtime's."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": image[None]})[0] for image in images])


def exactly(model: Path, images: np.ndarray) -> np.ndarray:
    """As ``luthier check`` has it: ONNX Runtime's own sums saturate on some processors."""
    proto = onnx.load(model)
    (output,) = proto.graph.output
    given = [{"image": image[None]} for image in images]
    one = session_outputs(model, given[0])
    types = {output.name: Tensor(one.shape, str(one.dtype))}
    computed = reference(proto, given, types).outputs
    return np.concatenate([each[output.name] for each in computed])


def session_outputs(model: Path, given: dict[str, np.ndarray]) -> np.ndarray:
    """Of which the shape and the type count."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, given)[0])


WAYS = [
    ("network", "QDQ-QUInt8"),
    ("transformer", "QDQ-QInt8"),
    pytest.param("network", "QOperator-QUInt8", marks=pytest.mark.slow),
    pytest.param("transformer", "dynamic", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "how"), WAYS)
def test_a_quantised_model_is_as_good_as_the_original(
    name: str, how: str, digits: tuple[np.ndarray, ...], tmp_path: Path
) -> None:
    known, images, labels = digits
    path, folder = tmp_path / "quantised.onnx", tmp_path / "quantised"
    quantized(MODELS[name], known, how, path)
    luthier.build(path, folder, log=None, threads=2)
    with luthier.load(folder) as library:
        ours = np.concatenate([library(image[None])[0] for image in images])
    found = ours.argmax(axis=1)
    original = scores(MODELS[name], images).argmax(axis=1)
    right, right_before = (100 * (each == labels).mean() for each in (found, original))
    assert right > 96
    assert right >= right_before - POINTS
    wanted = exactly(path, images[:COMPARED])
    assert np.abs(ours[:COMPARED] - wanted).mean() < 0.02 * np.abs(wanted).mean()


@pytest.mark.parametrize("name", MODELS)
def test_a_build_in_bfloat16_is_as_good_as_the_original(
    name: str, digits: tuple[np.ndarray, ...], tmp_path: Path
) -> None:
    _, images, labels = digits
    luthier.build(MODELS[name], tmp_path / name, log=None, threads=2, accuracy="bf16")
    with luthier.load(tmp_path / name) as library:
        ours = np.concatenate([library(image[None])[0] for image in images])
    theirs = scores(MODELS[name], images)
    right, right_before = (100 * (s.argmax(axis=1) == labels).mean() for s in (ours, theirs))
    assert right > 96
    assert right >= right_before - POINTS
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9999
