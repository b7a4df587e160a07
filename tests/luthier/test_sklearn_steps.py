"""Transformers that are written here, and what skl2onnx takes in float32 alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.ensemble import AdaBoostRegressor
from sklearn.impute import KNNImputer
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from luthier.inputs.objects import as_onnx

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 4))
HOLES = np.where(RNG.random(X.shape) < 0.3, np.nan, X)
HOLES[0], X[1] = np.nan, X[0]  # a row of which nothing is known, and one that is there twice
NONE = np.concatenate([HOLES, np.full((40, 1), np.nan)], axis=1)


def meant(model: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """What ONNX Runtime makes of rows."""
    session = onnxruntime.InferenceSession(
        as_onnx(model, x[:1], None).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("model", "x"),
    [
        (KNNImputer(n_neighbors=3), HOLES),
        (KNNImputer(n_neighbors=2, weights="distance"), HOLES),
        (KNNImputer(n_neighbors=99, add_indicator=True), HOLES),
        (KNNImputer(n_neighbors=3, keep_empty_features=True), NONE),
        (KNNImputer(n_neighbors=3), NONE),
        (PolynomialFeatures(3), X),
        (PolynomialFeatures((2, 3), interaction_only=True, include_bias=False), X),
        (PolynomialFeatures(0), X),
    ],
    ids=lambda value: str(value) if not isinstance(value, np.ndarray) else "",
)
def test_a_transformer_does_what_scikit_learn_does(model: Any, x: np.ndarray, dtype: str) -> None:
    x = x.astype(dtype)
    model.fit(x)
    (found,) = meant(model, x).values()
    assert found.dtype == dtype
    near = 1e-9 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(found, model.transform(x), near, near)


def test_it_is_a_step_of_a_pipeline() -> None:
    x = HOLES.astype(np.float32)
    model = make_pipeline(KNNImputer(n_neighbors=3), PolynomialFeatures(3), StandardScaler())
    (found,) = meant(model.fit(x), x).values()
    np.testing.assert_allclose(found, model.transform(x), 1e-3, 1e-3)


def test_a_mixture_has_probabilities() -> None:
    x = X.astype(np.float32)
    model = GaussianMixture(2, random_state=0).fit(x)
    found = meant(model, x)
    np.testing.assert_array_equal(found["label"].reshape(-1), model.predict(x))
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(x), 1e-3, 1e-3)


def test_rows_in_float64_are_rounded_where_nothing_else_is_valid() -> None:
    """skl2onnx adds such a model's float64 to float32."""
    model = AdaBoostRegressor(n_estimators=4, random_state=0).fit(X, X[:, 0])
    found = meant(model, X)["prediction"]
    np.testing.assert_allclose(found[:, 0], model.predict(X), 1e-5)
