"""Nodes by themselves: the types of values, and what a node gives for known arrays."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from ..graph import Array


@dataclass(frozen=True)
class StaticType:
    """A shape without open sizes, and ONNX's element type."""

    shape: tuple[int, ...]
    elem_type: int

    @property
    def size(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)


def stand_in(tensor: StaticType) -> Array:
    """An array of a type, which takes no memory."""
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return np.broadcast_to(np.zeros((), dtype), tensor.shape)


def run_node(
    model: onnx.ModelProto, node: onnx.NodeProto, arrays: Mapping[str, Array]
) -> dict[str, Array] | None:
    """Its results by name, by onnx's own evaluator, where that knows them."""
    outputs = [o for o in node.output if o]
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in arrays.items()
    ]
    ends = [helper.make_empty_tensor_value_info(o) for o in outputs]
    graph = helper.make_graph([node], "fold", inputs, ends)
    single = helper.make_model(graph, opset_imports=model.opset_import)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # such as of a mean of nothing
            results = ReferenceEvaluator(single).run(None, dict(arrays))
    except Exception:
        return None  # the importer may still know the node, and says so if not
    if not all(isinstance(r, np.ndarray | np.generic) for r in results):
        return None
    return {name: np.asarray(r) for name, r in zip(outputs, results, strict=True)}
