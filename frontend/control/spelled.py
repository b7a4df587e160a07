"""Arithmetic of a few whole numbers, spelled in ONNX's operators.

It is of one operator set, whatever the model's is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper

from ..graph import Array

OPSET = 18

Term: TypeAlias = str | int | Sequence[int] | Array
"""The name of a value, or the numbers of one, of type int64 where they are not an array."""


class Spelled:
    """Nodes, each of which is called ``title`` for people; ``constants`` are what they read."""

    def __init__(self, title: str) -> None:
        self._title, self._count = title, 0
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}

    def __call__(self, operator: str, *terms: Term, **attrs: Any) -> str:
        """The name of what an operator gives."""
        return self.results(1, operator, *terms, **attrs)[0]

    def results(self, count: int, operator: str, *terms: Term, **attrs: Any) -> list[str]:
        """The names of several things that it gives."""
        names, results = [self.name(term) for term in terms], [self._fresh() for _ in range(count)]
        node = helper.make_node(operator, names, results, name=self._title, **attrs)
        self.nodes.append(node)
        return results

    def name(self, term: Term) -> str:
        """The name of a term."""
        if isinstance(term, str):
            return term
        name = self._fresh()
        is_array = isinstance(term, np.ndarray)
        self.constants[name] = np.asarray(term) if is_array else np.array(term, np.int64)
        return name

    def clipped(self, term: Term, least: Term, most: Term) -> str:
        """Numbers within bounds."""
        return self("Min", self("Max", term, least), most)

    def cast(self, term: Term, dtype: str) -> str:
        """As another type."""
        return self("Cast", term, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def element(self, vector: Term, place: int) -> str:
        """One number of a vector, of shape [1]."""
        return self("Gather", vector, [place], axis=0)

    def total(self, term: Term, axis: int) -> str:
        """A sum along an axis, which is gone."""
        return self("ReduceSum", term, [axis], keepdims=0)

    def _fresh(self) -> str:
        self._count += 1
        return f"number {self._count}"
