"""Random graphs of elementwise operators and data movement: what fusion may put into one kernel."""

from __future__ import annotations

import math
import random

import numpy as np
from workloads import Builder, Value

from luthier.schedules import Workload

_SIZES = (1, 1, 2, 3, 4, 5, 7, 8, 16, 17, 33)
_MOST_ELEMENTS = 20_000
_UNARY = "relu abs negative tanh sigmoid round floor exp erf sign asin sqrt".split()
_BINARY = "add subtract multiply maximum minimum".split()


class _Grower:
    """Adds one operator after another to the values there are."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.b = rng, Builder()
        self.rank = rng.randint(1, 4)
        self.values = [self.b.input(self._shape()) for _ in range(rng.randint(1, 2))]

    def _shape(self) -> tuple[int, ...]:
        return tuple(self.rng.choice(_SIZES) for _ in range(self.rank))

    def grow(self) -> None:
        rules = [self._unary, self._binary, self._binary, self._compare, self._concat]
        rules += [self._reshape, self._transpose, self._slice, self._pad, self._take]
        rules += [self._gather_nd, self._take_along]
        rules += [self._window_mean, self._broadcast, self._iota, self._cast]
        x = self.rng.choice(self.values[-3:])
        made = self.rng.choice(rules)(x)
        if made.tensor.size <= _MOST_ELEMENTS:
            self.values.append(made)

    def _unary(self, x: Value) -> Value:
        op = self.rng.choice(_UNARY)
        if op in ("asin", "sqrt"):
            x = self.b.add("sigmoid", x)
        if op == "exp":
            x = self.b.add("clip", x, min=-9, max=3.5)
        return self.b.add(op, x)

    def _binary(self, x: Value) -> Value:
        """With something that broadcasts to it, or that it broadcasts to."""
        fitting = [v for v in self.values if _fits(v.tensor.shape, x.tensor.shape)]
        other = self.rng.choice(
            [
                lambda: self.rng.choice(fitting),
                lambda: self.b.input(x.tensor.shape[self.rng.randint(0, self.rank) :]),
                lambda: self.b.input(tuple(self.rng.choice([1, n]) for n in x.tensor.shape)),
                lambda: self.b.const(self.rng.choice([0.5, -2.0, 3.0])),
            ]
        )()
        pair = [x, other]
        self.rng.shuffle(pair)
        return self.b.add(self.rng.choice(_BINARY), *pair)

    def _compare(self, x: Value) -> Value:
        zero, other = self.b.const(0.0), self.b.input(x.tensor.shape[-1:])
        return self.b.add("where", self.b.add("less", x, zero, dtype="bool"), x, other)

    def _cast(self, x: Value) -> Value:
        whole = self.b.add("cast", self.b.add("clip", x, min=-99, max=99), dtype="int32")
        return self.b.add("cast", self.b.add("add", whole, whole), dtype="float32")

    def _concat(self, x: Value) -> Value:
        axis = self.rng.randrange(len(x.tensor.shape)) if x.tensor.shape else None
        if axis is None:
            return x
        pieces = [x]
        for _ in range(self.rng.randint(1, 2)):
            shape = list(x.tensor.shape)
            shape[axis] = self.rng.choice(_SIZES)
            pieces.append(self.rng.choice([x, self.b.input(tuple(shape))]))
        self.rng.shuffle(pieces)
        shape = list(x.tensor.shape)
        shape[axis] = sum(p.tensor.shape[axis] for p in pieces)
        return self.b.add("concat", *pieces, shape=tuple(shape), axis=axis)

    def _reshape(self, x: Value) -> Value:
        size, shape = x.tensor.size, []
        while size > 1 and len(shape) < 3:
            factor = self.rng.choice([d for d in range(1, size + 1) if size % d == 0])
            shape.append(factor)
            size //= factor
        shape.append(size)
        self.rng.shuffle(shape)
        return self.b.add("reshape", x, shape=tuple(shape))

    def _transpose(self, x: Value) -> Value:
        axes = list(range(len(x.tensor.shape)))
        self.rng.shuffle(axes)
        shape = tuple(x.tensor.shape[a] for a in axes)
        return self.b.add("transpose", x, shape=shape, axes=tuple(axes))

    def _slice(self, x: Value) -> Value:
        begin, steps, shape = [], [], []
        for size in x.tensor.shape:
            step = self.rng.choice([1, 1, 2, 3, -1, -2])
            first = self.rng.randrange(size)
            most = (size - 1 - first) // step + 1 if step > 0 else first // -step + 1
            begin.append(first)
            steps.append(step)
            shape.append(self.rng.randint(1, most))
        attrs = {"begin": tuple(begin), "steps": tuple(steps)}
        return self.b.add("slice", x, shape=tuple(shape), **attrs)

    def _pad(self, x: Value) -> Value:
        mode = self.rng.choice(["constant", "reflect", "edge"])
        before, shape = [], []
        for size in x.tensor.shape:
            most = size - 1 if mode == "reflect" else 3
            first, last = (min(most, self.rng.choice([0, 0, 1, 2, 3])) for _ in range(2))
            before.append(first)
            shape.append(size + first + last)
        attrs = {"before": tuple(before), "mode": mode, "value": 0.75}
        return self.b.add("pad", x, shape=tuple(shape), **attrs)

    def _take(self, x: Value) -> Value:
        if not x.tensor.shape:
            return x
        axis = self.rng.randrange(len(x.tensor.shape))
        indices = self.b.input(tuple(self.rng.choice(_SIZES[:6]) for _ in range(2)), "int64")
        shape = x.tensor.shape[:axis] + indices.tensor.shape + x.tensor.shape[axis + 1 :]
        return self.b.add("take", x, indices, shape=shape, dtype="float32", axis=axis)

    def _take_along(self, x: Value) -> Value:
        """Of some elements along the other dimensions."""
        if not x.tensor.shape:
            return x
        axis = self.rng.randrange(len(x.tensor.shape))
        shape = [self.rng.randint(1, n) for n in x.tensor.shape]
        shape[axis] = self.rng.choice(_SIZES[:6])
        indices = self.b.input(tuple(shape), "int64")
        return self.b.add("take_along", x, indices, shape=tuple(shape), dtype="float32", axis=axis)

    def _gather_nd(self, x: Value) -> Value:
        """Of some batches, where there are dimensions for one."""
        rank = len(x.tensor.shape)
        if not rank:
            return x
        first = self.rng.randrange(rank)
        count = self.rng.randint(1, rank - first)
        batch, rest = x.tensor.shape[:first], x.tensor.shape[first + count :]
        outer = (*batch, self.rng.choice(_SIZES[:6]))
        indices = self.b.input((*outer, count), "int64")
        shape = (*outer, *rest)
        return self.b.add("gather_nd", x, indices, shape=shape, dtype="float32", batch_dims=first)

    def _window_mean(self, x: Value) -> Value:
        if not x.tensor.shape:
            return x
        size, axis = self.rng.randint(1, 5), self.rng.randrange(len(x.tensor.shape))
        attrs = {"axis": axis, "size": size, "before": self.rng.randrange(size)}
        return self.b.add("window_mean", x, **attrs)

    def _broadcast(self, x: Value) -> Value:
        shape = tuple(self.rng.choice([2, 3, 5]) if n == 1 else n for n in x.tensor.shape)
        return self.b.add("broadcast_to", x, shape=self.rng.choice([shape, (2, *shape)]))

    def _iota(self, x: Value) -> Value:
        if not x.tensor.shape:
            return x
        attrs = {"start": self.rng.choice([0, 3]), "step": self.rng.choice([1, -2])}
        shape = x.tensor.shape[-1:]
        return self.b.add("add", x, self.b.add("iota", shape=shape, dtype="float32", **attrs))


def _fits(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether they broadcast to something that is not huge."""
    try:
        return math.prod(np.broadcast_shapes(a, b)) <= _MOST_ELEMENTS
    except ValueError:
        return False


def random_graph(seed: int, most_nodes: int = 12) -> Workload:
    """A workload of fusible operators; most of its values lead to the output."""
    grower = _Grower(random.Random(seed))
    for _ in range(grower.rng.randint(2, 6)):
        grower.grow()
    return grower.b.workload
