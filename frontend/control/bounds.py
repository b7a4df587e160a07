"""How large the numbers of a model can be, whatever a run computes them from.

What a number is clipped to, or what it is the rest of, bounds how many elements there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import onnx

from luthier.schedules.ir.dtype import DTYPES

from ..graph import Array
from ..onnx.element_types import dtype_name
from ..onnx.opset import attributes_of, is_onnx
from ..onnx.strip_weights import listed_constant

Interval: TypeAlias = tuple[float, float]

_ANY: Interval = (-math.inf, math.inf)
_ELEMENTS = 2**31 - 1  # of any tensor
_COUNT: Interval = (0, _ELEMENTS)
_TRUTH: Interval = (0, 1)
_DEEPEST = 200  # nodes one after the other


class Bounds:
    """``made`` has by name the node that gives a value; ``written`` tells the numbers of one that
    stand in the model, None where there are none."""

    def __init__(
        self, made: Mapping[str, onnx.NodeProto], written: Callable[[str], Array | None]
    ) -> None:
        self.made, self._written = made, written
        self._found: dict[str, Interval] = {}
        self._is_cut = False  # where there are too many nodes one after the other

    def most(self, name: str) -> int | None:
        """No less than any number of a value is; None where nothing tells it."""
        self._is_cut = False
        _, high = self._of(name, _DEEPEST)
        if self._is_cut:  # of what is nearer to the first nodes more may be told
            self._found.clear()
        return int(high) if abs(high) < _ELEMENTS else None

    def _of(self, name: str, depth: int) -> Interval:
        if name not in self._found:
            self._found[name] = self._traced(name, depth)
        return self._found[name]

    def _traced(self, name: str, depth: int) -> Interval:
        array, node = self._written(name), self.made.get(name)
        if array is None and node is not None and node.op_type == "Constant":
            array = listed_constant(node)
        if array is not None:
            is_number = array.size and array.dtype.kind in "iufb" and not np.isnan(array).any()
            return (float(array.min()), float(array.max())) if is_number else _ANY
        self._is_cut |= not depth
        if node is None or not depth or not is_onnx(node.domain):
            return _ANY
        if node.op_type in _COUNTS:
            return _COUNT
        if node.op_type in _TRUTHS:
            return _TRUTH
        rule = _RULES.get(node.op_type)
        if rule is None:
            return _ANY
        attrs = attributes_of(node)
        given = [self._of(each, depth - 1) if each else _ANY for each in node.input]
        low, high = rule(given, attrs)
        return (low, high) if low <= high else _ANY  # also where one of them is no number


_Rule: TypeAlias = Callable[[list[Interval], Mapping[str, Any]], Interval]


def _same(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    return given[0]


def _any_of(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    return min(low for low, _ in given), max(high for _, high in given)


def _chosen(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    """``Where``."""
    return _any_of(given[1:], attrs)


def _smallest(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    return min(low for low, _ in given), min(high for _, high in given)


def _largest(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    return max(low for low, _ in given), max(high for _, high in given)


def _sum(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    return sum(low for low, _ in given), sum(high for _, high in given)


def _difference(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    (a, b), (c, d) = given
    return a - d, b - c


def _product(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    corners = [a * b if a and b else 0.0 for a in given[0] for b in given[1]]
    return min(corners), max(corners)


def _quotient(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    """By what is 1 or more, so that nothing is larger than it was, in whole numbers or others."""
    (low, high), (divisor, _) = given
    return (min(low, 0), max(high, 0)) if divisor >= 1 else _ANY


def _negative(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    return -given[0][1], -given[0][0]


def _absolute(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    low, high = given[0]
    return max(low, -high, 0), max(-low, high)


def _rounded(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    low, high = given[0]
    return low - 1, high + 1


def _cast(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    """Whole numbers of a type that has not all that is given may become any."""
    dtype = DTYPES[dtype_name(attrs["to"], "Cast")]
    if dtype.is_float or dtype.name == "bool":
        return given[0] if dtype.is_float else _TRUTH
    info = np.iinfo(dtype.name)
    low, high = given[0]
    return (low, high) if dtype.name == "int64" or info.min <= low <= high <= info.max else _ANY


def _clipped(given: list[Interval], attrs: Mapping[str, Any]) -> Interval:
    least = given[1][0] if len(given) > 1 else float(attrs.get("min", -math.inf))
    most = given[2][1] if len(given) > 2 else float(attrs.get("max", math.inf))
    low, high = given[0]
    return min(max(low, least), most), min(max(high, least), most)


_COUNTS = frozenset(("NonZero", "Shape", "Size", "ArgMax", "ArgMin"))
_TRUTHS = frozenset(
    "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Sigmoid Xor".split()
)
_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(
        """
            Expand Flatten Gather GatherElements GatherND Identity ReduceMax ReduceMin Reshape Slice
            Split Squeeze Tile Transpose Unsqueeze
        """.split(),
        _same,
    ),
    **dict.fromkeys(("Ceil", "Floor", "Round"), _rounded),
    "Abs": _absolute,
    "Add": _sum,
    "Cast": _cast,
    "Clip": _clipped,
    "Concat": _any_of,
    "Div": _quotient,
    "Max": _largest,
    "Min": _smallest,
    "Mul": _product,
    "Neg": _negative,
    "Relu": lambda given, attrs: _largest([given[0], (0, 0)], attrs),
    "Sub": _difference,
    "Sum": _sum,
    "Where": _chosen,
}
