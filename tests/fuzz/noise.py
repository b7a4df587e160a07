"""How far rounding may carry a result: the reference's own values, shaken where computing rounds.

A node is computed several times on values that differ by what rounding may change, as in discrete
stochastic arithmetic (Vignes, 1993): where the results agree a right answer must agree with them,
and where they part, by cancellation or by a step, no answer can be judged. Operators that move,
choose, compare or round once as IEEE 754 says are not shaken, and neither are results on a grid of
small whole numbers and simple fractions, which sums and products give exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx
from onnx import defs

from .overflow import BETWEEN, MAXIMA, POLYNOMIAL, SUMS, overflown
from .reference import FUNCTIONS, Engine, NoReferenceError, compute
from .values import FLOATS, Array

REPLICAS = 8  # that all of them agree by chance is then rarer than one in a billion

_WINOGRAD = "Winograd"
# Whose stash_type lets float64 be normalised in float32.
_IN_FLOAT32 = frozenset("GroupNormalization LayerNormalization RMSNormalization".split())
# Which take a mean away, sums of neighbours, or differences of products: errors are those of the
# largest numbers.
_CENTRED = frozenset(
    """
        AffineGrid Attention BiasGelu BlackmanWindow CDist CausalConvWithState DFT DeformConv
        Det FastGelu FusedMatMul GRU GroupNormalization HammingWindow HannWindow
        InstanceNormalization LSTM LayerNormalization LinearAttention MatMulNBits
        MeanVarianceNormalization MultiHeadAttention NegativeLogLikelihoodLoss QuickGelu RNN
        RoiAlign RotaryEmbedding STFT SkipLayerNormalization SkipSimplifiedLayerNormalization
        SoftmaxCrossEntropyLoss SwiGLU Winograd
    """.split()
)
# Spelled with 1: exp(x) - 1, log(1 + exp(x)), x (1 + erf(x)). Their errors are those of 1 or of x.
_NEAR_ONE = frozenset("Celu Elu HardSigmoid LogSoftmax ReduceLogSumExp Selu Softplus".split())
_NEAR_X = frozenset("Gelu HardSwish Mish Swish".split())
# Into which a product goes unrounded, by a fused multiply-add, though it is rounded elsewhere.
_FUSED = frozenset("Add Sub".split())
_ROUNDED_ONCE = frozenset("Add Sub Div Sqrt Reciprocal LeakyRelu PRelu Shrink Mod".split())
_RANGES = {**dict.fromkeys("Cos Erf Sin Softsign Tanh".split(), (-1, 1)), "Sigmoid": (0, 1)}
_ANYTHING = (np.nan, np.inf, -np.inf, 1e30, -1e30)
_EXPONENTIALS, _SMALLEST = frozenset("Exp Sigmoid Softmax Swish".split()), 2.1e-38
_GRID = 64.0
_FLOAT32_STEPS = float(np.finfo("float32").eps / np.finfo("float64").eps) / 16
_WHOLE = 4096.0


Errors = Callable[[tuple[int, ...]], Array]
"""Errors of roundings, for an array of a shape: in units in the last place, from -2 to 2."""


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


@np.errstate(all="ignore")
def evaluate(
    node: onnx.NodeProto,
    args: Sequence[Value | None],
    opset: int,
    rng: np.random.Generator,
    first: Engine = Engine.ORT,
    accuracy: str = "strict",
) -> list[Value]:
    """The node's results; raises NoReferenceError."""
    truth = compute(node, [None if a is None else a.array for a in args], opset, first)
    present = [a for a in args if a is not None]
    op = _kind(node, present, accuracy)
    loose = _rounds(op, [*_arrays(present), *truth]) or op in MAXIMA
    if all(a.exact for a in present) and not loose:
        return [exactly(t) for t in truth]
    results = []
    for i in range(REPLICAS):
        errors = _errors(i, rng)
        shaken = [
            None if a is None else _input(op, j, a.shaken[i], errors) for j, a in enumerate(args)
        ]
        outputs = compute(node, shaken, opset, first)
        if op in _ROUNDED_ONCE:  # of a sum, which may take it in
            outputs = [_shake(o, 1.0, np.asarray(o != 0), errors) for o in outputs]
        if op in _FUSED and i % 2:
            outputs = [_fused(o, shaken, errors) for o in outputs]
        on_grid = all(_on_grid(a).all() for a in _arrays(present))
        moved = [_output(op, o, shaken, on_grid, errors) for o in outputs]
        if i % 2:
            pairs = zip(outputs, moved, strict=True)
            moved = [_lossy(op, o, m, zero=i % 4 - 2.0) for o, m in pairs]
        results.append(moved)
    arrays = [None if a is None else a.array for a in args]
    beyond = overflown(node, arrays, opset, truth, first)
    if op == _WINOGRAD and not all(np.isfinite(a).all() for a in _arrays(present)):
        beyond = [np.ones(t.shape, np.bool_) for t in truth]  # of whole tiles
    for result, anything in zip(results, _ANYTHING, strict=False):
        for k, o in enumerate(beyond):
            if o.any():
                result[k] = np.where(o, anything, result[k]).astype(result[k].dtype)
    return [_value(t, tuple(r[i] for r in results)) for i, t in enumerate(truth)]


def _errors(replica: int, rng: np.random.Generator) -> Errors:
    """At random, but the last two have all of them as large as can be, up or down."""
    if replica < REPLICAS - 2:
        return lambda shape: rng.uniform(-2.0, 2.0, shape)
    return lambda shape: np.full(shape, 2.0 if replica % 2 else -2.0)


def _kind(node: onnx.NodeProto, args: Sequence[Value], accuracy: str) -> str:
    """The operator, or the algorithm; none where it takes the nearest element as it is."""
    if node.op_type == "Conv" and accuracy != "strict":
        x, w, *_ = (a.array for a in args)
        if w.shape[2:] == (3, 3) and x.dtype != np.float64:
            return _WINOGRAD
    if node.op_type not in ("Resize", "Upsample"):
        return node.op_type
    mode = next((a.s for a in node.attribute if a.name == "mode"), b"nearest")
    return "" if mode == b"nearest" else node.op_type


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
    coarse = halves or (any(a.dtype == np.float64 for a in floats) and _has_numbers(op))
    shaken = SUMS | FUNCTIONS | (_ROUNDED_ONCE if coarse else frozenset())
    return bool(floats) and op in shaken


def _input(op: str, index: int, array: Array, errors: Errors) -> Array:
    if op in ("Mul", "ScatterElements", "ScatterND") or op not in SUMS | FUNCTIONS:
        return array
    if op in ("Resize", "Upsample") and index:  # sizes
        return array
    if op == "Pow" and index:  # next to a whole exponent, a negative number has no power
        return _shake(array, 1.0, array != np.round(array), errors)
    kept = _on_grid(array) if op in POLYNOMIAL else np.zeros(array.shape, np.bool_)
    if array.dtype == np.float64 and op in _IN_FLOAT32:
        return _shake(array, 16 * _FLOAT32_STEPS, ~kept, errors)
    return _shake(array, 1.0, ~kept, errors)


def _output(
    op: str,
    array: Array,
    args: Sequence[Array | None],
    on_grid: bool,
    errors: Errors,
) -> Array:
    if not _rounds(op, [array]):
        return array
    steps = _steps(op, array)
    if op in _NEAR_ONE | _NEAR_X:
        like = np.asarray(args[0]) if op in _NEAR_X else np.ones_like(array)
        moved = np.asarray(array + (_shake(like, steps, like != 0, errors) - like), array.dtype)
        return np.where(np.isfinite(moved), moved, array)
    if op in BETWEEN | _CENTRED:  # weights and means are rounded, and neighbours may be large
        x = np.asarray(args[0]) if op in BETWEEN else array
        steps = max(steps, 4.0)
        like = np.full(array.shape, np.max(np.abs(x), initial=0, where=np.isfinite(x)), x.dtype)
        return np.asarray(array + (_shake(like, steps, like != 0, errors) - like), array.dtype)
    if op in FUNCTIONS or steps > 2.0:
        low, high = _RANGES.get(op, (-np.inf, np.inf))
        return np.clip(_shake(array, steps, np.asarray(array != 0), errors), low, high)
    kept = _on_grid(array) if on_grid and op in POLYNOMIAL else np.zeros(array.shape, np.bool_)
    return _shake(array, 1.0, ~kept, errors)


def _fused(array: Array, args: Sequence[Array | None], errors: Errors) -> Array:
    """A sum whose terms may be rounded or not: the error is that of the larger term."""
    x, y = (np.broadcast_to(np.abs(np.asarray(a)), array.shape) for a in args)
    largest = np.fmax(x, y)
    like = np.asarray(np.where(np.isfinite(largest), largest, 0), array.dtype)
    return np.asarray(array + (_shake(like, 1.0, like != 0, errors) - like), array.dtype)


def _lossy(op: str, array: Array, moved: Array, zero: float) -> Array:
    """What is small beside 1 may be lost, the smallest exponentials, and the sign of a zero sum."""
    if op in _NEAR_ONE:
        return np.asarray((array + np.ones_like(array)) - 1, array.dtype)
    if op in _EXPONENTIALS:
        moved = np.where(np.abs(moved) < _SMALLEST, 0, moved).astype(moved.dtype)
    if op in SUMS and array.dtype.kind == "f":
        return np.asarray(np.where(moved == 0, np.copysign(moved, zero), moved), array.dtype)
    return moved


def _steps(op: str, array: Array) -> float:
    """Units in the last place that computing a function may be off."""
    if array.dtype != np.float64 or not (op in _IN_FLOAT32 or _has_numbers(op)):
        return 2.0
    return _FLOAT32_STEPS * (16 if op in _IN_FLOAT32 else 1)


@cache
def _has_numbers(op: str) -> bool:
    """Whether it has a constant that is a float32, as epsilon is: 1e-5 or what is next to it."""
    kinds = (a.type for a in defs.get_schema(op).attributes.values())
    number = defs.OpSchema.AttrType.FLOAT
    return op in ("Gelu", "HardSwish") or any(kind == number for kind in kinds)


def _on_grid(array: Array) -> Array:
    """Where numbers are small whole sixty-fourths: their sums and products are exact."""
    if array.dtype.kind != "f":
        return np.ones(array.shape, np.bool_)
    with np.errstate(all="ignore"):
        wide = array.astype(np.float64) * _GRID
        return np.asarray((np.abs(wide) <= _WHOLE * _GRID) & (wide == np.round(wide)))


def _shake(array: Array, steps: float, where: Array, errors: Errors) -> Array:
    """Numbers some units in the last place up or down."""
    if str(array.dtype) not in FLOATS or not where.any():
        return array
    info = np.finfo(array.dtype)
    sign = errors(array.shape) * steps * float(info.eps)
    with np.errstate(all="ignore"):
        wide = array.astype(np.float64)
        moved = wide * (1 + sign) + np.where(wide == 0, 0, sign * float(info.tiny))
        return np.asarray(np.where(where & np.isfinite(array), moved, wide), array.dtype)
