"""Compilers of trees, through the functions that they make, in a loop in C, with one thread.

lleaves reads what LightGBM writes, so XGBoost's trees are written as it does; TL2cgen has them from
Treelite. What they read and what they make is beside the ONNX file, with the same name.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from ctypes import CDLL, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from bench.engines import Arrays
from bench.loops import Bound, Loop

_NAN_GOES_RIGHT, _NAN_GOES_LEFT = 8, 10  # kinds of decisions, where NaN is what is missing
MOST_NODES = 8_000
"""Of larger ensembles compilers take minutes, or hours: lleaves over half a minute for 6,400."""


class _Rows(ctypes.Structure):
    _fields_ = (
        ("predict", c_void_p),
        ("x", c_void_p),
        ("y", c_void_p),
        ("rows", c_size_t),
        ("features", c_size_t),
    )


def lleaves(path: str, threads: int) -> Loop:
    """lleaves, in float64 as it does by default; the whole ensemble is one block for a row."""
    import lleaves

    model = lleaves.Model(model_file=str(Path(path).with_suffix(".txt")))
    _one_thread(threads)
    one_row = path.endswith("_1.onnx")
    blocks = {"fblocksize": model.num_trees()} if one_row else {}
    model.compile(cache=str(Path(path).with_suffix(".lleaves")), **blocks)

    def bind(arrays: Arrays) -> Bound:
        ((name, array),) = arrays.items()
        x = np.array(array, np.float64)
        y = np.zeros((len(x), 1), np.float64)
        return _bound("call_lleaves", model._c_entry_func, {name: x}, y, [model])

    return Loop(bind, lambda: None)


def tl2cgen(path: str, threads: int) -> Loop:
    """TL2cgen's C, by the system's compiler."""
    import tl2cgen
    import treelite

    _one_thread(threads)
    booster, built = (Path(path).with_suffix(suffix) for suffix in (".ubj", ".so"))
    if not built.exists():
        model = treelite.frontend.from_xgboost(xgboost.Booster(model_file=booster))
        tl2cgen.export_lib(model, toolchain="gcc", libpath=built, params={"parallel_comp": 8})
    library = CDLL(str(built))

    def bind(arrays: Arrays) -> Bound:
        ((name, array),) = arrays.items()
        x = np.array(array, np.float32)
        y = np.zeros((len(x), 1), np.float32)
        return _bound("call_tl2cgen", library.predict, {name: x}, y, [library])

    return Loop(bind, lambda: None)


def _one_thread(threads: int) -> None:
    if threads != 1:
        raise ValueError("its function is called by one thread")


def _bound(adapter: str, predict: Any, inputs: Arrays, y: Any, keep: Sequence[Any]) -> Bound:
    (x,) = inputs.values()
    address = ctypes.cast(predict, c_void_p)
    context = _Rows(address, x.ctypes.data, y.ctypes.data, *x.shape)
    return Bound(adapter, context, inputs, {"y": y}, keep)


def lightgbm_text(booster: xgboost.Booster, features: int) -> str:
    """XGBoost's trees as LightGBM writes its own; the base score is a tree of one leaf."""
    base = json.loads(booster.save_config())["learner"]["learner_model_param"]["base_score"]
    trees = [_listed(json.loads(text)) for text in booster.get_dump(dump_format="json")]
    trees.append(([], [float(base.strip("[]"))]))
    head = {
        "version": "v4",
        "num_class": 1,
        "num_tree_per_iteration": 1,
        "label_index": 0,
        "max_feature_idx": features - 1,
        "objective": "regression",
        "feature_names": " ".join(f"f{i}" for i in range(features)),
        "feature_infos": " ".join(["[-10:10]"] * features),
        "tree_sizes": " ".join(["1"] * len(trees)),
    }
    blocks = ["\n".join(["tree", *(f"{name}={value}" for name, value in head.items())])]
    names = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
    for number, (nodes, leaves) in enumerate(trees):
        columns = list(zip(*nodes, strict=True)) or [()] * len(names)
        lines = [f"Tree={number}", f"num_leaves={len(leaves)}", "num_cat=0"]
        lines += [
            f"{name}={' '.join(map(repr, column))}"
            for name, column in zip(names, columns, strict=True)
        ]
        lines.append(f"leaf_value={' '.join(map(repr, leaves))}")
        blocks.append("\n".join(lines))
    return "\n\n".join([*blocks, "end of trees", "pandas_categorical:null\n"])


def _listed(root: Any) -> tuple[list[tuple[Any, ...]], list[float]]:
    """Nodes, as feature, threshold, kind and children, and leaves, whose numbers are negative.

    What is less than a float32 is at most the one before it.
    """
    nodes: list[tuple[Any, ...]] = []
    leaves: list[float] = []

    def place(node: Any) -> int:
        if "leaf" in node:
            leaves.append(float(node["leaf"]))
            return -len(leaves)
        number = len(nodes)
        nodes.append(())
        below = {child["nodeid"]: child for child in node["children"]}
        left, right = place(below[node["yes"]]), place(below[node["no"]])
        kind = _NAN_GOES_LEFT if node["missing"] == node["yes"] else _NAN_GOES_RIGHT
        before = float(np.nextafter(np.float32(node["split_condition"]), np.float32(-np.inf)))
        nodes[number] = (int(node["split"][1:]), before, kind, left, right)
        return number

    place(root)
    return nodes, leaves
