"""Models of XGBoost predict what XGBoost predicts, whatever it saved, and none does harm."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from onnx_models import TARGET, compute

from luthier.frontend import import_model, read_model
from luthier.frontend.boosters.booster import Input, prediction
from luthier.frontend.boosters.xgboost import read_xgboost
from luthier.schedules import LuthierError, ModelError, UnsupportedOperator

FEATURES = 6
EXTREMES = np.array([0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, 1.0, np.nan], np.float32)


def table(rows: int, seed: int = 0) -> np.ndarray:
    """Random numbers, some of which are missing."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, FEATURES)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    return x


def fresh(seed: int = 9) -> np.ndarray:
    """Rows that nothing was trained with, and extreme ones."""
    x = table(200, seed)
    some = np.random.default_rng(seed).random(x.shape) < 0.1
    x[some] = np.random.default_rng(seed).choice(EXTREMES, int(some.sum()))
    return x


TRAINED = table(300)
SCORE = np.nan_to_num(TRAINED)[:, :3].sum(axis=1)
GOALS = {
    "real": SCORE,
    "positive": np.exp(SCORE / 4) + 0.01,
    "share": 1 / (1 + np.exp(-SCORE)),
    "binary": (SCORE > 0).astype(float),
    "class": np.digitize(SCORE, [-1, 1]),
}


def train(goal: str = "real", rounds: int = 8, x: np.ndarray = TRAINED, **options: Any) -> Any:
    data = xgboost.DMatrix(x, GOALS[goal])
    return xgboost.train({"max_depth": 4, "nthread": 1, **options}, data, rounds)


def saved(booster: Any, form: str = "json") -> bytes:
    return bytes(booster.save_raw(form))


def predicted(data: bytes, x: np.ndarray) -> np.ndarray:
    proto = prediction(read_xgboost(data, "it"), Input())
    found = compute(import_model(read_model(proto, {"x": x.shape}), TARGET), {"x": x})
    return found["prediction"]


def agrees(booster: Any, form: str = "json", rtol: float = 1e-6) -> None:
    x = fresh()
    with np.errstate(all="ignore"):
        got = predicted(saved(booster, form), x)
    np.testing.assert_allclose(got, booster.predict(xgboost.DMatrix(x)), rtol, 1e-7)


OBJECTIVES = {
    "real": ["reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror"],
    "positive": ["count:poisson", "reg:gamma", "reg:tweedie", "reg:squaredlogerror"],
    "share": ["reg:logistic"],
    "binary": ["binary:logistic", "binary:logitraw", "binary:hinge", "rank:pairwise"],
}


@pytest.mark.parametrize("form", ["json", "ubj"])
@pytest.mark.parametrize(
    ("goal", "objective"), [(goal, each) for goal, some in OBJECTIVES.items() for each in some]
)
def test_objectives(goal: str, objective: str, form: str) -> None:
    agrees(train(goal, objective=objective), form, rtol=1e-5)


@pytest.mark.parametrize("objective", ["multi:softprob", "multi:softmax"])
def test_classes(objective: str) -> None:
    agrees(train("class", objective=objective, num_class=3))


@pytest.mark.parametrize(
    "options",
    [
        {"base_score": 0.7, "objective": "binary:logistic"},
        {"booster": "dart", "rate_drop": 0.5, "objective": "reg:squarederror"},
        {"num_parallel_tree": 3, "subsample": 0.5},
        {"max_depth": 0, "max_leaves": 20, "grow_policy": "lossguide"},
        {"max_depth": 9, "gamma": 2.0},
        {"quantile_alpha": 0.3, "objective": "reg:quantileerror"},
        {"learning_rate": 0.0},
    ],
    ids=str,
)
def test_options(options: dict[str, Any]) -> None:
    agrees(train("binary" if "binary" in str(options) else "real", **options))


def test_sums_are_those_of_xgboost_bit_for_bit() -> None:
    booster, x = train(rounds=100, base_score=0.3), fresh()
    np.testing.assert_array_equal(predicted(saved(booster), x), booster.predict(xgboost.DMatrix(x)))


@pytest.mark.parametrize("onehot", [1, 100])
def test_categories(onehot: int) -> None:
    """Of a set, or of one; those that are not known, and numbers between, are none."""
    rng = np.random.default_rng(5)
    x = table(600)
    x[:, 0] = rng.integers(0, 40, 600)
    x[:, 1] = rng.integers(0, 3, 600)
    x[::7, :2] = np.nan
    y = np.isin(x[:, 0], [1, 2, 3, 7, 21, 39]) * 3.0 - (x[:, 1] == 2) + np.nan_to_num(x[:, 2])
    types = ["c", "c", *["float"] * (FEATURES - 2)]
    data = xgboost.DMatrix(x, y, feature_types=types, enable_categorical=True)
    options = {"max_depth": 6, "max_cat_to_onehot": onehot, "nthread": 1}
    booster = xgboost.train(options, data, 10)
    assert any(tree["categories_nodes"] for tree in trees(json.loads(saved(booster))))
    new = fresh()
    new[:, 0] = rng.choice([*range(45), 2.5, 1e6, np.nan, -0.0], len(new))
    new[:, 1] = rng.choice([0, 1, 2, np.nan], len(new))
    asked = xgboost.DMatrix(new, feature_types=types, enable_categorical=True)
    np.testing.assert_allclose(predicted(saved(booster), new), booster.predict(asked), 1e-6, 1e-7)


def test_several_targets() -> None:
    y = np.stack([SCORE, -SCORE, SCORE**2], axis=1)
    booster = xgboost.train({"max_depth": 3, "nthread": 1}, xgboost.DMatrix(TRAINED, y), 5)
    agrees(booster)


@pytest.mark.parametrize("rounds", [1, 5])
def test_leaves_of_several_numbers(rounds: int) -> None:
    y = np.stack([SCORE, -SCORE, SCORE**2], axis=1)
    options = {"multi_strategy": "multi_output_tree", "max_depth": 3, "nthread": 1}
    booster = xgboost.train(options, xgboost.DMatrix(TRAINED, y), rounds)
    agrees(booster)
    data = json.loads(saved(booster))
    for tree in trees(data):
        _as_before_3_2(tree)
    got = predicted(json.dumps(data).encode(), fresh())
    np.testing.assert_array_equal(got, predicted(saved(booster), fresh()))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("leaf_weights", [1.0, 2.0, 3.0]),
        ("right_children", [9, 9, 9]),
        ("left_children", [-1] * 99),
    ],
)
def test_leaves_without_their_numbers(name: str, value: list[float]) -> None:
    y = np.stack([SCORE, -SCORE], axis=1)
    options = {"multi_strategy": "multi_output_tree", "max_depth": 1, "nthread": 1}
    data = json.loads(saved(xgboost.train(options, xgboost.DMatrix(TRAINED, y), 1)))
    trees(data)[0][name] = value
    with pytest.raises(ModelError, match="'leaf_weights'"):
        predicted(json.dumps(data).encode(), fresh())


def _as_before_3_2(tree: dict[str, Any]) -> None:
    """Each node has its weights, and leaves have no right children."""
    leaves, wide = tree.pop("leaf_weights"), int(tree["tree_param"]["size_leaf_vector"])
    for node, below in enumerate(tree["left_children"]):
        if below == -1:
            at = tree["right_children"][node]
            tree["base_weights"][node * wide : (node + 1) * wide] = leaves[
                at * wide : (at + 1) * wide
            ]
            tree["right_children"][node] = -1


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "reg:squarederror", "base_score": 0.3},
        {"objective": "binary:logistic"},
        {"objective": "multi:softprob", "num_class": 3},
    ],
    ids=str,
)
def test_linear_boosters(options: dict[str, Any]) -> None:
    """Missing values add nothing."""
    goal = {"bin": "binary", "mul": "class"}.get(str(options["objective"])[:3], "real")
    booster, x = train(goal, booster="gblinear", verbosity=0, **options), table(50, 7)
    got, wanted = predicted(saved(booster), x), booster.predict(xgboost.DMatrix(x))
    np.testing.assert_allclose(got, wanted, 1e-5, 1e-6)


def test_only_some_rounds() -> None:
    booster, x = (
        train("class", objective="multi:softprob", num_class=3, num_parallel_tree=2),
        fresh(),
    )
    read = read_xgboost(saved(booster), "it", 3)
    assert len(read.trees) - 3 * any(isinstance(t.nodes[0], float) for t in read.trees[:3]) == 18
    proto = prediction(read, Input())
    got = compute(import_model(read_model(proto, {"x": x.shape}), TARGET), {"x": x})
    wanted = booster.predict(xgboost.DMatrix(x), iteration_range=(0, 3))
    np.testing.assert_allclose(got["prediction"], wanted, 1e-6, 1e-7)


def test_a_file_is_told_by_its_content(tmp_path: Path) -> None:
    booster = train()
    for name in ("model.json", "model.ubj"):
        booster.save_model(tmp_path / name)
        (tmp_path / name).rename(tmp_path / "model.bin")
        read = read_model(tmp_path / "model.bin", {"rows": range(1, 5)})
        assert [i.name for i in read.proto.graph.input] == ["x"]
        assert read.name == "model"


def trees(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["learner"]["gradient_booster"]["model"]["trees"]
    return found


def changed(path: str, value: object) -> bytes:
    """A document with something else at a place."""
    document = json.loads(saved(train(rounds=2)))
    *names, last = path.split("/")
    inner: Any = document
    for name in names:
        inner = inner[int(name) if name.isdigit() else name]
    inner[int(last) if last.isdigit() else last] = value
    return json.dumps(document).encode()


TREES = "learner/gradient_booster/model/trees"
PARAMETERS = "learner/learner_model_param"


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("learner", 3, "'learner' is not an object"),
        ("learner/objective/name", "mine", "the objective 'mine' is not supported"),
        ("learner/gradient_booster/name", "mine", "the booster 'mine' is not supported"),
        ("learner/gradient_booster/name", "gblinear", "its 0 weights are not for 6 features"),
        (f"{PARAMETERS}/num_feature", "2", "asks for feature"),
        (f"{PARAMETERS}/num_feature", "9" * 30, "is not a whole number"),
        (f"{PARAMETERS}/num_class", "1000000", "not for 1000000 targets"),
        (f"{PARAMETERS}/base_score", "nan", "'base_score' is not a number"),
        (f"{PARAMETERS}/base_score", "[1,2]", "has 2 numbers for 1 targets"),
        (TREES, [], "not as many numbers"),
        (f"{TREES}/0/left_children/0", 0, "two branches lead to node 0"),
        (f"{TREES}/0/left_children/0", 10**6, "node 1000000, which is not there"),
        (f"{TREES}/0/left_children/0", 0.5, "numbers that are not whole"),
        (f"{TREES}/0/left_children/0", [1], "is not an array of numbers"),
        (f"{TREES}/0/split_conditions", [1.0], "are not of one length"),
        (f"{TREES}/0/split_type/0", 1, "not listed node by node"),
        (f"{TREES}/0/tree_param/size_leaf_vector", "3", "leaves of 3 numbers are not for 1"),
    ],
)
def test_what_is_wrong_is_told(path: str, value: object, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        predicted(changed(path, value), fresh())


@pytest.mark.parametrize("form", ["json", "ubj"])
def test_damaged_bytes_are_refused_or_read(form: str) -> None:
    """Whatever is cut or changed: an error of ours, or a model."""
    data, rng = saved(train(rounds=1), form), random.Random(3)
    for number in range(300):
        damaged = bytearray(data)
        if number % 3:
            for _ in range(rng.randrange(1, 4)):
                damaged[rng.randrange(len(data))] = rng.randrange(256)
        else:
            del damaged[rng.randrange(len(data)) :]
        with suppress(LuthierError):
            prediction(read_xgboost(bytes(damaged), "it"), Input())


@pytest.mark.parametrize(
    "data",
    [b"{", b'{"a": ' * 100_000, b"{L\xff", b"{i\x01a[$Z#L" + b"\x7f" * 8, b"{i\x01a" + b"[" * 9999,
     b"{i\x01a[#L" + b"\x7f" + b"\xff" * 7, b'{"learner": 1e999999}', b"{}"],
    ids=range(8),
)  # fmt: skip
def test_hostile_documents(data: bytes) -> None:
    with pytest.raises(ModelError):
        read_xgboost(data, "it")


def test_a_dump_is_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    train().dump_model(path, dump_format="json")
    with pytest.raises(ModelError, match=r"not an ONNX file|save_model"):
        read_model(path)
    assert UnsupportedOperator.exit_code == ModelError.exit_code
