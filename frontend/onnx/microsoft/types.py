"""Types of values, one node after the other: what is written is known as soon as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper

from luthier.schedules import ModelError, UnsupportedOperator

from ...graph import Array
from ...messages import one_line
from ..fold_shapes import FOLDABLE
from ..opset import is_onnx
from ..shapes import inferred
from ..single import run_node

_MOST_NUMBERS = 64  # of a value that is computed of shapes


class UnknownTypeError(UnsupportedOperator):
    """A type is needed that is not known, perhaps not yet."""


class ValueTypes:
    """Of a model's values, as far as onnx's inference knows them, and of nodes that follow.

    ``arrays`` are those of inputs that are constants.
    """

    def __init__(self, model: onnx.ModelProto, opset: int, arrays: Mapping[str, Array]) -> None:
        self._opset, self._arrays = opset, arrays
        self._imports = [helper.make_opsetid("", opset)]
        self._ir = model.ir_version
        self._known = {t.name: t for t in model.graph.initializer}
        self._types: dict[str, onnx.TypeProto] = {}
        try:
            found = inferred(model).graph
        except Exception:  # what is wrong with the model is said when it is checked
            found = model.graph
        for info in (*found.input, *found.value_info, *found.output):
            if info.type.HasField("tensor_type") and info.type.tensor_type.elem_type:
                self._types[info.name] = info.type
        for tensor in model.graph.initializer:
            self._types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)

    def follow(self, node: onnx.NodeProto, label: str = "") -> None:
        """Find the types of a node's results, if those of its inputs are known.

        Raises ModelError where these do not go together and it is written for what has a label.
        """
        if not is_onnx(node.domain):
            return
        if node.op_type == "Constant":
            self._follow_constant(node)
            return
        self._follow_numbers(node)
        names = [name for name in node.input if name]
        may_tell = any(n in self._known for n in names) or all(map(self._is_static, names))
        is_there = self._is_static if may_tell else self.has_shape
        if all(is_there(o) for o in node.output if o):
            return
        if not all(name in self._types for name in node.input if name):
            return
        try:
            self._infer(node)
        except Exception as error:
            if label:
                raise ModelError(
                    f"{label}: its inputs do not go together ({one_line(error)})"
                ) from error  # what is wrong with others is said when the model is checked

    def _infer(self, node: onnx.NodeProto) -> None:
        schema = defs.get_schema(node.op_type, self._opset, "")
        names = [name for name in node.input if name]
        given = {name: self._types[name] for name in names}
        data = {n: self._known[n] for n in names if n in self._known}
        self._types.update(
            onnx.shape_inference.infer_node_outputs(
                schema, node, given, data, None, self._imports, self._ir
            )
        )

    def _follow_numbers(self, node: onnx.NodeProto) -> None:
        """What is computed of shapes, which onnx's inference does not follow everywhere."""
        given = {name: self.array(name) for name in node.input if name}
        if node.op_type == "Shape" and self._is_static(node.input[0]):
            given = {node.input[0]: np.broadcast_to(np.int64(0), self.shape(node.input[0]))}
        arrays = {name: array for name, array in given.items() if array is not None}
        if node.op_type not in FOLDABLE or not arrays or len(arrays) < len(given):
            return
        if node.op_type != "Shape" and any(
            a.size > _MOST_NUMBERS or a.dtype.kind not in "iub" for a in arrays.values()
        ):
            return
        model = onnx.ModelProto(ir_version=self._ir, opset_import=self._imports)
        for name, array in (run_node(model, node, arrays) or {}).items():
            if array.size <= _MOST_NUMBERS and array.dtype.kind in "iub":
                self._known[name] = numpy_helper.from_array(array, name)
                self.holds(name, array)

    def _is_static(self, value: str) -> bool:
        """Whether its shape is known as a whole."""
        return self.has_shape(value) and None not in self.dims(value)

    def _follow_constant(self, node: onnx.NodeProto) -> None:
        for attribute in node.attribute:
            if attribute.name == "value":
                tensor = attribute.t
                self._known[node.output[0]] = tensor
                made = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
                self._types[node.output[0]] = made

    def has_shape(self, value: str) -> bool:
        """Whether its number of dimensions is known."""
        found = self._types.get(value)
        return found is not None and found.tensor_type.HasField("shape")

    def elem_type(self, value: str) -> int:
        """ONNX's number of its element type; raises UnknownTypeError."""
        found = self._types.get(value)
        if found is None or not found.tensor_type.elem_type:
            raise UnknownTypeError(f"the type of '{value}' is not known")
        return int(found.tensor_type.elem_type)

    def dims(self, value: str) -> list[int | None]:
        """Its sizes, None for those that are not known; raises UnknownTypeError."""
        if not self.has_shape(value):
            raise UnknownTypeError(f"the number of dimensions of '{value}' is not known")
        dims = self._types[value].tensor_type.shape.dim
        return [int(d.dim_value) if d.HasField("dim_value") else None for d in dims]

    def shape(self, value: str, first: int = 0) -> tuple[int, ...]:
        """Its sizes from a dimension on; raises UnknownTypeError."""
        dims = self.dims(value)[first:]
        sizes = [d for d in dims if d is not None]
        if len(sizes) < len(dims):
            raise UnknownTypeError(f"the shape of '{value}' is not known")
        return tuple(sizes)

    def array(self, value: str) -> Array | None:
        """Its elements, where it is a constant."""
        if value in self._known:
            return numpy_helper.to_array(self._known[value])
        return self._arrays.get(value)

    def has(self, value: str, elem_type: int, shape: Sequence[int | None]) -> None:
        """Let a new value have a type."""
        self._types[value] = helper.make_tensor_type_proto(elem_type, shape)

    def holds(self, value: str, array: Array) -> None:
        """Let a new value have the type of an array."""
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self._types[value] = helper.make_tensor_type_proto(kind, array.shape)
