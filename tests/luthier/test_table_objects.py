"""Objects of scikit-learn, XGBoost and LightGBM are models, and predict what they predict."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxruntime
import pytest
import xgboost
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingRegressor,
)
from sklearn.feature_extraction import DictVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import luthier
from luthier import ModelError, UnsupportedOperator, UsageError
from luthier.frontend import import_model
from luthier.inputs.objects import as_onnx

ROWS = {"rows": range(1, 301)}
RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 5))
HOLES = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
REAL = X[:, 0] * X[:, 1] + X[:, 2]
THREE = np.digitize(REAL, [-0.7, 0.7])
NEW = np.random.default_rng(1).standard_normal((300, 5))
NEW[::9] *= 1e6
NEW_HOLES = np.where(np.random.default_rng(2).random(NEW.shape) < 0.1, np.nan, NEW)


def built(model: Any, x: np.ndarray, folder: Path) -> dict[str, np.ndarray]:
    """What its library makes of rows."""
    luthier.build(model, folder, log=None, example_inputs=x[:1], shapes=ROWS)
    with luthier.load(folder) as library:
        return {name: np.array(value) for name, value in library.run({"x": x}).items()}


def meant(model: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """What ONNX Runtime makes of them, on one thread, which adds in order."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    made = as_onnx(model, x[:1], None).SerializeToString()
    session = onnxruntime.InferenceSession(made, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, {"x": x}), strict=True))


def classifies(model: Any, x: np.ndarray, got: dict[str, np.ndarray], rtol: float = 1e-6) -> None:
    """What is left of 1 is as exact as 1 is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that rows have no names
        label, shares = model.predict(x), model.predict_proba(x)
    assert list(got) == ["label", "probabilities"]
    np.testing.assert_array_equal(got["label"], label)
    np.testing.assert_allclose(got["probabilities"], shares, rtol, 3e-7)


XGB = {"n_estimators": 20, "max_depth": 4, "n_jobs": 1}
LGB = {"n_estimators": 20, "n_jobs": 1, "verbose": -1}


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (xgboost.XGBClassifier(**XGB), REAL > 0),
        (xgboost.XGBClassifier(**XGB), THREE),
        (xgboost.XGBClassifier(**XGB), np.stack([REAL > 0, X[:, 0] > 0], 1).astype(int)),
        (lightgbm.LGBMClassifier(**LGB), np.where(REAL > 0, "yes", "no")),
        (lightgbm.LGBMClassifier(**LGB), THREE * 10 - 5),
    ],
    ids=["xgboost", "xgboost-3", "xgboost-labels", "lightgbm-texts", "lightgbm-3"],
)
def test_boosted_classifiers(model: Any, y: np.ndarray) -> None:
    x = NEW_HOLES.astype(np.float32)
    model.fit(HOLES, y)
    classifies(model, x, meant(model, x))


def test_training_that_stopped_early_ends_at_the_best_iteration() -> None:
    model = xgboost.XGBRegressor(**XGB | {"n_estimators": 200}, early_stopping_rounds=3)
    model.fit(X, REAL, eval_set=[(NEW, NEW[:, 0])], verbose=False)
    assert model.best_iteration < model.get_booster().num_boosted_rounds() - 1
    x = NEW.astype(np.float32)
    got = meant(model, x)["prediction"]
    np.testing.assert_allclose(got, model.predict(x), 1e-6, 1e-7)


def test_another_value_may_be_the_missing_one() -> None:
    model = xgboost.XGBRegressor(**XGB, missing=-999.0).fit(np.nan_to_num(HOLES, nan=-999.0), REAL)
    x = np.nan_to_num(NEW_HOLES, nan=-999.0)
    got = meant(model, x)["prediction"]
    np.testing.assert_allclose(got, model.predict(x), 1e-6, 1e-7)


def test_boosting_by_histograms(tmp_path: Path) -> None:
    """Categories are numbers of any kind; others, and NaN, go the way of what is missing."""
    rng = np.random.default_rng(6)
    x, kinds = HOLES.copy(), np.array([-3.0, 0.0, 1.0, 2.5, 7.0, np.nan])
    x[:, 1], x[:, 3] = rng.choice(kinds, 300), rng.integers(0, 9, 300)
    y = np.isin(x[:, 1], [0.0, 7.0]) * 2.0 + np.exp(X[:, 2] / 3) + (x[:, 3] == 4)
    model = HistGradientBoostingRegressor(
        loss="poisson", categorical_features=[1, 3], max_iter=20, min_samples_leaf=3
    ).fit(x, y)
    new = NEW_HOLES.copy()
    new[:, 1], new[:, 3] = rng.choice([*kinds, 0.5, -1.0], 300), rng.integers(0, 12, 300)
    got = built(model, new, tmp_path / "out")["prediction"]
    np.testing.assert_allclose(got, model.predict(new), 1e-6, 1e-7)


def test_a_pipeline_of_scikit_learn() -> None:
    model = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=15))
    model.fit(HOLES, THREE)
    classifies(model, NEW_HOLES, meant(model, NEW_HOLES))


def test_a_pipeline_that_ends_with_a_booster(tmp_path: Path) -> None:
    model = make_pipeline(SimpleImputer(), StandardScaler(), lightgbm.LGBMClassifier(**LGB))
    model.fit(HOLES, np.where(REAL > 0, "yes", "no"))
    classifies(model, NEW_HOLES, built(model, NEW_HOLES, tmp_path / "out"))


def test_boosters_among_other_regressors() -> None:
    parts = [("trees", xgboost.XGBRegressor(**XGB)), ("line", LinearRegression())]
    model = StackingRegressor(parts, LinearRegression(), cv=2).fit(X, REAL)
    x = NEW[:50].astype(np.float32)
    got = meant(model, x)["prediction"]
    np.testing.assert_allclose(got[:, 0], model.predict(x), 1e-4, 1e-4)


def test_columns_by_name_are_inputs_by_name(tmp_path: Path) -> None:
    names = ["age", "income", "kind"]
    kinds = RNG.integers(0, 4, 300)
    columns = ColumnTransformer(
        [
            ("number", StandardScaler(), names[:2]),
            ("kind", OneHotEncoder(handle_unknown="ignore"), ["kind"]),
        ]
    )
    pandas = pytest.importorskip("pandas", reason="columns by name come from a DataFrame")
    frame = pandas.DataFrame({"age": X[:, 0], "income": X[:, 1], "kind": kinds})
    model = make_pipeline(columns, RandomForestClassifier(10, max_depth=5)).fit(frame, THREE)
    luthier.build(model, tmp_path / "out", log=None, example_inputs=frame[:1], shapes=ROWS)
    with luthier.load(tmp_path / "out") as library:
        got = library.run({name: frame[[name]].to_numpy() for name in names})
    np.testing.assert_array_equal(got["label"], model.predict(frame))
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(frame), 1e-6, 1e-6)


def test_columns_by_place(tmp_path: Path) -> None:
    x = np.concatenate([X, RNG.integers(0, 4, (300, 1))], axis=1)
    columns = ColumnTransformer(
        [
            ("number", StandardScaler(), [0, 1, 2]),
            ("kind", OneHotEncoder(handle_unknown="ignore"), [5]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(x, THREE)
    new = np.concatenate([NEW, np.random.default_rng(4).integers(0, 6, (300, 1))], axis=1)
    classifies(model, new, built(model, new, tmp_path / "out"), rtol=1e-5)


class Own(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A step that nobody has a converter for."""

    def fit(self, x: Any, y: Any = None) -> Own:
        self.n_features_in_ = x.shape[1]
        return self

    def transform(self, x: Any) -> Any:
        return x


FITTED = xgboost.XGBRegressor(n_estimators=2).fit(X, REAL)


@pytest.mark.parametrize(
    ("model", "example", "error", "why"),
    [
        (make_pipeline(Own(), LinearRegression()).fit(X, REAL), None, UnsupportedOperator,
         r"cannot take scikit-learn's Own \(step 'own'\)"),
        (LinearRegression(), None, ModelError, "fit it"),
        (LinearRegression(), X, ModelError, "is not fitted"),
        (xgboost.XGBRegressor(), None, ModelError, "fit"),
        (FITTED, X[:, :3], UsageError, "have 3 columns, and the model 5"),
        (FITTED, X[0], UsageError, "must have rows and columns"),
        (FITTED, [["a"]], UsageError, "can be given"),
        (xgboost.DMatrix(X), None, UsageError, "is not a model"),
        ("model.onnx", X, UsageError, "of which the model is not one"),
    ],
    ids=range(9),
)  # fmt: skip
def test_what_cannot_be_taken(model: Any, example: Any, error: type, why: str) -> None:
    with pytest.raises(error, match=why) as refused:
        as_onnx(model, example, None)
    assert "\n" not in str(refused.value)


def test_rows_need_saying_as_any_open_size() -> None:
    with pytest.raises(ModelError, match=r"--shape rows=1\.\.512"):
        import_model(as_onnx(FITTED, None, None), luthier.target("x86-64-v3"))


def test_a_file_builds_without_the_package_that_wrote_it(tmp_path: Path) -> None:
    FITTED.save_model(tmp_path / "model.ubj")
    code = f"""
import sys
for name in ("xgboost", "lightgbm", "sklearn", "skl2onnx"):
    sys.modules[name] = None
import luthier
luthier.build("{tmp_path}/model.ubj", "{tmp_path}/out", log=None, shapes={{"rows": 3}})
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    with luthier.load(tmp_path / "out") as library:
        (got,) = library(NEW[:3].astype(np.float32))
    np.testing.assert_allclose(got, FITTED.predict(NEW[:3].astype(np.float32)), 1e-6)


def test_a_plain_model_imports_none_of_these_libraries() -> None:
    code = """
import sys, onnx
from luthier.inputs.objects import as_onnx, is_object
assert not is_object(onnx.ModelProto()) and as_onnx("a", None, None) == "a"
assert not {"sklearn", "xgboost", "lightgbm", "skl2onnx", "torch"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert onnx.__version__


MAPS = [
    {"city": "Dubai", "temperature": 33.0, "wet": True},
    {"city": "London", "temperature": 12.0},
    {"city": "San Francisco", "temperature": 18.0, "wet": False},
]


@pytest.mark.parametrize("maps", [MAPS, [{"a": "b"}, {"a": "c"}], [{3: 1.0}, {-4: 2.0}]])
def test_a_vectorizer_of_maps(maps: list[dict[Any, Any]], tmp_path: Path) -> None:
    model = DictVectorizer().fit(maps)
    luthier.build(model, tmp_path / "out", log=None, shapes={"rows": range(1, 9)})
    new = [*maps, {}, {"city": "Ulm", 99: 7}]
    with luthier.load(tmp_path / "out") as library:
        assert library.inputs[0].keys == tuple(model.feature_names_)
        (got,) = library(new)
    np.testing.assert_array_equal(got, model.transform(new).toarray())


def test_a_pipeline_of_maps(tmp_path: Path) -> None:
    """Two steps take the maps, of which one knows other keys."""
    parts = FeatureUnion([("all", DictVectorizer()), ("some", DictVectorizer(sort=False))])
    model = make_pipeline(parts, StandardScaler(with_mean=False), LogisticRegression())
    y = np.array(["dry", "wet", "dry"])
    model.fit(MAPS, y)
    luthier.build(model, tmp_path / "out", log=None, shapes={"rows": range(1, 9)})
    with luthier.load(tmp_path / "out") as library:
        got = library.run({"x": MAPS})
    np.testing.assert_array_equal(got["label"], model.predict(MAPS))
    np.testing.assert_allclose(got["probabilities"], model.predict_proba(MAPS), 1e-5, 1e-6)


@pytest.mark.parametrize(
    ("model", "error", "said"),
    [
        (DictVectorizer(), ModelError, "not fitted"),
        (DictVectorizer(separator=":").fit(MAPS), UnsupportedOperator, "the separator ':'"),
    ],
)
def test_vectorizers_that_cannot_be_taken(
    model: Any, error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        luthier.build(model, tmp_path / "out", log=None)
