"""Writes what is done to images in front of a model's nodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from luthier.schedules import ModelError, UnsupportedOperator
from luthier.schedules.ir.dtype import DTYPES

from ..element_types import dtype_name
from ..open_shapes import Shapes
from ..scopes import renamed
from .colours import channel_map, mixed
from .factors import by_channel, single
from .nodes import Array, Nodes, Value
from .preprocess import Preprocess
from .sampling import Table
from .sides import Dimension, sides_of
from .tables import image_tables

_FEW_TAPS = 1


def preprocess_images(
    model: onnx.ModelProto, given: Mapping[str, Preprocess], shapes: Shapes
) -> None:
    """Let these inputs be images; raises ModelError and UnsupportedOperator.

    ``shapes`` tells which sizes may be those of an image whose sizes have names.
    """
    inputs = {info.name: info for info in model.graph.input}
    for name, each in given.items():
        if name not in inputs:
            known = ", ".join(f"'{n}'" for n in inputs) or "none"
            raise ModelError(
                f"preprocess is given for '{name}', but the model's inputs are: {known}"
            )
        _Image(model, inputs[name], each, shapes).write()


class _Image:
    """One input."""

    def __init__(
        self,
        model: onnx.ModelProto,
        info: onnx.ValueInfoProto,
        given: Preprocess,
        shapes: Shapes,
    ) -> None:
        self.model, self.info, self.given = model, info, given
        self.what = f"preprocess of input '{info.name}'"
        self.nodes = Nodes.of(model, f"{info.name}/preprocess")
        self.elem_type = info.type.tensor_type.elem_type
        self.dtype = dtype_name(self.elem_type, f"input '{info.name}'")
        dims = list(info.type.tensor_type.shape.dim)
        if len(dims) != 4:
            raise UnsupportedOperator(
                f"{self.what}: it must have the 4 dimensions of images (batch, channels, height, "
                f"width), and has {len(dims)}"
            )
        order = (0, 1, 2, 3) if given.model_layout == "nchw" else (0, 3, 1, 2)
        self.batch, channels, *sides = (dims[i] for i in order)
        self.shares = channel_map(self.what, given, channels.dim_value)
        self.sides = sides_of(self.what, given, sides, shapes)
        # Whether columns and channels are one dimension: it is long, and channels are few.
        self.is_last = given.layout == "nhwc"
        self.is_flat = self.is_last and isinstance(self.sides.model[1], int)

    def write(self) -> None:
        """Let the input be the image, and the model's nodes read what is made of it."""
        graph, name = self.model.graph, self.info.name
        if any(output.name == name for output in graph.output):
            raise UnsupportedOperator(f"{self.what}: the model's output is this input itself")
        inner = self.nodes.name()
        kept = [renamed(node, {name: inner}) for node in graph.node]
        x, outside = self._sampled(Value(self.nodes, name, self.given.dtype))
        self._placed(self._scaled(x, outside)).named(inner)
        self._retype()
        del graph.node[:]
        graph.node.extend([*self.nodes.nodes, *kept])
        graph.initializer.extend(self.nodes.constants)
        self.model.ir_version = max(self.model.ir_version, 4)

    def _retype(self) -> None:
        """Give the input the image's type."""
        tensor, (height, width) = self.info.type.tensor_type, self.sides.image
        tensor.elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(self.given.dtype))
        channels = self.shares.shape[1]
        batch = Dimension.FromString(self.batch.SerializeToString())
        tensor.shape.Clear()
        tensor.shape.dim.append(batch)
        for side in (height, width, channels) if self.is_last else (channels, height, width):
            dim = tensor.shape.dim.add()
            if isinstance(side, int):
                dim.dim_value = side
            else:
                dim.dim_param = side

    def _sampled(self, image: Value) -> tuple[Value, Value | None]:
        """Of the model's size and colours: [N,H,W*C], [N,H,W,C] or [N,C,H,W]; and what is padding,
        of a shape that broadcasts to that."""
        tables = image_tables(
            self.what, image, self.given, self.sides, self.shares, flat=self.is_flat
        )
        x = image.reshape(0, 0, -1) if self.is_flat else image
        rank = 3 if self.is_flat else 4
        outside: Value | None = None
        for axis, found in zip((1, 2) if self.is_last else (2, 3), tables, strict=True):
            if found is None:
                continue
            x = _weighed(x, found, axis, rank)
            if found.outside is not None:
                line = found.outside.reshape(-1, *(1,) * (rank - 1 - axis))
                outside = line if outside is None else self.nodes.emit("Or", outside, line)
        x = x if self.is_flat else mixed(x, self.shares, 3 if self.is_last else 1)
        return x, outside

    def _scaled(self, x: Value, outside: Value | None) -> Value:
        """Padded, normalised, and of the model's element type."""
        given, element = self.given, DTYPES[self.dtype]
        factor, term = self._factors()
        scale = None if np.all(factor == 1) else self._constant(factor)
        shift = None if np.all(term == 0) else self._constant(term)
        if x.dtype == self.dtype and scale is shift is outside is None:
            return x
        x = x.cast("float32")
        x = x if outside is None else outside.where(given.pad, x)
        x = x if scale is None else x * scale
        x = x if shift is None else x + shift
        if not element.is_float:
            x = (x + 0.5).floor().clamp(*map(float, element.limits))
        if self.dtype == "float32":
            return x
        return self.nodes.emit("Cast", x, dtype=self.dtype, to=self.elem_type)

    def _factors(self) -> tuple[Array, Array]:
        """What pixels are multiplied by, and what is added then, by channel of the model."""
        given, channels = self.given, len(self.shares)
        mean = by_channel(self.what, "mean", given.mean, channels)
        std = by_channel(self.what, "std", given.std, channels)
        with np.errstate(all="ignore"):
            factor, term = given.scale / std, -mean / std
        return single(self.what, factor), single(self.what, term)

    def _constant(self, numbers: Array) -> Value:
        """One number, or one for each channel, of a shape that broadcasts."""
        each = numbers if np.ptp(numbers) else numbers[:1]
        width = self.sides.model[1]
        if each.size > 1 and self.is_flat and isinstance(width, int):
            each = np.tile(each, width)
        elif each.size > 1 and not self.is_last:
            each = each[:, None, None]
        return self.nodes.constant(each, "float32")

    def _placed(self, x: Value) -> Value:
        """In the model's layout."""
        if self.is_flat:
            x = x.reshape(0, 0, -1, len(self.shares))
        if (self.given.model_layout == "nhwc") == self.is_last:
            return x
        return x.transpose(0, 3, 1, 2) if self.is_last else x.transpose(0, 2, 3, 1)


def _weighed(x: Value, found: Table, axis: int, rank: int) -> Value:
    """Weighted sums of elements along a dimension; elements of ``x`` where there are no weights.

    Sums are reductions, each a kernel: rows are then summed once, and not for each column anew.
    """
    after = (1,) * (rank - 1 - axis)
    if found.taps > 1 and found.weights is not None:
        each = x.take(found.indices, axis).cast("float32")
        return (each * found.weights.reshape(found.taps, -1, *after)).sum(axis)
    x = x.take(found.indices.reshape(-1), axis)
    if found.weights is None:
        return x
    return x.cast("float32") * found.weights.reshape(-1, *after)
