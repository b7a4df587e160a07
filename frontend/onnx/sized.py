"""A read model at several sizes: its large weights are taken out of what is copied for each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import onnx
from onnx import helper, numpy_helper

from luthier.schedules import Target
from luthier.schedules.ir.dtype import DTYPES

from ..graph import Array
from ..program import Entry
from .element_types import dtype_name
from .strip_weights import WEIGHT, array_of, constant_tensor


class Sized:
    """``weights`` are the arrays of large constants, which are inputs in what ``at`` gives.

    ``entries`` is what was made of all sizes, by target and the room of states that grow, for who
    asks again.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Raises ModelError."""
        self.weights: dict[str, Array] = {}
        self.entries: dict[tuple[Target, tuple[tuple[str, int], ...]], Entry] = {}
        light = self._light = onnx.ModelProto(ir_version=max(model.ir_version, 4))
        light.opset_import.extend(model.opset_import)
        light.functions.extend(model.functions)
        graph = light.graph
        graph.name = model.graph.name
        graph.input.extend(model.graph.input)
        graph.output.extend(model.graph.output)
        names = Counter(value.name for value in (*graph.input, *model.graph.initializer))
        names.update(name for node in model.graph.node for name in node.output)
        for tensor in model.graph.initializer:
            if names[tensor.name] > 1 or not self._taken(tensor.name, tensor):
                graph.initializer.append(tensor)
        for node in model.graph.node:
            constant = constant_tensor(node)
            if constant is None or not self._taken(node.output[0], constant):
                graph.node.append(node)

    def _taken(self, name: str, tensor: onnx.TensorProto) -> bool:
        """Whether it is among the weights now."""
        dtype = dtype_name(tensor.data_type, f"initializer '{name}'")
        size = math.prod(max(dim, 0) for dim in tensor.dims)
        if not name or name in self.weights or size <= WEIGHT or not DTYPES[dtype].is_float:
            return False
        self.weights[name] = array_of(tensor, f"initializer '{name}'")
        info = helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
        self._light.graph.input.append(info)
        return True

    def at(self, shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
        """The model with inputs of these shapes."""
        model = onnx.ModelProto()
        model.CopyFrom(self._light)
        set_shapes(model, shapes)
        return model


def set_shapes(model: onnx.ModelProto, shapes: Mapping[str, Sequence[object]]) -> None:
    """Give inputs of a model these shapes, of numbers and of names."""
    for info in model.graph.input:
        if info.name in shapes:
            shape = info.type.tensor_type.shape
            shape.Clear()
            for size in shapes[info.name]:
                if isinstance(size, int):
                    shape.dim.add().dim_value = size
                else:
                    shape.dim.add().dim_param = str(size)


def with_constants(model: onnx.ModelProto, arrays: Mapping[str, Array]) -> onnx.ModelProto:
    """The model whose inputs that have arrays are initializers."""
    if arrays:
        kept = [info for info in model.graph.input if info.name not in arrays]
        del model.graph.input[:]
        model.graph.input.extend(kept)
        model.graph.initializer.extend(
            numpy_helper.from_array(array, name) for name, array in arrays.items()
        )
    return model
