"""Writes what is done to outputs after a model's nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from luthier.schedules import ModelError, UnsupportedOperator
from luthier.schedules.ir.dtype import DTYPES

from ..element_types import dtype_name
from ..scopes import renamed
from .colours import channel_map, mixed
from .factors import by_channel, single
from .nodes import Nodes, Value
from .postprocess import Postprocess
from .preprocess import Preprocess

INDICES = "_indices"
"""What the name of the output of places ends with, after that of their values."""


def postprocess_outputs(
    model: onnx.ModelProto, given: Mapping[str, Postprocess]
) -> dict[str, tuple[str, ...]]:
    """Let these outputs be what is made of them, and give the labels of those that are places.

    Raises ModelError and UnsupportedOperator.
    """
    labels = {}
    outputs = {info.name: info for info in model.graph.output}
    for name, each in given.items():
        if name not in outputs:
            known = ", ".join(f"'{n}'" for n in outputs)
            raise ModelError(
                f"postprocess is given for '{name}', but the model's outputs are: {known}"
            )
        places = _Output(model, outputs[name], each).write()
        if each.labels:
            labels[places] = each.labels
    return labels


class _Output:
    """One output."""

    def __init__(
        self, model: onnx.ModelProto, info: onnx.ValueInfoProto, given: Postprocess
    ) -> None:
        self.model, self.info, self.given = model, info, given
        self.what = f"postprocess of output '{info.name}'"
        if not info.type.HasField("tensor_type"):
            raise UnsupportedOperator(f"{self.what}: it is not a tensor")
        tensor = info.type.tensor_type
        self.dtype = dtype_name(tensor.elem_type, f"output '{info.name}'")
        if not DTYPES[self.dtype].is_float:
            raise UnsupportedOperator(f"{self.what}: it is {self.dtype}, not a float")
        self.shape = list(tensor.shape.dim) if tensor.HasField("shape") else None
        self.nodes = Nodes.of(model, f"{info.name}/postprocess")

    def write(self) -> str:
        """Give the model these outputs in place of one; says which has places."""
        name, given, graph = self.info.name, self.given, self.model.graph
        inner = self.nodes.name()
        nodes = [renamed(node, {name: inner}) for node in graph.node]
        if not any(inner in node.output for node in nodes):
            raise UnsupportedOperator(f"{self.what}: no node computes it")
        x = self._activated(Value(self.nodes, inner, self.dtype))
        found = {name: (x, self.info.type.tensor_type.elem_type)}
        if given.argmax:
            found = {name: (self._argmax(x), TensorProto.INT64)}
        elif given.top is not None:
            values, places = self._top(x, given.top)
            found = {name: (values, self.info.type.tensor_type.elem_type)}
            found[name + INDICES] = (places, TensorProto.INT64)
            self._check_new(name + INDICES)
        elif given.image:
            found = {name: (self._image(x), TensorProto.UINT8)}
        for output, (value, _) in found.items():
            value.named(output)
        infos = [helper.make_tensor_value_info(n, kind, None) for n, (_, kind) in found.items()]
        outputs = list(graph.output)
        at = outputs.index(self.info)
        outputs[at : at + 1] = infos
        for slot, items in ((graph.node, [*nodes, *self.nodes.nodes]), (graph.output, outputs)):
            del slot[:]
            slot.extend(items)
        graph.initializer.extend(self.nodes.constants)
        self.model.ir_version = max(self.model.ir_version, 4)
        return list(found)[-1]

    def _check_new(self, name: str) -> None:
        if name in self.nodes.taken or name in {o.name for o in self.model.graph.output}:
            raise ModelError(f"{self.what}: the model has another value called '{name}'")

    def _axis(self) -> int:
        """Not negative, where an operator set or an output's shape asks for that."""
        axis = self.given.axis
        if self.shape is None:
            if self.nodes.opset >= 13:
                return axis
            raise UnsupportedOperator(
                f"{self.what}: the model does not tell its shape, which ONNX operator sets before "
                "13 need: export it to a newer set"
            )
        if not -len(self.shape) <= axis < len(self.shape):
            raise ModelError(f"{self.what}: it has {len(self.shape)} dimensions, no axis {axis}")
        return axis % len(self.shape)

    def _activated(self, x: Value) -> Value:
        if self.given.activation is None:
            return x
        if self.given.activation == "sigmoid":
            return self.nodes.emit("Sigmoid", x)
        axis = self._axis()
        if self.nodes.opset < 13 and self.shape is not None and axis != len(self.shape) - 1:
            raise UnsupportedOperator(
                f"{self.what}: softmax along another dimension than the last needs ONNX operator "
                "set 13: export the model to a newer set"
            )
        return self.nodes.emit("Softmax", x, axis=axis)

    def _argmax(self, x: Value) -> Value:
        return self.nodes.emit("ArgMax", x, dtype="int64", axis=self._axis(), keepdims=0)

    def _top(self, x: Value, count: int) -> tuple[Value, Value]:
        """The largest and their places, int64."""
        axis = self._axis()
        size = self.shape[axis].dim_value if self.shape is not None else 0
        if 0 < size < count:
            raise ModelError(f"{self.what}: top={count} of {size} elements along axis {axis}")
        values, places = self.nodes.name(), self.nodes.name()
        attrs: dict[str, Any] = {"axis": axis}
        inputs = [x.name]
        if self.nodes.opset < 10:
            attrs["k"] = count
        else:
            inputs.append(self.nodes.constant([count], "int64").name)
        self.nodes.nodes.append(helper.make_node("TopK", inputs, [values, places], **attrs))
        return Value(self.nodes, values, x.dtype), Value(self.nodes, places, "int64")

    def _image(self, x: Value) -> Value:
        """uint8, of the image's layout and colours."""
        given = self.given
        if self.shape is None or len(self.shape) != 4:
            raise UnsupportedOperator(
                f"{self.what}: an image needs an output of 4 dimensions (batch, channels, height, "
                "width) that the model declares"
            )
        channel = 1 if given.model_layout == "nchw" else 3
        count = self.shape[channel].dim_value
        if given.colours is None and count < 1:
            raise ModelError(f"{self.what}: the model leaves its channels open: give colours")
        x = x.cast("float32")
        channels = count or (1 if given.model_colours == "gray" else 3)
        mean = by_channel(self.what, "mean", given.mean, channels)
        std = by_channel(self.what, "std", given.std, channels)
        with np.errstate(all="ignore"):
            factors = ((std / given.scale, "Mul"), (mean / given.scale, "Add"))
        for numbers, op in factors:
            if np.any(numbers != (op == "Mul")):
                shape = (-1, 1, 1) if channel == 1 and numbers.size > 1 else (-1,)
                constant = self.nodes.constant(single(self.what, numbers).reshape(shape))
                x = self.nodes.emit(op, x, constant)
        x = mixed(x, self._shares(count), channel)
        x = (x + 0.5).floor().clamp(0.0, 255.0).cast("uint8")
        if given.layout == given.model_layout:
            return x
        return x.transpose(0, 2, 3, 1) if channel == 1 else x.transpose(0, 3, 1, 2)

    def _shares(self, count: int) -> Any:
        """From the model's channels to the image's."""
        given = self.given
        if given.colours is None:
            return np.eye(count, dtype=np.float32)
        way = Preprocess(colours=given.model_colours, model_colours=given.colours)
        wanted = 1 if given.model_colours == "gray" else 3
        if count not in (0, wanted):
            raise ModelError(
                f"{self.what}: the model's images have {count} channels, and {given.model_colours} "
                f"has {wanted}: give other model_colours or model_layout"
            )
        return channel_map(self.what, way, 0)
