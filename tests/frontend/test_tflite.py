"""Models of TensorFlow Lite compute what its interpreter computed, and damaged files do no harm."""

from __future__ import annotations

import random
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from onnx_models import TARGET, compute

from luthier.frontend import import_model, read_model
from luthier.frontend.tflite.model import decoded
from luthier.frontend.tflite.reader import OPERATORS, read_tflite
from luthier.schedules import LuthierError, ModelError, UnsupportedOperator

FOLDER = Path(__file__).parent / "tflite_models"  # make.py there writes them
MODELS = sorted(path.stem for path in FOLDER.glob("*.tflite"))


def ran(name: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What the interpreter was given, and what it gave."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        outputs = {n.removeprefix("out_"): arrays[n] for n in arrays if n.startswith("out_")}
        return {n: arrays[n] for n in arrays if not n.startswith("out_")}, outputs


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    inputs, wanted = ran(name)
    shapes = {n: a.shape for n, a in inputs.items()}
    got = compute(import_model(read_model(FOLDER / f"{name}.tflite", shapes), TARGET), inputs)
    assert got.keys() == wanted.keys()
    for each, value in wanted.items():
        assert got[each].dtype == value.dtype, each
        if value.dtype.kind == "f":
            np.testing.assert_allclose(got[each], value, 1e-5, 1e-5, err_msg=each)
            continue
        # TensorFlow rounds products of scales to 31 bits, and layers add up to some steps.
        differ = np.abs(got[each].astype(np.int64) - value.astype(np.int64))
        steps = 4 if "int8" in name else 0
        assert differ.max(initial=0) <= steps, each
        assert (differ > 1).mean() <= 0.08, each


def test_operators_are_tried() -> None:
    """Each is in one of the models, but for those that TensorFlow's converter hardly writes."""
    models = (decoded((FOLDER / f"{name}.tflite").read_bytes(), name) for name in MODELS)
    assert OPERATORS.keys() - {each.kind for model in models for each in model.operations} == set()


def test_the_page_lists_the_operators() -> None:
    text = (Path(__file__).parents[2] / "docs" / "tflite.md").read_text()
    listed = text.partition("## Which operators")[2]
    assert set(re.findall(r"`([A-Z][A-Z0-9_]+)`", listed)) == OPERATORS.keys()


def test_open_sizes_have_names() -> None:
    read = read_model(FOLDER / "rows.tflite", {"batch": range(1, 5), "x_2": 7})
    assert read.open is not None
    assert [symbol.name for symbol in read.open.symbols] == ["batch"]


def test_damaged_files_are_refused_or_read() -> None:
    data, rng = (FOLDER / "classifier_int8.tflite").read_bytes(), random.Random(3)
    for number in range(400):
        damaged = bytearray(data)
        if number % 3:
            for _ in range(rng.randrange(1, 4)):
                at = rng.choice(
                    [rng.randrange(len(data)), rng.randrange(len(data) - 900, len(data))]
                )
                damaged[at] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        else:
            del damaged[rng.randrange(8, len(data)) :]
        with suppress(LuthierError):
            read_tflite(bytes(damaged), "it")


def test_unknown_operators_are_counted() -> None:
    data = (FOLDER / "classifier.tflite").read_bytes()
    known = dict(OPERATORS)
    try:
        del OPERATORS["DEPTHWISE_CONV_2D"], OPERATORS["ADD"]
        with pytest.raises(
            UnsupportedOperator, match=r"2 operators .* DEPTHWISE_CONV_2D \(2 nodes\)"
        ) as got:
            read_tflite(data, "it")
    finally:
        OPERATORS.update(known)
    assert set(got.value.operators) == {"DEPTHWISE_CONV_2D", "ADD"}


def test_another_format_is_not_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "some.tflite"
    path.write_bytes(b"\x14\0\0\0TFL4" + bytes(100))
    with pytest.raises(ModelError, match="not an ONNX file"):
        read_model(path)
