"""Transformers that are written here, and what skl2onnx takes in float32 alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.ensemble import AdaBoostRegressor
from sklearn.feature_selection import RFE
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, PolynomialFeatures, StandardScaler

from luthier import UnsupportedOperator
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
        (SimpleImputer(), HOLES),
        (SimpleImputer(strategy="median", add_indicator=True), HOLES),
        (Normalizer("max"), X),
        (Normalizer("l1"), X),
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


@pytest.mark.parametrize("labels", [(0, 1), (7, -3), ("no", "yes")], ids=str)
def test_a_threshold_decides_the_label(labels: tuple[Any, Any]) -> None:
    y = np.where(X[:, 0] + X[:, 1] > 0.8, *reversed(labels))
    model = TunedThresholdClassifierCV(LogisticRegression(), cv=2).fit(X, y)
    model.best_threshold_ = 0.2
    assert (model.predict(X) != model.estimator_.predict(X)).any()
    found = meant(model, X)
    np.testing.assert_array_equal(found["label"], model.predict(X))
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), 1e-5)


def test_a_threshold_of_other_scores_is_refused() -> None:
    y = (X[:, 0] > 0).astype(int)
    model = TunedThresholdClassifierCV(
        LogisticRegression(), cv=2, response_method="decision_function"
    )
    with pytest.raises(UnsupportedOperator, match="threshold of decision_function"):
        as_onnx(model.fit(X, y), X[:1], None)


def test_what_chooses_columns_has_these_transformed() -> None:
    model = RFE(LinearRegression(), n_features_to_select=2).fit(X, X[:, 1] - X[:, 3])
    (name,) = found = meant(model, X)
    assert name == "transformed"
    np.testing.assert_array_equal(found[name], X[:, [1, 3]])


def test_rows_in_float64_are_rounded_where_nothing_else_is_valid() -> None:
    """skl2onnx adds such a model's float64 to float32."""
    model = AdaBoostRegressor(n_estimators=4, random_state=0).fit(X, X[:, 0])
    found = meant(model, X)["prediction"]
    np.testing.assert_allclose(found[:, 0], model.predict(X), 1e-5)
