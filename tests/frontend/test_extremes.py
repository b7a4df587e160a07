"""Numbers at the ends of their types, at run time (vectors and what is left) and as constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from both_ways import at_run_time, differing, folded
from onnx import defs, helper
from onnx_models import TARGET, Case, case, compute, expected, floats, integers, model

from luthier.frontend import import_model
from luthier.schedules import Target

inf, nan = math.inf, math.nan
INTEGERS = "int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()
FLOATS = "float32 float64 float16".split()
TOLERANCE = {"float16": 2e-3, "float32": 2e-5, "float64": 1e-11}


def takes(op: str, dtype: str, opset: int) -> bool:
    """Whether the standard has the operator for elements of this type."""
    schema = defs.get_schema(op, opset)
    kinds = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    name = helper.tensor_dtype_to_string(kind).removeprefix("TensorProto.").lower()
    return f"tensor({name})" in kinds[schema.inputs[0].type_str]


def check(cases: list[Case], want: list[np.ndarray]) -> None:
    """Both ways give what is wanted; all cases are of one operator set."""
    for one, ran, constant, wanted in zip(
        cases, at_run_time(cases), folded(cases), want, strict=True
    ):
        rtol = TOLERANCE.get(str(wanted.dtype), 0)
        assert not differing(ran, wanted, rtol, rtol / 10), f"{one} at run time"
        assert not differing(constant, wanted, rtol, rtol / 10), f"{one} as a constant"


def ends(dtype: str) -> np.ndarray:
    """Special numbers twice, so that each is in a vector and in what is left after vectors."""
    small, tiny = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).tiny
    large = np.finfo(dtype).max
    positive = [0, small, small * 8, tiny, 1e-4, 0.5, 1, 1.5, 2.5, 3.99, 4.01, 7.9, 8, 20, 87, 88.3]
    positive += [88.6, 88.73, 103, 104, 710, large, inf]
    with np.errstate(over="ignore"):
        half = np.array([*positive, *(-p for p in positive), nan], dtype)
    return np.concatenate([half, half[::-1]])


def exact(function: Callable[[Any], Any]) -> Callable[[np.ndarray], np.ndarray]:
    """The function in long double, rounded to the argument's type."""

    def rounded(x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(function(x.astype(np.longdouble))).astype(x.dtype)

    return rounded


def erf(x: Any) -> Any:
    return np.array([math.erf(float(v)) for v in x], np.longdouble)


def tanh_gelu(x: Any) -> Any:
    return x / 2 * (1 + np.tanh(np.sqrt(np.longdouble(2) / np.pi) * (x + 0.044715 * x**3)))


def below(x: Any, bent: Any) -> Any:
    """``x``, and ``bent`` where it is negative."""
    return np.where(x < 0, bent, x)


ACTIVATIONS: list[tuple[int, str, dict[str, Any], Callable[[Any], Any]]] = [
    (18, "Sigmoid", {}, lambda x: 1 / (1 + np.exp(-x))),
    (18, "Tanh", {}, np.tanh),
    (18, "Erf", {}, erf),
    (18, "Exp", {}, np.exp),
    (18, "Log", {}, np.log),
    (18, "Sqrt", {}, np.sqrt),
    (18, "Reciprocal", {}, lambda x: 1 / x),
    (18, "Relu", {}, lambda x: below(x, 0)),
    (18, "LeakyRelu", {"alpha": 0.5}, lambda x: below(x, x / 2)),
    (18, "Elu", {"alpha": 0.5}, lambda x: below(x, np.expm1(x) / 2)),
    (18, "Celu", {"alpha": 0.5}, lambda x: below(x, np.expm1(x * 2) / 2)),
    (18, "Selu", {"alpha": 0.5, "gamma": 0.75}, lambda x: 0.75 * below(x, np.expm1(x) / 2)),
    (18, "Softplus", {}, lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
    (18, "HardSigmoid", {"alpha": 0.25}, lambda x: np.clip(x / 4 + 0.5, 0, 1)),
    (18, "Softsign", {}, lambda x: x / (1 + np.abs(x))),
    (18, "HardSwish", {}, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    (18, "Mish", {}, lambda x: x * np.tanh(np.logaddexp(0, x))),
    (18, "Shrink", {"bias": 0.25}, lambda x: np.where(np.abs(x) > 0.5, x - np.sign(x) / 4, 0)),
    (18, "ThresholdedRelu", {}, lambda x: np.where(x > 1, x, 0)),
    (18, "Sign", {}, np.sign),
    (18, "Round", {}, np.round),
    (18, "Abs", {}, np.abs),
    (18, "Floor", {}, np.floor),
    (18, "Ceil", {}, np.ceil),
    (18, "Neg", {}, np.negative),
    (18, "Sinh", {}, np.sinh),
    (18, "Cosh", {}, np.cosh),
    (18, "Asinh", {}, np.arcsinh),
    (18, "Acosh", {}, np.arccosh),
    (18, "Atanh", {}, np.arctanh),
    (18, "Atan", {}, np.arctan),
    (18, "Acos", {}, np.arccos),
    (18, "Asin", {}, np.arcsin),
    (20, "Gelu", {}, lambda x: x / 2 * (1 + erf(x / np.sqrt(np.longdouble(2))))),
    (20, "Gelu", {"approximate": "tanh"}, tanh_gelu),
    (24, "Swish", {}, lambda x: x / (1 + np.exp(-x))),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("opset", [18, 20, 24])
def test_activations(opset: int, dtype: str) -> None:
    x = ends(dtype)
    chosen = [row for row in ACTIVATIONS if row[0] == opset and takes(row[1], dtype, opset)]
    cases = [case(op, x, opset=opset, **attrs) for _, op, attrs, _ in chosen]
    want = [exact(function)(x) for *_, function in chosen]
    for (_, op, *_), wanted in zip(chosen, want, strict=True):
        if op in ("Swish", "Mish", "HardSwish", "Gelu"):
            wanted[x == -inf] = nan  # -inf * 0, as the formula has it
        if op == "Shrink":
            wanted[np.isnan(x)] = 0  # which is neither above nor below, as ONNX Runtime has it
    check(cases, want)


def test_zeros_keep_the_sign_that_division_shows() -> None:
    """Of what is folded, and of kernels."""
    x = np.tile(np.float32([0.0, -0.0]), 20)
    cases = [case(op, x) for op in "Relu LeakyRelu Neg Sqrt Floor Tanh Erf Sin Asinh".split()]
    cases += [
        case("Clip", x, np.float32(-1), np.float32(1), constants=(1, 2)),
        case("Add", x, np.float32(-0.0), constants=(1,)),
        case("Max", x, x),
    ]
    for one, ran, constant in zip(cases, at_run_time(cases), folded(cases), strict=True):
        flipped = -x if one.op == "Neg" else x
        np.testing.assert_array_equal(np.signbit(ran), np.signbit(flipped), str(one))
        np.testing.assert_array_equal(np.signbit(constant), np.signbit(flipped), str(one))


def test_powers_are_those_of_ieee_754() -> None:
    x = np.concatenate([ends("float32")[:47], np.float32([-2, 2, 0.25])])
    exponents = [0, 0.5, -0.5, 0.25, 0.75, 1, 1.5, 2, 2.5, 3, -1, -2, -1.5, 8, 10, inf, -inf, nan]
    cases = [case("Pow", x, np.float32(e), constants=(1,), note=str(e)) for e in exponents]
    cases += [case("Pow", x, np.full_like(x, e), note=f"{e} of each") for e in exponents]
    with np.errstate(all="ignore"):
        # NumPy takes a root for a single 0.5, which is something else at -0 and -inf.
        wide = x.astype(np.float64)
        want = [np.power(wide, np.full_like(wide, e)).astype(np.float32) for e in exponents]
    check(cases, want * 2)


ROWS = [
    [-inf] * 5,
    [inf, 1, 2, 3, 4],
    [inf, inf, 1, 2, 3],
    [-inf, 1, 2, 3, 4],
    [nan, 1, 2, 3, 4],
    [inf, -inf, 1, 2, 3],
    [200, -200, 0, 1, 2],
]


@pytest.mark.parametrize("size", [5, 45])
def test_softmax_and_the_logarithm_of_a_sum(size: int) -> None:
    """A row of -inf has no softmax, and the logarithm of its sum is -inf."""
    x = np.array([(row * 9)[:size] for row in ROWS])
    cases, want = [], []
    for dtype in ("float32", "float16", "float64"):
        rows = x.astype(dtype)
        with np.errstate(all="ignore"):
            total = np.log(np.exp(rows.astype(np.longdouble)).sum(axis=1, keepdims=True))
            logs = rows - total
        for array, axis in ((rows, 1), (np.ascontiguousarray(rows.T), 0)):
            turned = (lambda a: a) if axis else np.transpose
            cases.append(case("ReduceLogSumExp", array, np.array([axis]), constants=(1,)))
            want.append(turned(total.astype(dtype)))
            if dtype == "float64":
                continue
            # Where a row has inf, shares are inf / inf: NaN for all, as in ONNX Runtime.
            whole = np.isfinite(total) | np.isnan(total)
            shares = np.where(whole, np.exp(logs), nan), np.where(whole, logs, nan)
            for op, share in zip(("Softmax", "LogSoftmax"), shares, strict=True):
                cases.append(case(op, array, axis=axis))
                want.append(turned(share.astype(dtype)))
    check(cases, want)


def test_maxima_and_minima_of_nan_and_of_the_ends() -> None:
    cases, want = [], []
    for dtype in (d for d in (*FLOATS, *INTEGERS) if takes("ReduceMax", d, 20)):
        kind = np.dtype(dtype)
        info = np.iinfo(kind) if kind.kind != "f" else None
        values = [info.min, info.max] if info else [-inf, inf, nan]
        for value in values:
            x = np.full((3, 37), value, dtype)
            x[0, 5] = 1
            for op, function in (("ReduceMax", np.max), ("ReduceMin", np.min)):
                cases.append(case(op, x, np.array([1]), constants=(1,), opset=20))
                want.append(function(x, axis=1, keepdims=True))
                cases.append(case(op, x, np.array([0]), constants=(1,), opset=20))
                want.append(function(x, axis=0, keepdims=True))
    for value in (True, False):
        x = np.full((2, 37), value)
        cases += [case(op, x, opset=20) for op in ("ReduceMax", "ReduceMin")]
        want += [np.full((1, 1), value)] * 2
    check(cases, want)


POOLS = [
    ((1, 2, 9), {"kernel_shape": [3], "pads": [1, 1]}),
    ((1, 3, 6, 7), {"kernel_shape": [3, 2], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ((1, 35, 8, 9), {"kernel_shape": [3, 3], "dilations": [2, 2], "pads": [2, 2, 2, 2]}),
    ((1, 2, 4, 5, 6), {"kernel_shape": [2, 3, 2], "pads": [1, 1, 1, 1, 1, 1]}),
    ((2, 2, 4, 5, 6), {"kernel_shape": [2, 3, 2], "strides": [2, 1, 2], "ceil_mode": 1}),
    ((1, 2, 7, 5, 6), {"kernel_shape": [2, 1, 3], "dilations": [3, 1, 2]}),
]


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "uint8"])
def test_maximum_pooling_of_the_ends(dtype: str) -> None:
    """ONNX Runtime starts from the lowest finite number and loses NaN; the standard does not."""
    kind = np.dtype(dtype)
    values = [-inf, nan, inf] if kind.kind == "f" else [np.iinfo(kind).min, np.iinfo(kind).max]
    cases, want = [], []
    for shape, attrs in POOLS:
        for value in values:
            x = np.full(shape, value, dtype)
            cases.append(case("MaxPool", x, opset=12, **attrs))
            want.append(value)
    for one, ran, value in zip(cases, at_run_time(cases), want, strict=True):
        np.testing.assert_array_equal(ran, np.full_like(ran, value), str(one))
    numbers = [
        case("MaxPool", integers(0, 99, *shape, dtype=dtype), opset=12, **attrs)
        for shape, attrs in POOLS
    ]
    for one, ran, constant in zip(numbers, at_run_time(numbers), folded(numbers), strict=True):
        whole = Case(one.op, (one.arguments[0].astype(np.float32),), one.attrs, opset=12)
        wanted = expected(whole.model, whole.inputs)["out0"].astype(dtype)
        np.testing.assert_array_equal(ran, wanted, str(one))
        np.testing.assert_array_equal(constant, wanted, str(one))


X = np.float32([nan, inf, -inf, 1e30, -1e30, 0.5, 1.5, 2.5, -0.5, 254.5, 70000, -70000, 3, 1e-40])


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_quantized_numbers_are_what_the_type_can_hold(dtype: str) -> None:
    """NaN is the lowest, as in ONNX Runtime; the standard leaves it open."""
    info = np.iinfo(dtype)
    x = np.concatenate([X, X[::-1], X[:5]])
    cases, want = [], []
    for zero in (info.min, 7, info.max):
        for scale in (0.5, 1e-30, 1e30, inf):
            parameters = np.float32(scale), np.array(zero, dtype)
            cases.append(case("QuantizeLinear", x, *parameters, constants=(1, 2), opset=21))
            with np.errstate(all="ignore"):
                whole = np.clip(np.round(x / np.float32(scale)) + zero, info.min, info.max)
            want.append(np.where(np.isnan(whole), info.min, whole).astype(dtype))
    check(cases, want)


def test_quantizing_and_back_in_one_kernel_goes_through_the_type() -> None:
    x = np.concatenate([X, X[::-1], X[:5]])
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    proto = model(nodes, {"x": x}, ["y"], {"s": np.float32(0.5), "z": np.uint8(3)}, opset=13)
    program = import_model(proto, Target("x86-64-v3", "x86-64-v3", 1))
    assert len(program.calls) == 1
    found = compute(program, {"x": x}, kernels=True)["y"]
    np.testing.assert_array_equal(found, expected(proto, {"x": x})["y"])


def test_half_precision_is_dequantized_in_float32() -> None:
    x = np.array([0, 65535, 32768, 1] * 9, np.uint16)
    half = case("DequantizeLinear", x, np.float16(0.01), np.uint16(5), constants=(1, 2), opset=21)
    want = ((x.astype(np.float32) - 5) * np.float32(np.float16(0.01))).astype(np.float16)
    check([half], [want])


# What x86 processors give for floats that the type does not hold: see schedules.conversion.
CASTS = {
    "int8": [0, 0, 0, 0, 0, -1, 44, 112, 0, 0],
    "uint8": [0, 0, 0, 0, 0, 255, 44, 112, 0, 0],
    "int16": [0, 0, 0, 0, 0, -1, 300, 4464, 0, 0],
    "uint16": [0, 0, 0, 0, 0, 65535, 300, 4464, 0, 0],
    "int32": [-(2**31)] * 5 + [-1, 300, 70000, -(2**31), -(2**31)],
    "uint32": [0, 0, 0, 0, 3000000000, 2**32 - 1, 300, 70000, 0, 0],
    "int64": [-(2**63)] * 4 + [3000000000, -1, 300, 70000, -(2**63), -(2**63)],
    "uint64": [2**63, 0, 2**63, 0, 3000000000, 2**64 - 1, 300, 70000, 2**63, 3 * 2**62],
    "bool": [True] * 10,
}
FROM = [nan, inf, -inf, 1e30, 3e9, -1.9, 300, 70000, 2.0**63, 1.5 * 2.0**63]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_casts_to_integers_mean_the_same_everywhere(dtype: str) -> None:
    x = np.tile(np.array(FROM, dtype), 5)[:45]
    cases = [
        case("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(to)), note=to) for to in CASTS
    ]
    check(cases, [np.tile(np.array(v, to), 5)[:45] for to, v in CASTS.items()])


def test_casts_of_half_precision_too() -> None:
    x = np.tile(np.float16([nan, inf, -inf, -1.9, 300]), 9)
    places = [0, 1, 2, 5, 6]
    cases = [
        case("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(to)), note=to) for to in CASTS
    ]
    check(cases, [np.tile(np.array(v, to)[places], 9) for to, v in CASTS.items()])


@pytest.mark.parametrize("dtype", INTEGERS)
def test_whole_numbers_never_trap(dtype: str) -> None:
    """By zero they are 0, as in NumPy; the lowest by -1 is itself."""
    info = np.iinfo(dtype)
    last = [-1, -2] if info.min else [5, 6]
    a = np.repeat(np.array([info.min, info.max, 0, 1, 7, info.min + 1], dtype), 7)
    b = np.tile(np.array([0, 1, 2, 3, info.max, *last], dtype), 6)
    cases, want = [], []
    with np.errstate(all="ignore"):
        for divisor in (b, *np.array([0, 3, last[0]], dtype)):
            down, rest = np.divmod(a, divisor)
            towards_zero = down + ((rest != 0) & ((a < 0) != (divisor < 0)))
            fixed = (1,) if divisor.ndim == 0 else ()
            cases.append(case("Div", a, divisor, constants=fixed))
            cases.append(case("Mod", a, divisor, constants=fixed))
            cases.append(case("Mod", a, divisor, constants=fixed, fmod=1))
            want += [towards_zero.astype(dtype), rest, np.fmod(a, divisor)]
        cases += [case("Abs", a), case("Sign", a)]
        want += [np.abs(a), np.sign(a)]
    check(cases, want)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_shifts_beyond_the_width_leave_the_sign(dtype: str) -> None:
    """As operator set 28 says, which earlier ones leave open."""
    info, width = np.iinfo(dtype), 8 * np.dtype(dtype).itemsize
    shifts = [0, 1, width - 1, width, width + 1, info.max, *([-1, info.min] if info.min else [])]
    values = [info.min, info.max, 0, 1, 7, *([-1, -8] if info.min else [])]
    a = np.repeat(np.array(values, dtype), len(shifts))
    b = np.tile(np.array(shifts, dtype), len(values))
    cases, want = [], []

    def shifted(value: int, by: int, direction: str) -> int:
        if not 0 <= by < width:
            return -1 if value < 0 and direction == "RIGHT" else 0
        exact = value << by if direction == "LEFT" else value >> by
        return int(np.array([exact % 2**width], np.uint64).astype(dtype)[0])

    for direction in ("LEFT", "RIGHT"):
        for by in (b, *np.array(shifts, dtype)):
            fixed = (1,) if by.ndim == 0 else ()
            cases.append(case("BitShift", a, by, constants=fixed, direction=direction, opset=28))
            pairs = zip(a.tolist(), np.broadcast_to(by, a.shape).tolist(), strict=True)
            want.append(np.array([shifted(v, s, direction) for v, s in pairs], dtype))
    check(cases, want)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_remainder_of_zero_has_the_sign_of_the_divisor(dtype: str) -> None:
    """With fmod=0, of the dividend otherwise: the text of operator set 28."""
    special = [0.0, -0.0, 1, -1, 5.5, -5.5, 3, -3, inf, -inf, nan]
    a = np.repeat(np.array(special, dtype), len(special))
    b = np.tile(np.array(special, dtype), len(special))
    cases, want = [], []
    with np.errstate(all="ignore"):
        for fmod, function in ((0, np.mod), (1, np.fmod)):
            for divisor in (b, *np.array([3, -3, inf, -inf], dtype)):
                fixed = (1,) if divisor.ndim == 0 else ()
                cases.append(case("Mod", a, divisor, constants=fixed, fmod=fmod, opset=28))
                want.append(function(a, divisor))
    check(cases, want)
    for one, ran, constant, wanted in zip(
        cases, at_run_time(cases), folded(cases), want, strict=True
    ):
        zero = wanted == 0
        for got in (ran, constant):
            assert (np.signbit(got) == np.signbit(wanted))[zero].all(), one
    finite = (b == inf) & (np.abs(a) < inf)
    np.testing.assert_array_equal(want[0][finite & (a < 0)], inf)


@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize(
    ("rows", "attrs"),
    [
        (1, {"kernel_shape": [2, 3], "pads": [3, 4, 3, 4]}),
        (1, {"kernel_shape": [2, 3], "pads": [1, 2, 1, 0], "dilations": [2, 2]}),
        (4, {"kernel_shape": [3, 2], "pads": [4, 1, 6, 1], "strides": [1, 2]}),
    ],
)
def test_the_mean_of_padding_alone(rows: int, attrs: dict, kernels: bool) -> None:
    """No number where padding does not count, and 0 where it does."""
    x = floats(1, 2, rows, 9)
    top, left, bottom, right = attrs["pads"]
    inside = np.pad(np.ones((rows, 9)), [(top, bottom), (left, right)])
    steps = attrs.get("dilations", [1, 1])
    spans = [(k - 1) * d + 1 for k, d in zip(attrs["kernel_shape"], steps, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(inside, spans)[..., :: steps[0], :: steps[1]]
    sh, sw = attrs.get("strides", [1, 1])
    empty = windows[::sh, ::sw].sum(axis=(2, 3)) == 0
    assert empty.any()
    for counts in (0, 1):
        pool = case("AveragePool", x, opset=19, count_include_pad=counts, **attrs)
        found = compute(import_model(pool.model, TARGET), {"in0": x}, kernels)["out0"]
        assert (np.isnan(found) == (empty & (not counts))).all()
        assert not found[np.broadcast_to(empty, found.shape) & bool(counts)].any()
