"""Small files of large models: work and memory stay in proportion, or they are refused."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import TARGET

from luthier.frontend import import_model
from luthier.schedules import ModelError

N = helper.make_node
MILLIONS = 16_000_000  # 64 MB as float32


def small(
    nodes: list[onnx.NodeProto],
    x: list[int],
    outputs: tuple[str, ...] = ("y",),
    dtype: int = TensorProto.FLOAT,
    opset: int = 19,
    **constants: object,
) -> onnx.ModelProto:
    """A model whose shapes nobody infers here, since that may never end."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", dtype, x)],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def doubled(value: str, times: int) -> list[onnx.NodeProto]:
    names = [value, *(f"v{i}" for i in range(times))]
    return [N("Concat", [a, a], [b], axis=0) for a, b in itertools.pairwise(names)]


def filled(count: int) -> list[onnx.NodeProto]:
    """Sines of as many large constants of a few bytes."""
    nodes = [N("ConstantOfShape", ["size"], [f"c{i}"]) for i in range(count)]
    nodes += [N("Sin", [f"c{i}"], [f"s{i}"]) for i in range(count)]
    nodes += [N("Add", [f"s{i}", f"k{i}"], [f"a{i}"]) for i in range(count)]
    return [*nodes, N("Sum", [f"a{i}" for i in range(count)] + ["x"], ["y"])]


REFUSED = {
    "OneHot": (
        small(
            [N("OneHot", ["x", "depth", "values"], ["y"])],
            [4],
            dtype=TensorProto.INT64,
            depth=[400_000_000],
            values=np.float32([0, 1]),
        ),
        "OneHot 'y': a table of 400000000 elements",
    ),
    "EyeLike": (small([N("EyeLike", ["x"], ["y"])], [40_000, 40_000]), "a table of 1600000000"),
    "Range": (
        small(
            [N("Range", ["a", "b", "c"], ["r"]), N("Add", ["r", "x"], ["y"])],
            [1],
            a=np.float32(0),
            b=np.float32(2e9),
            c=np.float32(1),
        ),
        "Range 'r': 2000000000 elements",
    ),
    "Pad": (
        small([N("Pad", ["x", "p"], ["y"], mode="wrap")], [1], p=[0, 2_000_000_000]),
        "Pad 'y': a table of 2000000001 elements",
    ),
    "Upsample": (
        small([N("Upsample", ["x", "s"], ["y"])], [2], opset=9, s=np.float32([1e9])),
        "Upsample 'y': a size of 2000000000",
    ),
    "Concat": (
        small([*doubled("x", 40), N("Neg", ["v39"], ["y"])], [1]),
        r"Concat 'v30': the shape \[2147483648\] has more elements",
    ),
    "input": (
        small([N("Neg", ["x"], ["y"])], [2**62]),
        rf"'x' has the shape \[{2**62}\], which is too",
    ),
    "MatMul": (
        small([N("Einsum", ["x"] * 5, ["y"], equation="i,j,k,l,m->ijklm")], [1000]),
        "more elements than can be indexed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_tensor_that_is_too_large_is_refused_before_it_is_made(name: str) -> None:
    proto, said = REFUSED[name]
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=said):
            import_model(proto, TARGET)
        assert tracemalloc.get_traced_memory()[1] < 256 << 20
    finally:
        tracemalloc.stop()


BOUNDED = {
    "many constants": small(
        filled(60), [1], size=[MILLIONS], **{f"k{i}": np.float32(i) for i in range(60)}
    ),
    "many outputs": small(
        [N("ConstantOfShape", ["size"], ["c"])]
        + [N("Sub", ["c", f"k{i}"], [f"y{i}"]) for i in range(60)],
        [1],
        tuple(f"y{i}" for i in range(60)),
        size=[MILLIONS],
        **{f"k{i}": np.float32(i) for i in range(60)},
    ),
    "a chain": small(
        [N("ConstantOfShape", ["size"], ["c0"])]
        + [N("Sin", [f"c{i}"], [f"c{i + 1}"]) for i in range(60)]
        + [N("Add", ["c60", "x"], ["y"])],
        [1],
        size=[MILLIONS],
    ),
    "constants that double": small(
        [*doubled("k", 28), N("Add", ["v27", "x"], ["y"])], [1], k=np.float32([1])
    ),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_constants_that_grow_are_left_to_run_time(name: str) -> None:
    tracemalloc.start()
    try:
        program = import_model(BOUNDED[name], TARGET)
        assert tracemalloc.get_traced_memory()[1] < 1 << 30
    finally:
        tracemalloc.stop()
    held = {id(a.base if a.base is not None else a): a for a in program.constants.values()}
    assert sum(0 if 0 in a.strides else a.nbytes for a in held.values()) <= 512 << 20


def test_graphs_nested_too_deeply() -> None:
    proto = small([N("Neg", ["x"], ["y"])], [1])
    node = proto.graph.node.add(op_type="If")
    for _ in range(3000):
        node = node.attribute.add(name="then_branch", type=5).g.node.add(op_type="If")
    with pytest.raises(ModelError, match="the model's graphs are nested too deeply"):
        import_model(proto, TARGET)
