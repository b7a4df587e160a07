"""Operators on channels in blocks, as ONNX Runtime's optimiser writes them for one processor.

A tensor of so many channels has them in blocks of 8 or 16, each with its pixels one after the
other, and is filled with zeros to whole blocks. Here it is a tensor with the channels in order, as
many as there are with those; so all that is on the way is computed as it is, and what convolutions
are multiplied with is put in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from luthier.schedules import ModelError, UnsupportedOperator
from luthier.schedules.target import host_features

from ...graph import Array
from ..opset import attributes_of, node_label, opset_of
from .domain import DOMAIN

BLOCKED = "com.microsoft.nchwc"
_NARROW, _WIDE = 8, 16  # with AVX, and with AVX-512
_WIDE_SINCE = "avx512f"
_POOLS = ("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool")
_UPSAMPLE_BY_INPUT, _RESIZE, _RESIZE_BY_PLACES = 9, 10, 11  # operator sets


def without_blocks(model: onnx.ModelProto) -> None:
    """Put the standard's operators, and ``FusedConv``, in their place.

    The blocks are as large as the model tells, or else as this machine's ONNX Runtime takes them to
    be. Raises ModelError and UnsupportedOperator.
    """
    nodes = [node for node in model.graph.node if node.domain == BLOCKED]
    if not nodes:
        return
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    writer = _Writer(model, opset_of(model), tensors, _block(nodes, tensors))
    for node in model.graph.node:
        if node.domain == BLOCKED:
            writer.write(node)
        else:
            writer.nodes.append(node)
    made = [onnx.NodeProto.FromString(node.SerializeToString()) for node in writer.nodes]
    del model.graph.node[:]
    model.graph.node.extend(made)
    if not any(each.domain == DOMAIN for each in model.opset_import):
        model.opset_import.add(domain=DOMAIN, version=1)


def _block(nodes: Iterable[onnx.NodeProto], tensors: dict[str, onnx.TensorProto]) -> int:
    """How many channels a block has."""
    for node in nodes:
        of_weights = node.op_type == "Conv" and len(node.input) > 1
        weights = tensors.get(node.input[1]) if of_weights else None
        if weights is not None and weights.dims and weights.dims[0] % _WIDE:
            return _NARROW
    return _WIDE if _WIDE_SINCE in host_features() else _NARROW


@dataclass
class _Writer:
    """Writes nodes and new constants of a model."""

    model: onnx.ModelProto
    opset: int
    tensors: dict[str, onnx.TensorProto]
    block: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    _weights: dict[tuple[str, bool], str] = field(default_factory=dict)
    _made: int = 0

    def write(self, node: onnx.NodeProto) -> None:
        """What stands for a node; raises ModelError and UnsupportedOperator."""
        attrs = attributes_of(node)
        if not node.input or len(node.output) != 1:
            raise ModelError(f"{node_label(node)}: it does not have one result of some inputs")
        x, y = node.input[0], node.output[0]
        if node.op_type == "ReorderInput":
            self._fill(self._channels_first(x) if attrs.get("channels_last") else x, y)
        elif node.op_type == "ReorderOutput":
            self._cut(node, attrs, y)
        elif node.op_type == "Conv":
            inputs = list(node.input)
            inputs[1] = self._ordered(node, attrs)
            self._add("FusedConv", inputs, y, domain=DOMAIN, **attrs)
        elif node.op_type in _POOLS:
            self._add(node.op_type, [x], y, **attrs)
        elif node.op_type == "Upsample":
            self._upsample(node, attrs, y)
        else:
            raise UnsupportedOperator(f"{node_label(node)}: the operator is not supported")

    def _fill(self, x: str, y: str) -> None:
        """Whole blocks of channels."""
        shape = self._add("Shape", [x])
        count = self._add("Gather", [shape, self._list(1)], axis=0)
        whole, less = self._list(self.block), self._list(self.block - 1)
        blocks = self._add("Div", [self._add("Add", [count, less]), whole])
        missing = self._add("Sub", [self._add("Mul", [blocks, whole]), count])
        sizes = [self._slice(shape, 0, 1), missing, self._slice(shape, 2, 4)]
        zeros = self._add("ConstantOfShape", [self._add("Concat", sizes, axis=0)])
        self._add("Concat", [x, zeros], y, axis=1)

    def _cut(self, node: onnx.NodeProto, attrs: dict[str, Any], y: str) -> None:
        channels = attrs.get("channels", 0)
        if type(channels) is not int or channels < 1:
            raise ModelError(f"{node_label(node)}: its channels are {channels!s:.40}")
        last = bool(attrs.get("channels_last"))
        cut = self._slice(node.input[0], 0, channels, axis=1, output="" if last else y)
        if last:
            self._add("Transpose", [cut], y, perm=[0, 2, 3, 1])

    def _ordered(self, node: onnx.NodeProto, attrs: dict[str, Any]) -> str:
        """The name of a convolution's weights, each where the standard has it."""
        name = node.input[1] if len(node.input) > 1 else ""
        tensor = self.tensors.get(name)
        if tensor is None or len(tensor.dims) != 4:
            raise UnsupportedOperator(
                f"{node_label(node)}: weights in blocks that are not a constant of 4 dimensions "
                "are not supported"
            )
        out, into, *window = tensor.dims
        block, group = self.block, attrs.get("group", 1)
        if out < 1 or out % block:
            raise ModelError(f"{node_label(node)}: {out} results are not blocks of {block}")
        # Of few channels, or of each by itself, those that are read are in no blocks.
        alone = into < block
        if not alone and (into % block or (group > 1 and out % group)):
            raise ModelError(f"{node_label(node)}: {into} channels are not blocks of {block}")
        if (name, alone) not in self._weights:
            array = _array(node, tensor)
            if alone:
                ordered = array.reshape(out // block, into, *window, block).transpose(0, 4, 1, 2, 3)
            else:
                parts = array.reshape(out // block, into // block, *window, block, block)
                ordered = parts.transpose(0, 5, 1, 4, 2, 3)
            ordered = np.ascontiguousarray(ordered).reshape(tensor.dims)
            self._weights[name, alone] = self._constant(ordered)
        return self._weights[name, alone]

    def _upsample(self, node: onnx.NodeProto, attrs: dict[str, Any], y: str) -> None:
        x, scales = node.input[0], [float(each) for each in attrs.get("scales", ())]
        mode = attrs.get("mode", b"nearest").decode(errors="replace")
        places = attrs.get("coordinate_transformation_mode", b"asymmetric").decode(errors="replace")
        if len(scales) != 4 or scales[:2] != [1, 1]:
            raise ModelError(f"{node_label(node)}: its scales are {scales}")
        if self.opset >= _RESIZE_BY_PLACES:
            said = {"coordinate_transformation_mode": places, "mode": mode}
            said |= {"nearest_mode": "floor"} if mode == "nearest" else {}
            self._add("Resize", [x, "", self._scales(scales)], y, **said)
            return
        if places != "asymmetric":
            raise UnsupportedOperator(
                f"{node_label(node)}: coordinate_transformation_mode='{places[:40]}' in operator "
                f"set {self.opset} is not supported"
            )
        if self.opset < _UPSAMPLE_BY_INPUT:
            self._add("Upsample", [x], y, mode=mode, scales=scales)
            return
        op = "Resize" if self.opset == _RESIZE else "Upsample"
        self._add(op, [x, self._scales(scales)], y, mode=mode)

    def _channels_first(self, x: str) -> str:
        return self._add("Transpose", [x], perm=[0, 3, 1, 2])

    def _slice(self, x: str, begin: int, end: int, axis: int = 0, output: str = "") -> str:
        if self.opset < _RESIZE:
            return self._add("Slice", [x], output, axes=[axis], starts=[begin], ends=[end])
        return self._add("Slice", [x, *(self._list(n) for n in (begin, end, axis))], output)

    def _scales(self, scales: Sequence[float]) -> str:
        return self._constant(np.array(scales, np.float32))

    def _list(self, number: int) -> str:
        return self._constant(np.array([number], np.int64))

    def _add(
        self, op: str, inputs: Sequence[str], output: str = "", *, domain: str = "", **attrs: Any
    ) -> str:
        found = output or self._fresh()
        self.nodes.append(helper.make_node(op, inputs, [found], domain=domain, **attrs))
        return found

    def _constant(self, array: Array) -> str:
        name = self._fresh()
        self.model.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def _fresh(self) -> str:
        self._made += 1
        return f"channels in order/{self._made}"


def _array(node: onnx.NodeProto, tensor: onnx.TensorProto) -> Array:
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:
        raise ModelError(
            f"{node_label(node)}: '{tensor.name}' has data that does not fit its shape"
        ) from error
