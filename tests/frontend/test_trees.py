"""Ensembles of trees mean what ONNX Runtime makes of them, in every kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from ml_models import (
    EVERY,
    FLOAT,
    INT64,
    LEQ,
    MODES,
    ORDERS,
    classifier,
    grown,
    ml_model,
    ml_node,
    regressor,
    rows,
    weighed,
)
from onnx import helper
from onnx_models import TARGET, agree, compute, expected
from sized_models import computed

from luthier.frontend import import_entry, import_model
from luthier.schedules import ModelError, UnsupportedOperator
from luthier.schedules.execute import LoadedKernel
from luthier.schedules.ops import evaluate
from luthier.schedules.templates.registry import instantiate, spaces

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


@pytest.mark.parametrize("modes", [LEQ, ("BRANCH_LT",), ("BRANCH_GTE",), ("BRANCH_GT",),
                                   ("BRANCH_EQ",), ("BRANCH_NEQ",), ORDERS, EVERY],
                         ids=lambda m: "-".join(m).replace("BRANCH_", ""))  # fmt: skip
@pytest.mark.parametrize("missing", [False, True])
def test_comparisons_and_the_way_of_nan(modes: tuple[str, ...], missing: bool) -> None:
    nodes = grown(len(modes), trees=7, depth=5, modes=modes, missing=missing)
    x = rows(61, nan=True)
    agree(regressor(x, nodes), {"x": x}, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("how", ["SUM", "AVERAGE", "MIN", "MAX"])
def test_aggregates(dtype: str, targets: int, dense: bool, how: str) -> None:
    nodes = grown(3, trees=9, depth=3)
    x = rows(19, dtype=dtype)
    base = [0.5, -1.25, 2.0][:targets]
    made = regressor(x, nodes, targets, dense, aggregate_function=how, base_values=base)
    agree(made, {"x": x}, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_of_regressors(targets: int, transform: str) -> None:
    nodes = grown(5, trees=3, depth=3)
    x = rows(17)
    probit = {"aggregate_function": "AVERAGE"} if transform == "PROBIT" else {}
    made = regressor(x, nodes, targets, post_transform=transform, **probit)
    agree(made, {"x": x}, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("transform", TRANSFORMS[:4])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("base", [False, True])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("positive", [False, True])
def test_classifiers(transform: str, classes: int, base: bool, dense: bool, positive: bool) -> None:
    nodes = grown(11, trees=8, depth=3)
    x = rows(40)
    given: dict[str, Any] = {"base_values": [0.25, -0.5, 0.125, 1.0][:classes]} if base else {}
    made = classifier(
        x, nodes, classes, dense=dense, positive=positive, post_transform=transform, **given
    )
    agree(made, {"x": x}, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("transform", TRANSFORMS[:4])
def test_the_only_class_is_that_of_all_rows(transform: str) -> None:
    """Its scores are ONNX Runtime's, whose labels are 0 and 1."""
    x, base = rows(40), {"base_values": [0.25]}
    made = classifier(x, grown(11, trees=8, depth=3), 1, post_transform=transform, **base)
    assert np.array_equal(compute(import_model(made, TARGET), {"x": x})["label"], np.full(40, 7))
    del made.graph.output[0]
    agree(made, {"x": x}, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("transform", TRANSFORMS[:4])
@pytest.mark.parametrize("only", [0, 1])
@pytest.mark.parametrize("base", [0, 1, 2])
@pytest.mark.parametrize("positive", [False, True])
def test_two_classes_by_weights_of_one(
    transform: str, only: int, base: int, positive: bool
) -> None:
    nodes = grown(12, trees=6, depth=3)
    x = rows(40)
    given: dict[str, Any] = {"base_values": [0.25, -0.125][:base]} if base else {}
    made = classifier(x, nodes, 2, only=only, positive=positive, post_transform=transform, **given)
    agree(made, {"x": x}, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "int64", "int32"])
def test_classifiers_of_other_types(dtype: str) -> None:
    nodes = grown(13, trees=8, depth=4, modes=ORDERS)
    x = rows(40, dtype=dtype)
    agree(classifier(x, nodes, 3), {"x": x}, rtol=1e-5, atol=1e-6)


def test_many_trees_are_added_in_their_order() -> None:
    nodes = grown(17, trees=300, depth=5)
    x = rows(64)
    agree(regressor(x, nodes), {"x": x}, rtol=0, atol=0)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
@pytest.mark.parametrize("missing", [False, True])
def test_kernels_are_right_by_default(count: int, missing: bool) -> None:
    nodes = grown(19, trees=21, depth=4, missing=missing)
    x = rows(count, nan=True)
    agree(regressor(x, nodes), {"x": x}, kernels=True, rtol=0, atol=0)


KERNELS = {
    "plain": ({}, 1, {}),
    "nan": ({"missing": True}, 1, {}),
    "equal": ({"modes": EVERY, "missing": True}, 2, {}),
    "targets": ({"modes": ORDERS}, 3, {}),
    "rows": ({}, 3, {"dense": True}),
    "least": ({}, 1, {"aggregate_function": "MIN"}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", KERNELS)
def test_every_method_computes_the_same(name: str, dtype: str) -> None:
    grows, targets, attrs = KERNELS[name]
    nodes, x = grown(23, trees=13, depth=4, **grows), rows(37, nan=True, dtype=dtype)
    program = import_model(regressor(x, nodes, targets, **attrs), TARGET)
    (call,) = (c for c in program.calls if c.workload.nodes[0].op == "tree_ensemble")
    args = [x, program.constants[call.args[1]]]
    want = evaluate.run(call.workload, args)
    (space,) = spaces(call.workload, TARGET)
    methods = space.knobs[0].choices
    assert ("compare" in methods) == (name not in ("equal", "rows"))
    for method in methods:
        chains = 2 if method == "compare" else 4
        levels = space.knobs[3].choices[-1] if method == "blocks" else 0
        for grain in (1,) if method == "compare" else (1, 32):
            knobs = {"method": method, "chains": chains, "grain": grain, "levels": levels}
            schedule = space.schedule(knobs)
            got = LoadedKernel(instantiate(call.workload, TARGET, schedule), TARGET).run(args)
            np.testing.assert_array_equal(got, want, err_msg=method)


def test_single_leaves_are_trees() -> None:
    nodes = grown(31, trees=3, depth=0)
    x = rows(5)
    agree(regressor(x, nodes), {"x": x}, kernels=True, rtol=0, atol=0)


@pytest.mark.parametrize("depth", [3, 9])
def test_rows_may_be_open(depth: int) -> None:
    nodes = grown(37, trees=20, depth=depth)
    made = regressor(rows(2), nodes)
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "rows"
    entry = import_entry(made, TARGET, {"rows": range(0, 1001)})
    for count in (0, 1, 2, 7, 8, 100, 1000):
        x = rows(count)
        program = next(
            v for v in entry.variants if all(s.least <= count <= s.most for s in v.symbols)
        )
        out = computed(program, {"rows": count}, {"x": x})["y"]
        assert out.shape == (count, 1)
        if count:
            np.testing.assert_array_equal(out, expected(made, {"x": x})["y"])


# ---- operator set 5 ----


def test_an_ensemble_of_operator_set_5() -> None:
    """A node that asks for one of some values, leaves of several branches, and a tree of a leaf."""
    x = rows(50, 3)
    tensor = helper.make_tensor
    member = [0.25, 1.5, np.nan, -1.0, 0.0, 0.5, np.nan]
    node = ml_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        n_targets=2,
        aggregate_function=1,
        post_transform=0,
        tree_roots=[0, 3],
        nodes_featureids=[0, 1, 2, 0],
        nodes_modes=tensor("modes", onnx.TensorProto.UINT8, (4,), [0, 6, 6, 3]),
        nodes_splits=tensor("splits", FLOAT, (4,), [0.5, 0.0, 0.0, 0.25]),
        nodes_truenodeids=[1, 0, 1, 3],
        nodes_trueleafs=[0, 1, 1, 1],
        nodes_falsenodeids=[2, 2, 3, 4],
        nodes_falseleafs=[0, 1, 1, 1],
        leaf_targetids=[0, 1, 0, 1, 1],
        leaf_weights=tensor("weights", FLOAT, (5,), [1.0, -2.0, 3.5, 0.25, 8.0]),
        membership_values=tensor("sets", FLOAT, (7,), member),
    )
    made = ml_model([node], {"x": x}, {"y": FLOAT}, version=5)
    agree(made, {"x": x}, kernels=True, rtol=1e-6, atol=1e-6)


# ---- what is refused ----


def broken(**changes: Any) -> onnx.ModelProto:
    nodes = grown(41, trees=2, depth=2, shuffled=False, full=True)
    given = {**nodes, **weighed(nodes, "target", 1), "n_targets": 1, **changes}
    for name, change in changes.items():
        if change is None:
            del given[name]
        if callable(change):
            given[name] = change(list({**nodes, **weighed(nodes, "target", 1)}[name]))
    return ml_model(
        [ml_node("TreeEnsembleRegressor", ["x"], ["y"], **given)], {"x": rows(3)}, {"y": FLOAT}
    )


LISTS = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")


def changed(place: int, value: Any) -> Any:
    return lambda items: [*items[:place], value, *items[place + 1 :]]


BROKEN = [
    ({"nodes_truenodeids": changed(0, 99)}, "true child of node 0 in tree 0 is number 99"),
    ({"nodes_falsenodeids": changed(0, -1)}, "false child of node 0 in tree 0 is number -1"),
    ({"nodes_falsenodeids": changed(0, 2**62)}, "is number 4611686018427387904"),
    ({"nodes_truenodeids": changed(1, 0)}, "lead back"),
    ({"nodes_truenodeids": changed(1, 1)}, "lead back"),
    ({"nodes_featureids": changed(0, 6)}, "compares element 6 of a row, which has 6"),
    ({"nodes_featureids": changed(0, -2)}, "compares element -2 of a row"),
    ({"nodes_nodeids": changed(1, 0)}, "two nodes of a tree have the same number"),
    ({"nodes_treeids": changed(0, 1)}, "nodes do not follow one another|is not there"),
    ({"nodes_modes": changed(0, "BRANCH_X")}, "mode 'X'"),
    ({"nodes_values": [1.0]}, "'nodes_values' has 1 numbers"),
    ({"target_ids": changed(0, 1)}, "weight is for target 1 of 1"),
    ({"target_ids": changed(0, -1)}, "weight is for target"),
    ({"target_nodeids": changed(0, 77)}, "a weight is of node 77 in tree 0"),
    ({"target_nodeids": lambda items: [items[1], *items[1:]]}, "two weights for the same target"),
    ({"n_targets": 2**40}, "targets"),
    ({"post_transform": "OTHER"}, "'post_transform' 'OTHER'"),
    ({"aggregate_function": "OTHER"}, "'aggregate_function' 'OTHER'"),
    ({"base_values": [1.0, 2.0, 3.0]}, "3 base values and 1 targets"),
    (dict.fromkeys((f"nodes_{n}" for n in LISTS), None), "no nodes"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), BROKEN, ids=lambda v: str(v)[:30])
def test_what_is_no_ensemble_is_refused_in_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said) as refused:
        import_model(broken(**changes), TARGET)
    assert "\n" not in str(refused.value)


def test_a_chain_beyond_bounds_is_refused() -> None:
    count = 5000
    ids = list(range(2 * count + 1))
    inner = range(count)
    nodes = {
        "nodes_treeids": [0] * len(ids),
        "nodes_nodeids": ids,
        "nodes_featureids": [0] * len(ids),
        "nodes_values": [0.0] * len(ids),
        "nodes_modes": ["BRANCH_LEQ"] * count + ["LEAF"] * (count + 1),
        "nodes_truenodeids": [*(i + 1 for i in inner), *[0] * (count + 1)],
        "nodes_falsenodeids": [*(count + 1 + i for i in inner), *[0] * (count + 1)],
    }
    x = rows(2)
    with pytest.raises(UnsupportedOperator, match="a tree of more than 4096 levels"):
        import_model(regressor(x, nodes), TARGET)


def test_branches_may_meet() -> None:
    """As LightGBM's exporter writes a choice of several categories."""
    nodes = {
        "nodes_treeids": [0] * 7,
        "nodes_nodeids": list(range(7)),
        "nodes_featureids": [0, 0, 1, 2, 0, 0, 0],
        "nodes_values": [0.25, -1.5, 0.5, 0.0, 0.0, 0.0, 0.0],
        "nodes_modes": ["BRANCH_EQ", "BRANCH_EQ", "BRANCH_LEQ", "BRANCH_GT", *["LEAF"] * 3],
        "nodes_truenodeids": [2, 2, 4, 5, 0, 0, 0],
        "nodes_falsenodeids": [1, 3, 5, 6, 0, 0, 0],
    }
    x = rows(60)
    agree(regressor(x, nodes), {"x": x}, kernels=True, rtol=0, atol=0)


def test_few_of_many_targets_take_no_more_memory_than_the_model_justifies() -> None:
    nodes = grown(43, trees=200, depth=2, full=True)
    weights = weighed(nodes, "target", 1)
    count = len(weights["target_ids"])
    weights["target_ids"] = [int(i) for i in np.random.default_rng(0).integers(0, 10**6, count)]
    node = ml_node("TreeEnsembleRegressor", ["x"], ["y"], **nodes, **weights, n_targets=10**6)
    made = ml_model([node], {"x": rows(2)}, {"y": FLOAT})
    with pytest.raises(UnsupportedOperator, match="weights for few of 1000000 targets"):
        import_model(made, TARGET)


def test_the_domain_need_not_be_imported() -> None:
    x = rows(9)
    made = regressor(x, grown(47))
    del made.opset_import[1]
    out = compute(import_model(made, TARGET), {"x": x})["y"]
    np.testing.assert_array_equal(out, expected(regressor(x, grown(47)), {"x": x})["y"])


def test_labels_are_whole_numbers() -> None:
    x = rows(9)
    made = classifier(x, grown(53), 3)
    assert made.graph.output[0].type.tensor_type.elem_type == INT64
    program = import_model(made, TARGET)
    assert set(np.unique(compute(program, {"x": x})["label"])) <= {7, 10, 13}
    assert MODES[0] == "BRANCH_LEQ"
