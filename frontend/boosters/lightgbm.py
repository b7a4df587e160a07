"""Models of LightGBM, as it saves them in text: versions v2 to v4 of the format.

What decides at a node is in LightGBM's ``tree.h`` (NumericalDecision, CategoricalDecision), what
becomes of sums in each objective's ``ConvertOutput``. Elements are compared and leaves are summed
in float64, in the order of the trees, as LightGBM does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules import ModelError, UnsupportedOperator

from . import fields
from .booster import EXP, IDENTITY, SIGMOID, SOFTMAX, SOFTPLUS, SQUARE, Booster
from .trees import Cut, Node, Split, Tree, around, with_zone

_BEGIN = b"tree\n"
_VERSIONS = ("v2", "v3", "v4")
_MOST_TARGETS = 1 << 24
_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # bits of a decision's type; the two after say what is missing
_NOTHING, _ZERO, _NAN = range(3)
_NEARLY = float(np.float32(1e-35))  # what LightGBM takes for zero
_WORD = 32

_TRANSFORMS = {
    **dict.fromkeys(
        ("regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg"),
        IDENTITY,
    ),
    **dict.fromkeys(("poisson", "gamma", "tweedie"), EXP),
    **dict.fromkeys(("binary", "multiclassova", "cross_entropy"), SIGMOID),
    "multiclass": SOFTMAX,
    "cross_entropy_lambda": SOFTPLUS,
}


def is_lightgbm(data: bytes) -> bool:
    """Whether this is such a text, of which no other format of models is."""
    return data[:6].replace(b"\r", b"").startswith(_BEGIN)


def read_lightgbm(data: bytes, where: str) -> Booster:
    """The booster of a text.

    Raises ModelError for what is wrong, and UnsupportedOperator for what is not supported.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"{where}: a name in it is not UTF-8 text") from error
    whole, end, _ = text.partition("\nend of trees")
    if not end:
        raise ModelError(f"{where}: it is cut short (it has no 'end of trees')")
    head, *blocks = whole.split("\nTree=")
    header = _lines(head)
    version = header.get("version", "none")
    if version not in _VERSIONS:
        raise UnsupportedOperator(
            f"{where}: version {version[:20]} of LightGBM's format is not known: "
            f"{', '.join(_VERSIONS)} are"
        )
    targets = fields.whole(
        fields.text(header, "num_tree_per_iteration", where),
        f"{where}: 'num_tree_per_iteration'", 1, _MOST_TARGETS,
    )  # fmt: skip
    last = fields.whole(
        fields.text(header, "max_feature_idx", where), f"{where}: 'max_feature_idx'", 0,
        fields.MOST_FEATURES - 1,
    )  # fmt: skip
    if len(blocks) % targets:
        raise ModelError(f"{where}: its {len(blocks)} trees are not for {targets} targets")
    trees = [
        Tree(_nodes(_lines(block), f"{where}: tree {number}"), number % targets)
        for number, block in enumerate(blocks)
    ]
    transform, slope = _transform(header.get("objective", ""), where)
    rounds = len(blocks) // targets if "average_output" in header else 1
    return Booster(
        trees, last + 1, targets, "float64", transform, where, "lightgbm", slope, rounds
    )  # fmt: skip


def _lines(block: str) -> dict[str, str]:
    """What is said in lines ``name=value``; a line without a value is a name alone."""
    pairs = (line.strip().partition("=") for line in block.split("\n"))
    return {name: value for name, _, value in pairs}


def _transform(objective: str, where: str) -> tuple[str, float]:
    """What becomes of sums, and what they are multiplied with before."""
    name, *said = objective.split() or [""]
    options = dict(each.partition(":")[::2] for each in said)
    if name == "regression":
        return SQUARE if "sqrt" in options else IDENTITY, 1.0
    if name in ("", "none", "custom"):  # LightGBM does not know what becomes of them
        return IDENTITY, 1.0
    if name not in _TRANSFORMS:
        raise UnsupportedOperator(
            f"{where}: the objective '{name[:60]}' is not supported: those of LightGBM 4 are"
        )
    slope = fields.real(options.get("sigmoid", "1"), f"{where}: the objective's 'sigmoid'")
    if not math.isfinite(slope):
        raise ModelError(f"{where}: the objective's 'sigmoid' is {slope}")
    return _TRANSFORMS[name], slope


def _nodes(tree: Mapping[str, str], where: str) -> Sequence[Node]:
    """Inner nodes, then leaves."""
    if tree.get("is_linear", "0").strip() not in ("0", ""):
        raise UnsupportedOperator(
            f"{where}: linear models in leaves are not supported: train without linear_tree"
        )
    leaves = _array(tree, "leaf_value", np.float64, where)
    if not leaves.size or np.isnan(leaves).any():
        raise ModelError(f"{where}: its leaves have no values")
    inner = leaves.size - 1
    if not inner:
        return [float(leaves[0])]
    names = ("split_feature", "decision_type", "left_child", "right_child")
    whole = [_array(tree, name, np.int64, where) for name in names]
    thresholds = _array(tree, "threshold", np.float64, where)
    if any(each.size != inner for each in (*whole, thresholds)) or np.isnan(thresholds).any():
        raise ModelError(
            f"{where}: its lists {', '.join(names)}, threshold are not of {inner} numbers"
        )
    feature, kind, left, right = whole
    left, right = (np.where(each < 0, inner + ~each, each) for each in (left, right))
    sets = _sets(tree, thresholds[(kind & _CATEGORICAL) != 0], where)
    rows = zip(
        feature.tolist(), kind.tolist(), left.tolist(), right.tolist(), thresholds.tolist(),
        strict=True,
    )  # fmt: skip
    return [*(_split(row, sets) for row in rows), *leaves.tolist()]


def _split(row: tuple[int, int, int, int, float], sets: Mapping[float, list[Cut]]) -> Split:
    feature, kind, left, right, threshold = row
    if kind & _CATEGORICAL:  # categories of the set go to the left, all others and NaN do not
        return Split(feature, sets[threshold], right, left, nan_is_low=True)
    missing, default_left = (kind >> 2) & 3, bool(kind & _DEFAULT_LEFT)
    cuts: Sequence[Cut] = [Cut(threshold, inclusive=True)]
    nan_is_left = default_left if missing else threshold >= 0
    if missing == _ZERO:
        low, high = Cut(-_NEARLY, inclusive=False), Cut(_NEARLY, inclusive=True)
        cuts = with_zone(cuts, low, high, is_low=default_left)
    return Split(feature, cuts, left, right, nan_is_left)


def _sets(tree: Mapping[str, str], used: NDArray[np.float64], where: str) -> dict[float, list[Cut]]:
    """By the number of a set of categories the cuts around them; a node each ``used`` one."""
    if not used.size:
        return {}
    begins = _array(tree, "cat_boundaries", np.int64, where)
    words = _array(tree, "cat_threshold", np.int64, where)
    count = begins.size - 1
    if (
        np.unique(used).size < used.size
        or not np.isin(used, np.arange(count)).all()
        or (np.diff(begins) < 0).any()
        or not 0 <= begins[0] <= begins[-1] <= words.size
        or (words < 0).any()
        or (words >= 1 << _WORD).any()
    ):
        raise ModelError(f"{where}: its categories are not listed node by node")
    found = {}
    for number in used.tolist():
        own = words[begins[int(number)] : begins[int(number) + 1]].astype("<u4")
        bits = np.unpackbits(own.view(np.uint8), bitorder="little")
        found[number] = around(np.flatnonzero(bits).tolist(), toward_zero=True)
    return found


def _array(tree: Mapping[str, str], name: str, dtype: Any, where: str) -> NDArray[Any]:
    """Numbers with blanks between them; none where the name is not there."""
    try:
        return np.asarray(tree.get(name, "").split(), np.str_).astype(dtype)
    except (ValueError, OverflowError) as error:
        raise ModelError(f"{where}: '{name}' is not a list of numbers") from error
