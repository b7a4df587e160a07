"""scikit-learn's gradient boosting by histograms as a booster: ``HistGradientBoosting...``.

What decides at a node is in scikit-learn's ``_predictor.pyx``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from luthier.frontend.boosters.booster import EXP, IDENTITY, SIGMOID, SOFTMAX, Booster
from luthier.frontend.boosters.trees import Cut, Node, Split, Tree, single_leaves
from luthier.schedules.errors import UnsupportedOperator

_NAMES = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
_EXPONENTIALS = ("gamma", "poisson")


def is_histogram_object(value: object) -> bool:
    """Whether it is of one of these classes, or of one that is made of them."""
    return any(
        base.__name__ in _NAMES and base.__module__.startswith("sklearn.")
        for base in type(value).__mro__
    )


def booster_of(model: Any, name: str) -> Booster:
    """The booster of an estimator that is fitted.

    Raises UnsupportedOperator for categories that are texts.
    """
    features, categories = _features(model, name)
    trees = [
        Tree(_nodes(predictor, features, categories), target)
        for predictors in model._predictors
        for target, predictor in enumerate(predictors)
    ]
    base = np.asarray(model._baseline_prediction, np.float64).reshape(-1).tolist()
    transform = EXP if model.loss in _EXPONENTIALS else IDENTITY
    if hasattr(model, "predict_proba"):
        transform = SIGMOID if len(base) == 1 else SOFTMAX
    begins = single_leaves(base)
    count = int(model.n_features_in_)
    return Booster(
        [*begins, *trees], count, len(base), "float64", transform, f"the {name}", "scikit-learn"
    )


def _features(model: Any, name: str) -> tuple[Sequence[int], Mapping[int, Sequence[float]]]:
    """Of each feature as trees number them its column, and of columns of categories these, by
    their codes: columns of categories come first."""
    chosen = model.is_categorical_
    if chosen is None:
        return range(model.n_features_in_), {}
    columns = [*np.flatnonzero(chosen).tolist(), *np.flatnonzero(~chosen).tolist()]
    listed = model._preprocessor.named_transformers_["encoder"].categories_
    known: dict[int, Sequence[float]] = {}
    for column, some in zip(columns, listed, strict=False):
        array = np.asarray(some)
        if array.dtype.kind not in "biuf":
            raise UnsupportedOperator(
                f"the {name} has categories that are texts in column {column}: encode them as "
                "numbers before"
            )
        known[column] = [float(each) for each in array]
    return columns, known


def _nodes(
    predictor: Any, columns: Sequence[int], categories: Mapping[int, Sequence[float]]
) -> Sequence[Node]:
    found: list[Node] = []
    for node in predictor.nodes:
        if node["is_leaf"]:
            found.append(float(node["value"]))
            continue
        left, right, to_left = (
            int(node["left"]),
            int(node["right"]),
            bool(node["missing_go_to_left"]),
        )
        column = columns[int(node["feature_idx"])]
        if not node["is_categorical"]:
            cuts = [Cut(float(node["num_threshold"]), inclusive=True)]
            found.append(Split(column, cuts, left, right, to_left))
            continue
        # What is not known goes the way of what is missing, so the others are named.
        words = np.asarray(predictor.raw_left_cat_bitsets[node["bitset_idx"]], "<u4")
        is_left = np.unpackbits(words.view(np.uint8), bitorder="little")
        values = [
            value
            for code, value in enumerate(categories[column])
            if bool(is_left[code]) != to_left and not np.isnan(value)
        ]
        cuts = [Cut(value, inclusive) for value in sorted(values) for inclusive in (False, True)]
        low, high = (left, right) if to_left else (right, left)
        found.append(Split(column, cuts, low, high, nan_is_low=True))
    return found
