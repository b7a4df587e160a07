"""Models of ONNX-ML's operators, and random ensembles of trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx_models import value_info

ML = "ai.onnx.ml"
LEQ = ("BRANCH_LEQ",)
ORDERS = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT")
EVERY = (*ORDERS, "BRANCH_EQ", "BRANCH_NEQ")
MODES = (*EVERY, "MEMBER", "LEAF")


def ml_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, int],
    constants: Mapping[str, np.ndarray] | None = None,
    version: int | None = 3,
    names: Sequence[str | None] = (),
) -> onnx.ModelProto:
    """A model whose outputs have these element types; ``names`` are of inputs' open dimensions."""
    infos = [value_info(n, a) for n, a in inputs.items()]
    for info in infos:
        for dim, name in zip(info.type.tensor_type.shape.dim, names, strict=False):
            if name is not None:
                dim.dim_param = name
    graph = helper.make_graph(
        list(nodes),
        "small",
        infos,
        [helper.make_tensor_value_info(n, kind, None) for n, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", 18)]
    if version is not None:
        imports.append(helper.make_opsetid(ML, version))
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def ml_node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attrs: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, outputs, domain=ML, **attrs)


def grown(
    seed: int,
    *,
    trees: int = 5,
    depth: int = 4,
    features: int = 6,
    modes: Sequence[str] = LEQ,
    missing: bool = False,
    full: bool = False,
    shuffled: bool = True,
) -> dict[str, Any]:
    """The nodes of random trees, with thresholds that rows of ``rows`` meet exactly."""
    rng = np.random.default_rng([seed, trees, depth, features])
    lists: dict[str, list[Any]] = {
        name: []
        for name in (
            "treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids",
            "missing_value_tracks_true",
        )
    }  # fmt: skip
    for tree in range(trees):
        nodes: list[list[Any]] = []

        def grow(level: int, nodes: list[list[Any]] = nodes) -> int:
            place = len(nodes)
            leaf = level == depth or (not full and level > 0 and rng.random() < 0.25)
            if leaf:
                nodes.append([0, 0.0, "LEAF", 0, 0, 0])
                return place
            value = float(rng.integers(-8, 9)) / 4
            nan = int(missing and rng.random() < 0.5)
            nodes.append([int(rng.integers(features)), value, str(rng.choice(modes)), 0, 0, nan])
            nodes[place][3] = grow(level + 1, nodes)
            nodes[place][4] = grow(level + 1, nodes)
            return place

        grow(0)
        numbers = np.arange(len(nodes))
        if shuffled:  # any number may name a node, the root comes first
            numbers = rng.permutation(len(nodes))
        for place, (feature, value, mode, true, false, nan) in enumerate(nodes):
            is_leaf = mode == "LEAF"
            both = (0, 0) if is_leaf else (numbers[true], numbers[false])
            row = (tree, numbers[place], feature, value, mode, *both, nan)
            for name, item in zip(lists, row, strict=True):
                lists[name].append(item if isinstance(item, str | float) else int(item))
    made = {f"nodes_{name}": items for name, items in lists.items()}
    if not missing:
        del made["nodes_missing_value_tracks_true"]
    return made


def weighed(
    nodes: Mapping[str, Any],
    of: str,
    targets: int,
    seed: int = 0,
    *,
    dense: bool = False,
    positive: bool = False,
    only: int | None = None,
) -> dict[str, Any]:
    """Weights of the leaves: of one target a tree, or of all where ``dense``."""
    rng = np.random.default_rng([seed, targets])
    entries: list[tuple[int, int, int, float]] = []
    for tree, place, mode in zip(
        nodes["nodes_treeids"], nodes["nodes_nodeids"], nodes["nodes_modes"], strict=True
    ):
        if mode == "LEAF":
            chosen = range(targets) if dense else [tree % targets if only is None else only]
            for target in chosen:
                weight = rng.uniform(0 if positive else -1, 1) / (4 if positive else 1)
                entries.append((tree, place, target, float(np.float32(weight))))
    names = (f"{of}_treeids", f"{of}_nodeids", f"{of}_ids", f"{of}_weights")
    return dict(zip(names, map(list, zip(*entries, strict=True)), strict=True))


def rows(
    count: int, features: int = 6, seed: int = 0, dtype: str = "float32", nan: bool = False
) -> np.ndarray:
    """Rows of quarters, as thresholds are, zeros of both signs, infinities, NaN where wanted."""
    rng = np.random.default_rng([seed, count, features])
    x = rng.integers(-10, 11, (count, features)) / 4
    if np.dtype(dtype).kind != "f":
        return x.astype(dtype)
    x[rng.random(x.shape) < 0.1] *= -1.0
    for value, share in ((-0.0, 0.05), (np.inf, 0.03), (-np.inf, 0.03), (np.nan, 0.15 * nan)):
        x[rng.random(x.shape) < share] = value
    return x.astype(dtype)


FLOAT, INT64, DOUBLE = TensorProto.FLOAT, TensorProto.INT64, TensorProto.DOUBLE


def regressor(
    x: np.ndarray, nodes: Mapping[str, Any], targets: int = 1, dense: bool = False, **attrs: Any
) -> onnx.ModelProto:
    weights = weighed(nodes, "target", targets, dense=dense)
    given = {**nodes, **weights, "n_targets": targets, **attrs}
    node = ml_node("TreeEnsembleRegressor", ["x"], ["y"], **given)
    names = attrs.pop("names", ())
    return ml_model([node], {"x": x}, {"y": FLOAT}, names=names)


def classifier(
    x: np.ndarray, nodes: Mapping[str, Any], classes: int, **attrs: Any
) -> onnx.ModelProto:
    options = {n: attrs.pop(n) for n in ("dense", "positive", "only") if n in attrs}
    weights = weighed(nodes, "class", classes, **options)
    first = 0 if classes == 2 else 7  # ONNX Runtime names two classes 0 and 1, whatever they are
    labels = [first + (1 if classes == 2 else 3) * i for i in range(classes)]
    given = {"classlabels_int64s": labels, **nodes, **weights, **attrs}
    node = ml_node("TreeEnsembleClassifier", ["x"], ["label", "scores"], **given)
    return ml_model([node], {"x": x}, {"label": INT64, "scores": FLOAT})
