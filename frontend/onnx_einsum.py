"""Einstein's summation as matrix products, sums, transposes and slices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from luthier.schedules.tvm_late import relax

from .equation import EquationError, parse
from .onnx_node import OnnxConverter, OnnxNode, shape_of


@dataclass(frozen=True)
class _Factor:
    """A Relax variable, and the letter of each of its dimensions."""

    value: Any
    letters: str

    @property
    def sizes(self) -> dict[str, int]:
        return dict(zip(self.letters, shape_of(self.value), strict=True))


def _einsum(node: OnnxNode) -> Any:
    """Factors are multiplied from left to right; a letter is summed when no other needs it."""
    try:
        equation = parse(str(node.attr("equation", "")), [len(shape_of(x)) for x in node.inputs])
        factors = [
            _diagonal(node, _Factor(value, letters))
            for value, letters in zip(node.inputs, equation.factors, strict=True)
        ]
        sizes = equation.sizes([shape_of(x) for x in node.inputs])
    except EquationError as error:
        raise node.unsupported(str(error)) from error
    result = equation.result
    factors = [_stretched(node, factor, sizes) for factor in factors]
    product = factors.pop(0)
    while factors:
        right = factors.pop(0)
        needed = set(result).union(*(f.letters for f in factors))
        product = _multiply(node, product, right, needed)
    product = _summed(node, product, set(result))
    ordered = sorted(product.letters, key=result.index)
    y = _transposed(node, product.value, [product.letters.index(c) for c in ordered])
    y = node.emit(relax.op.reshape(y, [sizes[c] if c in ordered else 1 for c in result]))
    return relax.op.broadcast_to(y, [sizes[c] for c in result])


def _diagonal(node: OnnxNode, factor: _Factor) -> _Factor:
    """A letter that stands twice names the elements whose two indices are equal."""
    letters, shape = factor.letters, shape_of(factor.value)
    twice = next((c for c in letters if letters.count(c) > 1), None)
    if twice is None:
        return factor
    first, second = [i for i, c in enumerate(letters) if c == twice][:2]
    size = shape[first]
    if shape[second] != size:
        raise node.unsupported(f"an equation that gives '{twice}' two sizes")
    others = [i for i in range(len(letters)) if i not in (first, second)]
    outer = [shape[i] for i in others]
    moved = _transposed(node, factor.value, [*others, first, second])
    flat = node.emit(relax.op.reshape(moved, [*outer, size * size]))
    axis = len(outer)
    taken = relax.op.strided_slice(flat, [axis], [0], [size * size], [size + 1])
    rest = "".join(letters[i] for i in others)
    return _diagonal(node, _Factor(node.emit(taken), rest + twice))


def _stretched(node: OnnxNode, factor: _Factor, sizes: dict[str, int]) -> _Factor:
    """Without the dimensions of size 1 that other factors stretch."""
    kept = [c for c, size in factor.sizes.items() if size == sizes[c]]
    value = node.emit(relax.op.reshape(factor.value, [sizes[c] for c in kept]))
    return _Factor(value, "".join(kept))


def _transposed(node: OnnxNode, value: Any, axes: Sequence[int]) -> Any:
    if list(axes) == sorted(axes):
        return value
    return node.emit(relax.op.permute_dims(value, list(axes)))


def _summed(node: OnnxNode, factor: _Factor, needed: set[str]) -> _Factor:
    axes = [i for i, c in enumerate(factor.letters) if c not in needed]
    kept = "".join(c for c in factor.letters if c in needed)
    return _Factor(node.emit(relax.op.sum(factor.value, axes)), kept) if axes else factor


def _multiply(node: OnnxNode, left: _Factor, right: _Factor, needed: set[str]) -> _Factor:
    """One batched matrix product."""
    a = _summed(node, left, needed | set(right.letters))
    b = _summed(node, right, needed | set(left.letters))
    both = [c for c in a.letters if c in b.letters]
    batch, inner = [c for c in both if c in needed], [c for c in both if c not in needed]
    rows = [c for c in a.letters if c not in b.letters]
    columns = [c for c in b.letters if c not in a.letters]
    product = relax.op.matmul(
        _matrix(node, a, [batch, rows, inner]), _matrix(node, b, [batch, inner, columns])
    )
    letters, sizes = [*batch, *rows, *columns], a.sizes | b.sizes
    spread = relax.op.reshape(node.emit(product), [sizes[c] for c in letters])
    return _Factor(node.emit(spread), "".join(letters))


def _matrix(node: OnnxNode, factor: _Factor, groups: list[list[str]]) -> Any:
    order = [factor.letters.index(c) for group in groups for c in group]
    moved = _transposed(node, factor.value, order)
    sizes = [math.prod(factor.sizes[c] for c in group) for group in groups]
    return node.emit(relax.op.reshape(moved, sizes))


CONVERTERS: dict[str, OnnxConverter] = {"Einsum": _einsum}
