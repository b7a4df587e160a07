"""Relax modules of TVM as graphs, against TVM's own compiler or NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from graph_building import array
from onnx_models import compute

from luthier.frontend.graph import Graph
from luthier.frontend.lowering.lower import lower
from luthier.frontend.passes import PASSES
from luthier.frontend.relax.door import import_relax
from luthier.schedules import LuthierError

tvm = pytest.importorskip("tvm")
from tvm import relax  # noqa: E402

op = relax.op
X = (2, 4, 6, 5)
IMAGE, ROWS = array(*X), array(3, 8)
WEIGHTS = relax.const(array(6, 2, 3, 3, seed=1))
CHANNELS = [relax.const(np.abs(array(4, seed=s)) + 0.5) for s in range(4)]
COLUMNS = [relax.const(array(8, seed=s)) for s in (1, 2)]


def const(values: object, dtype: str) -> relax.Expr:
    return relax.const(np.asarray(values, dtype))


def conv(x: relax.Var) -> relax.Expr:
    return op.nn.conv2d(x, WEIGHTS, padding=(1, 0, 1, 2), strides=(2, 1), groups=2)


def backwards(x: relax.Var) -> relax.Expr:
    return op.strided_slice(op.reshape(x, (8, 3)), [1], [2], [-9], [-1])


# By what they are about: a function of one input, and that input.
CASES = {
    "activations": (lambda x: op.tanh(op.add(op.nn.relu(x), op.sigmoid(x))), ROWS),
    "leaky": (lambda x: op.nn.leakyrelu(x, 0.1), ROWS),
    "gelu": (lambda x: op.add(op.nn.gelu(x), op.nn.gelu_tanh(x)), ROWS),
    "prelu": (lambda x: op.nn.prelu(x, CHANNELS[0], axis=1), IMAGE),
    "clip": (lambda x: op.clip(x, -0.5, 0.25), ROWS),
    "cast": (lambda x: op.astype(op.multiply(x, relax.const(9.0)), "int32"), ROWS),
    "finite": (lambda x: op.isfinite(op.divide(x, op.nn.relu(x))), ROWS),
    "one_hot": (
        lambda x: op.one_hot(
            op.astype(op.abs(x), "int32"), relax.prim_value(1.0), relax.prim_value(0.0), 4
        ),
        ROWS,
    ),
    "triangles": (lambda x: op.subtract(op.tril(x, 1), op.triu(x, -1)), IMAGE),
    "reductions": (lambda x: op.add(op.max(x, [1, -1], keepdims=True), op.mean(x)), IMAGE),
    "variance": (lambda x: op.variance(x, [2, 3]), IMAGE),
    "matmul": (lambda x: op.matmul(x, const(array(8, 3, seed=2), "float32")), ROWS),
    "softmax": (lambda x: op.add(op.nn.softmax(x, 1), op.nn.log_softmax(x, -1)), ROWS),
    "batch_norm": (
        lambda x: relax.TupleGetItem(op.nn.batch_norm(x, *CHANNELS, axis=1, training=False), 0),
        IMAGE,
    ),
    "layer_norm": (lambda x: op.nn.layer_norm(x, *COLUMNS, axes=[-1]), ROWS),
    "group_norm": (
        lambda x: op.nn.group_norm(x, *CHANNELS[:2], num_groups=2, channel_axis=1, axes=[2, 3]),
        IMAGE,
    ),
    "rms_norm": (lambda x: op.nn.rms_norm(x, COLUMNS[0], axes=[-1]), ROWS),
    "conv2d": (conv, IMAGE),
    "conv1d": (
        lambda x: op.nn.conv1d(x, const(array(2, 6, 3, seed=3), "float32"), padding=1),
        array(4, 6, 5),
    ),
    "conv2d_transpose": (
        lambda x: op.nn.conv2d_transpose(
            x, const(array(4, 3, 3, 3), "float32"), strides=2, output_padding=1
        ),
        IMAGE,
    ),
    "pools": (
        lambda x: op.add(op.nn.max_pool2d(x, (3, 2)), op.nn.avg_pool2d(x, (3, 2))),
        IMAGE,
    ),
    "movement": (lambda x: op.concat([op.permute_dims(op.flip(x, 0)), backwards(x)], 1), ROWS),
    "stack": (lambda x: op.stack([x, op.abs(x)], axis=1), ROWS),
    "split": (lambda x: relax.TupleGetItem(op.split(x, [3, 6], 1), 1), ROWS),
    "take": (lambda x: op.take(x, const([2, 0], "int64"), axis=1), ROWS),
    "pad": (lambda x: op.nn.pad(x, (0, 0, 1, 2), "constant", 0.5), ROWS),
    "tile": (lambda x: op.tile(op.broadcast_to(x, (2, 3, 8)), (2, 1, 3, 1)), ROWS),
    "sort": (lambda x: op.add(op.sort(x, 0), op.sort(x, 1, descending=True)), ROWS),
    "argsort": (lambda x: op.argsort(x, 0, descending=True, dtype="int64"), ROWS),
    "places of the first": (lambda x: op.topk(x, 3, 1, "indices", largest=False), ROWS),
    "the first": (lambda x: relax.TupleGetItem(op.topk(x, 3, -1), 0), ROWS),
    "all in order": (lambda x: op.topk(x, 0, 0, "values"), ROWS),
    "gather": (
        lambda x: op.gather_elements(x, const([[0, 1], [7, 3], [2, 2]], "int64"), axis=1),
        ROWS,
    ),
}  # fmt: skip


def made(function, x: np.ndarray):
    builder = relax.BlockBuilder()
    var = relax.Var("x", relax.TensorType(x.shape, str(x.dtype)))
    with builder.function("main", [var]):
        with builder.dataflow():
            y = builder.emit_output(function(var))
        builder.emit_func_output(y)
    return builder.get()


def theirs(compiled, x: np.ndarray) -> np.ndarray:
    machine = relax.VirtualMachine(tvm.compile(compiled, "llvm"), tvm.cpu())
    return machine["main"](tvm.runtime.tensor(x)).numpy()


def rewritten(graph: Graph) -> Graph:
    for each in PASSES:
        graph = each.rewrite(graph)
    return graph


@pytest.mark.parametrize("case", CASES)
def test_a_relax_module_computes_what_tvm_compiles(case: str) -> None:
    function, x = CASES[case]
    given = made(function, x)
    graph = import_relax(given, ["y"])
    expected = theirs(given, x)
    ours = compute(lower(rewritten(graph)), {"x": x})["y"]
    assert (ours.shape, ours.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(ours, expected, 1e-4, 1e-5)


def test_an_operator_without_a_spelling_is_refused_by_name() -> None:
    given = made(lambda x: op.cumsum(x, 1), ROWS)
    with pytest.raises(LuthierError, match=r"needs relax\.cumsum, which is not supported"):
        import_relax(given, ["y"])


def test_sizes_are_fixed() -> None:
    builder = relax.BlockBuilder()
    n = tvm.tirx.Var("n", "int64")
    var = relax.Var("x", relax.TensorType((n, 4), "float32"))
    with builder.function("main", [var]):
        builder.emit_func_output(builder.emit(op.exp(var)))
    with pytest.raises(LuthierError, match="dimension n is not known"):
        import_relax(builder.get(), ["y"])
