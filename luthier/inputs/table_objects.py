"""Models of tables as ONNX models: objects of XGBoost, LightGBM and scikit-learn.

None of these is imported here: whoever has such an object has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from luthier.frontend.boosters.booster import (
    LARGEST,
    SOFTMAX,
    Booster,
    Input,
    classification,
    prediction,
)
from luthier.frontend.boosters.lightgbm import read_lightgbm
from luthier.frontend.boosters.xgboost import read_xgboost
from luthier.frontend.messages import one_line
from luthier.schedules.errors import LuthierError, ModelError, UsageError

from .histogram_objects import booster_of, is_histogram_object

_LIBRARIES = ("xgboost", "lightgbm", "sklearn")
_TYPES = ("float32", "float64", "int32", "int64")


def library_of(value: object) -> str:
    """The one of these libraries that made an object's class, or its closest base; "" for none."""
    homes = (base.__module__.partition(".")[0] for base in type(value).__mro__)
    return next((home for home in homes if home in _LIBRARIES), "")


def is_table_object(value: object) -> bool:
    """Whether ``as_onnx`` takes it; without an import of the library, which made it if so."""
    return library_of(value) != ""


def as_onnx(model: Any, example_inputs: Any) -> onnx.ModelProto:
    """The ONNX model of an object, for any number of ``rows``.

    What it takes is the matrix ``x`` [rows, features], or as ``example_inputs``, rows that it
    takes, say: of scikit-learn's these may be a mapping of columns, or a DataFrame. Its elements
    are float32 where they do not say otherwise. What a classifier gives are ``label`` and
    ``probabilities``, what others predict is the ``prediction``. Raises UsageError, ModelError, and
    UnsupportedOperator for what cannot be taken.
    """
    if is_booster(model):
        trained = trained_booster(model)
        return model_of(trained, _input(trained, example_inputs))
    from .sklearn_objects import converted  # noqa: PLC0415 - imports this for boosters in pipelines

    return converted(model, example_inputs)


@dataclass(frozen=True)
class Trained:
    """A booster, and of a classifier its classes. ``missing`` stands for NaN."""

    booster: Booster
    classes: Sequence[int] | Sequence[str] | None
    missing: float


def is_booster(value: object) -> bool:
    """Whether ``trained_booster`` takes it."""
    return library_of(value) in ("xgboost", "lightgbm") or is_histogram_object(value)


def trained_booster(model: Any) -> Trained:
    """The booster of an object of XGBoost, LightGBM or scikit-learn, as its ``predict`` uses it: up
    to the best iteration where training stopped early.

    Raises ModelError where it is not trained, and what the readers do.
    """
    name = type(model).__name__
    readers = {"xgboost": _xgboost, "lightgbm": _lightgbm, "sklearn": _histogram}
    try:
        return readers[library_of(model)](model, name)
    except LuthierError:
        raise
    except Exception as error:
        raise ModelError(f"the {name} cannot be read: {one_line(error)}") from error


def model_of(trained: Trained, given: Input) -> onnx.ModelProto:
    """The model of what an object predicts."""
    booster = trained.booster
    if trained.classes is None:
        return prediction(booster, given)
    exclusive = booster.producer != "xgboost" or booster.transform in (SOFTMAX, LARGEST)
    return classification(booster, given, trained.classes, exclusive=exclusive)


def _xgboost(model: Any, name: str) -> Trained:
    """Of a booster all rounds; of scikit-learn's kind those up to the best."""
    if not hasattr(model, "get_booster"):
        if not hasattr(model, "save_raw"):
            raise UsageError(f"a {name} is not a model: give a Booster, or what has a booster")
        return Trained(read_xgboost(bytes(model.save_raw("ubj")), f"the {name}"), None, np.nan)
    booster = model.get_booster()
    best = booster.attr("best_iteration")
    rounds = None if best is None else int(best) + 1
    read = read_xgboost(bytes(booster.save_raw("ubj")), f"the {name}", rounds)
    classes = range(int(model.n_classes_)) if hasattr(model, "predict_proba") else None
    missing = np.nan if model.missing is None else float(model.missing)
    return Trained(read, classes, missing)


def _lightgbm(model: Any, name: str) -> Trained:
    booster = getattr(model, "booster_", model)
    if not hasattr(booster, "model_to_string"):
        raise UsageError(f"a {name} is not a model: give a Booster, or what has a booster")
    read = read_lightgbm(booster.model_to_string().encode(), f"the {name}")
    classes = labels(model.classes_, name) if hasattr(model, "predict_proba") else None
    return Trained(read, classes, np.nan)


def _histogram(model: Any, name: str) -> Trained:
    if not hasattr(model, "_predictors"):
        raise ModelError(f"the {name} is not fitted: call fit before")
    classes = labels(model.classes_, name) if hasattr(model, "predict_proba") else None
    return Trained(booster_of(model, name), classes, np.nan)


def labels(given: Any, name: str) -> Sequence[int] | Sequence[str]:
    """A classifier's classes as whole numbers or texts; raises ModelError for others."""
    array = np.asarray(given)
    if array.dtype.kind in "biu" or (array.dtype.kind == "f" and (array == np.rint(array)).all()):
        return [int(each) for each in array]
    found = array.tolist()
    if not all(isinstance(each, str) for each in found):
        raise ModelError(f"the {name} has classes that are neither whole numbers nor texts")
    return [str(each) for each in found]


def _input(trained: Trained, example: Any) -> Input:
    """A matrix with as many columns as there are features, of the type of the example."""
    features = trained.booster.features
    if example is None:
        return Input(missing=trained.missing)
    array = matrix(example)
    if array.shape[1] != features:
        raise UsageError(f"example_inputs have {array.shape[1]} columns, and the model {features}")
    return Input(dtype=str(array.dtype), missing=trained.missing)


def matrix(example: Any) -> np.ndarray[Any, Any]:
    """Rows of an example as an array of a type that inputs may have; raises UsageError."""
    if isinstance(example, tuple) and len(example) == 1:
        (example,) = example
    try:
        array = np.asarray(example)
    except Exception as error:
        raise UsageError(f"example_inputs are not an array: {one_line(error)}") from error
    if array.ndim != 2:
        raise UsageError(
            f"example_inputs must have rows and columns: 2 dimensions, not {array.ndim}"
        )
    if str(array.dtype) not in _TYPES:
        raise UsageError(
            f"example_inputs are {array.dtype}; a matrix of {', '.join(_TYPES)} can be given"
        )
    return array
