"""Ensembles of trees against ONNX Runtime and XGBoost's own predictor, in RESULTS.md.

python -m bench.trees                                    all of them, 1 and 2 threads
python -m bench.trees --trees 100 --depths 6 --threads 1 --print
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import xgboost
from onnx import TensorProto, helper
from rich.console import Console

import luthier
from bench import results, tree_compilers
from bench.kept import Kept, kept
from bench.loops import NEXT
from bench.models import cache_folder
from bench.standings import markdown
from bench.tree_compilers import MOST_NODES, lightgbm_text
from bench.turns import OURS, OURS_IN_C, ROUNDS, Entry, Row, measure

ENGINES = {  # by label
    "onnxruntime": "onnxruntime_loop",
    "xgboost": "xgboost",
    "lleaves": "lleaves_loop",
    "tl2cgen": "tl2cgen_loop",
}
COMPILERS = ("lleaves", "tl2cgen")
PEERS = tuple(ENGINES)
ROWS = (1, 1000)
MOST_TREES = 1000
FEATURES, _TRAINED = 28, 20_000
_CALLS = 4096  # with different rows, one after the other
_READING = """\
Milliseconds of one call with so many rows of {features} elements, and how many times as long others
take. Gradient boosting by XGBoost on {trained} random rows; default schedules; medians of {rounds}
rounds in turns, through C APIs with bound buffers but for XGBoost, which predicts in place. Calls
with one row get another row each, of 4,096, but XGBoost's. lleaves and TL2cgen have one thread, and
ensembles of at most {most:,} places of nodes, which they compile within a minute."""

console = Console(stderr=True)


def trained(depth: int) -> xgboost.Booster:
    """A regression of a function of random numbers, some of which are missing."""
    rng = np.random.default_rng(depth)
    x = rng.standard_normal((_TRAINED, FEATURES)).astype(np.float32)
    y = np.sin(x[:, 0] * x[:, 1]) + x[:, 2:8].sum(axis=1) + rng.standard_normal(_TRAINED)
    x[rng.random(x.shape) < 0.02] = np.nan
    options = {"max_depth": depth, "eta": 0.05, "tree_method": "hist", "min_child_weight": 0,
               "base_score": 0.5, "nthread": 1}  # fmt: skip
    return xgboost.train(options, xgboost.DMatrix(x, y), MOST_TREES)


def exported(booster: xgboost.Booster, rows: int | str) -> onnx.ModelProto:
    """Its trees as ONNX-ML writes them, for so many rows or any number by that name."""
    names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids",
             "missing_value_tracks_true")  # fmt: skip
    lists: dict[str, list[Any]] = {name: [] for name in names}
    leaves: list[tuple[int, int, float]] = []
    for tree, text in enumerate(booster.get_dump(dump_format="json")):
        pending = [json.loads(text)]
        while pending:
            node = pending.pop(0)
            number, is_leaf = node["nodeid"], "leaf" in node
            row: tuple[Any, ...] = (tree, number, 0, 0.0, "LEAF", 0, 0, 0)
            if is_leaf:
                leaves.append((tree, number, node["leaf"]))
            else:
                pending += node["children"]
                missing = int(node["missing"] == node["yes"])
                feature, value = int(node["split"][1:]), node["split_condition"]
                row = (tree, number, feature, value, "BRANCH_LT", node["yes"], node["no"], missing)
            for name, item in zip(names, row, strict=True):
                lists[name].append(item)
    where, places, weights = map(list, zip(*leaves, strict=True))
    made = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        **{f"nodes_{name}": items for name, items in lists.items()},
        n_targets=1,
        target_treeids=where,
        target_nodeids=places,
        target_ids=[0] * len(leaves),
        target_weights=weights,
        base_values=[0.5],
    )
    graph = helper.make_graph(
        [made],
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, 1])],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def written(trees: int, depth: int, rows: int) -> Path:
    """An ensemble as all engines read it, in the cache: the first trees of one for each depth."""
    folder = cache_folder() / f"trees_{trees}_{depth}"
    path, most = folder / f"rows_{rows}.onnx", cache_folder() / f"trees_{depth}.ubj"
    folder.mkdir(parents=True, exist_ok=True)
    if not most.exists():
        trained(depth).save_model(most)
    if not path.exists():
        made = xgboost.Booster(model_file=most)[:trees]
        made.save_model(path.with_suffix(".ubj"))
        if _compiles(trees, depth):
            path.with_suffix(".txt").write_text(lightgbm_text(made, FEATURES))
        onnx.save(exported(made, rows), path)
    return path


def _compiles(trees: int, depth: int) -> bool:
    """Whether compilers of trees take an ensemble in about a minute."""
    return trees << depth <= MOST_NODES


Case = tuple[int, int, int, int]
"""Trees, depth, rows, threads."""


def built(store: Kept, case: Case) -> tuple[Path, Path]:
    """The model and the library of an ensemble."""
    path = written(*case[:3])

    def build(folder: Path) -> None:
        luthier.build(path, folder, log=None, threads=case[-1])

    return path, store.built("trees_{}_{}_{}_{}".format(*case), build)


def compiled(case: Case) -> None:
    """Let the compilers of trees make what they run, which stays beside the model."""
    trees, depth, rows, threads = case
    if threads == 1 and _compiles(trees, depth):
        path = str(written(trees, depth, rows))
        for compiler in (tree_compilers.lleaves, tree_compilers.tl2cgen):
            compiler(path, threads)


def measured(store: Kept, case: Case, rounds: int) -> Row:
    """An ensemble on random rows."""
    trees, depth, count, threads = case
    path, ours = built(store, case)
    rng = np.random.default_rng(count)
    inputs = {"x": rng.standard_normal((count, FEATURES)).astype(np.float32)}
    if count == 1:
        inputs[f"x{NEXT}"] = rng.standard_normal((_CALLS, *inputs["x"].shape)).astype(np.float32)
    entries = [Entry(OURS, OURS_IN_C, ours)]
    entries += [
        Entry(label, ENGINES[label], path)
        for label in PEERS
        if label not in COMPILERS or (threads == 1 and _compiles(trees, depth))
    ]
    return store.row(
        f"trees_{trees}_{depth}_{count}_{threads} row",
        lambda: measure(path.stem, path, threads, entries, rounds, inputs),
    )


def _cells(row: Row, case: Case) -> list[str]:
    absent = "-" if case[-1] > 1 else "too large"
    ratios = (
        f"{row.ratios(peer, OURS)[1]:.2f}" if peer in row.turns else row.failures.get(peer, absent)
        for peer in PEERS
    )
    return [*map(str, case), f"{row.milliseconds(OURS):.4f}", *ratios]


def _mean(rows: Sequence[Sequence[str]]) -> list[str]:
    """Of the best peer of each row, and the least."""
    best = [min(float(c) for c in row[5:] if c.replace(".", "", 1).isdigit()) for row in rows]
    said = f"**{statistics.geometric_mean(best):.2f}** ({min(best):.2f})"
    return ["best peer: mean (least)", "", "", "", "", said, *[""] * (len(PEERS) - 1)]


def main() -> None:
    """Measure the ensembles and write the section."""
    parser = argparse.ArgumentParser(description="Ensembles of trees.")
    parser.add_argument("--trees", type=int, nargs="+", default=[100, 500, MOST_TREES])
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 6, 8, 10])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    parser.add_argument("--kept", type=Path, help="folder for libraries and rows, to go on later")
    parser.add_argument("--build", action="store_true", help="only build")
    options = parser.parse_args()
    cases = list(product(options.trees, options.depths, ROWS, options.threads))
    rows = []
    with kept(options.kept) as store:
        for case in cases:
            if options.build:
                built(store, case)
                compiled(case)
                continue
            rows.append(_cells(measured(store, case, options.rounds), case))
            console.print(" ".join(rows[-1]), highlight=False)
    if options.build:
        return
    head = ["trees", "depth", "rows", "threads", "ms", *PEERS]
    table = [head, ["---:"] * len(head), *rows, _mean(rows)]
    how = {"features": FEATURES, "trained": _TRAINED, "rounds": options.rounds}
    said = _READING.format(**how, most=MOST_NODES)
    text = f"{markdown(table)}\n\n{said}"
    print(text)
    if not options.print:
        results.write("trees", results.command("bench.trees"), text)


if __name__ == "__main__":
    main()
