"""Models of XGBoost, as it saves them since version 1.0: JSON, or Universal Binary JSON.

https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html describes the format. A row's
sum begins with the base score, then come the trees in order, all in float32, as XGBoost adds them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import ModelError, UnsupportedOperator

from . import fields
from .booster import EXP, IDENTITY, LARGEST, SIGMOID, SOFTMAX, STEP, Booster
from .trees import Cut, Node, Split, Tree, around, single_leaves
from .ubjson import decoded

_MOST_TARGETS = 1 << 24
_MOST_CATEGORY = 1 << 24  # from here on float32 has not all whole numbers
_NAMED = ("split_conditions", "split_indices", "left_children", "right_children", "default_left")


def _logit(share: float) -> float:
    if not 0 < share < 1:
        return math.nan
    return float(-np.log(np.float32(1) / np.float32(share) - np.float32(1)))


def _log(value: float) -> float:
    return float(np.log(np.float32(value))) if value > 0 else math.nan


def _same(value: float) -> float:
    return value


# By the name of an objective what becomes of sums, and the sum that a base score is.
_OBJECTIVES: dict[str, tuple[str, Callable[[float], float]]] = {
    **dict.fromkeys(
        (
            "reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror",
            "reg:absoluteerror", "reg:quantileerror", "reg:expectileerror", "rank:pairwise",
            "rank:ndcg", "rank:map",
        ),
        (IDENTITY, _same),
    ),
    **dict.fromkeys(("binary:logistic", "reg:logistic"), (SIGMOID, _logit)),
    "binary:logitraw": (IDENTITY, _same),
    "binary:hinge": (STEP, _same),
    "multi:softprob": (SOFTMAX, _same),
    "multi:softmax": (LARGEST, _same),
    **dict.fromkeys(
        ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"), (EXP, _log)
    ),
}  # fmt: skip


def is_xgboost(data: bytes) -> bool:
    """Whether this is a document, of which no other format of models is."""
    return data[:1] == b"{"


def read_xgboost(data: bytes, where: str, rounds: int | None = None) -> Booster:
    """The booster of a document, of its first ``rounds`` where these are given.

    Raises ModelError for what is wrong, and UnsupportedOperator for boosters and objectives that
    are not supported.
    """
    document = _document(data, where)
    if not isinstance(document, Mapping) or "learner" not in document:
        raise ModelError(
            f"{where}: this is not a model of XGBoost (it has no 'learner'); save one with "
            "Booster.save_model, not with dump_model"
        )
    learner = fields.mapping(document, "learner", where)
    parameters = fields.mapping(learner, "learner_model_param", where)
    objective = _name(learner, "objective", where)
    if objective not in _OBJECTIVES:
        raise UnsupportedOperator(
            f"{where}: the objective '{objective[:60]}' is not supported: train with one of "
            "XGBoost's own, or save the model with binary:logitraw or reg:squarederror for its sums"
        )
    transform, to_sum = _OBJECTIVES[objective]
    features = fields.whole(
        fields.text(parameters, "num_feature", where), f"{where}: 'num_feature'", 1,
        fields.MOST_FEATURES,
    )  # fmt: skip
    targets = _targets(parameters, where)
    is_linear = _name(learner, "gradient_booster", where) == "gblinear"
    weights = _weights(learner, features, targets, where) if is_linear else None
    trees: Sequence[Tree] = [] if is_linear else _trees(learner, targets, where, rounds)
    base = _base(fields.text(parameters, "base_score", where), targets, to_sum, where)
    if weights is not None:
        weights[-1] += np.float32(base[0])  # the first target's score, for all of them
    elif any(base):
        trees = [*single_leaves(base), *trees]
    return Booster(
        trees, features, targets, "float32", transform, where, "xgboost", weights=weights
    )  # fmt: skip


def _document(data: bytes, where: str) -> Any:
    if data[1:2] in (b"i", b"U", b"I", b"l", b"L", b"#", b"$", b"N"):
        return decoded(data, where)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where}: it is cut short, or not JSON") from error


def _name(document: Mapping[str, Any], part: str, where: str) -> str:
    return fields.text(fields.mapping(document, part, where), "name", f"{where}: '{part}'")


def _targets(parameters: Mapping[str, Any], where: str) -> int:
    """Sums of a row: one for each class, or for each number that is predicted."""
    found = [
        fields.whole(
            fields.text(parameters, name, where, default), f"{where}: '{name}'", 0, _MOST_TARGETS
        )
        for name, default in (("num_class", "0"), ("num_target", "1"))
    ]
    return max(1, *found)


def _base(
    given: str, targets: int, to_sum: Callable[[float], float], where: str
) -> Sequence[float]:
    """What each target's sum begins with. Since 3.1 it is a list, in brackets."""
    what = f"{where}: 'base_score'"
    scores = [fields.real(each, what) for each in given.strip("[]").split(",")]
    if len(scores) not in (1, targets):
        raise ModelError(f"{what} has {len(scores)} numbers for {targets} targets")
    with np.errstate(all="ignore"):
        sums = [to_sum(float(np.float32(score))) for score in scores]
    if not all(map(math.isfinite, sums)):
        raise ModelError(f"{what} is {given[:40]}, which is none of the objective's predictions")
    return sums * (targets if len(sums) == 1 else 1)


def _weights(
    learner: Mapping[str, Any], features: int, targets: int, where: str
) -> NDArray[np.float32]:
    """Of a linear booster, a row for each feature, then what is added to the base score."""
    model = fields.mapping(fields.mapping(learner, "gradient_booster", where), "model", where)
    weights = fields.floats(model, "weights", where)
    if weights.size != (features + 1) * targets:
        raise ModelError(
            f"{where}: its {weights.size} weights are not for {features} features and {targets} "
            "targets"
        )
    if np.isnan(weights).any():
        raise ModelError(f"{where}: a weight is not a number")
    with np.errstate(all="ignore"):
        return weights.astype(np.float32).reshape(features + 1, targets)


def _trees(
    learner: Mapping[str, Any], targets: int, where: str, rounds: int | None
) -> Sequence[Tree]:
    booster = fields.mapping(learner, "gradient_booster", where)
    kind = fields.text(booster, "name", where)
    weights = None
    if kind == "dart":
        weights = fields.floats(booster, "weight_drop", where)
        booster = fields.mapping(booster, "gbtree", where)
    elif kind != "gbtree":
        raise UnsupportedOperator(
            f"{where}: the booster '{kind[:40]}' is not supported: train with gbtree, dart or "
            "gblinear"
        )
    model = fields.mapping(booster, "model", where)
    listed = fields.sequence(model, "trees", where)
    of_target = fields.ints(model, "tree_info", where)
    if len(of_target) != len(listed) or (weights is not None and len(weights) != len(listed)):
        raise ModelError(f"{where}: it has {len(listed)} trees, and not as many numbers for them")
    widths = [_width(each, f"{where}: tree {number}") for number, each in enumerate(listed)]
    are_enough = targets <= sum(widths)
    if len(listed) and not (0 <= of_target.min() <= of_target.max() < targets and are_enough):
        raise ModelError(f"{where}: its {len(listed)} trees are not for {targets} targets")
    count = len(listed) if rounds is None else _first(model, rounds, len(listed), targets, where)
    found = []
    for number, each in enumerate(listed[:count]):
        weight = 1.0 if weights is None else float(weights[number])
        tree, target, width = f"{where}: tree {number}", int(of_target[number]), widths[number]
        if width > 1 and (width != targets or target):
            raise ModelError(f"{tree}: its leaves of {width} numbers are not for {targets} targets")
        found.append(Tree(_nodes(each, width, weight, tree), target))
    return found


def _first(model: Mapping[str, Any], rounds: int, trees: int, targets: int, where: str) -> int:
    """How many trees there are in so many rounds."""
    begins = fields.ints(model, "iteration_indptr", where)  # since 2.0
    if begins.size:
        return int(begins[min(rounds, begins.size - 1)])
    parameters = fields.mapping(model, "gbtree_model_param", where)
    parallel = fields.whole(
        fields.text(parameters, "num_parallel_tree", where, "1"),
        f"{where}: 'num_parallel_tree'", 0, trees,
    )  # fmt: skip
    return min(trees, rounds * targets * max(1, parallel))


def _width(tree: Any, where: str) -> int:
    """How many numbers a leaf has."""
    if not isinstance(tree, Mapping):
        raise ModelError(f"{where} is not an object")
    parameters = fields.mapping(tree, "tree_param", where)
    given = fields.text(parameters, "size_leaf_vector", where, "1")
    return max(1, fields.whole(given, f"{where}: 'size_leaf_vector'", 0, _MOST_TARGETS))


def _nodes(tree: Mapping[str, Any], width: int, weight: float, where: str) -> Sequence[Node]:
    feature, left, right, default = (fields.ints(tree, name, where) for name in _NAMED[1:])
    with np.errstate(all="ignore"):
        conditions = fields.floats(tree, "split_conditions", where).astype(np.float32)
        added = conditions if width == 1 else _vectors(tree, width, left, right, where)
        leaves = added * np.float32(weight)
    count = conditions.size
    if not count or any(each.size != count for each in (feature, left, right, default)):
        raise ModelError(f"{where}: its lists {', '.join(_NAMED)} are not of one length")
    if np.isnan(conditions).any() or np.isnan(leaves).any():
        raise ModelError(f"{where}: a condition or a leaf is not a number")
    categories = _categories(tree, count, where)
    rows = zip(
        left.tolist(), right.tolist(), feature.tolist(), default.tolist(), conditions.tolist(),
        leaves.tolist(), strict=True,
    )  # fmt: skip
    found: list[Node] = []
    for at, (below, above, element, is_low, condition, leaf) in enumerate(rows):
        if below == -1:
            found.append(leaf if width == 1 else tuple(leaf))
            continue
        # What is one of the categories goes to the right.
        cuts = categories[at] if at in categories else [Cut(condition, inclusive=False)]
        found.append(Split(element, cuts, below, above, bool(is_low)))
    return found


def _vectors(
    tree: Mapping[str, Any], width: int, left: NDArray[Any], right: NDArray[Any], where: str
) -> NDArray[np.float32]:
    """What each node would add as a leaf of several numbers. Since 3.2 leaves have numbers of their
    own, which stand for their right children; before, each node had its weights."""
    name = "leaf_weights" if "leaf_weights" in tree else "base_weights"
    weights = fields.floats(tree, name, where).astype(np.float32)
    count = weights.size // width
    if weights.size % width or not left.size == right.size <= 2 * count:
        raise ModelError(f"{where}: its {weights.size} '{name}' are not {width} for each leaf")
    places = right if name == "leaf_weights" else np.arange(left.size)
    places = np.where(left == -1, places, 0)
    if (places < 0).any() or (places >= count).any():
        raise ModelError(f"{where}: a leaf has no '{name}'")
    found: NDArray[np.float32] = weights.reshape(count, width)[places]
    return found


def _categories(tree: Mapping[str, Any], count: int, where: str) -> dict[int, list[Cut]]:
    """By the node that asks for categories the cuts around these."""
    nodes, begins, sizes, values = (
        fields.ints(tree, name, where)
        for name in ("categories_nodes", "categories_segments", "categories_sizes", "categories")
    )
    asking = np.flatnonzero(fields.ints(tree, "split_type", where))
    ends = np.cumsum(sizes)
    if not (
        nodes.size == begins.size == sizes.size
        and np.array_equal(ends - sizes, begins)
        and ((sizes >= 0) & (sizes <= values.size)).all()
        and values.size == (ends[-1] if ends.size else 0)
        and np.isin(asking, nodes).all()
    ):
        raise ModelError(f"{where}: its categories are not listed node by node")
    if values.size and not 0 <= values.min() <= values.max() < _MOST_CATEGORY:
        raise ModelError(f"{where}: a category is not from 0 to {_MOST_CATEGORY - 1}")
    return {
        node: around(np.unique(values[begin:end]).tolist(), toward_zero=False)
        for node, begin, end in zip(nodes.tolist(), begins.tolist(), ends.tolist(), strict=True)
        if 0 <= node < count
    }
