"""Kernels agree with ONNX's own reference implementation, which knows nothing of ours."""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest
from caller import RUNNABLE, TARGETS, Library, draw, schedules
from onnx import helper
from onnx.reference import ReferenceEvaluator
from workloads import Builder, conv, conv_transpose, matmul, pool

from luthier.schedules import Workload
from luthier.schedules.templates.registry import instantiate

Array = np.ndarray
TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def ours(workload: Workload, inputs: list[Array]) -> Array:
    target = TARGETS[RUNNABLE[-1]]
    kernel = instantiate(workload, target, next(schedules(workload, target, 0)))
    return Library([kernel], target).run(0, inputs, random.Random(0))


def theirs(op: str, inputs: list[Array], **attrs: object) -> Array:
    """One ONNX operator on arrays."""
    names = [f"x{i}" for i in range(len(inputs))]
    node = helper.make_node(op, names, ["y"], **attrs)
    values = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(names, inputs, strict=True)
    ]
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "one", values, [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    return ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))[0]


def close(got: Array, want: Array, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("groups", [1, 2])
def test_conv(groups):
    pads, strides, dilations = (2, 0, 1, 3), (2, 1), (1, 2)
    workload = conv(
        (2, 11, 12, 4), 6, (3, 2), strides=strides, pads=pads, dilations=dilations, groups=groups
    )
    x, w = draw(workload)
    attrs = {"strides": strides, "pads": pads, "dilations": dilations, "group": groups}
    want = theirs("Conv", [x.transpose(TO_NCHW), w.transpose(TO_NCHW)], **attrs)
    close(ours(workload, [x, w]), want.transpose(TO_NHWC))


def test_winograd():
    workload = conv((1, 28, 28, 64), 64, (3, 3), pads=(1, 1, 1, 1))
    assert next(schedules(workload, TARGETS[RUNNABLE[-1]], 0)).template == "winograd"
    x, w = draw(workload)
    want = theirs("Conv", [x.transpose(TO_NCHW), w.transpose(TO_NCHW)], pads=(1, 1, 1, 1))
    np.testing.assert_allclose(
        ours(workload, [x, w]), want.transpose(TO_NHWC), rtol=1e-3, atol=1e-4
    )


def test_depthwise():
    workload = conv((1, 9, 8, 10), 10, (3, 3), pads=(1, 1, 1, 1), strides=(2, 2), groups=10)
    x, w = draw(workload)
    attrs = {"pads": (1, 1, 1, 1), "strides": (2, 2), "group": 10}
    want = theirs("Conv", [x.transpose(TO_NCHW), w.transpose(TO_NCHW)], **attrs)
    close(ours(workload, [x, w]), want.transpose(TO_NHWC))


def test_conv_transpose():
    attrs = {"strides": (2, 3), "pads": (1, 0, 2, 1), "dilations": (2, 1)}
    workload = conv_transpose((1, 4, 5, 3), 4, (3, 2), output_padding=(1, 2), **attrs)
    x, w = draw(workload)
    their_w = w.transpose(TO_NCHW)
    want = theirs("ConvTranspose", [x.transpose(TO_NCHW), their_w], output_padding=(1, 2), **attrs)
    close(ours(workload, [x, w]), want.transpose(TO_NHWC))


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("include", [0, 1])
def test_pools(op, include):
    attrs = {"strides": (2, 1), "pads": (1, 0, 1, 2)}
    more = {"count_include_pad": include} if op == "AveragePool" else {}
    name = "avg_pool2d" if more else "max_pool2d"
    ours_more = {"count_include_pad": bool(include)} if more else {}
    workload = pool(name, (2, 9, 8, 5), (3, 4), **attrs, **ours_more)
    (x,) = draw(workload)
    want = theirs(op, [x.transpose(TO_NCHW)], kernel_shape=(3, 4), **attrs, **more)
    close(ours(workload, [x]), want.transpose(TO_NHWC))


def test_matmul():
    workload = matmul((2, 1, 5, 8), (3, 8, 19), constant=False)
    inputs = draw(workload)
    close(ours(workload, inputs), theirs("MatMul", inputs))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax(op, axis):
    b = Builder()
    b.add({"Softmax": "softmax", "LogSoftmax": "log_softmax"}[op], b.input((4, 9, 13)), axis=axis)
    inputs = draw(b.workload)
    close(ours(b.workload, inputs), theirs(op, inputs, axis=axis))


def test_layer_norm():
    b = Builder()
    x, gamma, beta = b.input((4, 9, 13)), b.input((9, 13)), b.input((9, 13))
    b.add("layer_norm", x, gamma, beta, shape=(4, 9, 13), epsilon=1e-3)
    inputs = draw(b.workload)
    close(ours(b.workload, inputs), theirs("LayerNormalization", inputs, axis=1, epsilon=1e-3))


@pytest.mark.parametrize("op", ["Sum", "Mean", "Max", "Min", "Prod"])
def test_reductions(op):
    b = Builder()
    b.add(op.lower(), b.input((4, 9, 13)), shape=(4, 1, 1), axes=(1, 2), keepdims=True)
    (x,) = draw(b.workload)
    axes = np.array([1, 2], np.int64)
    close(ours(b.workload, [x]), theirs(f"Reduce{op}", [x, axes], keepdims=1))


@pytest.mark.parametrize("size", [3, 4, 5])
def test_local_response_normalisation(size):
    """As many images as channels: theirs counts channels by the images."""
    b = Builder()
    x = b.input((20, 1, 2, 20))
    mean = b.add("window_mean", b.add("multiply", x, x), axis=3, size=size, before=(size - 1) // 2)
    scale = b.add("add", b.add("multiply", mean, b.const(0.5)), b.const(2.0))
    b.add("divide", x, b.add("power", scale, b.const(0.75)))
    (x,) = draw(b.workload)
    attrs = {"size": size, "alpha": 0.5, "beta": 0.75, "bias": 2.0}
    want = theirs("LRN", [x.transpose(TO_NCHW)], **attrs)
    close(ours(b.workload, [x]), want.transpose(TO_NHWC))


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_padding(mode):
    b = Builder()
    b.add("pad", b.input((4, 9)), shape=(7, 14), before=(2, 1), mode=mode, value=0.25)
    (x,) = draw(b.workload)
    pads = np.array([2, 1, 1, 4], np.int64)
    fill = [np.float32(0.25).reshape(())] if mode == "constant" else []
    close(ours(b.workload, [x]), theirs("Pad", [x, pads, *fill], mode=mode))


@pytest.mark.parametrize("op", ["Erf", "Sinh", "Round", "Sign", "HardSigmoid", "Softsign"])
def test_elementwise(op):
    b = Builder()
    x = b.input((50,))
    if op == "Softsign":
        b.add("divide", x, b.add("add", b.add("abs", x), b.const(1.0)))
    elif op == "HardSigmoid":
        b.add("hard_sigmoid", x, alpha=0.2, beta=0.5)
    else:
        b.add(op.lower(), x)
    inputs = [np.concatenate([np.arange(-5, 5, 0.5), np.linspace(-4, 4, 30)]).astype(np.float32)]
    close(ours(b.workload, inputs), theirs(op, inputs), 2e-6)
