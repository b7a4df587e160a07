"""Attention of whole numbers, as quantised models write it, as workloads."""

from __future__ import annotations

from dataclasses import dataclass

from workloads import Builder, Shape, Value

from luthier.schedules import Workload

STEP = 1 / 256


@dataclass(frozen=True)
class Stored:
    """How a value is stored: type, scale, zero point."""

    dtype: str = "uint8"
    scale: float = 0.05
    zero: int = 117


def rounded(b: Builder, x: Value, to: Stored) -> Value:
    """Floats as they are stored."""
    steps = b.add("multiply", x, b.const(1 / to.scale))
    shape = x.tensor.shape
    return b.add("quantize", steps, b.const(to.zero, to.dtype), shape=shape, dtype=to.dtype)


def widened(b: Builder, x: Value, of: Stored) -> Value:
    """What is stored as floats."""
    numbers = b.const(of.zero, of.dtype), b.const(of.scale)
    return b.add("dequantize", x, *numbers, shape=x.tensor.shape, dtype="float32")


def centred(b: Builder, x: Value, zero: int) -> Value:
    """Less a zero point, in 16 bits."""
    if not zero:
        return x
    wide = b.add("cast", x, dtype="int16")
    return b.add("add", wide, b.const(-zero, "int16"))


def product(b: Builder, x: Value, y: Value, scale: float) -> Value:
    """In float32."""
    shape = (*x.tensor.shape[:-1], y.tensor.shape[-1])
    total = b.add("matmul_integer", x, y, shape=shape, dtype="int32", transpose_b=False)
    return b.add("multiply", b.add("cast", total, dtype="float32"), b.const(scale))


def whole_attention(
    batch: tuple[int, ...],
    rows: int,
    keys: int,
    depth: int,
    width: int,
    *,
    q: Stored = Stored(),
    k: Stored = Stored(zero=131),
    v: Stored = Stored(zero=90),
    shares: Stored = Stored(scale=STEP, zero=0),
    heads_last: bool = False,
    mask: Shape | None = None,
    rounds: bool = True,
) -> Workload:
    """Of [*batch, rows, depth]; where ``heads_last`` the last of the batch's dimensions comes after
    the rows in memory. ``rounds`` says whether scores are stored in 8 bits on their way."""
    b = Builder()
    last = len(batch)
    swap = (*range(last - 1), last, last - 1, last + 1)

    def operand(count: int, columns: int, how: Stored, keys_last: bool = False) -> Value:
        shape = (*batch, count, columns)
        if not heads_last:
            x = b.input(shape, how.dtype)
            axes = (*range(last), last + 1, last) if keys_last else None
        else:
            x = b.input(tuple(shape[axis] for axis in swap), how.dtype)
            axes = (*swap[:-2], swap[-1], swap[-2]) if keys_last else swap
        if axes is not None:
            shape = tuple(x.tensor.shape[axis] for axis in axes)
            x = b.add("transpose", x, shape=shape, axes=axes)
        return centred(b, x, how.zero)

    left, right = operand(rows, depth, q), operand(keys, depth, k, keys_last=True)
    values = operand(keys, width, v)
    scores = product(b, left, right, q.scale * k.scale)
    if rounds:
        scores = widened(b, rounded(b, scores, k), k)
    if mask is not None:
        scores = b.add("add", scores, b.input(mask))
    share = b.add("softmax", scores, axis=last + 1)
    stored = centred(b, rounded(b, share, shares), shares.zero)
    y = rounded(b, product(b, stored, values, shares.scale * v.scale), q)
    if heads_last:
        b.add("transpose", y, shape=tuple(y.tensor.shape[axis] for axis in swap), axes=swap)
    return b.workload
