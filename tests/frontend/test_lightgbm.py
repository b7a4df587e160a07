"""Models of LightGBM predict what LightGBM predicts, and none does harm."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
from onnx_models import TARGET, compute

from luthier.frontend import import_model, read_model
from luthier.frontend.boosters.booster import Input, prediction
from luthier.frontend.boosters.lightgbm import read_lightgbm
from luthier.schedules import LuthierError, ModelError

FEATURES = 6
EXTREMES = np.array([0.0, -0.0, 1e-45, -1e-45, 3e-36, 3.4e38, -np.inf, np.inf, np.nan])


def table(rows: int, seed: int = 0) -> np.ndarray:
    """Random numbers, some of which are missing, and some zero."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, FEATURES)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[rng.random(x.shape) < 0.1] = 0
    return x


def fresh(seed: int = 9) -> np.ndarray:
    x = table(300, seed)
    some = np.random.default_rng(seed).random(x.shape) < 0.1
    x[some] = np.random.default_rng(seed).choice(EXTREMES, int(some.sum()))
    return x


TRAINED = table(500)
SCORE = np.nan_to_num(TRAINED)[:, :3].sum(axis=1)
GOALS = {
    "real": SCORE,
    "positive": np.exp(SCORE / 4) + 0.01,
    "share": 1 / (1 + np.exp(-SCORE)),
    "binary": (SCORE > 0).astype(float),
    "class": np.digitize(SCORE, [-1, 1]),
}


def train(goal: str = "real", x: np.ndarray = TRAINED, rounds: int = 8, **options: Any) -> Any:
    categorical = options.pop("categorical", "auto")
    data = lightgbm.Dataset(x, GOALS[goal], categorical_feature=categorical)
    settings = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, **options}
    return lightgbm.train(settings, data, rounds)


def saved(booster: Any) -> bytes:
    return booster.model_to_string().encode()


def predicted(data: bytes, x: np.ndarray) -> np.ndarray:
    proto = prediction(read_lightgbm(data, "it"), Input(dtype=str(x.dtype)))
    found = compute(import_model(read_model(proto, {"x": x.shape}), TARGET), {"x": x})
    return found["prediction"]


def agrees(booster: Any, x: np.ndarray, rtol: float = 1e-6) -> None:
    np.testing.assert_allclose(predicted(saved(booster), x), booster.predict(x), rtol, 1e-7)


OBJECTIVES = [
    ("real", "regression"), ("real", "regression_l1"), ("real", "huber"), ("real", "fair"),
    ("real", "quantile"), ("real", "mape"), ("positive", "poisson"), ("positive", "gamma"),
    ("positive", "tweedie"), ("share", "cross_entropy"), ("share", "cross_entropy_lambda"),
    ("binary", "binary"), ("class", "multiclass"), ("class", "multiclassova"),
]  # fmt: skip


@pytest.mark.parametrize(("goal", "objective"), OBJECTIVES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_objectives(goal: str, objective: str, dtype: str) -> None:
    several = {"num_class": 3} if goal == "class" else {}
    agrees(train(goal, objective=objective, **several), fresh().astype(dtype))


@pytest.mark.parametrize(
    "options",
    [
        {"zero_as_missing": True},
        {"use_missing": False},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"boosting": "dart", "drop_rate": 0.5},
        {"reg_sqrt": True},
        {"objective": "binary", "sigmoid": 2.5},
        {"num_leaves": 2},
        {"min_data_in_leaf": 10_000},
    ],
    ids=str,
)
def test_options(options: dict[str, Any]) -> None:
    agrees(train("binary" if "binary" in str(options) else "real", **options), fresh())


def test_categories() -> None:
    """Those that are not known, negative ones and NaN are none; numbers between are truncated."""
    rng, x = np.random.default_rng(5), table(2000)
    x[:, 0] = rng.integers(0, 70, 2000)
    x[::7, 0] = np.nan
    y = np.isin(x[:, 0], [0, 1, 2, 3, 7, 21, 39, 64, 65]) * 3.0 + np.nan_to_num(x[:, 2])
    options = {"verbose": -1, "num_threads": 1, "min_data_per_group": 5, "cat_smooth": 1}
    data = lightgbm.Dataset(x, y, categorical_feature=[0])
    booster = lightgbm.train(options, data, 10)
    assert "num_cat=0" not in booster.model_to_string().split("Tree=1\n")[1].split("\n")[1]
    new = fresh()
    new[:, 0] = rng.choice([*range(75), 2.5, -0.5, -1, 1e6, 3e9, np.nan, np.inf, -0.0], len(new))
    agrees(booster, new)


def test_a_file_is_told_by_its_content(tmp_path: Path) -> None:
    train().save_model(tmp_path / "model.txt")
    read = read_model(tmp_path / "model.txt", {"rows": range(1, 5)})
    assert [i.name for i in read.proto.graph.input] == ["x"]


def test_linear_trees_are_refused_by_name() -> None:
    booster = train(linear_tree=True)
    with pytest.raises(ModelError, match=r"linear models in leaves .* without linear_tree"):
        read_lightgbm(saved(booster), "it")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("version=v4", "version=v9", "version v9"),
        ("objective=regression", "objective=mine", "the objective 'mine' is not supported"),
        ("max_feature_idx=5", "max_feature_idx=0", "asks for feature"),
        ("max_feature_idx=5", "max_feature_idx=-5", "'max_feature_idx' is -5"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=3", "not for 3 targets"),
        ("left_child=1", "left_child=0", "two branches lead to node 0"),
        ("left_child=1", "left_child=99999", "which is not there"),
        ("left_child=1", "left_child=x", "is not a list of numbers"),
        ("leaf_value=", "leaf_value=nan ", "its leaves have no values"),
        ("threshold=", "threshold=1 ", "are not of"),
        ("end of trees", "", "it is cut short"),
    ],
)
def test_what_is_wrong_is_told(old: str, new: str, why: str) -> None:
    text = train(max_depth=2).model_to_string()
    assert old in text
    with pytest.raises(ModelError, match=why):
        predicted(text.replace(old, new, 1).encode(), fresh())


def test_damaged_text_is_refused_or_read() -> None:
    data, rng = saved(train(rounds=1)), random.Random(3)
    for number in range(300):
        damaged = bytearray(data)
        if number % 3:
            for _ in range(rng.randrange(1, 4)):
                damaged[rng.randrange(len(data))] = rng.randrange(256)
        else:
            del damaged[rng.randrange(len(data)) :]
        with suppress(LuthierError):
            prediction(read_lightgbm(bytes(damaged), "it"), Input())
