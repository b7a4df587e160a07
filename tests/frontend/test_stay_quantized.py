"""Quantised layers stay quantised: results are those of the pairs, and memory stays narrow."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_models import TARGET, compute
from pairs import Layer, Pairs, conv, plainly

from luthier.frontend import Program, import_model
from luthier.schedules.ir.workload import Workload

IMAGE = (2, 20, 9, 11)
PADS = [1, 1, 1, 1]


def _conv(b: Pairs) -> str:
    return conv(b, b.input(*IMAGE), 12, 20, 3, 3, pads=PADS)


def _strided(b: Pairs) -> str:
    y = conv(b, b.input(*IMAGE), 13, 20, 3, 2, pads=[1, 0, 2, 1], strides=[2, 3])
    return b.node("Relu", y)


def _depthwise(b: Pairs) -> str:
    y = conv(b, b.input(*IMAGE), 20, 1, 3, 3, pads=PADS, group=20)
    return b.node("Clip", y, b.const(np.float32(0)), b.const(np.float32(6)))


def _grouped(b: Pairs) -> str:
    return conv(b, b.input(*IMAGE), 12, 5, 3, 3, group=4, bias=False, dilations=[2, 1])


def _asymmetric(b: Pairs) -> str:
    x = b.input(*IMAGE)
    return b.node("Conv", x, b.weights(7, 20, 3, 3, dtype="uint8", zero=101), pads=PADS)


def _asymmetric_pixels(b: Pairs) -> str:
    x = b.input(*IMAGE)
    weights = b.weights(7, 20, 1, 1, dtype="uint8", zero=101)
    return b.node("Conv", x, weights, b.bias(7), strides=[2, 1])


def _line(b: Pairs) -> str:
    return conv(b, b.input(2, 6, 17), 8, 6, 5, pads=[2, 2])


def _residual(b: Pairs) -> str:
    x = b.input(*IMAGE)
    first = b.pair(b.node("Relu", conv(b, x, 20, 20, 1, 1)), 0.02, 0)
    second = b.pair(conv(b, first, 20, 20, 3, 3, x_scale=0.02, pads=PADS), 0.04)
    return b.node("Relu", b.node("Add", second, x))


def _swish(b: Pairs) -> str:
    y = b.pair(conv(b, b.input(*IMAGE), 12, 20, 1, 1))
    return b.node("Mul", y, b.pair(b.node("Sigmoid", y), 1 / 256, 0))


def _gemm(b: Pairs) -> str:
    x = b.node("Flatten", b.input(5, 3, 7))
    return b.node("Gemm", x, b.weights(11, 21), b.bias(11), transB=1)


def _matmul(b: Pairs) -> str:
    x = b.input(2, 5, 33)
    y = b.node("MatMul", x, b.weights(33, 17, axis=1))
    return b.node("Add", y, b.const(np.linspace(-2, 2, 17, dtype="float32")))


def _uneven_matmul(b: Pairs) -> str:
    y = b.node("MatMul", b.input(2, 5, 33), b.weights(33, 17, axis=1, dtype="uint8", zero=101))
    return b.node("Relu", y)


def _attention(b: Pairs) -> str:
    x = b.input(2, 12, 32)
    q, k, v = (
        b.node(
            "Transpose",
            b.node(
                "Reshape",
                b.pair(b.node("MatMul", x, b.weights(32, 32, axis=1)), 0.02, 109 + i),
                b.const(np.array([2, 12, 4, 8])),
            ),
            perm=perm,
        )
        for i, perm in enumerate(([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
    )
    scores = b.pair(b.node("MatMul", q, k), 0.05, 121)
    shares = b.pair(b.node("Softmax", scores, axis=-1), 1 / 255, 0)
    shares = b.node("Where", b.node("IsNaN", shares), b.const(np.float32(0)), shares)
    shares = b.pair(shares, 1 / 255, 0)
    y = b.pair(b.node("MatMul", shares, v), 0.02)
    return b.node("Reshape", b.node("Transpose", y, perm=[0, 2, 1, 3]), b.const([2, 12, 32]))


def _norm(b: Pairs) -> str:
    x = b.input(2, 12, 32)
    scale, shift = (b.const(np.linspace(*ends, 32, dtype="float32")) for ends in ((1, 2), (-1, 1)))
    y = b.pair(b.node("LayerNormalization", x, scale, shift, axis=-1), 0.03)
    return b.node("Add", b.node("MatMul", y, b.weights(32, 32, axis=1)), x)


def _max_pool(b: Pairs) -> str:
    y = b.pair(b.node("Relu", conv(b, b.input(*IMAGE), 37, 20, 1, 1)), 0.03, 0)
    y = b.node("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=PADS)
    return conv(b, b.pair(y, 0.03, 0), 5, 37, 1, 1)


def _means(b: Pairs) -> str:
    x = b.input(*IMAGE)
    y = b.node("AveragePool", x, kernel_shape=[3, 2], strides=[2, 1])
    return b.node("GlobalAveragePool", b.pair(y, 0.02))


def _padded_mean(b: Pairs) -> str:
    return b.node(
        "AveragePool", b.input(*IMAGE), kernel_shape=[3, 3], pads=PADS, count_include_pad=1
    )


def _flattened_mean(b: Pairs) -> str:
    y = b.node("ReduceMean", b.input(*IMAGE), b.const([2, 3]), keepdims=1)
    return b.node("Gemm", b.pair(b.node("Flatten", y)), b.weights(11, 20), transB=1)


def _larger(b: Pairs) -> str:
    x = b.input(1, 6, 4, 5)
    y = b.node("ConvTranspose", x, b.weights(6, 7, 2, 3, axis=1), b.bias(7), strides=[2, 3])
    return b.node("Relu", y)


def _moved(b: Pairs) -> str:
    """Concatenated, cut, padded, enlarged, gathered, laid in another order."""
    x = b.input(*IMAGE)
    y = b.pair(b.node("Concat", x, x, axis=1), 1 / 40)
    y = b.node("Slice", y, *map(b.const, ([3, 1], [33, 9], [1, 2])))
    y = b.pair(b.node("Pad", b.pair(y, 1 / 40), b.const([0, 0, 1, 0, 0, 2, 0, 1])), 1 / 40)
    y = b.node(
        "Resize", y, "", b.const(np.array([1, 1, 2, 2], "float32")), mode="nearest",
        nearest_mode="floor", coordinate_transformation_mode="asymmetric",
    )  # fmt: skip
    y = b.node("Gather", b.pair(y, 1 / 40), b.const([1, 0, 1]), axis=0)
    return b.pair(b.node("Transpose", y, perm=[1, 0, 3, 2]), 1 / 40)


def _enlarged(b: Pairs) -> str:
    y = b.node(
        "Resize", b.input(1, 8, 5, 6), "", b.const(np.array([1, 1, 2, 3], "float32")),
        mode="linear",
    )  # fmt: skip
    return b.node("Where", b.const(np.arange(18) % 3 == 0), b.pair(y), b.pair(y, 0.04))


LAYERS = [
    _conv, _strided, _depthwise, _grouped, _asymmetric, _asymmetric_pixels, _line, _residual,
    _swish, _gemm, _matmul, _uneven_matmul, _attention, _norm, _max_pool, _means, _padded_mean,
    _flattened_mean, _larger, _moved, _enlarged,
]  # fmt: skip
WITHOUT_PRODUCTS = (_moved, _enlarged)


def within_a_step(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    far = np.abs(ours.astype(int) - theirs.astype(int))
    assert np.mean(far <= 1) >= 0.999, np.bincount(far.ravel())
    assert np.mean(far == 0) >= 0.95


def wide(program: Program) -> list[Workload]:
    """Kernels that write floats which another one reads."""
    last = {program.base(value) for _, value in program.outputs}
    return [
        call.workload
        for call in program.calls
        if call.workload.output.dtype == "float32" and program.base(call.result) not in last
    ]


@pytest.mark.parametrize("per_channel", [True, False], ids=["channels", "tensor"])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("layer", LAYERS, ids=lambda f: f.__name__)
def test_results_are_those_of_the_pairs_and_no_float_is_kept(
    layer: Layer, dtype: str, per_channel: bool
) -> None:
    b = Pairs(dtype, per_channel=per_channel)
    y = b.stored(layer(b), 0.05, 96)
    proto = b.model(y)
    program = import_model(proto, TARGET)
    (ours,) = compute(program, b.inputs).values()
    (theirs,) = plainly(proto, b.inputs)
    within_a_step(ours, theirs)
    assert wide(program) == []
    ops = {node.op for call in program.calls for node in call.workload.nodes}
    assert not ops & {"conv2d", "conv2d_transpose", "matmul"}
    assert layer in WITHOUT_PRODUCTS or ops & {"conv2d_integer", "matmul_integer"}


@pytest.mark.parametrize(
    "layer",
    [
        _residual, _attention, _norm, _max_pool, _means, _asymmetric, _asymmetric_pixels,
        _uneven_matmul, _larger,
    ],
)  # fmt: skip
def test_kernels_compute_the_same(layer: Layer) -> None:
    b = Pairs()
    program = import_model(b.model(b.stored(layer(b), 0.05, 96)), TARGET)
    (ours,) = compute(program, b.inputs, kernels=True).values()
    (wanted,) = compute(program, b.inputs).values()
    within_a_step(ours, wanted)


@pytest.mark.parametrize(("zero", "after"), [(96, ["relu", "quantize"]), (0, ["quantize"])])
def test_a_layer_is_one_kernel(zero: int, after: list[str]) -> None:
    """What is added has the step of the result, whose limits do what a Relu does from 0 on."""
    b = Pairs()
    proto = b.model(b.stored(_residual(b), 0.05, zero))
    program = import_model(proto, TARGET)
    kernels = [[n.op for n in c.workload.nodes if n.op != "const"] for c in program.calls]
    products = [ops for ops in kernels if ops[0] == "conv2d_integer"]
    first, second = sorted(products, key=len)
    assert first == ["conv2d_integer", "add", "cast", "multiply", "quantize"]
    assert second[second.index("add", 2) + 1 :] == after
    assert second.count("dequantize") == 2  # of itself, and of what is added
    for computed in (False, True):
        (ours,) = compute(program, b.inputs, computed).values()
        within_a_step(ours, plainly(proto, b.inputs)[0])


def test_what_is_added_to_floats_is_not_scaled_before() -> None:
    b = Pairs()
    x = b.input(2, 5, 33)
    b.inputs["other"] = np.random.default_rng(1).standard_normal((2, 5, 33)).astype("float32")
    proto = b.model(b.stored(b.node("Add", x, b.node("Exp", "other")), 0.05, 96))
    program = import_model(proto, TARGET)
    (ours,) = compute(program, b.inputs).values()
    within_a_step(ours, plainly(proto, b.inputs)[0])
    ops = [node.op for call in program.calls for node in call.workload.nodes]
    assert ops.count("multiply") == 1


def test_sums_of_an_enlargement_are_narrow_before_they_are_moved() -> None:
    b = Pairs()
    program = import_model(b.model(b.stored(_larger(b), 0.05, 96)), TARGET)
    assert {call.workload.output.dtype for call in program.calls} == {"uint8"}


@pytest.mark.parametrize("per_channel", [True, False], ids=["channels", "tensor"])
@pytest.mark.parametrize("layer", [_uneven_matmul, _asymmetric_pixels])
def test_weights_with_a_zero_point_are_multiplied_in_8_bits(
    layer: Layer, per_channel: bool
) -> None:
    b = Pairs(per_channel=per_channel)
    program = import_model(b.model(b.stored(layer(b), 0.05, 96)), TARGET)
    workloads = [call.workload for call in program.calls]
    (product,) = (w for w in workloads if w.nodes[0].op in ("conv2d_integer", "matmul_integer"))
    assert [product.tensor(arg).dtype for arg in product.nodes[0].args] == ["uint8", "int8"]


@pytest.mark.parametrize("zero", [0, 128, 255])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_what_is_padded_stands_for_zero(dtype: str, zero: int) -> None:
    b = Pairs(dtype)
    x = b.input(1, 5, 7, 6, spread=4, zero=zero)
    y = b.stored(conv(b, x, 6, 5, 3, 3, pads=PADS), 0.1, zero)
    proto = b.model(y)
    program = import_model(proto, TARGET)
    for kernels in (False, True):
        (ours,) = compute(program, b.inputs, kernels).values()
        within_a_step(ours, plainly(proto, b.inputs)[0])


def test_what_is_no_number_becomes_the_lowest() -> None:
    b = Pairs("int8")
    b.inputs["x"] = np.array([[np.nan, np.inf, -np.inf, 3e38, -3e38, -0.0, 0.5, 1.5]], "float32")
    y = b.node("Relu", b.pair("x", 1.0, 131))
    proto = b.model(b.stored(y, 1.0, 131))
    for kernels in (False, True):
        (ours,) = compute(import_model(proto, TARGET), b.inputs, kernels).values()
        np.testing.assert_array_equal(ours, [[3, 127, 3, 127, 3, 3, 3, 5]])


@pytest.mark.parametrize(("scale", "large"), [(3e36, True), (0.05, False)])
def test_what_large_steps_round_to_nothing_is_not_divided(scale: float, large: bool) -> None:
    """A quotient that is subnormal takes long."""
    b = Pairs()
    ends = [np.nan, np.inf, -np.inf, 3e38, -3e38, -0.0, 1e-38, 0.02, 1.6e36, -1.4e36, 1e30, -7e29]
    b.inputs["x"] = np.array([ends], "float32")
    proto = b.model(b.stored(b.node("Add", "x", "x"), scale, 131))
    program = import_model(proto, TARGET)
    for kernels in (False, True):
        (ours,) = compute(program, b.inputs, kernels).values()
        np.testing.assert_array_equal(ours, plainly(proto, b.inputs)[0])
    (ops,) = ([node.op for node in call.workload.nodes] for call in program.calls)
    assert ("where" in ops) is large


def test_what_never_happens_is_left_out() -> None:
    b = Pairs()
    program = import_model(b.model(b.stored(_attention(b), 0.05, 96)), TARGET)
    (softmax,) = (c for c in program.calls if any(n.op == "softmax" for n in c.workload.nodes))
    ops = [node.op for node in softmax.workload.nodes if node.op != "const"]
    at = ops.index("softmax")
    assert ops[at - 1 : at + 3] == ["dequantize", "softmax", "multiply", "quantize"]


def test_sums_that_do_not_fit_stay_floats() -> None:
    b = Pairs()
    x = b.input(1, 60000)
    proto = b.model(b.stored(b.node("MatMul", x, b.weights(60000, 2, axis=1)), 1.0, 128))
    program = import_model(proto, TARGET)
    ops = {node.op for call in program.calls for node in call.workload.nodes}
    assert "matmul_integer" not in ops
    within_a_step(*compute(program, b.inputs).values(), plainly(proto, b.inputs)[0])
