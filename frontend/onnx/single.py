"""Nodes by themselves: the types of values, and what a node gives for known arrays."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from ..graph import Array
from .scopes import renamed

_SMALL = 1024  # bytes of a node whose evaluator is kept


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
    names = {name: f"given/{i}" for i, name in enumerate(dict.fromkeys(filter(None, node.input)))}
    alone = renamed(node, names | {name: f"made/{i}" for i, name in enumerate(outputs)})
    alone.name = ""
    text = alone.SerializeToString(deterministic=True)
    given = {names[n]: array for n, array in arrays.items()}
    if node.op_type == "NonZero":  # a number alone is a list of one, as ONNX Runtime has it
        given = {name: np.atleast_1d(array) for name, array in given.items()}
    types = tuple((n, a.dtype, a.shape) for n, a in sorted(given.items()))
    sets = tuple((o.domain, o.version) for o in model.opset_import)
    make = _evaluator if len(text) <= _SMALL else _evaluator.__wrapped__
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # such as of a mean of nothing
            results = make(text, types, len(outputs), sets).run(None, given)
    except Exception:
        return None  # the importer may still know the node, and says so if not
    if not all(isinstance(r, np.ndarray | np.generic) for r in results):
        return None
    return {name: np.asarray(r) for name, r in zip(outputs, results, strict=True)}


@lru_cache(maxsize=1024)
def _evaluator(
    text: bytes,
    types: tuple[tuple[str, np.dtype[Any], tuple[int, ...]], ...],
    results: int,
    sets: tuple[tuple[str, int], ...],
) -> ReferenceEvaluator:
    """Of a node, which takes longer to make than to run: models have many that are alike."""
    node = onnx.NodeProto.FromString(text)
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)
        for name, dtype, shape in types
    ]
    ends = [helper.make_empty_tensor_value_info(f"made/{i}") for i in range(results)]
    graph = helper.make_graph([node], "fold", inputs, ends)
    opsets = [helper.make_opsetid(domain, version) for domain, version in sets]
    return ReferenceEvaluator(helper.make_model(graph, opset_imports=opsets))
