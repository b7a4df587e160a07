"""Constants of more dimensions than what they are used with: they broadcast, and add to its rank.

Every pattern that a pass looks for is spelled with each of its constants in every rank.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from onnx_models import TARGET, compute, expected, floats, model

from luthier.frontend import import_model

RANKS = range(6)
WIDTH = 8


class Spelling:
    """One use of a pattern: the constant called ``role`` has ``rank`` dimensions."""

    def __init__(self, number: int, x: np.ndarray, role: str, rank: int) -> None:
        self.number, self.role, self.rank = number, role, rank
        self.x = f"x{number}"
        self.inputs = {self.x: x}
        self.constants: dict[str, np.ndarray] = {}
        self.nodes: list[onnx.NodeProto] = []

    def constant(self, role: str, value: float, columns: int = 1) -> str:
        """A number, or one for each column; as exporters write it, but for one role."""
        rank = self.rank if role == self.role else int(columns > 1)
        shape = (1,) * max(rank - 1, 0) + (columns,) * min(rank, 1)
        name = f"{role}{self.number}"
        ramp = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
        self.constants[name] = np.asarray(value + ramp * 0.125, np.float32)
        return name

    def add(self, op: str, *args: str, **attrs: object) -> str:
        name = f"t{self.number}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, args, [name], **attrs))
        return name

    def mean(self, x: str) -> str:
        axes = f"axes{self.number}"
        self.constants[axes] = np.asarray([-1])
        return self.add("ReduceMean", x, axes, keepdims=1)


def rms(s: Spelling) -> str:
    square = s.add("Pow", s.x, s.constant("exponent", 2))
    root = s.add("Sqrt", s.add("Add", s.mean(square), s.constant("epsilon", 1e-3)))
    return s.add("Mul", s.add("Div", s.x, root), s.constant("gamma", 1.5, WIDTH))


def inverse(s: Spelling) -> str:
    mean = s.add("Add", s.mean(s.add("Mul", s.x, s.x)), s.constant("epsilon", 1e-3))
    root = s.add("Div", s.constant("one", 1), s.add("Sqrt", mean))
    return s.add("Mul", s.constant("gamma", 1.5, WIDTH), s.add("Mul", s.x, root))


def by_power(s: Spelling) -> str:
    mean = s.add("Add", s.constant("epsilon", 1e-3), s.mean(s.add("Mul", s.x, s.x)))
    return s.add("Mul", s.x, s.add("Pow", mean, s.constant("exponent", -0.5)))


def layer_norm(s: Spelling) -> str:
    centred = s.add("Sub", s.x, s.mean(s.x))
    square = s.add("Pow", centred, s.constant("exponent", 2))
    root = s.add("Sqrt", s.add("Add", s.mean(square), s.constant("epsilon", 1e-3)))
    even = s.add("Div", centred, root)
    scaled = s.add("Mul", even, s.constant("gamma", 1.5, WIDTH))
    return s.add("Add", scaled, s.constant("beta", 0.5, WIDTH))


def hard_swish(s: Spelling) -> str:
    shifted = s.add("Add", s.x, s.constant("three", 3))
    kept = s.add("Min", s.add("Max", shifted, s.constant("zero", 0)), s.constant("six", 6))
    return s.add("Div", s.add("Mul", s.x, kept), s.constant("six", 6))


def gelu(s: Spelling) -> str:
    wave = s.add("Erf", s.add("Div", s.x, s.constant("root", 1.4142135)))
    grown = s.add("Mul", s.x, s.add("Add", wave, s.constant("one", 1)))
    return s.add("Mul", grown, s.constant("half", 0.5))


def swish(s: Spelling) -> str:
    return s.add("Mul", s.x, s.add("Sigmoid", s.add("Mul", s.x, s.constant("beta", 1.25))))


def product(s: Spelling) -> str:
    s.constants[f"w{s.number}"] = floats(WIDTH, WIDTH)
    y = s.add("MatMul", s.x, f"w{s.number}")
    y = s.add("Add", y, s.constant("bias", 0.25, WIDTH))
    y = s.add("Mul", y, s.constant("scale", 2, WIDTH))
    return s.add("Add", y, s.constant("shift", 0.75))


def affine(s: Spelling) -> str:
    y = s.add("Mul", s.x, s.constant("scale", 2, WIDTH))
    y = s.add("Add", y, s.constant("bias", 0.25, WIDTH))
    y = s.add("Mul", y, s.constant("factor", 2))
    return s.add("Add", s.add("Add", y, s.constant("shift", 0.75, WIDTH)), s.constant("rest", 1))


def attention(s: Spelling) -> str:
    s.inputs = {f"{n}{s.number}": floats(2, 9, WIDTH, seed=i) for i, n in enumerate("qkv")}
    q, k, v = s.inputs
    q = s.add("Mul", q, s.constant("factor", 0.5))
    scores = s.add("MatMul", q, s.add("Transpose", k, perm=[0, 2, 1]))
    scores = s.add("Div", scores, s.constant("scale", 2))
    s.constants[f"keep{s.number}"] = np.tril(np.ones((9, 9), np.bool_))
    scores = s.add("Where", f"keep{s.number}", scores, s.constant("fill", -np.inf))
    scores = s.add("Add", scores, s.constant("mask", 0.5))
    weights = s.add("Softmax", scores, axis=-1)
    empty = s.add("IsNaN", weights)
    return s.add("MatMul", s.add("Where", empty, s.constant("zero", 0), weights), v)


PATTERNS: dict[Callable[[Spelling], str], tuple[str, ...]] = {
    rms: ("exponent", "epsilon", "gamma"),
    inverse: ("epsilon", "one", "gamma"),
    by_power: ("epsilon", "exponent"),
    layer_norm: ("exponent", "epsilon", "gamma", "beta"),
    hard_swish: ("three", "zero", "six"),
    gelu: ("root", "one", "half"),
    swish: ("beta",),
    product: ("bias", "scale", "shift"),
    affine: ("scale", "bias", "factor", "shift", "rest"),
    attention: ("factor", "scale", "fill", "mask", "zero"),
}
CASES = [(spell, role) for spell, roles in PATTERNS.items() for role in roles]


@pytest.mark.parametrize(("spell", "role"), CASES, ids=[f"{s.__name__}-{r}" for s, r in CASES])
def test_the_result_has_the_rank_of_all(spell: Callable[[Spelling], str], role: str) -> None:
    spellings, outputs = [], []
    for dimensions in (2, 3, 4) if spell is not attention else (3,):
        for rank in RANKS:
            x = floats(*(2, 3, 4, WIDTH)[-dimensions:], seed=rank)
            spellings.append(Spelling(len(spellings), x, role, rank))
            outputs.append(spell(spellings[-1]))
    nodes = [node for s in spellings for node in s.nodes]
    inputs = {n: a for s in spellings for n, a in s.inputs.items()}
    constants = {n: a for s in spellings for n, a in s.constants.items()}
    made = model(nodes, inputs, outputs, constants)
    options = onnxruntime.SessionOptions()  # which loses dimensions itself where it optimises
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found = compute(import_model(made, TARGET), inputs)
    for name, want in zip(outputs, session.run(outputs, inputs), strict=True):
        assert found[name].shape == want.shape
        np.testing.assert_allclose(found[name], want, 1e-4, 1e-5, err_msg=name)


@pytest.mark.parametrize(
    "spread",
    [
        ("Expand", np.array([1])),
        ("Expand", np.array([1, 1, 1])),
        ("Expand", np.array([5])),
        ("Expand", np.array([2, 3])),
        ("Reshape", np.array([1])),
        ("Unsqueeze", np.array([0])),
        ("Tile", np.array([], np.int64)),
        ("Identity",),
    ],
    ids=lambda s: f"{s[0]}{s[1].tolist() if len(s) > 1 else ''}",
)
def test_numbers_without_dimensions_are_spread_inside_of_kernels(spread) -> None:
    """A value of rank 0, computed, spread, and used by several operators after."""
    op, *sizes = spread
    made = [
        helper.make_node("Sigmoid", ["x"], ["a"]),
        helper.make_node(op, ["a", *(["sizes"] * len(sizes))], ["b"]),
        helper.make_node("Exp", ["b"], ["c"]),
        helper.make_node("Mul", ["c", "b"], ["y"]),
        helper.make_node("Less", ["b", "c"], ["less"]),
        helper.make_node("Add", ["y", "x"], ["z"]),
    ]
    x = np.asarray(0.5, np.float32)
    constants = {"sizes": sizes[0]} if sizes else {}
    proto = model(made, {"x": x}, ["y", "z", "less"], constants)
    found = compute(import_model(proto, TARGET), {"x": x}, kernels=True)
    for name, right in expected(proto, {"x": x}).items():
        assert found[name].shape == right.shape
        np.testing.assert_allclose(found[name], right, rtol=1e-5)
