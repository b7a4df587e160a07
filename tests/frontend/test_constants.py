"""What is computed while a model is built is what its kernels would compute."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import TARGET, compute, model

from luthier.frontend import import_model

FLOATS = np.asarray([0, -0.0, 1, -1, 0.5, -2.5, 1.5, 1e30, np.inf, -np.inf, np.nan], np.float32)
WHOLE = np.asarray([0, 1, -1, 2, -2, 7, -7, 100, 2**31 - 1, -(2**31) + 1, -(2**31)], np.int32)
ONE = """
    Neg Abs Sqrt Reciprocal Floor Ceil Sign Exp Log Relu Round Erf Tanh Sigmoid IsNaN IsInf
""".split()
ONE_WHOLE = "Neg Abs Sign".split()
TWO = "Add Sub Mul Div Min Max Pow Equal Less LessOrEqual Greater GreaterOrEqual".split()
TWO_WHOLE = "Add Sub Mul Div Mod Min Max Equal Less LessOrEqual Greater GreaterOrEqual".split()
TRUTH = frozenset("IsNaN IsInf Equal Less LessOrEqual Greater GreaterOrEqual".split())


def nodes(
    ops: list[str], arguments: list[str], dtype: int
) -> tuple[list[onnx.NodeProto], list[str]]:
    made, outputs = [], []
    for op in ops:
        result = f"{op}_result"
        made.append(helper.make_node(op, arguments, [result]))
        if op in TRUTH:
            made.append(helper.make_node("Cast", [result], [f"{op}_cast"], to=dtype))
        outputs.append(made[-1].output[0])
    return made, outputs


def check(ops: list[str], arrays: dict[str, np.ndarray]) -> None:
    """The operators on constants, beside the same on inputs, by their kernels."""
    dtype = helper.np_dtype_to_tensor_dtype(next(iter(arrays.values())).dtype)
    made, outputs = nodes(ops, list(arrays), dtype)
    found = []
    for constants in ({}, arrays):
        # An input of its own keeps a model of constants a model.
        more = helper.make_node("Identity", ["unused"], ["same"])
        given = {"unused": np.ones(1, np.float32)} | {
            n: a for n, a in arrays.items() if n not in constants
        }
        proto = model([*made, more], given, [*outputs, "same"], constants)
        for output in proto.graph.output[:-1]:
            output.type.tensor_type.elem_type = dtype
        program = import_model(proto, TARGET)
        assert bool(program.calls) == (not constants)
        found.append(compute(program, given, kernels=True))
    for name in outputs:
        folded, computed = found[1][name], found[0][name]
        np.testing.assert_allclose(folded, computed, err_msg=name, rtol=1e-5)
        if name not in ("Min_result", "Max_result"):  # of zeros, either may be the larger
            zero = computed == 0
            assert (np.signbit(folded[zero]) == np.signbit(computed[zero])).all(), name


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_floats(dtype: str) -> None:
    values = FLOATS.astype(dtype) if dtype != "float16" else np.minimum(FLOATS, 6e4).astype(dtype)
    ops = [op for op in ONE if dtype == "float32" or op not in ("IsInf", "Erf")]
    check(ops, {"x": values})
    pairs = np.asarray(list(itertools.product(values, repeat=2)), dtype)
    check(TWO, {"x": pairs[:, 0].copy(), "y": pairs[:, 1].copy()})


MORE = """
    Acos Acosh Asin Asinh Atan Atanh Celu Cos Cosh Elu HardSigmoid HardSwish Mish Selu Sin
    Sinh Softplus Softsign Tan ThresholdedRelu
""".split()


@pytest.mark.parametrize("known", [np.nan, np.inf])
def test_a_constant_operand_changes_no_result(known: float) -> None:
    """A factor that is a constant, and one that is an input: what LLVM folds is defined."""
    ops, made, outputs = [*ONE, *MORE], [], []
    for op in ops:  # each the end of a product of its own
        more, results = nodes([op], [f"{op}_scaled"], TensorProto.FLOAT)
        made += [
            helper.make_node("MatMul", [f"{op}_x", "w"], [f"{op}_product"]),
            helper.make_node("Mul", [f"{op}_product", "k"], [f"{op}_scaled"]),
            *more,
        ]
        outputs += results
    x, w = np.asarray([[1, -1, np.inf, np.nan, 0, 0.25]], np.float32).T, np.ones((1, 3), np.float32)
    k = np.asarray(known, np.float32)
    found = []
    for constants in ({"w": w}, {"w": w, "k": k}):
        given = {f"{op}_x": x for op in ops} | ({} if "k" in constants else {"k": k})
        program = import_model(model(made, given, outputs, constants), TARGET)
        found.append(compute(program, given, kernels=True))
    for name in outputs:
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-5, err_msg=name)


def test_whole_numbers() -> None:
    check(ONE_WHOLE, {"x": WHOLE})
    pairs = np.asarray([(a, b) for a, b in itertools.product(WHOLE, repeat=2) if b], np.int32)
    check(TWO_WHOLE, {"x": pairs[:, 0].copy(), "y": pairs[:, 1].copy()})


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Pow", "Sqrt", "Where", "Neg"])
def test_numbers_without_dimensions(op: str) -> None:
    """A result of rank 0, of inputs and of a constant."""
    x, y = np.float32(2), np.float32(3)
    if op in ("Sqrt", "Neg"):
        made = [helper.make_node(op, ["x"], ["z"])]
    elif op == "Where":
        made = [
            helper.make_node("Less", ["x", "y"], ["c"]),
            helper.make_node(op, list("cxy"), ["z"]),
        ]
    else:
        made = [helper.make_node(op, ["x", "y"], ["z"])]
    made.append(helper.make_node("Mul", ["z", "k"], ["scaled"]))
    for given in ({"x": x, "y": y}, {"x": x}):
        arrays = {n: np.asarray(a) for n, a in given.items()}
        constants = {"k": np.float32(0.5)} | ({} if "y" in given else {"y": y})
        proto = model(made, arrays, ["scaled"], constants)
        want = {"Sqrt": np.sqrt(x), "Neg": -x, "Where": x, "Add": x + y, "Sub": x - y, "Mul": x * y}
        want |= {"Div": x / y, "Max": y, "Pow": x**y}
        found = compute(import_model(proto, TARGET), arrays, kernels=True)["scaled"]
        assert found.shape == ()
        assert found == pytest.approx(want[op] / 2)


def test_scales_of_dynamic_quantisation_are_numbers() -> None:
    """DequantizeLinear, then a product of two scales without dimensions."""
    made = [
        helper.make_node("DequantizeLinear", ["x", "sx", "zero"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "sw", "zero"], ["b"]),
        helper.make_node("MatMul", ["a", "b"], ["c"]),
        helper.make_node("Mul", ["s", "sw"], ["scale"]),
        helper.make_node("Mul", ["c", "scale"], ["y"]),
    ]
    x = np.arange(12, dtype=np.uint8).reshape(3, 4)
    w = np.arange(20, dtype=np.uint8).reshape(4, 5)
    given = {"x": x, "s": np.asarray(0.25, np.float32)}
    constants = {"w": w, "zero": np.uint8(3), "sx": np.float32(0.5), "sw": np.float32(0.125)}
    proto = model(made, given, ["y"], {n: np.asarray(a) for n, a in constants.items()})
    assert proto.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    a, b = (x.astype(np.float32) - 3) * 0.5, (w.astype(np.float32) - 3) * 0.125
    found = compute(import_model(proto, TARGET), given, kernels=True)["y"]
    np.testing.assert_allclose(found, a @ b * 0.25 * 0.125, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int8", "int64"])
def test_arithmetic_with_what_the_compiler_knows_to_be_0_or_1(dtype: str) -> None:
    """TVM computes with both, and must not go below zero where a type has nothing there."""
    info = np.iinfo(dtype)
    x = np.asarray([0, 1, info.max, info.min], dtype)
    ops = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}
    made, outputs, constants, right = [], [], {}, {}
    values = sorted({0, 1, 2, info.max, info.min})
    for op, value, swapped in itertools.product(ops, values, (False, True)):
        name = f"{op}{value}{swapped}"
        constants[f"k{name}"] = np.asarray(value, dtype)
        args = [f"s{name}", f"k{name}"][:: -1 if swapped else 1]
        made += [
            helper.make_node("Sign", [f"x{name}"], [f"s{name}"]),
            helper.make_node(op, args, [name]),
        ]
        outputs.append(name)
        with np.errstate(over="ignore"):
            pair = np.sign(x).astype(dtype), np.asarray(value, dtype)
            right[name] = ops[op](*pair[:: -1 if swapped else 1])
    given = {f"x{name}": x for name in outputs}  # so that each is in a kernel of its own
    found = compute(
        import_model(model(made, given, outputs, constants), TARGET), given, kernels=True
    )
    for name in outputs:
        np.testing.assert_array_equal(found[name], right[name], err_msg=name)
