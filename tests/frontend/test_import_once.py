"""What an import at several sizes does once: parts that read weights, and conditions."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import onnx
import pytest
from control_models import N
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_models import TARGET

from luthier.frontend import import_entry
from luthier.frontend.onnx import branches, single
from luthier.frontend.onnx.single import run_node


def found_after_a_product() -> onnx.ModelProto:
    """Rows of what is found, after a product by many weights and an ``If`` of a shape."""
    weights = np.random.default_rng(1).standard_normal((64, 64)).astype(np.float32)
    body = [
        helper.make_graph(
            [N(kind, ["y"], [kind])],
            kind,
            [],
            [helper.make_tensor_value_info(kind, TensorProto.FLOAT, None)],
        )
        for kind in ("Abs", "Neg")
    ]
    nodes = [
        N("MatMul", ["x", "w"], ["y"]),
        N("Shape", ["x"], ["shape"]),
        N("Gather", ["shape", "first"], ["rows"]),
        N("Equal", ["rows", "wanted"], ["is_wanted"]),
        N("If", ["is_wanted"], ["z"], then_branch=body[0], else_branch=body[1]),
        N("NonZero", ["z"], ["places"]),
    ]
    graph = helper.make_graph(
        nodes,
        "found",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 64])],
        [helper.make_tensor_value_info("places", TensorProto.INT64, [2, None])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array(0), "first"),
            numpy_helper.from_array(np.array(3), "wanted"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_a_part_that_reads_weights_is_imported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("luthier.frontend.importing")
    made, products = module._straight_graph, list[str]()

    def counted(model: onnx.ModelProto, *args: object, **kwargs: object) -> object:
        if any(node.op_type == "MatMul" for node in model.graph.node):
            products.append(model.graph.name)
        return made(model, *args, **kwargs)

    monkeypatch.setattr(module, "_straight_graph", counted)
    folded = branches._known.cache_info().misses
    import_entry(found_after_a_product(), TARGET)
    # Once to see that a run finds sizes, and once for all of these.
    assert len(products) == 2
    assert branches._known.cache_info().misses - folded == 1


def test_nodes_that_are_alike_share_what_computes_them() -> None:
    model = onnx.ModelProto(opset_import=[helper.make_opsetid("", 18)])
    made = single._evaluator.cache_info().misses
    for i in range(5):
        node = N("Add", [f"a{i}", f"b{i}"], [f"c{i}"], name=f"n{i}")
        found = run_node(model, node, {f"a{i}": np.array([i]), f"b{i}": np.array([7])})
        assert found is not None
        np.testing.assert_array_equal(found[f"c{i}"], [i + 7])
    assert single._evaluator.cache_info().misses - made == 1


@pytest.mark.parametrize(
    ("node", "arrays"),
    [
        (N("Sub", ["a", "a"], ["c"]), {"a": np.array([4, 2])}),
        (N("Slice", ["x", "b", "e", "", "s"], ["c"]),
         {"x": np.arange(9), "b": np.array([1]), "e": np.array([8]), "s": np.array([3])}),
        (N("Split", ["x", "n"], ["", "c"], axis=0), {"x": np.arange(5), "n": np.array([2, 3])}),
        (N("Cast", ["made/0"], ["given/0"], to=TensorProto.INT32), {"made/0": np.array([3, -1])}),
    ],
)  # fmt: skip
def test_a_node_by_itself_is_what_it_is_under_its_own_names(
    node: onnx.NodeProto, arrays: dict[str, np.ndarray]
) -> None:
    model = onnx.ModelProto(opset_import=[helper.make_opsetid("", 18)])
    ends = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in arrays.items()
    ]
    alone = helper.make_model(
        helper.make_graph([node], "alone", inputs, ends), opset_imports=model.opset_import
    )
    found = run_node(model, node, arrays)
    assert found is not None
    for name, want in zip(found, ReferenceEvaluator(alone).run(None, arrays), strict=True):
        np.testing.assert_array_equal(found[name], want)
