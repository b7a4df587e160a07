"""Types of the results of ONNX-ML's operators, of which onnx's inference knows few."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import TensorProto

from ..opset import attributes_of
from .domain import is_ml

_FLOAT, _INT64 = TensorProto.FLOAT, TensorProto.INT64
_CLASSIFIERS = ("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier")
_SAME = ("Binarizer", "Imputer", "Normalizer", "Scaler")
_TARGETS = {"LinearRegressor": "targets", "TreeEnsemble": "n_targets",
            "TreeEnsembleRegressor": "n_targets"}  # fmt: skip


def result_shapes(
    node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]]
) -> list[tuple[str, int, list[int]]]:
    """Of each result its name, its element type or 0, and its shape, as far as these are known."""
    if not is_ml(node.domain) or not all(name in shapes for name in node.input):
        return []
    attrs = attributes_of(node)
    given = [list(shapes[name]) for name in node.input]
    found = _shapes(node, attrs, given) if given else []
    return [(name, *each) for name, each in zip(node.output, found, strict=False) if name]


def _shapes(
    node: onnx.NodeProto, attrs: Mapping[str, Any], given: list[list[int]]
) -> list[tuple[int, list[int]]]:
    x = given[0]
    rows, op = 1 if len(x) < 2 else x[0], node.op_type
    found: list[tuple[int, list[int]]] = []
    if op in _CLASSIFIERS:
        found = [(_INT64, [rows]), (_FLOAT, [rows, _scores(op, attrs)])]
    elif op in _TARGETS:
        kind = 0 if op == "TreeEnsemble" else _FLOAT
        found = [(kind, [rows, int(attrs.get(_TARGETS[op], 1))])]
    elif op == "SVMRegressor":
        found = [(_FLOAT, [rows, 1])]
    elif op in _SAME:
        found = [(_FLOAT if op in ("Normalizer", "Scaler") else 0, x)]
    elif op == "OneHotEncoder":
        found = [(_FLOAT, [*x, len(attrs.get("cats_int64s", ()))])]
    elif op == "FeatureVectorizer":
        found = [(_FLOAT, [rows, sum(attrs.get("inputdimensions", ()))])]
    elif op == "ArrayFeatureExtractor" and len(given) == 2:
        found = [(0, [*(x[:-1] if len(x) > 1 else [1]), math.prod(given[1])])]
    return found


def _scores(op: str, attrs: Mapping[str, Any]) -> int:
    names = ("classlabels_ints", "classlabels_int64s", "classlabels_strings")
    labels = max(len(attrs.get(name, ())) for name in names)
    if op == "LinearClassifier":
        rows = len(attrs.get("intercepts", ())) or labels
        return 2 if rows == 1 and labels == 2 else rows
    if op == "SVMClassifier" and sum(attrs.get("vectors_per_class", ())):
        return labels if labels == 2 or attrs.get("prob_a") else labels * (labels - 1) // 2
    return labels
