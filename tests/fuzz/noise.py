"""How far rounding may carry a result: the reference's own values, shaken where computing rounds.

A node is computed several times on values that differ by what rounding may change, as in discrete
stochastic arithmetic (Vignes, 1993): where the results agree a right answer must agree with them,
and where they part, by cancellation or by a step, nobody can tell. What moves, chooses, compares or
rounds once as IEEE 754 says is not shaken, and neither are results on a grid of small whole numbers
and simple fractions, which sums and products give exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from .reference import Engine, NoReferenceError, compute
from .values import FLOATS, Array

REPLICAS = 3

# Sums of products in any order; Mul may be part of a fused multiply-add.
SUMS = frozenset(
    """
        AveragePool BatchNormalization Conv ConvTranspose CumSum Einsum Gemm GlobalAveragePool
        GridSample GroupNormalization InstanceNormalization LRN LayerNormalization LogSoftmax MatMul
        Mean MeanVarianceNormalization Mul QuantizeLinear RMSNormalization ReduceL1 ReduceL2
        ReduceLogSum ReduceLogSumExp ReduceMean ReduceProd ReduceSum ReduceSumSquare Resize
        ScatterElements ScatterND Softmax Sum Upsample
    """.split()
)
FUNCTIONS = frozenset(
    """
        Acos Acosh Asin Asinh Atan Atanh Celu Cos Cosh Elu Erf Exp Gelu HardSigmoid HardSwish Log
        Mish Pow Selu Sigmoid Sin Sinh Softplus Softsign Swish Tan Tanh
    """.split()
)
_ROUNDED_ONCE = frozenset("Add Sub Div Sqrt Reciprocal LeakyRelu PRelu Shrink Mod".split())
_GRID = 64.0
_WHOLE = 4096.0


@dataclass(frozen=True)
class Value:
    """What the reference computes, and the same after some rounding or other."""

    array: Array
    shaken: tuple[Array, ...]

    @property
    def replicas(self) -> tuple[Array, ...]:
        """All of them, the true one first."""
        return (self.array, *self.shaken)

    @property
    def exact(self) -> bool:
        """Whether no rounding led here."""
        return all(s is self.array for s in self.shaken)


def exactly(array: Array) -> Value:
    """The value of an input."""
    return Value(array, (array,) * REPLICAS)


def evaluate(
    node: onnx.NodeProto,
    args: Sequence[Value | None],
    opset: int,
    rng: np.random.Generator,
    first: Engine = Engine.ORT,
) -> list[Value]:
    """The node's results; raises NoReferenceError."""
    truth = compute(node, [None if a is None else a.array for a in args], opset, first)
    present = [a for a in args if a is not None]
    if all(a.exact for a in present) and not _rounds(node.op_type, [*_arrays(present), *truth]):
        return [exactly(t) for t in truth]
    results = []
    for i in range(REPLICAS):
        shaken = [
            None if a is None else _input(node.op_type, j, a.shaken[i], rng)
            for j, a in enumerate(args)
        ]
        outputs = compute(node, shaken, opset, first)
        on_grid = all(_on_grid(a).all() for a in _arrays(present))
        results.append([_output(node.op_type, o, on_grid, rng) for o in outputs])
    return [_value(t, tuple(r[i] for r in results)) for i, t in enumerate(truth)]


def _value(array: Array, shaken: tuple[Array, ...]) -> Value:
    if any(s.shape != array.shape for s in shaken):
        raise NoReferenceError("rounding decides a shape")
    same = all(s.tobytes() == array.tobytes() for s in shaken)
    return exactly(array) if same else Value(array, shaken)


def _arrays(values: Iterable[Value]) -> list[Array]:
    return [v.array for v in values]


def _rounds(op: str, arrays: Sequence[Array]) -> bool:
    floats = [a for a in arrays if a.dtype.kind == "f"]
    halves = any(a.dtype == np.float16 for a in floats)
    shaken = SUMS | FUNCTIONS | (_ROUNDED_ONCE if halves else frozenset())
    return bool(floats) and op in shaken


def _input(op: str, index: int, array: Array, rng: np.random.Generator) -> Array:
    if op in ("Mul", "ScatterElements", "ScatterND") or op not in SUMS | FUNCTIONS:
        return array
    if op in ("Resize", "Upsample") and index:  # sizes
        return array
    return _shake(array, 1.0, ~_on_grid(array), rng)


def _output(op: str, array: Array, on_grid: bool, rng: np.random.Generator) -> Array:
    if not _rounds(op, [array]):
        return array
    if op in FUNCTIONS:
        return _shake(array, 2.0, np.asarray(array != 0), rng)
    kept = _on_grid(array) if on_grid else np.zeros(array.shape, np.bool_)
    return _shake(array, 1.0, ~kept, rng)


def _on_grid(array: Array) -> Array:
    """Where numbers are small whole sixty-fourths: their sums and products are exact."""
    if array.dtype.kind != "f":
        return np.ones(array.shape, np.bool_)
    with np.errstate(all="ignore"):
        wide = array.astype(np.float64) * _GRID
        return np.asarray((np.abs(wide) <= _WHOLE * _GRID) & (wide == np.round(wide)))


def _shake(array: Array, steps: float, where: Array, rng: np.random.Generator) -> Array:
    """Numbers some units in the last place up or down."""
    if str(array.dtype) not in FLOATS or not where.any():
        return array
    info = np.finfo(array.dtype)
    sign = rng.choice([-1.0, 1.0], array.shape) * steps * float(info.eps)
    with np.errstate(all="ignore"):
        wide = array.astype(np.float64)
        moved = wide * (1 + sign) + np.where(wide == 0, 0, sign * float(info.tiny))
        return np.asarray(np.where(where & np.isfinite(array), moved, wide), array.dtype)
