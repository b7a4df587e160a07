"""Identities of real numbers that computers' numbers do not have: ``(x + c) - c`` is not ``x``.

Whatever simplifies between a model and its machine code has to know. Many expressions share one
library; NumPy, which computes one operator at a time, says what is right.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from luthier import load
from luthier.deploy.building import build
from luthier.frontend import Library, import_model
from luthier.schedules.target import host

FLOATS = {
    "float16": [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, 6e4, 1e-4, np.inf, -np.inf, np.nan],
    "float32": [0.0, -0.0, 1.0, -1.0, -2.0, 3.0, 1e-30, 1e30, -1e30, 3e38, np.inf, -np.inf, np.nan],
    "float64": [
        0.0,
        -0.0,
        1.0,
        -1.0,
        -2.0,
        3.0,
        1e-99,
        1e99,
        -1e99,
        1e308,
        np.inf,
        -np.inf,
        np.nan,
    ],
}
TOLERANCE = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-5}
ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
COMPARISONS = {
    "Equal": np.equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
}
ONE_ARGUMENT = {
    "Neg": np.negative,
    "Abs": np.abs,
    "Reciprocal": lambda x: np.ones_like(x) / x,
    "Sqrt": np.sqrt,
    "Sign": np.sign,
    "Floor": np.floor,
    "Exp": np.exp,
    "Relu": lambda x: np.where(x < 0, x.dtype.type(0), x),
}


class Sweep:
    """Expressions over inputs of one shape, and what they are worth."""

    def __init__(self, **inputs: np.ndarray) -> None:
        self.inputs = inputs
        self.dtype = inputs["x"].dtype
        self.values = dict(inputs)
        self.text = {name: name for name in inputs}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.wanted: list[str] = []

    def constant(self, value: Any) -> str:
        array = np.asarray(value, self.dtype)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        self.values[name], self.text[name] = array, str(value)
        return name

    def add(self, op: str, function: Callable[..., Any], *args: str, **attrs: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, args, [name], **attrs))
        with np.errstate(all="ignore"):
            self.values[name] = np.asarray(function(*(self.values[a] for a in args)))
        self.text[name] = f"{op}({', '.join(self.text[a] for a in args)})"
        return name

    def want(self, name: str) -> None:
        self.wanted.append(name)

    def model(self, axis: int, together: int = 24) -> tuple[onnx.ModelProto, dict[str, list[str]]]:
        """The model, and which expressions each of its outputs is a concatenation of."""
        outputs: dict[str, list[str]] = {}
        for i in range(0, len(self.wanted), together):
            outputs[f"y{i}"] = self.wanted[i : i + together]
        joins = [
            helper.make_node("Concat", parts, [name], axis=axis) for name, parts in outputs.items()
        ]
        element = helper.np_dtype_to_tensor_dtype(self.dtype)
        graph = helper.make_graph(
            self.nodes + joins,
            "sweep",
            [helper.make_tensor_value_info(n, element, a.shape) for n, a in self.inputs.items()],
            [helper.make_tensor_value_info(n, element, None) for n in outputs],
            self.constants,
        )
        opset = [helper.make_opsetid("", 18)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8), outputs

    def wrong(self, folder: Path, axis: int = 0) -> list[str]:
        """The expressions that a library gets wrong, with the first element that is."""
        model, outputs = self.model(axis)
        target = host(threads=1)
        build(Library.of(import_model(model, target)), folder, target, {})
        with load(folder) as artifact:
            found = artifact.run(self.inputs)
        lines = []
        for name, parts in outputs.items():
            for part, ours in zip(parts, np.split(found[name], len(parts), axis), strict=True):
                bad = ~self.agree(ours, self.values[part])
                if bad.any():
                    at = tuple(np.argwhere(bad)[0])
                    given = {n: a[at] for n, a in self.inputs.items() if a.shape == bad.shape}
                    lines.append(
                        f"{self.text[part]} of {given}: {ours[at]}, {self.values[part][at]}"
                    )
        return lines

    def agree(self, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        if self.dtype.kind in "iu":
            return ours == theirs
        with np.errstate(all="ignore"):
            near = np.abs(ours - theirs) <= TOLERANCE[str(self.dtype)] * np.abs(theirs)
        same_sign = np.signbit(ours) == np.signbit(theirs)
        equal = (ours == theirs) & ((theirs != 0) | same_sign)
        return equal | (near & (theirs != 0)) | (np.isnan(ours) & np.isnan(theirs))


def pairs(dtype: str, *shape: int) -> Sweep:
    values = np.asarray(list(itertools.product(FLOATS[dtype], repeat=2)), dtype)
    x, y = (values[:, i].reshape(-1, *shape).copy() for i in (0, 1))
    return Sweep(x=x, y=y)


@pytest.mark.parametrize("dtype", FLOATS)
def test_arithmetic_with_constants_and_with_itself(dtype: str, tmp_path: Path) -> None:
    s = pairs(dtype)
    for value in (0.0, -0.0, 1.0, -1.0, FLOATS[dtype][7], FLOATS[dtype][8], np.inf, np.nan):
        constant = s.constant(value)
        for op, function in ARITHMETIC.items():
            s.want(s.add(op, function, "x", constant))
            s.want(s.add(op, function, constant, "x"))
    first = [s.add(op, function, "x", "y") for op, function in ARITHMETIC.items()]
    for op, function in ARITHMETIC.items():
        for a, b in itertools.product(["x", "y", *first], repeat=2):
            s.want(s.add(op, function, a, b))
    assert s.wrong(tmp_path / "out") == []


@pytest.mark.parametrize("dtype", FLOATS)
def test_comparisons_choices_and_what_undoes_itself(dtype: str, tmp_path: Path) -> None:
    s = pairs(dtype)
    for (a, first), (b, second) in itertools.product(ONE_ARGUMENT.items(), repeat=2):
        s.want(s.add(b, second, s.add(a, first, "x")))
    zero, minus = s.constant(0.0), s.add("Neg", np.negative, "x")
    again = s.add("Neg", np.negative, minus)
    conditions = []
    for op, function in COMPARISONS.items():
        for a, b in (("x", "y"), ("x", "x"), ("x", again), ("x", zero), (zero, "x")):
            conditions.append(s.add(op, function, a, b))
    for a, b in itertools.combinations(conditions[::5], 2):
        conditions.append(s.add("Or", np.logical_or, a, b))
        conditions.append(s.add("And", np.logical_and, a, s.add("Not", np.logical_not, b)))
        inner = s.add("Where", np.where, b, "x", "y")
        s.want(s.add("Where", np.where, a, inner, minus))
        s.want(s.add("Where", np.where, a, minus, inner))
        s.want(s.add("Sub", np.subtract, inner, "y"))
        s.want(s.add("Sub", np.subtract, inner, "x"))
    for condition in conditions:
        s.want(s.add("Where", np.where, condition, "x", minus))
        s.want(s.add("Where", np.where, s.add("Not", np.logical_not, condition), "x", minus))
    assert s.wrong(tmp_path / "out") == []


@pytest.mark.parametrize("dtype", FLOATS)
def test_extremes_and_powers(dtype: str, tmp_path: Path) -> None:
    s = pairs(dtype)
    values = [v for v in FLOATS[dtype] if v]  # of zeros, either may be the larger
    for op, function in (("Max", np.maximum), ("Min", np.minimum)):
        s.want(s.add(op, function, "x", "x"))
        for value in values:
            s.want(s.add(op, function, "x", s.constant(value)))
            s.want(s.add(op, function, s.constant(value), "x"))
    for exponent in (
        0,
        0.25,
        0.5,
        0.75,
        1,
        1.5,
        2,
        2.5,
        3,
        -0.25,
        -0.5,
        -1,
        -2,
        0.3,
        np.inf,
        np.nan,
    ):
        constant = s.constant(exponent)
        s.want(s.add("Pow", lambda x, e: np.power(x, np.full_like(x, e)), "x", constant))
        s.want(s.add("Pow", lambda e, x: np.power(np.full_like(x, e), x), constant, "x"))
    for alpha in (0.0, 1.0, -1.0):
        bent = lambda x, a=alpha: np.where(x < 0, x * x.dtype.type(a), x)  # noqa: E731
        s.want(s.add("LeakyRelu", bent, "x", alpha=alpha))
    assert s.wrong(tmp_path / "out") == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constants_one_after_the_other(dtype: str, tmp_path: Path) -> None:
    """Scalars and vectors; each expression is alone with what it reads, so that all may fold."""
    large, small = FLOATS[dtype][7], FLOATS[dtype][6]
    known = [(large, -large), (large, large), (large, small), (0.0, 3.0), (3.0, 0.0), (3.0, -3.0)]
    cases = list(itertools.product(ARITHMETIC, ARITHMETIC, known, [(), (3,)]))
    x = np.repeat(np.asarray(FLOATS[dtype], dtype), 3).reshape(1, -1, 3)
    s = Sweep(x=np.repeat(x, len(cases), axis=0))
    rows = [f"x{i}" for i in range(len(cases))]
    s.nodes.append(helper.make_node("Split", ["x"], rows, axis=0, num_outputs=len(rows)))
    for row, (first, second, (a, b), shape) in zip(rows, cases, strict=True):
        s.values[row], s.text[row] = x, "x"
        inner = s.add(first, ARITHMETIC[first], row, s.constant(np.full(shape, a)))
        s.want(s.add(second, ARITHMETIC[second], inner, s.constant(np.full(shape, b))))
    assert s.wrong(tmp_path / "out") == []


def whole_numbers(dtype: str) -> Iterator[int]:
    info = np.iinfo(dtype)
    found = {0, 1, 2, 3, 100, info.max // 2, info.max - 1, info.max, int(info.min), info.min + 1}
    yield from sorted(found | ({-1, -2, -100} if info.min else set()))


def quotient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """C's, towards zero; what is divided by zero is zero, as in NumPy."""
    lowest = np.iinfo(a.dtype).min
    safe = np.where(b == 0, np.ones_like(b), b)
    if lowest:
        safe = np.where((a == lowest) & (b == -1), np.ones_like(b), safe)
    towards_zero = a // safe + ((a % safe != 0) & ((a < 0) != (safe < 0)))
    return np.where(b == 0, 0, towards_zero).astype(a.dtype)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_whole_numbers_wrap_around(dtype: str, tmp_path: Path) -> None:
    """One to a row, as TVM simplifies indices, which are not vectors."""
    values = np.asarray(list(itertools.product(whole_numbers(dtype), repeat=2)), object)
    s = Sweep(x=values[:, :1].astype(dtype), y=values[:, 1:].astype(dtype))
    arithmetic = {**ARITHMETIC, "Div": quotient}
    info = np.iinfo(dtype)
    constants = [s.constant(v) for v in (1, 2, int(info.max), int(info.min))]
    first = ["x"]
    for op, function in arithmetic.items():
        first.append(s.add(op, function, "x", "y"))
        for constant in constants:
            if op != "Div" or s.values[constant]:
                first.append(s.add(op, function, "x", constant))
        first.append(s.add(op, function, constants[1], "x"))
    if info.min:
        first += [s.add("Neg", np.negative, "x"), s.add("Abs", np.abs, "x")]
    others = itertools.cycle(["x", *constants])
    for value in first:
        for op, function in (*arithmetic.items(), ("Max", np.maximum), ("Min", np.minimum)):
            other = next(o for o in others if op != "Div" or s.values[o].all() or o == "x")
            s.want(s.add(op, function, value, other))
        for op, function in COMPARISONS.items():
            other = next(o for o in others if o != value)
            s.want(s.add("Where", np.where, s.add(op, function, value, other), "x", "y"))
    assert s.wrong(tmp_path / "out", axis=1) == []
