"""Normalisations become one operator, however exporters spell them, and compute the same."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import onnx
import pytest
from graph_building import Sketch, names, same
from onnx import helper
from onnx_models import TARGET, agree, case, floats, model, positive

from luthier.frontend import Program, import_model
from luthier.frontend.graph import Graph
from luthier.frontend.passes.channels_last import channels_last
from luthier.frontend.passes.fold_constants import fold_constants
from luthier.frontend.passes.group_norm import join_group_norms
from luthier.frontend.passes.normalizations import find_normalizations
from luthier.schedules import ModelError, UnsupportedOperator


def found(before: Graph) -> list[str]:
    after = before
    passes = (fold_constants, join_group_norms, channels_last, find_normalizations, fold_constants)
    for rewrite in passes:
        after = rewrite(after)
    same(before, after)
    return names(after)


SQUARES = {
    "x * x": lambda g, x: g.emit("multiply", x, x),
    "x ^ 2": lambda g, x: g.emit("power", x, g.scalar(2.0)),
}
QUOTIENTS = {
    "x * rsqrt(v)": lambda g, x, v: g.emit("multiply", x, g.emit("rsqrt", v)),
    "rsqrt(v) * x": lambda g, x, v: g.emit("multiply", g.emit("rsqrt", v), x),
    "x / sqrt(v)": lambda g, x, v: g.emit("divide", x, g.emit("sqrt", v)),
    "x * (1 / sqrt(v))": lambda g, x, v: g.emit(
        "multiply", x, g.emit("divide", g.scalar(1.0), g.emit("sqrt", v))
    ),
    "x * v ^ -0.5": lambda g, x, v: g.emit("multiply", x, g.emit("power", v, g.scalar(-0.5))),
    "x / v ^ 0.5": lambda g, x, v: g.emit("divide", x, g.emit("power", v, g.scalar(0.5))),
}
SPELLINGS = list(product(SQUARES, QUOTIENTS))


def root(g: Sketch, x: int, square: str, quotient: str, axes: tuple[int, ...] = (2,)) -> int:
    """``x`` over its root mean square."""
    mean = g.emit("mean", SQUARES[square](g, x), axes=axes, keepdims=True)
    return QUOTIENTS[quotient](g, x, g.emit("add", mean, g.scalar(1e-5)))


def centred(g: Sketch, x: int, axes: tuple[int, ...] = (2,)) -> int:
    return g.emit("subtract", x, g.emit("mean", x, axes=axes, keepdims=True))


@pytest.mark.parametrize(("square", "quotient"), SPELLINGS, ids=str)
def test_spellings_of_rms_normalisation(square: str, quotient: str) -> None:
    g = Sketch()
    y = root(g, g.x(2, 5, 7), square, quotient)
    assert found(g.graph(g.emit("multiply", g.const(7), y))) == ["rms_norm"]


@pytest.mark.parametrize(("square", "quotient"), SPELLINGS, ids=str)
def test_spellings_of_layer_normalisation(square: str, quotient: str) -> None:
    g = Sketch()
    y = root(g, centred(g, g.x(2, 5, 7)), square, quotient)
    y = g.emit("multiply", y, g.const(1, 1, 7))
    assert found(g.graph(g.emit("add", g.const(7, seed=5), y))) == ["layer_norm"]


def test_over_several_axes_and_without_scale() -> None:
    g = Sketch()
    y = root(g, g.x(2, 5, 7), "x * x", "x / sqrt(v)", axes=(1, 2))
    assert found(g.graph(g.emit("multiply", y, g.const(5, 7)))) == ["rms_norm"]
    g = Sketch()
    y = root(g, centred(g, g.x(2, 5, 7)), "x * x", "x / sqrt(v)")
    assert found(g.graph(y)) == ["layer_norm"]


def test_over_the_channels_of_an_image() -> None:
    """As ConvNeXt has it: channels are dimension 1 of the model, and the last one in memory."""
    g = Sketch()
    x = g.conv(g.x(1, 3, 5, 6), 8)
    y = root(g, centred(g, x, axes=(1,)), "x ^ 2", "x / sqrt(v)", axes=(1,))
    y = g.emit("add", g.emit("multiply", y, g.const(8, 1, 1)), g.const(8, 1, 1, seed=4))
    after = found(g.graph(g.conv(y, 4)))
    assert [n for n in after if n != "transpose"] == ["conv2d", "layer_norm", "conv2d"]


def test_lookalikes_stay() -> None:
    g = Sketch()
    x, other = g.x(2, 5, 7), g.x(2, 5, 7, name="other")
    mean = g.emit("mean", g.emit("multiply", x, x), axes=(2,), keepdims=True)
    divisor = g.emit("sqrt", g.emit("add", mean, g.scalar(1e-5)))
    assert "rms_norm" not in found(g.graph(g.emit("divide", other, divisor)))
    for axes in ((1,), (0, 2)):
        g = Sketch()
        y = root(g, g.x(2, 5, 7), "x * x", "x / sqrt(v)", axes=axes)
        assert "rms_norm" not in found(g.graph(y))


def test_a_value_that_others_use_too_is_not_computed_twice() -> None:
    g = Sketch()
    y = root(g, g.x(2, 5, 7), "x * x", "x / sqrt(v)")
    scaled = g.emit("multiply", y, g.const(7))
    assert found(g.graph(y, scaled)) == ["rms_norm", "multiply"]


def test_scales_that_are_computed_or_differ_within_a_row_stay_outside() -> None:
    for shape in ((2, 5, 7), (5, 1), (1,)):
        g = Sketch()
        y = root(g, g.x(2, 5, 7), "x * x", "x / sqrt(v)")
        assert found(g.graph(g.emit("multiply", y, g.const(*shape)))) == ["rms_norm", "multiply"]


# ---- as models have it ----


def kernels(program: Program) -> list[list[str]]:
    return [[n.op for n in c.workload.nodes if n.op != "const"] for c in program.calls]


def torch_group_norm(shape: tuple[int, ...], groups: int) -> tuple[onnx.ModelProto, np.ndarray]:
    """What PyTorch exports for a convolution, ``GroupNorm`` and a sigmoid."""
    x, channels = floats(*shape), 6 * groups
    ones = (1,) * (len(shape) - 2)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Reshape", ["c", "split"], ["r"]),
        helper.make_node("InstanceNormalization", ["r", "one", "zero"], ["n"], epsilon=1e-3),
        helper.make_node("Shape", ["c"], ["shape"]),
        helper.make_node("Reshape", ["n", "shape"], ["b"]),
        helper.make_node("Mul", ["b", "gamma"], ["m"]),
        helper.make_node("Add", ["m", "beta"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["y"]),
    ]
    constants = {
        "w": floats(channels, shape[1], 3, 3),
        "split": np.array([0, groups, -1]),
        "one": np.ones(groups, np.float32),
        "zero": np.zeros(groups, np.float32),
        "gamma": positive(channels, *ones),
        "beta": floats(channels, *ones),
    }
    return model(nodes, {"x": x}, ["y"], constants), x


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_group_norm_of_pytorch_is_one_kernel_without_transposes(groups: int) -> None:
    proto, x = torch_group_norm((2, 3, 7, 5), groups)
    program = agree(proto, {"x": x}, kernels=True)
    assert [k for k in kernels(program) if k != ["transpose"]] == [
        ["conv2d"],
        ["group_norm", "multiply", "add", "sigmoid"],
    ]
    assert len(program.calls) == 4, "the input and the output alone are transposed"


@pytest.mark.parametrize("seed", range(8))
def test_random_normalisations(seed: int) -> None:
    rng = random.Random(seed)
    groups = rng.choice([1, 2, 3])
    channels = groups * rng.randint(1, 5)
    x = floats(rng.randint(1, 3), channels, *(rng.randint(1, 6) for _ in range(rng.randint(1, 3))))
    scale, shift = positive(channels), floats(channels)
    cases = [
        case("InstanceNormalization", x, scale, shift, constants=(1, 2), epsilon=0.01),
        case("GroupNormalization", x, scale, shift, num_groups=groups, opset=21),
        case(
            "GroupNormalization",
            x,
            scale[:groups],
            shift[:groups],
            num_groups=groups,
            constants=(1, 2),
            opset=18,
        ),
        case("RMSNormalization", x, positive(*x.shape[2:]), axis=2, opset=23),
    ]
    for each in cases:
        program = agree(each.model, each.inputs, kernels=True)
        (kernel,) = kernels(program)  # no channels are moved for it
        assert kernel[0] in ("group_norm", "standardize", "rms_norm")


@pytest.mark.parametrize("op", ["GroupNormalization", "InstanceNormalization", "RMSNormalization"])
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_types(op: str, dtype: str) -> None:
    """float16 is computed in float32, float64 element by element."""
    x, scale, shift = (floats(*s, dtype=dtype) for s in ((2, 4, 3, 5), (4,), (4,)))
    if op == "RMSNormalization":
        made = case(op, x, floats(5, dtype=dtype), opset=23)
    else:
        more = {"num_groups": 2} if op.startswith("Group") else {}
        made = case(op, x, scale, shift, opset=21, **more)
    tolerance = 5e-3 if dtype == "float16" else 1e-5
    agree(made.model, made.inputs, rtol=tolerance, atol=tolerance)


def test_operators_before_and_after_an_rms_norm_are_fused() -> None:
    nodes = [
        helper.make_node("Add", ["x", "r"], ["s"]),
        helper.make_node("RMSNormalization", ["s", "g"], ["n"]),
        helper.make_node("Sigmoid", ["n"], ["y"]),
    ]
    inputs = {"x": floats(3, 21), "r": floats(3, 21, seed=1)}
    proto = model(nodes, inputs, ["y"], {"g": positive(21)}, opset=23)
    assert kernels(agree(proto, inputs, kernels=True)) == [["add", "rms_norm", "sigmoid"]]


@pytest.mark.parametrize("inputs", [1, 2, 4])
def test_an_old_group_norm_with_a_wrong_number_of_inputs_is_refused(inputs: int) -> None:
    given = {f"in{i}": floats(4, seed=i) for i in range(1, inputs)}
    node = helper.make_node("GroupNormalization", ["x", *given], ["y"], num_groups=2)
    with pytest.raises(ModelError, match="not valid ONNX"):
        import_model(model([node], {"x": floats(1, 4, 3), **given}, ["y"]), TARGET)


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    bad = case(
        "GroupNormalization", floats(1, 4, 3), positive(4), floats(4), num_groups=3, opset=21
    )
    with pytest.raises(UnsupportedOperator, match="3 groups of 4 channels"):
        import_model(bad.model, TARGET)
