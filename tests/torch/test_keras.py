"""Keras's models: built as they are, they give what Keras predicts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="needs the extra 'keras': make test-torch")

import luthier  # noqa: E402 - after what may skip this
from luthier.inputs.keras_objects import as_onnx  # noqa: E402
from luthier.schedules.errors import ModelError, UsageError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")
L = keras.layers


def predicted(model: Any, folder: Path, inputs: dict[str, np.ndarray], **said: Any) -> None:
    """Built for up to four rows, the model gives what it predicts."""
    luthier.build(model, folder, log=None, shapes={"batch": range(1, 5)}, **said)
    given = list(inputs.values())
    wanted = model.predict(given if len(given) > 1 else given[0], verbose=0)
    with luthier.load(folder) as artifact:
        got = artifact.run(inputs)
    if not isinstance(wanted, dict):
        listed = wanted if isinstance(wanted, list | tuple) else [wanted]
        wanted = dict(zip(got, listed, strict=True))
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(got[name], value, 1e-4, 1e-5, err_msg=name)


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def test_a_model_of_several_inputs_and_outputs(tmp_path: Path) -> None:
    image, more = keras.Input((8, 8, 3), name="image"), keras.Input((6, 4), name="more")
    x = L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(image))
    x = L.Dropout(0.5)(L.GlobalAveragePooling2D()(x))
    model = keras.Model([image, more], {"scores": L.Dense(3)(x), "last": L.LSTM(5)(more)})
    predicted(model, tmp_path / "out", {"image": drawn(3, 8, 8, 3), "more": drawn(3, 6, 4)})


def test_a_sequence_of_layers_with_a_name_that_is_no_word(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((6, 4), name="the rows"), L.GRU(5), L.Dense(2)])
    predicted(model, tmp_path / "out", {"the_rows": drawn(2, 6, 4)})


def test_inputs_in_a_mapping(tmp_path: Path) -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    model = keras.Model({"a": a, "b": b}, L.Dense(2)(L.Concatenate()([b, a])))
    luthier.build(model, tmp_path / "out", log=None, shapes={"batch": 2})
    inputs = {"a": drawn(2, 3), "b": drawn(2, 3) * 2}
    with luthier.load(tmp_path / "out") as artifact:
        (got,) = artifact.run(inputs).values()
    np.testing.assert_allclose(got, model.predict(inputs, verbose=0), 1e-4, 1e-5)


class Unbuilt(keras.Model):
    """Knows its inputs when it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = L.Dense(2)

    def call(self, x: Any) -> Any:
        return {"y": self.dense(x)}


def test_a_class_of_its_own_needs_example_inputs(tmp_path: Path) -> None:
    import torch

    model = Unbuilt()
    with pytest.raises(UsageError, match="example_inputs"):
        luthier.build(model, tmp_path / "out", log=None)
    example = torch.zeros(2, 3)
    model(example)
    luthier.build(model, tmp_path / "out", log=None, example_inputs=(example,))
    with luthier.load(tmp_path / "out") as artifact:
        (got,) = artifact(drawn(2, 3))
    np.testing.assert_allclose(got, model.predict(drawn(2, 3), verbose=0)["y"], 1e-4, 1e-5)


def test_another_backend_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ModelError, match=r"backend 'jax'.*KERAS_BACKEND is torch or tensorflow"):
        as_onnx(model, None, None)
