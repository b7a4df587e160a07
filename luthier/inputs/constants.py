"""What a graph tells of its values unrun: shapes, element types, the limits of constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

# Operators whose result has the elements of their first argument.
_SAME = frozenset(
    {"Cast", "CastLike", "Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Tile"}
    | {"Transpose", "Unsqueeze"}
)
_MOST = 1 << 20  # elements of a constant that is looked into


class Constants:
    """The constants of a graph in execution order, and what it says of its other values."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}
        self._shapes: dict[str, list[int]] = {}
        self._types: dict[str, int] = {}
        for value in (*graph.input, *graph.value_info):
            tensor = value.type.tensor_type
            self._types[value.name] = tensor.elem_type
            if tensor.HasField("shape"):
                self._shapes[value.name] = [d.dim_value for d in tensor.shape.dim]
        for weight in graph.initializer:
            self._learn(weight.name, weight)
        for node in graph.node:
            self._follow(node)

    def shape(self, name: str) -> list[int] | None:
        """Sizes, None where they are unknown."""
        return self._shapes.get(name)

    def element_type(self, name: str) -> int:
        """As ONNX numbers it, 0 where it is unknown."""
        return self._types.get(name, 0)

    def limits(self, name: str) -> tuple[int, int] | None:
        """The smallest and the largest element of a constant of whole numbers, else None."""
        array = self._arrays.get(name)
        if array is None or array.size == 0 or not np.isfinite(array).all():
            return None
        low, high = float(array.min()), float(array.max())
        whole = bool(np.array_equal(array, np.rint(array)))
        return (int(low), int(high)) if whole and max(-low, high) < 2**31 else None

    def _learn(self, name: str, tensor: TensorProto) -> None:
        self._shapes[name], self._types[name] = list(tensor.dims), tensor.data_type
        if np.prod(tensor.dims, dtype=np.float64) <= _MOST:
            array = numpy_helper.to_array(tensor)
            if array.dtype.kind in "iuf":
                self._arrays[name] = array

    def _follow(self, node: onnx.NodeProto) -> None:
        if not node.output:
            return
        result = node.output[0]
        if node.op_type == "Constant":
            self._constant(result, node)
        elif node.op_type == "Range":
            limits = [self._arrays.get(name) for name in node.input]
            if all(limit is not None and limit.size == 1 for limit in limits):
                start, stop, step = (float(limit.item()) for limit in limits if limit is not None)
                if step and abs((stop - start) / step) <= _MOST:
                    self._arrays[result] = np.arange(start, stop, step)
        elif node.op_type in _SAME and node.input and node.input[0] in self._arrays:
            self._arrays[result] = self._arrays[node.input[0]]

    def _constant(self, name: str, node: onnx.NodeProto) -> None:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                self._learn(name, attribute.t)
            elif attribute.name == "value_int":
                self._arrays[name] = np.array(attribute.i)
            elif attribute.name == "value_ints":
                self._arrays[name] = np.array(list(attribute.ints))
